"""The lists of the dashboard, of runs and of requests, as widgets: arrow keys choose a row, Enter opens it.

A ``select`` of the browser would do, but for JupyterLab, which takes its arrow keys, and for columns, which it has not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

from orchestration_nb.notebook.compare_style import SAVED
from orchestration_nb.pages.style import CSS
from orchestration_nb.terminal import printable

_KEYS: Final = "arrow keys choose, Enter opens, Escape closes"
_LIST: Final = """
.onb-ledger{overflow:hidden}
.onb-ledger .js-plotly-plot .main-svg text:not(.hoverlayer text){fill:var(--jp-ui-font-color1,#757575)!important}
.onb-ledger select option{color:#111;background:#fff}
.onb-ledger :focus-visible{outline:2px solid var(--jp-brand-color1,#1976d2);outline-offset:1px}
.onb-rows .list{max-height:190px;overflow:auto;border:1px solid var(--line);border-radius:4px;margin:3px 0;
position:relative}
.onb.onb-rows table.t{width:100%}
.onb.onb-rows table.t th,.onb.onb-rows table.t td{padding:2px 8px;white-space:nowrap;max-width:330px;overflow:hidden;
text-overflow:ellipsis}
.onb.onb-rows table.t th{position:sticky;top:0;background:var(--jp-layout-color1,Canvas)}
.onb-rows tr{cursor:pointer}
.onb.onb-rows tr[aria-selected=true] td{background:var(--soft);font-weight:600}
.onb.onb-rows tr[aria-selected=true] td:first-child{box-shadow:inset 3px 0 var(--go)}
.onb.onb-rows .list:focus-visible tr.active td{box-shadow:inset 0 2px var(--go),inset 0 -2px var(--go)}
"""


@cache
def _widget_class() -> Any:
    import anywidget  # noqa: PLC0415 - half a second, and only dashboards need it
    import traitlets  # noqa: PLC0415

    class RowsWidget(anywidget.AnyWidget):
        """What the JavaScript knows of a list."""

        _esm = files("orchestration_nb.notebook").joinpath("ledger_list.js").read_text("utf-8")
        _css = CSS + _LIST + SAVED
        label = traitlets.Unicode().tag(sync=True)
        header: Any = traitlets.List().tag(sync=True)
        numbers: Any = traitlets.List().tag(sync=True)
        rows: Any = traitlets.List().tag(sync=True)
        chosen = traitlets.Unicode().tag(sync=True)

    return RowsWidget


class RowList:
    """A list of which one row can be opened.

    Args:
        label: What it lists.
        header: Names of the columns.
        numbers: Those of them that stand on the right.
        opened: Is called when another row is opened, or with an empty text when the open one is closed.
    """

    def __init__(
        self, label: str, header: Sequence[str], numbers: Sequence[str], opened: Callable[[str], None]
    ) -> None:
        self.widget = _widget_class()(
            label=f"{label} ({_KEYS})", header=[name.lstrip("_") for name in header], numbers=list(numbers)
        )
        self.widget.observe(lambda change: opened(change["new"]), "chosen")

    @property
    def chosen(self) -> str:
        """The row that is open, or an empty text."""
        return str(self.widget.chosen)

    @property
    def ids(self) -> list[str]:
        """What can be opened, in the order of the list."""
        return [row[0] for row in self.widget.rows]

    def open(self, row: str) -> None:
        """Opens a row, as Enter does; an empty text closes the open one."""
        self.widget.chosen = row

    def offer(self, ids: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Lists other rows; what was open and is listed no more is closed."""
        listed = [[name, list(map(printable, row))] for name, row in zip(ids, rows, strict=True)]
        if listed != self.widget.rows:
            self.widget.rows = listed
        if self.chosen and self.chosen not in ids:
            self.open("")

    def show(self, visible: bool) -> None:
        """Shows or hides it."""
        self.widget.layout.display = "" if visible else "none"
