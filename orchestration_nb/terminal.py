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
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["table", "csv", "json"]
"""How rows are written: for people, for spreadsheets, for programs."""

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LEAST_WORDS = 12
"""Characters that a column of words must have to be worth showing."""
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
    if form == "json":
        return as_json(records(frame))
    columns, rows = [str(column) for column in frame.columns], _rows(frame)
    return _csv(columns, rows) if form == "csv" else _table(columns, list(rows), width)


def as_json(value: Any) -> str:
    """What :func:`records` made, or mappings of it, as JSON text without any control character."""
    return json.dumps(value, default=_moment, indent=1) + "\n"


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as plain Python: no numpy, no pandas, ``None`` for whatever is missing."""
    columns = [str(column) for column in frame.columns]
    return [dict(zip(columns, row, strict=True)) for row in _rows(frame)]


def _rows(frame: pd.DataFrame) -> Iterator[list[Any]]:
    return ([_plain(value) for value in row] for row in frame.itertuples(index=False, name=None))


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if _is_missing(value):
        return None
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _is_missing(value: Any) -> bool:
    """``None``; NaN and NaT, which equal nothing; and pandas' NA, of which not even that can be asked."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)  # noqa: PLR0124


def _moment(value: Any) -> str:
    """What JSON and CSV write for a time, and for whatever else is no JSON."""
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else str(value)


def _text(value: Any) -> str:
    """A cell in full, as text."""
    if value is None:
        return ""
    if isinstance(value, (list, dict)):
        return json.dumps(value, default=_moment)
    return _moment(value)


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
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return printable(_text(value)).replace("\n", "⏎").replace("\t", " ")


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None) -> str:
    heads, cells = [_rounded(column) for column in columns], [[_rounded(cell) for cell in row] for row in rows]
    numeric = [any(isinstance(row[place], (int, float)) for row in rows) for place in range(len(heads))]
    least = [
        max(map(len, (head, *(row[place] for row in cells)))) if numeric[place] else min(len(head), _LEAST_WORDS)
        for place, head in enumerate(heads)
    ]
    if width and sum(least) + 2 * (len(least) - 1) > width:
        return _blocks(heads, cells, width)

    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - slow to load, and only tables need it
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for head, right in zip(heads, numeric, strict=True):
        # Where the terminal is narrow, words are cut and numbers are not.
        table.add_column(Text(head), justify="right" if right else "left", no_wrap=right)
    for row in cells:
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
    out = io.StringIO()
    Console(file=out, width=width or 100_000, color_system=None, legacy_windows=False).print(table)
    return "".join(_stripped(out.getvalue())) or "\n"


def _blocks(heads: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> str:
    """A row as a block of lines, for a table that is too wide to be read."""
    wide = max(map(len, heads))
    lines = []
    for number, row in enumerate(cells, 1):
        lines.append(f"── row {number} ".ljust(min(width, 40), "─"))
        for head, cell in zip(heads, row, strict=True):
            line = f"{head.ljust(wide)}  {cell}".rstrip()
            lines.append(line if len(line) <= width else f"{line[: width - 1]}…")
    return "".join(f"{line}\n" for line in lines)


def _stripped(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield line.rstrip() + "\n"
