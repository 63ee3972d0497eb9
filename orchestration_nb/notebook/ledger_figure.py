"""The dashboard of the ledger, drawn with plotly: spend, latency, errors and cache hits over time.

The figure is plain data: the same for the widget, for the notebook as it is saved, and for the exported page. Each
group has a colour, a mark and a dash of its own, so that no colour is needed to read it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from orchestration_nb.ledger.metrics import MOST_GROUPS, Group, Metrics, Sums
from orchestration_nb.pages.figures import count, latency, usd
from orchestration_nb.pages.plotting import AXIS, COLOURS, GREY, PAPER, told
from orchestration_nb.spending import NO_MONEY

SHOWN: Final = ("p50", "p95", "p99")
"""The percentiles; the figure has lines for each, of which those of one are visible."""
USUAL: Final = "p95"
HEIGHT_PX: Final = 480
TRACES_OF_A_GROUP: Final = 6
"""Bars of spend, three lines of latency, errors, cache hits."""
_MARKS: Final = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down", "circle-open")
_DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px 2px 1px 2px", "2px 4px", "solid")
_HATCHES: Final = ("", "/", "\\", "x", "-", "|", "+", ".", "")
_SIGNS: Final = "●■◆▲✚✖★▼○"
"""The marks as characters, before each name: so that a line's name is found without its colour."""
CONFIG: Final = {"displaylogo": False, "displayModeBar": False, "responsive": True}
_LEFT, _RIGHT = [0.0, 0.47], [0.53, 1.0]
_TOP, _BOTTOM = [0.61, 1.0], [0.0, 0.39]


def ledger_figure(metrics: Metrics, percentile: str = USUAL) -> dict[str, Any]:
    """The figure as JSON, for whoever draws it without Python."""
    return {
        "data": traces(metrics, percentile),
        "layout": layout(metrics),
        "config": CONFIG,
    }


def traces(metrics: Metrics, percentile: str = USUAL, *, slots: int | None = None) -> list[dict[str, Any]]:
    """The traces: :data:`TRACES_OF_A_GROUP` for each drawn group.

    Args:
        metrics: What is drawn.
        percentile: Of latency, which line is visible.
        slots: Groups for which there shall be traces; those beyond the drawn ones are empty and hidden, so that a
            widget can keep its traces and only change what is in them.
    """
    drawn = metrics.drawn
    made = [trace for place, group in enumerate(drawn) for trace in _traces(metrics, group, place, percentile)]
    empty = Group(name="", whole=Sums(calls=0, usd=0.0, errors=0, hits=0))
    for place in range(len(drawn), slots or 0):
        made += [{**trace, "visible": False} for trace in _traces(metrics, empty, place, percentile)]
    return made


SLOTS: Final = MOST_GROUPS + 1


def visible(metrics: Metrics, percentile: str, *, slots: int) -> list[bool]:
    """Which of the traces show when a percentile is chosen."""
    shown = [True, *(name == percentile for name in SHOWN), True, True]
    return [place < len(metrics.drawn) and one for place in range(slots) for one in shown]


def _traces(metrics: Metrics, group: Group, place: int, percentile: str) -> list[dict[str, Any]]:
    made = [_bars(metrics, group, place)]
    for number, name in enumerate(SHOWN):
        points = _line(metrics, group, place, f"{name} latency", partial(_seconds, number), _in_seconds)
        made.append({**points, "xaxis": "x2", "yaxis": "y2", "visible": name == percentile})
    errors = _line(metrics, group, place, "errors", lambda sums: 100 * sums.error_rate, _in_percent)
    hits = _line(metrics, group, place, "from cache", lambda sums: 100 * sums.hit_rate, _in_percent)
    return [*made, {**errors, "xaxis": "x3", "yaxis": "y3"}, {**hits, "xaxis": "x4", "yaxis": "y4"}]


def _bars(metrics: Metrics, group: Group, place: int) -> dict[str, Any]:
    money = f" ({NO_MONEY})" if metrics.simulated else ""
    name = told(group.name, 80)
    places = sorted(group.buckets)
    return {
        "type": "bar",
        "name": f"{_SIGNS[place]} {told(group.name, 28)}",
        "legendgroup": f"g{place}",
        "x": [_iso(metrics.buckets[at]) for at in places],
        "y": [group.buckets[at].usd for at in places],
        "offset": 0,
        "width": metrics.bucket_s * 1000 * 0.9,
        "marker": {
            "color": COLOURS[place % len(COLOURS)] if place < MOST_GROUPS else GREY,
            "pattern": {"shape": _HATCHES[place], "size": 6, "solidity": 0.3, "fillmode": "overlay"},
            "line": {"width": 0},
        },
        "hoverinfo": "text",
        "hovertext": [
            f"{name}<br>{_when(metrics, at)}<br>{told(usd(group.buckets[at].usd))}{money}, "
            f"{count(group.buckets[at].calls, 'call')}"
            for at in places
        ],
        "textposition": "none",
        "showlegend": True,
        "visible": True,
        "xaxis": "x",
        "yaxis": "y",
    }


