r"""What is shown in a terminal: rows as a table, CSV or JSON, and no control character of somebody else's.

What a model or a prompt says is data. Sent to a terminal as it stands, an escape sequence in it could move the cursor,
set the title, forge a line or reach the clipboard; so control characters and those that turn the direction of writing
are shown as ``\x1b`` or ``\u202e``.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["table", "csv", "json"]
"""How rows are written: for people, for spreadsheets, for programs."""

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMULA = ("=", "+", "-", "@", "\t")


def printable(text: str) -> str:
    """``text`` with every character escaped that would do something in a terminal; line ends and tabs stay."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def write(frame: pd.DataFrame, form: Form, *, width: int | None = None) -> str:
    """The rows of ``frame`` as text that ends with a line end.

    Args:
        frame: What a query answered.
        form: ``table`` rounds and cuts for reading; ``csv`` is complete, its formulas defused by a leading ``'``;
            ``json`` is complete and exact, a list of objects.
        width: Columns of the terminal; ``None`` cuts nothing.
    """
    columns = [str(column) for column in frame.columns]
    rows = ([_plain(value) for value in row] for row in frame.itertuples(index=False, name=None))
    if form == "json":
        return json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=str, indent=1) + "\n"
    if form == "csv":
        return _csv(columns, rows)
    return _table(columns, list(rows), width)


def _plain(value: Any) -> Any:
    """A cell as plain Python: no numpy, no pandas, ``None`` for whatever is missing."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if value is None or value != value:  # noqa: PLR0124 - NaN and NaT, which equal nothing
        return None
    if isinstance(value, (datetime, date)):
        return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    return value


def _text(value: Any) -> str:
    """A cell in full, as text."""
    if value is None:
        return ""
    if isinstance(value, (list, dict)):
        return json.dumps(value, default=str)
    return str(value)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_defused(column) for column in columns])
    writer.writerows([_defused(cell) if isinstance(cell, str) else _text(cell) for cell in row] for row in rows)
    return out.getvalue()


def _defused(text: str) -> str:
    return printable(f"'{text}" if text.startswith(_FORMULA) else text)


def _rounded(value: Any) -> str:
    """A cell for reading: one line, few decimals."""
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        return f"{value:.6f}".rstrip("0").rstrip(".") if abs(value) >= 1e-3 else f"{value:.3g}"
    return printable(_text(value)).replace("\n", "⏎").replace("\t", " ")


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None) -> str:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - slow to load, and only tables need it
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    cells = [[_rounded(cell) for cell in row] for row in rows]
    for number, column in enumerate(columns):
        numeric = any(isinstance(row[number], (int, float)) for row in rows)
        table.add_column(
            Text(_rounded(column)),
            justify="right" if numeric else "left",
            no_wrap=numeric,  # where the terminal is narrow, words are cut and numbers are not
        )
    for row in cells:
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
    out = io.StringIO()
    Console(file=out, width=width or 100_000, color_system=None, legacy_windows=False).print(table)
    return "".join(_stripped(out.getvalue())) or "\n"


def _stripped(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield line.rstrip() + "\n"
