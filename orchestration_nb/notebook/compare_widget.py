"""The browser of items as a widget: our own JavaScript, which needs no extension of the notebook's."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any, Final

from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.errors import OrchestrationError
from orchestration_nb.notebook.compare_items import heading, item_detail, item_rows, mark_rows
from orchestration_nb.notebook.compare_style import ITEMS, SAVED
from orchestration_nb.pages.style import CSS

_WIRES: Final = """
function render({ model, el }) {
  el.classList.add("onb-live");
  const root = document.createElement("div");
  el.append(root);
  let wide = 0; // a figure widget takes its room when the window changes, and not when its own place does
  new ResizeObserver(([seen]) => {
    if (Math.abs(seen.contentRect.width - wide) < 2) return;
    wide = seen.contentRect.width;
    window.dispatchEvent(new Event("resize"));
  }).observe(el);
  itemsBrowser(root, {
    get: name => model.get(name),
    on: (name, then) => model.on("change:" + name, then),
    detail: item => { const there = model.get("detail"); return there.item === item ? there : null; },
    open: item => model.send({ kind: "open", item }),
    mark: said => model.send({ kind: "mark", ...said }),
  });
}
export default { render };
"""


def script() -> str:
    """The browser's JavaScript: one function, ``itemsBrowser``."""
    return files("orchestration_nb.notebook").joinpath("compare_items.js").read_text("utf-8")


@cache
def _widget_class() -> Any:
    import anywidget  # noqa: PLC0415 - half a second, and only dashboards need it
    import traitlets  # noqa: PLC0415

    class ItemsWidget(anywidget.AnyWidget):
        """What the JavaScript knows of a comparison."""

        _esm = script() + _WIRES
        _css = CSS + ITEMS + SAVED
        heading = traitlets.Dict().tag(sync=True)
        rows = traitlets.Dict().tag(sync=True)
        detail = traitlets.Dict().tag(sync=True)
        marks: Any = traitlets.List().tag(sync=True)
        slice = traitlets.Unicode().tag(sync=True)
        focus = traitlets.Dict().tag(sync=True)

    return ItemsWidget


class Items:
    """The browser of one comparison's items, and what it is told.

    Args:
        comparison: Whose.
        told: Takes what went wrong with a mark, in words.
    """

    def __init__(self, comparison: Comparison, told: Callable[[str], None]) -> None:
        self._comparison = comparison
        self._told = told
        self._focused = 0
        self.widget = _widget_class()(heading=heading(comparison), rows={"rows": [], "models": [], "more": 0})
        self.widget.on_msg(self._heard)

    def refresh(self) -> None:
        """Lists the items that have ended by now."""
        self.widget.rows = item_rows(self._comparison)
        self.widget.marks = mark_rows(self._comparison)

    def keep(self, slice_value: str | None) -> None:
        """Lists the items of one slice only; ``None``: of all."""
        self.widget.slice = slice_value or ""

    def list_items_of(self, name: str) -> None:
        """Lists the items of one strategy, those that went wrong first."""
        self._focused += 1  # so that the same point can be clicked again
        self.widget.focus = {"at": self._comparison.names.index(name), "turn": self._focused}

    def _heard(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if content.get("kind") == "open":
            self.widget.detail = item_detail(self._comparison, int(content["item"]))
        elif content.get("kind") == "mark":
            self._mark(content)

    def _mark(self, content: Any) -> None:
        names = self._comparison.names
        left, right = names[int(content["left"])], names[int(content["right"])]
        try:
            self._comparison.mark(int(content["item"]), left, right, content["mark"])
        except OrchestrationError as error:
            self._told(str(error))
        self.widget.marks = mark_rows(self._comparison)
