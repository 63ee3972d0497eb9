"""``%orchestrate spend`` in JupyterLab: what is drawn, in number, and what its data cannot do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.browser.conftest import Open
from tests.browser.lab import until

pytestmark = pytest.mark.browser

LEDGER = """\
%load_ext orchestration_nb
from datetime import datetime, timedelta
from pathlib import Path
from orchestration_nb.ledger import JournalFile
from tests.ledger import happened
journal = JournalFile(Path.cwd())
models = ["openai/gpt-4.1-mini", "anthropic/claude-haiku-4-5", "<img src=x onerror=alert(1)>$x$ <b>bold</b>"]
for day in range(6):
    for place, model in enumerate(models):
        at = happened.now() - timedelta(days=day)
        usd = 0.5 + place + day / 4
        journal.write(happened.call(f"r{day}", model=model, started_at=at, cost_usd=usd, billed_usd=usd))
journal.close()"""

BUDGETS = """\
from datetime import datetime
from orchestration_nb.cost.burn import Burn
from orchestration_nb.notebook import spend
now = happened.now()
month = {"begins": now.replace(day=1), "ends": now.replace(day=28), "held_usd": 4.0}
burns = (
    Burn(budget="each-user (ada)", limit_usd=20.0, spent_usd=21.0, forecast_usd=33.0, **month),
    Burn(budget="support-month (<i>support</i>)", limit_usd=100.0, spent_usd=62.0, forecast_usd=131.0, **month),
    Burn(budget="day", limit_usd=10.0, spent_usd=1.5, forecast_usd=None, **month),
)
look = spend.spending
spend.spending = lambda *asked: spend.Spending(spend=look(*asked).spend, burns=burns)
%orchestrate spend by model"""


def test_the_figure_and_the_table(open_notebook: Open, tmp_path: Path) -> None:
    shown = open_notebook(LEDGER, "%orchestrate spend by model --days 7", BUDGETS)
    folder = Path(os.environ.get("ORCHESTRATE_LOOK") or tmp_path)
    shown.run(0)
    shown.run(1)
    output = shown.output(1)
    until(lambda: output.locator(".barlayer .point path").count() == 18, "a bar for each model and day")
    assert output.locator(".barlayer .trace").count() == 3
    heights = [box["height"] for bar in output.locator(".barlayer .point path").all() if (box := bar.bounding_box())]
    assert len(heights) == 18
    assert min(heights) > 2
    assert output.locator("table tbody tr").count() == 3
    assert "$38.25 spent since" in output.inner_text()
    assert "<b>bold</b>" in output.locator("table").inner_text()
    shown.page.screenshot(path=folder / "spend.png")
    legend = output.locator(".legendtext").all_text_contents()
    assert any(name.startswith("<img src=x") for name in legend)
    shown.run(2)
    budgets = shown.output(2)
    until(lambda: budgets.locator(".barlayer .point path").count() == 24, "a bar for each budget, and what it holds")
    assert budgets.locator(".scatterlayer .point").count() == 2, "where two periods end"
    assert budgets.locator(".shapelayer path").count() == 3, "the marks at 50, 80 and 100 %"
    labels = budgets.locator(".y2tick text").all_text_contents()
    assert labels == [
        "each-user (ada)$21.00 of $20.00", "support-month (<i>support</i>)$62.00 of $100.00", "day$1.50 of $10.00",
    ]  # fmt: skip
    shown.page.set_viewport_size({"width": 1280, "height": 1400})
    plot = budgets.locator(".js-plotly-plot")
    assert (plot.bounding_box() or {"height": 0})["height"] > 400, "a figure that keeps its height in another window"
    shown.cell(2).evaluate("cell => cell.scrollIntoView()")
    shown.page.screenshot(path=folder / "budgets.png")
    box = budgets.locator(".barlayer .point path").first.bounding_box()
    assert box is not None
    shown.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    hover = budgets.locator(".hoverlayer")
    until(lambda: "1 call" in (hover.text_content() or ""), "what a bar says")
    assert not shown.dialogs
    assert not shown.strangers
    made = plot.locator("a, img[src], i, b").evaluate_all("all => all.map(one => one.outerHTML)")
    assert not made, made
