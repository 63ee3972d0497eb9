"""The outputs of an executed notebook as HTML for people who do not run notebooks.

What a cell put out is data: text is escaped, HTML loses everything that could act or load (nh3, which is Mozilla's
ammonia), an image stands in the page, and a figure is drawn again from its data. Nothing else is shown.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from orchestration_nb.pages import markup
from orchestration_nb.pages.figures import count

MOST_CHARACTERS: Final = 20_000
"""Of one output's text; the executed copy has it all."""
MOST_BYTES: Final = 12_000_000
"""Of all images and figures together."""
PLOTLY: Final = "application/vnd.plotly.v1+json"
_IMAGES: Final = ("image/png", "image/jpeg", "image/gif", "image/svg+xml")
_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_TAGS: Final = frozenset(
    {
        "a",
        "b",
        "blockquote",
        "br",
        "caption",
        "code",
        "col",
        "colgroup",
        "dd",
        "del",
        "details",
        "div",
        "dl",
        "dt",
        "em",
    }
    | {"h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "ins", "kbd", "li", "ol", "p", "pre", "q", "s", "samp", "small"}
    | {"span", "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul"}
)
_STYLE: Final = frozenset({"width", "height", "text-align"})
_LENGTH: Final = re.compile(r"[\d.]{1,6}(%|px|em)|left|right|center")


class Outputs:
    """Turns the cells of one executed copy into HTML, and collects the figures that are in them.

    Args:
        notebook: The executed copy, scrubbed.
    """

    def __init__(self, notebook: Any) -> None:
        self._notebook = notebook
        self.figures: dict[str, dict[str, Any]] = {}
        """Id of an element of the page to the figure that is drawn in it."""
        self._room = MOST_BYTES

    def html(self) -> str:
        """Words and outputs in their order; code stands folded beside what it put out."""
        return "".join(self._cells())

    def _cells(self) -> Iterator[str]:
        number = 0
        for cell in self._notebook.cells:
            if cell.cell_type == "markdown":
                yield f'<div class="words">{_words(cell.source)}</div>'
            elif cell.cell_type == "code" and cell.source.strip():
                number += 1
                yield self._code(cell, number)

    def _code(self, cell: Any, number: int) -> str:
        shown = "".join(self._output(output) for output in cell.outputs)
        title = cell.source.strip().partition("\n")[0]
        code = f'<details class="code"><summary>Cell {number}: <code>{markup.esc(title[:100])}</code></summary>'
        return f'<div class="cell" id="cell-{number}">{code}{_pre(cell.source)}</details>{shown}</div>'

    def _output(self, output: Any) -> str:
        if output.output_type == "stream":
            return _pre(str(output.text))
        if output.output_type == "error":
            return f'<div class="onb">{markup.wrong(f"{output.ename}: {output.evalue}")}</div>' + _folded(
                "Traceback", "\n".join(output.traceback)
            )
        return self._data(output.get("data", {}))

    def _data(self, data: Mapping[str, Any]) -> str:
        if PLOTLY in data:
            return self._figure(data[PLOTLY])
        image = next((kind for kind in _IMAGES if kind in data), None)
        if image is not None:
            return self._image(image, data[image])
        if "text/html" in data:
            return f'<div class="onb">{_clean(_joined(data["text/html"]))}</div>'
        if "text/markdown" in data:
            return f'<div class="words">{_words(_joined(data["text/markdown"]))}</div>'
        return _pre(_joined(data["text/plain"])) if "text/plain" in data else ""

    def _figure(self, figure: Any) -> str:
        if not isinstance(figure, Mapping) or "data" not in figure or not self._fits(len(str(figure))):
            return '<p class="dim">A figure is left out here; the executed notebook has it.</p>'
        place = f"figure-{len(self.figures) + 1}"
        layout = {"height": 360, **figure.get("layout", {})}
        drawn = {"data": figure["data"], "layout": layout, "config": {"displaylogo": False, "displayModeBar": False}}
        self.figures[place] = drawn
        return f'<div class="figure" id="{place}"></div>'

    def _image(self, kind: str, content: Any) -> str:
        text = _joined(content)
        if kind == "image/svg+xml":
            text = base64.b64encode(text.encode("utf-8", "replace")).decode()
        try:
            size = len(base64.b64decode(re.sub(r"\s", "", text), validate=True))
        except (binascii.Error, ValueError):
            return '<p class="dim">An image is left out: it cannot be read.</p>'
        if not self._fits(size):
            return '<p class="dim">An image is left out here; the executed notebook has it.</p>'
        return (
            f'<img alt="An image that the cell drew" src="data:{kind};base64,{re.sub(r"[^A-Za-z0-9+/=]", "", text)}">'
        )

    def _fits(self, size: int) -> bool:
        self._room -= size
        return self._room >= 0


def without_colours(text: str) -> str:
    """Text without the sequences that colour it in a terminal."""
    return _ANSI.sub("", text)


def _joined(content: Any) -> str:
    return "".join(content) if isinstance(content, list) else str(content)


def _pre(text: str) -> str:
    text = without_colours(text).rstrip()
    if not text:
        return ""
    left_out = len(text) - MOST_CHARACTERS
    more = f'<p class="dim">… {count(left_out, "character")} more in the executed notebook.</p>' if left_out > 0 else ""
    return f"<pre>{markup.esc(text[:MOST_CHARACTERS])}</pre>{more}"


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{markup.esc(title)}</summary>{_pre(text)}</details>"


def _words(text: str) -> str:
    """Markdown, in which HTML is text and no link leaves for anything but the web."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 - needed only here

    return _clean(MarkdownIt("commonmark", {"html": False}).enable("table").render(text[:MOST_CHARACTERS]))


def _clean(text: str) -> str:
    """HTML of a cell without scripts, styles, forms, frames, images and addresses but those of links to the web."""
    import nh3  # noqa: PLC0415 - needed only here

    return nh3.clean(
        text[: 20 * MOST_CHARACTERS],
        tags=set(_TAGS),
        clean_content_tags={"script", "style"},
        attributes={"*": {"class", "title", "style", "colspan", "rowspan", "open"}, "a": {"href"}},
        attribute_filter=_allowed,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer",
    )


def _allowed(_tag: str, name: str, value: str) -> str | None:
    """Of styles only sizes that a bar or a column needs: anything else could cover the page with something."""
    if name != "style":
        return value
    kept = []
    for rule in value.split(";"):
        what, _, how = (part.strip() for part in rule.partition(":"))
        if what in _STYLE and _LENGTH.fullmatch(how):
            kept.append(f"{what}:{how}")
    return ";".join(kept) or None
