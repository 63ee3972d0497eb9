"""Displays as HTML. Every text goes through :func:`esc`; nothing here is a script, loads anything, or is a link.

The classes ``tex2jax_ignore`` and ``mathjax_ignore`` keep JupyterLab from reading ``$`` as mathematics: what a model
says could otherwise become a link, and two prices a formula.
"""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence

from orchestration_nb.pages.figures import FULL_TEXT, count, shortened
from orchestration_nb.pages.style import CSS
from orchestration_nb.terminal import printable

SHORT = {"narrow": 60, "some": 90, "wide": 300, "number": 90}
"""Characters of a value that a table shows before it is opened, by the kind of its column."""
_STATUSES = frozenset({"ok", "degraded", "failed", "skipped", "cancelled", "paused", "running", "done"})


def esc(text: str) -> str:
    """``text`` as HTML text or as the value of a quoted attribute."""
    return html.escape(printable(text), quote=True)


def page(*parts: str) -> str:
    """Puts parts of a display into their frame, with the style that they need."""
    return f'<div class="onb tex2jax_ignore mathjax_ignore"><style>{CSS}</style>{"".join(parts)}</div>'


def chip(status: str) -> str:
    """A status, coloured and named."""
    known = status if status in _STATUSES else "skipped"
    return f'<span class="chip {known}">{esc(status)}</span>'


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[str] = (), *, narrow: int | None = None
) -> str:
    """A table of texts; long ones open on a click and show in full on hovering.

    Args:
        header: Names of the columns; in ``_status`` a status is drawn as one.
        rows: As many texts as there are columns.
        numbers: Columns that stand on the right.
        narrow: For a table of many columns: how many, from the first, leave the room to the others.
    """
    kinds = [_kind(name in numbers, place, narrow) for place, name in enumerate(header)]
    names = "".join(
        f'<th class="{kind}">{esc(shortened(name, 60))}</th>' for name, kind in zip(header, kinds, strict=True)
    )
    lines = "".join(f"<tr>{_cells(header, row, kinds)}</tr>" for row in rows)
    return f'<div class="scroll"><table class="t"><thead><tr>{names}</tr></thead><tbody>{lines}</tbody></table></div>'


def _kind(is_number: bool, place: int, narrow: int | None) -> str:
    if is_number:
        return "number"
    if narrow is None:
        return "wide"
    return "narrow" if place < narrow else "some"


def _cells(header: Sequence[str], row: Sequence[str], kinds: Sequence[str]) -> str:
    return "".join(
        f"<td>{chip(text)}</td>" if name == "_status" else _cell(text, kind)
        for name, text, kind in zip(header, row, kinds, strict=True)
    )


def _cell(text: str, kind: str) -> str:
    short = shortened(text, SHORT[kind])
    if short == text.strip():
        return f'<td class="{kind}">{esc(text)}</td>'
    full = text if len(text) <= FULL_TEXT else f"{text[:FULL_TEXT]} … ({count(len(text), 'character')} in all)"
    opened = f"<details><summary>{esc(short)}</summary><div>{esc(full)}</div></details>"
    return f'<td class="{kind}" title="{esc(full[:600])}">{opened}</td>'


def dim(text: str) -> str:
    """A line that stands back."""
    return f'<div class="dim">{esc(text)}</div>' if text else ""


def wrong(text: str) -> str:
    """A line that says what is wrong."""
    return f'<div class="line">{esc(text)}</div>'


def part(title: str, body: str) -> str:
    """A part of a display that can be closed."""
    return f'<details class="part" open><summary>{esc(title)}</summary>{body}</details>'
