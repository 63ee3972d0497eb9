"""The figures of a report: how long each cell took and what it cost, and how the run stands among earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from orchestration_nb.ledger.pipelines import Row
from orchestration_nb.pages.figures import count, span, usd
from orchestration_nb.pages.plotting import AXIS, COLOURS, GREY, PAPER, figure_title, told

_CELL_PX: Final = 26
_MOST_CELLS: Final = 60
_LOOKS: Final = {"ok": ("#009e73", ""), "restored": ("#56b4e9", "."), "failed": ("#d55e00", "x")}
"""Status of a cell to its colour and hatch, so that no colour is needed to read it."""


def cells_figure(cells: Sequence[Row]) -> dict[str, Any]:
    """A bar a cell, from the start of the notebook on: when it ran, and how it ended."""
    shown = list(cells)[:_MOST_CELLS]
    begins = min(cell["started_at"] for cell in shown)
    bars = [
        _bars(status, [cell for cell in shown if cell["status"] == status], begins)
        for status in dict.fromkeys(str(cell["status"]) for cell in shown)
    ]
    names = [_name(cell) for cell in shown]
    return {
        "data": bars,
        "layout": {
            **_paper(f"Cells: when each ran{_cut(cells)}", height=90 + _CELL_PX * len(shown)),
            "barmode": "stack",
            "xaxis": {**AXIS, "ticksuffix": " s", "rangemode": "tozero"},
            "yaxis": {**AXIS, "categoryorder": "array", "categoryarray": names[::-1], "showgrid": False},
        },
        "config": {"displaylogo": False, "displayModeBar": False, "responsive": True},
    }


def _bars(status: str, cells: Sequence[Row], begins: Any) -> dict[str, Any]:
    colour, hatch = _LOOKS.get(status, (GREY, "/"))
    return {
        "type": "bar",
        "orientation": "h",
        "name": told(status),
        "y": [_name(cell) for cell in cells],
        "x": [cell["seconds"] or 0.0 for cell in cells],
        "base": [(cell["started_at"] - begins).total_seconds() for cell in cells],
        "marker": {"color": colour, "pattern": {"shape": hatch, "size": 6, "fillmode": "overlay"}},
        "hoverinfo": "text",
        "hovertext": [_hover(cell) for cell in cells],
        "text": [_label(cell) for cell in cells],
        "textposition": "outside",
        "cliponaxis": False,
        "showlegend": True,
    }


def _name(cell: Row) -> str:
    return f"{cell['cell']}  {told(str(cell['title']), 34)}"


def _label(cell: Row) -> str:
    took = span(cell["seconds"]) if cell["seconds"] is not None else ""
    return told(f"{took} · {usd(cell['cost_usd'])}" if cell["calls"] else took)


def _hover(cell: Row) -> str:
    kind = " simulated" if cell["simulated"] else ""
    made = f"{count(cell['calls'], 'call')}, {usd(cell['cost_usd'])}{kind}" if cell["calls"] else "no calls"
    return f"{_name(cell)}<br>{told(str(cell['status']))}, {told(_label(cell))}<br>{told(made)}"


def _cut(cells: Sequence[Row]) -> str:
    return f" (the first {_MOST_CELLS} of {len(cells)})" if len(cells) > _MOST_CELLS else ""


def history_figure(run: Row, before: Sequence[Row]) -> dict[str, Any]:
    """Cost and time of this run beside those of earlier runs of the notebook, the oldest first."""
    runs = [*reversed(before), run]
    simulated = any(row["simulated"] for row in runs)
    axis = {**AXIS, "nticks": 6}
    money = "Cost of each run, simulated" if simulated else "Cost of each run"
    layout = {
        **_paper("", height=260),
        "xaxis": {**axis, "type": "date", "domain": [0, 0.47], "showgrid": False},
        "yaxis": {**axis, "rangemode": "tozero", "tickprefix": "&#36;"},
        "xaxis2": {**axis, "type": "date", "domain": [0.53, 1], "anchor": "y2", "showgrid": False},
        "yaxis2": {**axis, "rangemode": "tozero", "ticksuffix": " s", "anchor": "x2"},
        "annotations": [_title(money, 0), _title("Time of each run", 0.53)],
        "showlegend": False,
    }
    return {
        "data": [_line(runs, "cost_usd", "x", "y"), _line(runs, "seconds", "x2", "y2")],
        "layout": layout,
        "config": {"displaylogo": False, "displayModeBar": False, "responsive": True},
    }


def _line(runs: Sequence[Row], column: str, across: str, upward: str) -> dict[str, Any]:
    last = len(runs) - 1
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [row["started_at"].isoformat(sep=" ") for row in runs],
        "y": [row[column] for row in runs],
        "xaxis": across,
        "yaxis": upward,
        "line": {"color": COLOURS[0], "width": 1.5},
        "marker": {
            "color": [COLOURS[5] if row["status"] != "done" else COLOURS[0] for row in runs],
            "symbol": ["x" if row["status"] != "done" else "circle" for row in runs],
            "size": [12 if place == last else 7 for place in range(len(runs))],
        },
        "hoverinfo": "text",
        "hovertext": [
            f"{row['started_at']:%d %b %Y %H:%M} UTC<br>{told(str(row['status']))}<br>{told(usd(row['cost_usd']))}, "
            f"{told(span(row['seconds']) if row['seconds'] is not None else 'no end')}"
            for row in runs
        ],
    }


def _title(text: str, x: float) -> dict[str, Any]:
    placed = {"x": x, "y": 1, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
    return {**placed, "text": text, "showarrow": False, "yshift": 4, "font": {"size": 13}}


def _paper(title: str, *, height: int) -> dict[str, Any]:
    return {
        **PAPER,
        "title": figure_title(title),
        "height": height,
        "margin": {"l": 10, "r": 90, "t": 40, "b": 30},
        "dragmode": False,
        "legend": {"orientation": "h", "y": -0.08, "yanchor": "top", "x": 0},
    }
