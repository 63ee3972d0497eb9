"""The quickstart cell by hand in JupyterLab; the picture of the README is made here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.browser.conftest import Open
from tests.browser.lab import ROOT, until

pytestmark = pytest.mark.browser

BEGIN = """\
%load_ext orchestration_nb
import pandas as pd
tickets = pd.read_csv("tickets.csv").head(120)
orders = pd.read_csv("orders.csv")"""

CELL = """\
%%orchestrate triage --over tickets --budget 2.00

queue: Literal["billing", "bug", "refund"] = llm(f"Which queue does this ticket belong to?\\n{body}", model="fast")
history = orders[orders.customer_id == customer_id].tail(5)
points = [llm(f"One sentence on this order: {o}", model="fast") for o in history.itertuples()]
reply = llm(f"Queue: {queue}. History: {points}. Write the reply to:\\n{body}") if queue != "bug" else None"""

ASK = "%orchestrate sql SELECT step, model, count(*) AS requests, sum(cost_usd) AS usd FROM requests GROUP BY ALL"


def test_the_quickstart_cell(open_notebook: Open, tmp_path: Path) -> None:
    shown = open_notebook(BEGIN, "", "", name="quickstart")
    shown.run(0)
    shown.write(1, CELL)
    shown.start(1)
    bar = shown.output(1).locator("[role=progressbar]")
    seen: set[int] = set()

    def moved() -> bool:
        if bar.count():
            seen.add(int(bar.first.get_attribute("aria-valuenow") or 0))
        return len(seen) >= 5

    until(moved, "five positions of the progress bar")
    assert "calls/s" in shown.output(1).inner_text()
    assert "of $2.00" in shown.output(1).inner_text()
    assert "simulated" in shown.output(1).inner_text()
    shown.wait_until_run(1, within_s=120)
    until(lambda: shown.output(1).locator("table").count() == 2, "the tables of results and steps")
    results, steps = shown.output(1).locator("table").all()
    assert results.locator("tbody tr").count() == 10
    columns = "ticket_id customer_id body queue history points reply _status _cost_usd _latency_ms"
    assert results.locator("thead th").all_inner_texts() == columns.split()
    assert [row.locator("td").first.inner_text() for row in steps.locator("tbody tr").all()] == [
        "queue", "history", "points", "reply",
    ]  # fmt: skip
    assert "110 more rows" in shown.output(1).inner_text()
    assert "120 ok" in shown.output(1).inner_text()
    assert not shown.dialogs
    assert not shown.strangers
    shown.write(2, ASK)
    shown.run(2)
    assert shown.output(2).locator("tbody tr").count() == 3
    shown.page.set_viewport_size({"width": 1280, "height": 1240})
    shown.cell(1).evaluate("cell => cell.scrollIntoView()")
    picture = ROOT / "docs" if os.environ.get("ORCHESTRATE_PICTURES") else tmp_path
    picture.mkdir(exist_ok=True)
    shown.page.screenshot(path=picture / "quickstart.png")
    assert (picture / "quickstart.png").stat().st_size > 20_000
