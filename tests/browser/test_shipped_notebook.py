"""The quickstart as it ships, run from top to bottom in JupyterLab: tables, the graph and the chart are drawn."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest

from tests.browser.conftest import Open
from tests.browser.lab import ROOT, until

pytestmark = pytest.mark.browser


def shipped() -> Any:
    """The notebook, with its data beside it instead of one folder up."""
    notebook = nbformat.read(ROOT / "notebooks" / "01_quickstart.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        cell.source = cell.source.replace("../data/", "")
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return notebook


def test_every_cell_runs_and_draws(open_notebook: Open) -> None:
    notebook = shipped()
    shown = open_notebook(name="shipped", notebook=notebook)
    sources = [cell.source for cell in notebook.cells]
    for number in range(len(sources)):
        shown.run(number, within_s=120)
    assert shown.page.locator(".jp-RenderedText[data-mime-type*=stderr]").count() == 0

    cell = next(number for number, source in enumerate(sources) if source.startswith("%%orchestrate triage"))
    assert shown.output(cell).locator("table").first.locator("tbody tr").count() == 10

    graph = sources.index("triage")
    assert shown.output(graph).locator("svg").count() >= 1
    for step in ("queue", "history", "points", "reply"):
        assert shown.output(graph).get_by_text(step, exact=True).count() >= 1

    chart = next(number for number, source in enumerate(sources) if "px.scatter" in source)
    points = shown.output(chart).locator(".scatterlayer .points path")
    until(lambda: points.count() == 3, "the three points of the chart")
    assert [model for model in ("sim/small", "sim/medium", "sim/large") if model in shown.output(chart).inner_text()]
    assert not shown.dialogs