def _line(
    metrics: Metrics,
    group: Group,
    place: int,
    what: str,
    value: Callable[[Sums], float | None],
    said: Callable[[float], str],
) -> dict[str, Any]:
    name, places = told(group.name, 80), range(len(metrics.buckets)) if group.buckets else ()
    heights = [value(group.buckets[at]) if at in group.buckets else None for at in places]
    colour = COLOURS[place % len(COLOURS)] if place < MOST_GROUPS else GREY
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"{told(group.name, 28)}, {what}",
        "legendgroup": f"g{place}",
        "showlegend": False,
        "visible": True,
        "x": [_middle(metrics, at) for at in places],
        "y": heights,
        "line": {"color": colour, "width": 1.5, "dash": _DASHES[place]},
        "marker": {"color": colour, "symbol": _MARKS[place], "size": 6},
        "connectgaps": True,
        "hoverinfo": "text",
        "hovertext": [
            "" if height is None else f"{name}<br>{_when(metrics, at)}<br>{what} {said(height)}, "
            f"{count(group.buckets[at].calls, 'call')}"
            for at, height in zip(places, heights, strict=True)
        ],
    }  # fmt: skip


def layout(metrics: Metrics) -> dict[str, Any]:
    """Axes and titles of the four panels."""
    ends = metrics.buckets[-1] + timedelta(seconds=metrics.bucket_s)
    across = {
        **AXIS,
        "type": "date",
        "showgrid": False,
        "nticks": 6,
        "range": [_iso(metrics.buckets[0]), _iso(ends)],
    }
    upward = {**AXIS, "rangemode": "tozero", "nticks": 5, "exponentformat": "none"}
    money = f"cost, {NO_MONEY}" if metrics.simulated else "spent"
    of = " (simulated)" if metrics.simulated else ""
    titles = (
        (f"{money.capitalize()}, each {_each(metrics)}", _LEFT, _TOP),
        (f"Latency of answered calls{of}", _RIGHT, _TOP),
        (f"Calls that failed{of}", _LEFT, _BOTTOM),
        (f"Calls that the cache answered{of}", _RIGHT, _BOTTOM),
    )
    return {
        **PAPER,
        "barmode": "stack",
        "height": HEIGHT_PX,
        "margin": {"l": 10, "r": 10, "t": 30, "b": 10},
        "hovermode": "closest",
        "dragmode": False,
        "legend": {"orientation": "h", "y": -0.1, "yanchor": "top", "x": 0, "font": {"size": 11}},
        "annotations": [_title(text, x[0], y[1]) for text, x, y in titles],
        "xaxis": {**across, "domain": _LEFT, "anchor": "y"},
        "xaxis2": {**across, "domain": _RIGHT, "anchor": "y2"},
        "xaxis3": {**across, "domain": _LEFT, "anchor": "y3"},
        "xaxis4": {**across, "domain": _RIGHT, "anchor": "y4"},
        "yaxis": {**upward, "domain": _TOP, "anchor": "x", "tickprefix": "&#36;"},
        "yaxis2": {**upward, "domain": _TOP, "anchor": "x2", "ticksuffix": " s"},
        "yaxis3": {**upward, "domain": _BOTTOM, "anchor": "x3", "ticksuffix": " %", **_rates(metrics, "error_rate")},
        "yaxis4": {**upward, "domain": _BOTTOM, "anchor": "x4", "ticksuffix": " %", **_rates(metrics, "hit_rate")},
    }


def each_bucket(metrics: Metrics) -> str:
    """How long a bucket is: ``12 hours``."""
    for length_s, one in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if metrics.bucket_s % length_s == 0:
            return count(metrics.bucket_s // length_s, one)
    return count(metrics.bucket_s, "second")


def _each(metrics: Metrics) -> str:
    return each_bucket(metrics).removeprefix("1 ")


def _rates(metrics: Metrics, rate: str) -> dict[str, Any]:
    """Where all are 0 the axis still goes to one percent: else plotly centres it on 0."""
    highest = max(
        (100 * getattr(sums, rate) for group in metrics.drawn for sums in group.buckets.values()), default=0.0
    )
    return {"range": [0, max(1.0, highest * 1.08)]}


def _title(text: str, x: float, y: float) -> dict[str, Any]:
    placed = {"x": x, "y": y, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
    return {**placed, "text": text, "showarrow": False, "yshift": 4, "font": {"size": 13}}


def _seconds(number: int, sums: Sums) -> float | None:
    return sums.latency_ms[number] / 1000 if sums.latency_ms else None


def _in_seconds(seconds: float) -> str:
    return latency(seconds * 1000)


def _in_percent(percent: float) -> str:
    return f"{percent:.1f} %" if percent and percent < 10 else f"{math.floor(percent + 0.5)} %"


def _when(metrics: Metrics, at: int) -> str:
    form = "%d %b %Y" if metrics.bucket_s >= 86_400 else "%d %b %H:%M" if metrics.bucket_s >= 60 else "%H:%M:%S"
    return f"{metrics.buckets[at]:{form}} UTC"


def _iso(moment: datetime) -> str:
    return moment.isoformat(sep=" ")


def _middle(metrics: Metrics, at: int) -> str:
    return _iso(metrics.buckets[at] + timedelta(seconds=metrics.bucket_s / 2))


def group_rows(groups: Sequence[Group]) -> list[tuple[str, ...]]:
    """The groups as texts under :data:`GROUP_HEADER`, each name after the mark of its line."""
    return [
        (
            f"{_SIGNS[min(place, MOST_GROUPS)]} {group.name}",
            f"{group.whole.calls:,}",
            usd(group.whole.usd),
            _in_percent(100 * group.whole.error_rate),
            _in_percent(100 * group.whole.hit_rate),
            *(latency(value) for value in group.whole.latency_ms or (math.nan,) * 3),
        )
        for place, group in enumerate(groups)
    ]


GROUP_HEADER: Final = ("calls", "usd", "failed", "from cache", *SHOWN)
