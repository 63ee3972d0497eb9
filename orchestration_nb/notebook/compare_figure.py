"""Cost against quality of a comparison, drawn with plotly: a point a strategy, its intervals, what cannot be beaten.

The figure is plain data: the same for the widget that is drawn while a comparison goes on, for the notebook as it is
saved, and for the exported page. Every point has its name beside it and a shape of its own kind, so that no colour is
needed to read it. Names are data: escaped, because plotly reads tags in every text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

from orchestration_nb.comparing.standing import ORACLE, Kind, Row, Standing
from orchestration_nb.evals.intervals import Interval
from orchestration_nb.notebook.compare_words import per_thousand, percent, quality_words
from orchestration_nb.pages.figures import usd
from orchestration_nb.pages.plotting import AXIS, GREY, PAPER, figure_title, told
from orchestration_nb.spending import NO_MONEY

MIME: Final = "application/vnd.plotly.v1+json"
KINDS: Final[tuple[Kind, ...]] = ("strategy", "single", "baseline")
"""The traces of points, in the order of the figure; two lines follow them."""
WIDE: Final = 12.0
"""Dearest over cheapest from which costs are drawn on a logarithmic axis."""
HEIGHT_PX: Final = 400
CONFIG: Final = {"displaylogo": False, "displayModeBar": False, "responsive": True}
_TITLES: Final = {"strategy": "your strategies", "single": "single models", "baseline": "baselines"}
_COLOURS: Final = {"strategy": "#1f83c2", "single": "#d55e00", "baseline": "#808080"}
_SYMBOLS: Final = {"strategy": "circle", "single": "square", "baseline": "diamond-open"}
_PLACES: Final = {"top right": (1, 1), "bottom right": (1, -1), "top left": (-1, 1), "bottom left": (-1, -1)}
"""Beside the intervals of the point, which go straight up and across."""
_LABEL: Final = 24
"""Characters of a name beside its point; the whole stands in what is shown on hovering."""


def compare_figure(standing: Standing, *, simulated: bool) -> dict[str, Any]:
    """The figure as JSON.

    Args:
        standing: How the comparison stands; before there are intervals the axes are empty.
        simulated: Whether no real money was spent; it is said.
    """
    import plotly.graph_objects as go  # noqa: PLC0415 - slow to load

    figure = go.Figure(data=[go.Scatter(**trace) for trace in traces(standing)], layout=layout(standing, simulated))
    drawn: dict[str, Any] = json.loads(figure.to_json())
    return {**drawn, "config": CONFIG}


def layout(standing: Standing, simulated: bool) -> dict[str, Any]:
    """Axes, titles and legend."""
    axis = {**AXIS, "zeroline": False, "showline": True}
    money = f" ({NO_MONEY})" if simulated else ""
    so_far = (
        f" · {standing.n:,} of {standing.planned:,} items so far" if standing.is_live else f" · {standing.n:,} items"
    )
    return {
        **PAPER,
        "title": figure_title(f"Quality against cost{money}{so_far}"),
        "height": HEIGHT_PX,
        "autosize": True,
        "margin": {"l": 10, "r": 20, "t": 36, "b": 10},
        "hovermode": "closest",
        "clickmode": "event",
        "dragmode": False,
        "legend": {"orientation": "h", "y": -0.2, "x": 0, "font": {"size": 11}, "itemclick": False},
        "xaxis": {
            **axis,
            **_costs(standing),
            "title": {"text": "cost of 1,000 items at list price, US&#36;", "standoff": 6},
        },
        "yaxis": {**axis, **_heights(standing), "ticksuffix": " %" if standing.scored_yes_no else "",
                  "title": {"text": quality_words(standing), "standoff": 6}},
    }  # fmt: skip


def traces(standing: Standing) -> list[dict[str, Any]]:
    """A trace of points for each kind of row, the Pareto front and the hull: always five, in this order."""
    places = dict(zip([row.name for row in standing.rows], _label_places(standing), strict=True))
    points = [_points([row for row in standing.rows if row.kind == kind], kind, places, standing) for kind in KINDS]
    front = _line([row for row in standing.rows if row.on_front], standing, "Pareto front", "dot", "hv")
    hull = _line([row for row in standing.rows if row.on_hull], standing, "hull: mixing two of them", "solid", "linear")
    return [*points, front, hull]


def _shown(standing: Standing) -> float:
    """By what scores are multiplied to be shown."""
    return 100.0 if standing.scored_yes_no else 1.0


def _points(rows: Sequence[Row], kind: Kind, places: dict[str, str], standing: Standing) -> dict[str, Any]:
    scale = _shown(standing)
    return {
        "name": _TITLES[kind],
        "mode": "markers+text",
        "x": [1000 * row.cost_usd.estimate for row in rows],
        "y": [scale * row.quality.estimate for row in rows],
        "error_x": _errors([row.cost_usd for row in rows], 1000, _COLOURS[kind]),
        "error_y": _errors([row.quality for row in rows], scale, _COLOURS[kind]),
        "text": [told(row.name, _LABEL) + (" (reference)" if row.is_reference else "") for row in rows],
        "textposition": [places[row.name] for row in rows],
        "textfont": {"size": 12, "color": _COLOURS[kind]},
        "customdata": [row.name for row in rows],
        "hoverinfo": "text",
        "hovertext": [_hover(row, standing) for row in rows],
        "marker": {
            "size": 12,
            "color": _COLOURS[kind],
            "symbol": ["star" if row.name == ORACLE else _SYMBOLS[kind] for row in rows],
            "line": {"width": [4 if row.is_reference else 1 for row in rows], "color": GREY},
        },
        "cliponaxis": False,
    }


def _errors(intervals: Sequence[Interval], scale: float, colour: str) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [scale * max(0.0, one.high - one.estimate) for one in intervals],
        "arrayminus": [scale * max(0.0, one.estimate - one.low) for one in intervals],
        "thickness": 1,
        "width": 3,
        "color": colour,
    }


def _line(rows: Sequence[Row], standing: Standing, name: str, dash: str, shape: str) -> dict[str, Any]:
    ordered = sorted(rows, key=lambda row: (row.cost_usd.estimate, row.quality.estimate))
    corners = [(1000 * row.cost_usd.estimate, _shown(standing) * row.quality.estimate) for row in ordered]
    drawn = _straight(corners) if shape == "linear" else corners
    return {
        "name": name,
        "mode": "lines",
        "x": [x for x, _ in drawn],
        "y": [y for _, y in drawn],
        "line": {"color": GREY, "width": 1.5, "dash": dash, "shape": shape},
        "hoverinfo": "skip",
    }


def _straight(corners: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points on the way from corner to corner: what is straight in dollars is bent on a logarithmic axis."""
    ways = [
        (x + part / 20 * (next_x - x), y + part / 20 * (next_y - y))
        for (x, y), (next_x, next_y) in pairwise(corners)
        for part in range(20)
    ]
    return [*ways, *corners[-1:]]


