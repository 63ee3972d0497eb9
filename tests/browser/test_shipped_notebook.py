"""The notebooks as they ship, run from top to bottom in JupyterLab: what they promise to show is drawn."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.browser.conftest import Open
from tests.browser.lab import ROOT, until

pytestmark = pytest.mark.browser


def shipped(name: str) -> Any:
    """The notebook, with its data beside it instead of one folder up."""
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        cell.source = cell.source.replace("../data/", "")
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return notebook


def test_every_cell_runs_and_draws(open_notebook: Open) -> None:
    notebook = shipped("01_quickstart.ipynb")
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


def test_an_analyst_breaks_the_simulated_provider_and_the_runs_come_through(
    open_notebook: Open, tmp_path: Path
) -> None:
    notebook = shipped("02_reliability_and_cost.ipynb")
    shown = open_notebook(name="broken", notebook=notebook)
    sources, texts = [cell.source for cell in notebook.cells], list[str]()
    for number in range(len(sources)):
        shown.run(number, within_s=180)
        texts.append(shown.output(number).inner_text())  # now: what is scrolled away is not laid out
    assert shown.page.locator(".jp-RenderedText[data-mime-type*=stderr]").count() == 0

    def told(start: str) -> str:
        return next(text for source, text in zip(sources, texts, strict=True) if source.startswith(start))

    bad_day = told("%%orchestrate triage --over tickets --sample 100")
    assert "100 ok" in bad_day
    assert "429" in bad_day
    assert "connection lost" in bad_day
    outage = told("%%orchestrate sorting")
    assert "200 ok" in outage
    assert "200 requests fell back" in outage
    assert "the circuit of sim/medium was open" in outage
    assert "open" in told("%orchestrate status")
    assert "degraded" in told("%%orchestrate mood")
    assert "no call was made" in told("%%orchestrate triage --over tickets --sample 300 --plan")
    assert "'paused'" in told("small = ")
    assert "'done'" in told("rest = ")
    assert "50 calls went by batch" in told("%%orchestrate overnight")

    spend = shown.output(sources.index("%orchestrate spend"))
    bars = spend.locator(".barlayer .point path")
    until(lambda: bars.count() >= 3, "a bar for each model")
    assert "simulated, no money" in spend.inner_text()
    shown.page.screenshot(path=Path(os.environ.get("ORCHESTRATE_LOOK") or tmp_path) / "reliability.png")
    assert not shown.dialogs


def test_an_analyst_compares_strategies_and_lets_one_take_over(open_notebook: Open, tmp_path: Path) -> None:
    notebook = shipped("03_compare_strategies.ipynb")
    shown = open_notebook(name="strategies", notebook=notebook)
    sources, texts = [cell.source for cell in notebook.cells], list[str]()
    for number in range(len(sources)):
        shown.run(number, within_s=240)
        texts.append(shown.output(number).inner_text())
    assert shown.page.locator(".jp-RenderedText[data-mime-type*=stderr]").count() == 0

    def told(start: str) -> str:
        return next(text for source, text in zip(sources, texts, strict=True) if source.startswith(start))

    compared = told("%orchestrate compare quiz")
    assert "simulated, no money" in compared
    for row in ("cascade", "by_length", "majority_vote(fast, n=3)", "random mix", "slice prior", "oracle"):
        assert row in compared
    assert "no network" in told("%orchestrate compare export")
    assert "The strategy" in told("%orchestrate why last")
    assert "300 of 300 items can be told for all of them" in told("%orchestrate what-if")
    assert "careful" in told("%orchestrate learn careful")
    assert "canary" in texts[sources.index("%orchestrate rollout")]
    assert "calls in the last" in told("%orchestrate dashboard")
    shown.page.screenshot(path=Path(os.environ.get("ORCHESTRATE_LOOK") or tmp_path) / "strategies.png")
    assert not shown.dialogs
