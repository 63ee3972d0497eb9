"""``%orchestrate dashboard`` in JupyterLab on a laptop's screen, and its HTML file without a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Open
from tests.browser.lab import Server, until
from tests.conftest import REPO

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

pytestmark = pytest.mark.browser

LEDGER = """\
%load_ext orchestration_nb
import random
from datetime import timedelta
from pathlib import Path
from orchestration_nb.ledger import JournalFile
from tests.ledger import happened
dice, journal = random.Random(11), JournalFile(Path.cwd())
models = ["openai/gpt-4.1-mini", "anthropic/claude-haiku-4-5", "<img src=x onerror=alert(1)>$x$ <b>bold</b>"]
now = happened.now()
for day in range(9, -1, -1):
    run = f"{day:02d}".translate(str.maketrans("0123456789", "9876543210")) + "0" * 14
    at = now - timedelta(days=day, minutes=9)
    flow = ["triage", "digest"][day % 2]
    journal.write(happened.run_started(run, flow=flow, items=40, started_at=at, strategy="cascade"))
    for item in range(40):
        for place, model in enumerate(models):
            began = at + timedelta(seconds=5 * item)
            asked = happened.request(run, flow=flow, item=item, step=["queue", "reply", "check"][place], model=model,
                                     strategy="cascade", started_at=began, latency_ms=1900.0 + item)
            hit, bad = dice.random() < 0.2 + day / 30, dice.random() < 0.06
            usd = 0.0 if hit else 0.002 * (1 + place) * dice.uniform(0.6, 1.4)
            attempts = () if hit else (
                happened.attempt(1, status="failed", http_status=429, wait_ms=120.0, latency_ms=310.0,
                                 error_type="RateLimitedError"),
                happened.attempt(2, wait_ms=400.0, latency_ms=1000.0, status="failed" if bad else "ok"))
            journal.write(happened.call(run, request_id=asked.request_id, model=model, started_at=began, cost_usd=usd,
                billed_usd=usd, cache="exact" if hit else "none", status="failed" if bad and not hit else "ok",
                latency_ms=2.0 if hit else 600.0 * (1 + place) * dice.lognormvariate(0, 0.4), ttft_ms=350.0,
                attempts=attempts))
            journal.write(asked)
    journal.write(happened.run_finished(run, items_ok=38, items_failed=2, finished_at=at + timedelta(minutes=4)))
journal.close()"""


def points(board: Locator, axes: str) -> int:
    """Drawn marks of the lines of one panel."""
    return board.locator(f".{axes} .scatterlayer .point").count()


def test_the_dashboard(open_notebook: Open, tmp_path: Path) -> None:
    shown = open_notebook(LEDGER, "%orchestrate dashboard", "%orchestrate dashboard --html ledger.html")
    shown.page.set_viewport_size({"width": 1366, "height": 768})
    folder = Path(os.environ.get("ORCHESTRATE_LOOK") or tmp_path)
    shown.run(0)
    shown.run(1)
    board = shown.output(1)
    until(lambda: board.locator(".barlayer .point path").count() == 30, "a bar for each model and day")
    assert points(board, "x2y2") == 30, "one percentile of latency for each model and day"
    assert points(board, "x3y3") == points(board, "x4y4") == 30
    assert "Refreshed" in board.inner_text()
    assert "<b>bold</b>" in board.locator("table").first.inner_text()
    shown.page.screenshot(path=folder / "dashboard-top.png")

    by = board.locator("select").nth(0)
    by.focus()
    by.select_option("flow")
    until(lambda: board.locator(".barlayer .point path").count() == 10, "a bar for each flow and day")
    assert " s (ledger " in board.inner_text(), "what the refresh took"
    board.locator("select").nth(0).select_option("model")
    until(lambda: board.locator(".barlayer .point path").count() == 30, "the models again")

    runs = board.locator("select[size]").nth(0)
    assert runs.locator("option").count() == 10
    runs.select_option(index=0)
    requests = board.locator("select[size]").nth(1)
    until(lambda: requests.locator("option").count() == 100, "the requests of the run")
    requests.select_option(index=0)
    until(lambda: board.locator(".js-plotly-plot").count() == 2, "the waterfall")
    fall = board.locator(".js-plotly-plot").nth(1)
    until(lambda: fall.locator(".barlayer .point path").count() >= 4, "its bars")
    fall.evaluate("one => one.scrollIntoView({block: 'end'})")
    shown.page.screenshot(path=folder / "dashboard-request.png")
    board.locator(".js-plotly-plot").first.evaluate("one => one.scrollIntoView({block: 'center'})")
    shown.page.screenshot(path=folder / "dashboard.png")
    if os.environ.get("ORCHESTRATE_PICTURES"):
        shown.page.screenshot(path=REPO / "docs" / "dashboard.png")
    assert not shown.dialogs
    assert not shown.strangers
    assert not board.locator(".main-svg a, .main-svg img, .main-svg b, .main-svg image").count()
    shown.run(2)
    assert "ledger.html is written" in shown.output(2).inner_text()


def test_the_file_opens_without_a_network(lab: Server, browser: Browser, tmp_path: Path) -> None:
    from tests.notebook.ledger_days import write_days

    path = write_days(tmp_path)
    context = browser.new_context(viewport={"width": 1366, "height": 768}, offline=True)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    until(lambda: page.locator("#lines .barlayer .point path").count() == 18, "a bar for each model and day")
    assert page.locator("#lines .x2y2 .scatterlayer .point").count() == 18
    page.locator("#lines-choice").select_option("all")
    until(lambda: page.locator("#lines .barlayer .point path").count() == 6, "a bar for each day")
    page.locator("#lines-shown").select_option("p50")
    assert page.locator("#request .barlayer .point path").count() >= 3
    page.screenshot(path=Path(os.environ.get("ORCHESTRATE_LOOK") or tmp_path) / "dashboard-file.png", full_page=True)
    assert not said
    context.close()