def _hover(row: Row, standing: Standing) -> str:
    scored = percent if standing.scored_yes_no else (lambda value: f"{value:.3f}")
    lines = [
        told(row.name, 80),
        f"quality {scored(row.quality.estimate)} ({scored(row.quality.low)} to {scored(row.quality.high)})",
        told(f"{per_thousand(row.cost_usd.estimate)} for 1,000 items"),
    ]
    if row.verdict is not None and row.verdict.word is not None:
        lines.append(told(f"{row.verdict.word} against {row.verdict.reference}", 120))
    if row.kind != "baseline":
        lines.append("a click lists its items")
    return "<br>".join(lines)


def _costs(standing: Standing) -> dict[str, Any]:
    """The range of the cost axis, logarithmic where the dearest is many times the cheapest."""
    costs = [1000 * row.cost_usd.estimate for row in standing.rows]
    above = [cost for cost in costs if cost > 0]
    if not above:
        return {"type": "linear", "range": [0, 1]}
    if len(above) == len(costs) and max(above) / min(above) >= WIDE:
        low, high = math.log10(min(above)), math.log10(max(above))
        edge = 0.12 * (high - low)
        ends = low - edge, high + edge
        return {"type": "log", "range": list(ends), **_ticks(*ends)}
    highest = max(1000 * row.cost_usd.high for row in standing.rows)
    return {"type": "linear", "range": [-0.04 * highest, 1.08 * highest], "tickprefix": "&#36;"}


def _ticks(low: float, high: float) -> dict[str, Any]:
    """Amounts to stand on a logarithmic axis between these powers of ten: 1, 2 and 5 of each, or 1 alone."""
    steps = (1, 2, 5) if high - low < 3 else (1,)
    powers = range(math.floor(low), math.ceil(high) + 1)
    amounts = [step * 10.0**power for power in powers for step in steps]
    shown = [amount for amount in amounts if low <= math.log10(amount) <= high]
    return {"tickmode": "array", "tickvals": shown, "ticktext": [told(usd(amount)) for amount in shown]}


def _heights(standing: Standing) -> dict[str, Any]:
    if not standing.rows:
        return {"range": [0, _shown(standing)]}
    low = min(row.quality.low for row in standing.rows) * _shown(standing)
    high = max(row.quality.high for row in standing.rows) * _shown(standing)
    edge = max(0.1 * (high - low), 0.01 * _shown(standing))
    return {"range": [low - edge, high + edge]}


def _label_places(standing: Standing) -> list[str]:
    """On which side of its point each label stands: where it meets the fewest points and labels that stand already."""
    across, up = _unit(_costs(standing)), _unit(_heights(standing))
    scale = _shown(standing)
    points = [(across(1000 * row.cost_usd.estimate), up(scale * row.quality.estimate)) for row in standing.rows]
    taken: list[tuple[float, float, float]] = [(x, y, 0.02) for x, y in points]
    chosen = []
    for row, (x, y) in zip(standing.rows, points, strict=True):
        wide = 0.006 * min(len(row.name) + (12 if row.is_reference else 0), _LABEL + 12)
        boxes = {place: (x + dx * (wide + 0.015), y + dy * 0.05, wide) for place, (dx, dy) in _PLACES.items()}
        others = [box for box in taken if box != (x, y, 0.02)]
        place = min(boxes, key=lambda name: _crowding(boxes[name], others))
        taken.append(boxes[place])
        chosen.append(place)
    return chosen


def _crowding(box: tuple[float, float, float], others: Sequence[tuple[float, float, float]]) -> float:
    x, y, wide = box
    hits = sum(
        abs(x - other_x) < wide + other_wide and abs(y - other_y) < 0.05 for other_x, other_y, other_wide in others
    )
    return hits + 2 * (x - wide < -0.02 or x + wide > 1.02)


def _unit(axis: dict[str, Any]) -> Callable[[float], float]:
    """From a value to its place on an axis, 0 to 1."""
    low, high = axis["range"]
    if axis.get("type") == "log":
        return lambda value: (math.log10(value) - low) / (high - low)
    return lambda value: (value - low) / (high - low)
