"""What the ledger knows of one run, as a display: ``%orchestrate show RUN``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestration_nb.ledger import RunDetails
from orchestration_nb.pages import markup
from orchestration_nb.pages.figures import latency, span, text_of, usd
from orchestration_nb.pages.text import table_text

if TYPE_CHECKING:
    import pandas as pd

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Header and rows."""


def details_card(details: RunDetails) -> str:
    """The run as HTML: its facts, steps, models, errors, and the text of its cell."""
    parts = [markup.part(title, markup.table(*table)) for title, table in _tables(details)]
    source = f"<pre><code>{markup.esc(str(details.run['source']))}</code></pre>"
    return "".join([*parts, markup.part("Cell", source)])


def details_text(details: RunDetails) -> str:
    """The run as text, its cell left out."""
    return "\n\n".join(table_text(*table, width=60) for _, table in _tables(details))


def _tables(details: RunDetails) -> Iterator[tuple[str, Table]]:
    yield "Run", _facts(details.run)
    for title, frame in (("Steps", details.steps), ("Models", details.models), ("Errors", details.errors)):
        if len(frame):
            yield title, _rows(frame)


def _facts(run: Mapping[str, Any]) -> Table:
    told = {name: value for name, value in run.items() if name != "source" and value is not None and value != {}}
    return ("of the run", ""), [(name, _told(name, value)) for name, value in told.items()]


def _rows(frame: pd.DataFrame) -> Table:
    names = [str(column) for column in frame.columns]
    lines = frame.itertuples(index=False, name=None)
    return names, [[_told(name, value) for name, value in zip(names, line, strict=True)] for line in lines]


def _told(name: str, value: Any) -> str:
    if isinstance(value, float):
        if name.endswith("_usd"):
            return usd(value)
        if name.endswith("_ms"):
            return latency(value)
        return span(value) if name == "seconds" else text_of(value)
    return value.isoformat(" ", "seconds") + " UTC" if isinstance(value, datetime) else text_of(value)
