"""The figure of the ledger as an SVG picture, for pages and viewers that run no script.

It is drawn from the figure's own JSON, so that it shows the same bars, lines, marks and names. Names are escaped there
already.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from orchestration_nb.pages.plotting import FAINT, GREY

WIDTH: Final = 1060
_LEFT, _RIGHT, _TOP, _FOOT = 52, 12, 30, 30
_LEGEND_PX: Final = 20
_ORIGIN: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - naive UTC, as the figure has its times
_DASHES: Final = {"solid": "", "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3", "longdash": "11 4",
                  "longdashdot": "11 3 2 3"}  # fmt: skip
_MARKS: Final = {
    "circle": "M-3,0a3,3 0 1,0 6,0a3,3 0 1,0 -6,0", "square": "M-3,-3h6v6h-6z", "diamond": "M0,-4L4,0L0,4L-4,0z",
    "triangle-up": "M0,-4L4,3L-4,3z", "triangle-down": "M0,4L4,-3L-4,-3z",
    "cross": "M-4,-1h3v-3h2v3h3v2h-3v3h-2v-3h-3z",
    "x": "M-3,-4L0,-1L3,-4L4,-3L1,0L4,3L3,4L0,1L-3,4L-4,3L-1,0L-4,-3z",
    "star": "M0,-4L1,-1L4,-1L2,1L3,4L0,2L-3,4L-2,1L-4,-1L-1,-1z",
}  # fmt: skip
_HATCHES: Final = {"/": "M0,6L6,0", "\\": "M0,0L6,6", "x": "M0,0L6,6M0,6L6,0", "-": "M0,3h6", "|": "M3,0v6",
                   "+": "M0,3h6M3,0v6", ".": "M2,3h2"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """A pair of axes: where they lie on the picture, in pixels, and what they span."""

    left: float
    right: float
    top: float
    bottom: float
    begins_s: float
    ends_s: float
    highest: float
    prefix: str
    suffix: str

    def x(self, at_s: float) -> float:
        return self.left + (at_s - self.begins_s) / (self.ends_s - self.begins_s) * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.bottom - value / self.highest * (self.bottom - self.top)


def svg(figure: Mapping[str, Any]) -> str:
    """The picture of a figure as :func:`~orchestration_nb.notebook.ledger_figure.ledger_figure` draws it.

    Args:
        figure: ``data`` and ``layout``; traces that are not visible are left out.
    """
    shown = [trace for trace in figure["data"] if trace["visible"]]
    layout, names = figure["layout"], [trace for trace in shown if trace["type"] == "bar"]
    key = sha256(repr(shown).encode()).hexdigest()[:8]  # pictures of one page must not share the ids of their hatches
    legend, rows = _legend(names, layout["height"], key)
    parts = [_hatches(names, key), *_titles(layout)]
    for number in ("", "2", "3", "4"):
        traces = [trace for trace in shown if trace["xaxis"] == f"x{number}"]
        panel = _panel(layout, number, traces)
        parts += _axes(panel)
        parts += [_line(panel, trace) for trace in traces] if number else _bars(panel, names, key)
    height = layout["height"] + rows * _LEGEND_PX
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" style="max-width:100%;height:auto" font-family="system-ui,sans-serif" font-size="12" '
        f'fill="{GREY}">{"".join(parts)}{legend}</svg>'
    )


def _panel(layout: Mapping[str, Any], number: str, traces: Sequence[Mapping[str, Any]]) -> _Panel:
    across, upward = layout[f"xaxis{number}"], layout[f"yaxis{number}"]
    wide, high = WIDTH - _LEFT - _RIGHT, layout["height"] - _TOP - _FOOT
    left, right = across["domain"]
    low, top = upward["domain"]
    return _Panel(
        left=_LEFT + left * wide,
        right=_LEFT + right * wide,
        top=_TOP + (1 - top) * high,
        bottom=_TOP + (1 - low) * high,
        begins_s=_seconds(across["range"][0]),
        ends_s=_seconds(across["range"][1]),
        highest=upward["range"][1] if "range" in upward else (_highest(traces) * 1.06 or 1.0),
        prefix=upward.get("tickprefix", ""),
        suffix=upward.get("ticksuffix", ""),
    )


def _highest(traces: Sequence[Mapping[str, Any]]) -> float:
    sums: dict[str, float] = defaultdict(float)
    for trace in traces:
        for x, y in zip(trace["x"], trace["y"], strict=True):
            sums[x] = sums[x] + y if trace["type"] == "bar" else max(sums[x], y or 0.0)
    return max(sums.values(), default=0.0)


def _titles(layout: Mapping[str, Any]) -> Iterator[str]:
    for one in layout["annotations"]:
        x = _LEFT + one["x"] * (WIDTH - _LEFT - _RIGHT)
        y = _TOP + (1 - one["y"]) * (layout["height"] - _TOP - _FOOT) - 8
        yield f'<text x="{x:.1f}" y="{y:.1f}" font-size="13">{one["text"]}</text>'


def _axes(panel: _Panel) -> Iterator[str]:
    for value in _ticks(panel.highest):
        y = panel.y(value)
        yield f'<path d="M{panel.left:.1f},{y:.1f}H{panel.right:.1f}" stroke="{FAINT}"/>'
        said = f"{panel.prefix}{value:g}{panel.suffix}"
        yield f'<text x="{panel.left - 5:.1f}" y="{y + 4:.1f}" text-anchor="end">{said}</text>'
    span_s = panel.ends_s - panel.begins_s
    form = "%d %b" if span_s > 3 * 86_400 else "%d %b %H:%M" if span_s > 600 else "%H:%M:%S"
    for part in range(4):
        at_s = panel.begins_s + span_s * (part + 0.5) / 4
        said = f"{_ORIGIN + timedelta(seconds=at_s):{form}}"
        yield f'<text x="{panel.x(at_s):.1f}" y="{panel.bottom + 16:.1f}" text-anchor="middle">{said}</text>'


def _ticks(highest: float) -> list[float]:
    rough = highest / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= rough * 0.999)
    return [round(step * number, 12) for number in range(int(highest / step) + 1)]


def _bars(panel: _Panel, bars: Sequence[Mapping[str, Any]], key: str) -> Iterator[str]:
    below: dict[str, float] = defaultdict(float)
    for place, trace in enumerate(bars):
        for x, y in zip(trace["x"], trace["y"], strict=True):
            at_s = _seconds(x)
            left, right = panel.x(at_s), panel.x(at_s + trace["width"] / 1000)
            bottom, top = panel.y(below[x]), panel.y(below[x] + y)
            below[x] += y
            box = f'x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 1):.1f}" height="{bottom - top:.1f}"'
            yield _box(trace, box, f"{key}-{place}")


def _box(trace: Mapping[str, Any], box: str, hatch: str) -> str:
    marker = trace["marker"]
    over = f'<rect {box} fill="url(#onb-{hatch})"/>' if marker["pattern"]["shape"] else ""
    return f'<rect {box} fill="{marker["color"]}"/>{over}'


def _hatches(names: Sequence[Mapping[str, Any]], key: str) -> str:
    made = [
        f'<pattern id="onb-{key}-{place}" width="6" height="6" patternUnits="userSpaceOnUse">'
        f'<path d="{_HATCHES[trace["marker"]["pattern"]["shape"]]}" stroke="#fff" stroke-opacity=".75" fill="none"/>'
        "</pattern>"
        for place, trace in enumerate(names)
        if trace["marker"]["pattern"]["shape"]
    ]
    return f"<defs>{''.join(made)}</defs>"


def _line(panel: _Panel, trace: Mapping[str, Any]) -> str:
    points = [(panel.x(_seconds(x)), panel.y(y)) for x, y in zip(trace["x"], trace["y"], strict=True) if y is not None]
    if not points:
        return ""
    way = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    colour, dash, symbol = trace["line"]["color"], trace["line"]["dash"], trace["marker"]["symbol"]
    hollow = symbol.endswith("-open")
    mark = _MARKS[symbol.removesuffix("-open")]
    marks = "".join(
        f'<path d="{mark}" transform="translate({x:.1f},{y:.1f})" fill="{"none" if hollow else colour}" '
        f'stroke="{colour}" stroke-width="{1 if hollow else 0}"/>'
        for x, y in points
    )
    dashes = _DASHES.get(dash, dash.replace("px", "").replace(",", " "))
    return f'<path d="M{way}" fill="none" stroke="{colour}" stroke-width="1.5" stroke-dasharray="{dashes}"/>{marks}'


def _legend(names: Sequence[Mapping[str, Any]], top: float, key: str) -> tuple[str, int]:
    """A box for each name, and how many rows they take."""
    parts, x, row = [], float(_LEFT), 1
    for place, trace in enumerate(names):
        wide = 46 + 7.2 * len(trace["name"])
        if x + wide > WIDTH and x > _LEFT:
            x, row = float(_LEFT), row + 1
        y = top + (row - 1) * _LEGEND_PX
        parts.append(_box(trace, f'x="{x}" y="{y}" width="14" height="11"', f"{key}-{place}"))
        parts.append(f'<text x="{x + 20:.1f}" y="{y + 10}">{trace["name"]}</text>')
        x += wide
    return "".join(parts), row


def _seconds(moment: str) -> float:
    return (datetime.fromisoformat(moment) - _ORIGIN) / timedelta(seconds=1)
