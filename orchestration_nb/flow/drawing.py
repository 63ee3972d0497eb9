"""The graph of a flow as an SVG picture: steps as boxes, from left to right, and what each needs as lines.

It stands by itself, as a file or in a notebook, follows the notebook's theme where it can and the system's elsewhere,
and says in words what it shows, for those who do not see it.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from orchestration_nb.flow.layout import Layout, Spot, arrange

if TYPE_CHECKING:
    from orchestration_nb.flow.graph import Graph, Step

_MARGIN: Final = 16.0
_GAP: Final = 56.0
_STEP_GAP: Final = 16.0
_EDGE_HEIGHT: Final = 18.0
_NAME_WIDTH: Final = 7.9
_CAPTION_WIDTH: Final = 6.2
_MOST_CHARACTERS: Final = 30
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_STYLE: Final = """
.onb-flow{--ink:var(--jp-ui-font-color1,#1f2328);--soft:var(--jp-ui-font-color2,#59636e);
--paper:var(--jp-layout-color1,#fff);--box:var(--jp-layout-color2,#f6f8fa);--line:var(--jp-border-color1,#c4cbd3);
--ask:var(--jp-brand-color1,#1f6feb)}
@media (prefers-color-scheme:dark){.onb-flow{--ink:var(--jp-ui-font-color1,#e6edf3);
--soft:var(--jp-ui-font-color2,#9aa5b1);--paper:var(--jp-layout-color1,#111417);--box:var(--jp-layout-color2,#1d2228);
--line:var(--jp-border-color1,#475059);--ask:var(--jp-brand-color1,#6cb0ff)}}
.onb-flow .paper{fill:var(--paper)}
.onb-flow .box{fill:var(--box);stroke:var(--line)}
.onb-flow .tint{fill:var(--ask);fill-opacity:.1;stroke:var(--ask);stroke-opacity:.75}
.onb-flow .edge{fill:none;stroke:var(--soft);stroke-width:1.4;stroke-opacity:.75}
.onb-flow .tip{fill:var(--soft)}
.onb-flow .name{fill:var(--ink);font:600 13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.onb-flow .caption{fill:var(--soft);font:11px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
"""


def draw(graph: Graph, *, counts: Mapping[str, str] | None = None) -> str:
    """Draws a flow.

    Args:
        graph: The flow.
        counts: One more line for a step, by its name, such as ``"200 calls"``.

    Returns:
        An SVG document; every text in it is escaped.
    """
    counts = counts or {}
    captions = {
        step.name: [_caption(step), *([counts[step.name]] if step.name in counts else [])] for step in graph.steps
    }
    box_height = 52.0 if counts else 38.0
    layout = arrange(graph.steps, step_size=box_height + _STEP_GAP, edge_size=_EDGE_HEIGHT)
    columns = _columns(graph, layout, captions)
    width = columns[-1][1] + _MARGIN
    height = layout.height + 2 * _MARGIN - _STEP_GAP
    mark = f"onb-{zlib.crc32(graph.source.encode('utf-8', 'replace')):08x}"
    boxes = [
        _box(step.name, captions[step.name], step.kind == "llm", columns[spot.layer], _middle(spot), box_height)
        for step in graph.steps
        for spot in [layout.spots[step.name]]
    ]
    return "".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" class="onb-flow" role="img" aria-labelledby="{mark}-t {mark}-d" ',
        f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" ',
        'style="max-width:100%;height:auto">',
        f'<title id="{mark}-t">{_text(_title(graph))}</title><desc id="{mark}-d">{_text(_description(graph))}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{width:.0f}" height="{height:.0f}" rx="8"/>',
        *(_edge(way, columns) for way in layout.edges),
        *boxes,
        "</svg>",
    ])  # fmt: skip


def _title(graph: Graph) -> str:
    count = len(graph.steps)
    return f"Flow {graph.name}: {count} step{'s' if count > 1 else ''}"


def _description(graph: Graph) -> str:
    said = [
        f"{step.name} ({_caption(step)})" + (f" needs {', '.join(sorted(step.needs))}" if step.needs else "")
        for step in graph.steps
    ]
    return "; ".join(said) + "."


def _caption(step: Step) -> str:
    """What a step does, in a few words."""
    if step.kind == "plain":
        return "Python"
    asked = list(dict.fromkeys(each.model or each.strategy or "by strategy" for each in step.questions))
    several = " for each" if any(each.repeated for each in step.questions) else ""
    perhaps = ", if asked" if step.questions and all(each.conditional for each in step.questions) else ""
    return f"llm{several}{perhaps}" + (f" · {', '.join(asked)}" if asked else "")


def _columns(graph: Graph, layout: Layout, captions: Mapping[str, list[str]]) -> list[tuple[float, float]]:
    """Left and right side of each layer."""
    widths = [0.0] * layout.layers
    for step in graph.steps:
        texts = [
            _units(_cut(step.name)) * _NAME_WIDTH,
            *(_units(_cut(text)) * _CAPTION_WIDTH for text in captions[step.name]),
        ]
        layer = layout.spots[step.name].layer
        widths[layer] = max(widths[layer], max(texts) + 28, 96.0)
    columns = []
    left = _MARGIN
    for width in widths:
        columns.append((left, left + width))
        left += width + _GAP
    return columns


def _middle(spot: Spot) -> float:
    return spot.place + _MARGIN - _STEP_GAP / 2


def _units(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def _text(text: str) -> str:
    return escape(_UNPRINTABLE.sub("\ufffd", text), {'"': "&quot;"})


def _box(name: str, captions: list[str], asks: bool, column: tuple[float, float], middle: float, height: float) -> str:
    left, right = column
    top = middle - height / 2
    place = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{height:.1f}" rx="7"'
    tint = f'<rect class="tint" {place}/>' if asks else ""
    base = middle + 4.5 - 7 * len(captions)
    lines = "".join(
        f'<text class="caption" x="{left + 14:.1f}" y="{base + 14 + 14 * number:.1f}">{_text(_cut(caption))}</text>'
        for number, caption in enumerate(captions)
    )
    full = _text(" · ".join([name, *captions]))
    return (
        f'<g><title>{full}</title><rect class="box" {place}/>{tint}'
        f'<text class="name" x="{left + 14:.1f}" y="{base:.1f}">{_text(_cut(name))}</text>{lines}</g>'
    )


def _edge(way: Sequence[Spot], columns: list[tuple[float, float]]) -> str:
    x, y = columns[way[0].layer][1], _middle(way[0])
    path = [f"M{x:.1f} {y:.1f}"]
    for spot in way[1:]:
        left, right = columns[spot.layer]
        end = spot is way[-1]
        to_x, to_y = (left - 6 if end else left), _middle(spot)
        bend = (to_x - x) / 2
        path.append(f"C{x + bend:.1f} {y:.1f} {to_x - bend:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}")
        if not end:
            path.append(f"H{right:.1f}")
        x, y = (to_x if end else right), to_y
    tip = f'<path class="tip" d="M{x + 6:.1f} {y:.1f}l-7 -4v8z"/>'
    return f'<path class="edge" d="{"".join(path)}"/>{tip}'
