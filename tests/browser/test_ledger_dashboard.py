"""``%orchestrate dashboard`` in JupyterLab on a laptop's screen, and its HTML file without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Open
from tests.browser.lab import NotebookPage, Server, until
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


FOLLOWED = """\
%load_ext orchestration_nb
import pandas as pd
from tests.notebook.kernel import Answers, answered_by
provider = answered_by(Answers(wait_s=0.3))
tickets = pd.DataFrame({"body": [f"ticket {number}" for number in range(4000)]})"""
ELSEWHERE = """\
import pandas as pd
from orchestration_nb import Flow
tickets = pd.DataFrame({"body": [f"another ticket {number}" for number in range(40)]})
Flow.from_source("topic = llm(body)", name="elsewhere").map(tickets, concurrency=1)"""


def points(board: Locator, axes: str) -> int:
    """Drawn marks of the lines of one panel."""
    return board.locator(f".onb-ledger .{axes} .scatterlayer .point").count()


def bars(board: Locator) -> int:
    """Drawn bars of spend."""
    return board.locator(".onb-ledger .js-plotly-plot").first.locator(".barlayer .point path").count()


def look(shown: NotebookPage, name: str, folder: Path, at: Locator) -> None:
    """Takes a picture of what a laptop's screen shows from there on."""
    at.evaluate("one => one.scrollIntoView({block: 'start'})")
    shown.page.screenshot(path=Path(os.environ.get("ORCHESTRATE_LOOK") or folder) / f"{name}.png")


def contrast(one: Locator) -> float:
    """How far the colour of a text, of HTML or SVG, stands out from what is behind it (WCAG; 4.5 is readable)."""
    return float(
        one.evaluate("""one => {
            const parts = colour => colour.match(/[\\d.]+/g).map(Number);
            const light = colour => {
                const linear = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
                const [r, g, b] = parts(colour).map(v => linear(v / 255));
                return .2126 * r + .7152 * g + .0722 * b;
            };
            let under = one, behind = "rgba(0, 0, 0, 0)";
            while (under && (parts(behind)[3] ?? 1) === 0) {
                behind = getComputedStyle(under).backgroundColor;
                under = under.parentElement;
            }
            const style = getComputedStyle(one);
            const [a, b] = [light(one instanceof SVGElement ? style.fill : style.color), light(behind)];
            return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        }""")
    )


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_dashboard(open_notebook: Open, lab: Server, tmp_path: Path, theme: str) -> None:
    lab.wear(theme)
    try:
        shown = open_notebook(LEDGER, "%orchestrate dashboard", "%orchestrate dashboard --html ledger.html")
    finally:
        lab.wear("JupyterLab Light")
    shown.page.set_viewport_size({"width": 1280, "height": 720})
    name = theme.rpartition(" ")[2].lower()
    shown.run(0)
    shown.run(1)
    board = shown.output(1)
    until(lambda: bars(board) == 30, "a bar for each model and day")
    assert points(board, "x2y2") == 30, "one percentile of latency for each model and day"
    assert points(board, "x3y3") == points(board, "x4y4") == 30
    assert " s (ledger " in board.inner_text(), "what the drawing took"
    assert "<b>bold</b>" in board.locator("table").first.inner_text()
    fits(board)
    look(shown, f"dashboard-{name}", tmp_path, board)
    for text in (".xtick text", ".legendtext", ".infolayer .annotation text", "[role=option] td", "th", "label"):
        assert contrast(board.locator(f".onb-ledger {text}").first) >= 4.5, text
    keyboard_alone(shown, board)
    look(shown, f"dashboard-{name}-request", tmp_path, board.locator("[role=listbox]").nth(1))
    assert not shown.dialogs
    assert not shown.strangers
    assert not board.locator(".main-svg a, .main-svg img, .main-svg b, .main-svg image").count()
    if os.environ.get("ORCHESTRATE_PICTURES") and name == "light":
        shown.page.screenshot(path=REPO / "docs" / "dashboard.png")
    shown.run(2)
    assert "ledger.html is written" in shown.output(2).inner_text()


def fits(board: Locator) -> None:
    """Nothing of the dashboard is cut at the right."""
    right = board.evaluate("one => one.getBoundingClientRect().right")
    for part in board.locator(".onb-ledger .main-svg, .onb-ledger table, .onb-ledger button").all():
        box = part.bounding_box()
        assert box is None or box["x"] + box["width"] <= right + 1


def keyboard_alone(shown: NotebookPage, board: Locator) -> None:
    """Chooses a grouping, opens a run and a request of it, and closes them, with no pointer."""
    page = shown.page
    board.locator("select").first.focus()
    page.keyboard.press("ArrowDown")
    until(lambda: board.locator("select").first.evaluate("one => one.selectedOptions[0].text") == "step", "the steps")
    until(lambda: "queue" in board.locator("table").first.inner_text(), "their names")
    runs, requests = board.locator("[role=listbox]").nth(0), board.locator("[role=listbox]").nth(1)
    assert runs.locator("[role=option]").count() == 10
    assert not requests.is_visible()
    runs.focus()
    for key in ("End", "ArrowUp", "Home", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    until(lambda: requests.is_visible() and requests.locator("[role=option]").count() == 100, "the run's requests")
    chosen = runs.locator("[aria-selected=true]")
    assert "digest" in chosen.inner_text(), "the second run"
    assert runs.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    page.keyboard.press("Tab")
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    until(lambda: board.locator(".onb-ledger .js-plotly-plot").count() == 2, "the waterfall")
    fall = board.locator(".onb-ledger .js-plotly-plot").nth(1)
    until(lambda: fall.locator(".barlayer .point path").count() >= 1, "its bars")
    figure = board.locator(".onb-ledger .js-plotly-plot").first
    until(lambda: width(fall) == width(figure), "the waterfall's whole width")
    page.keyboard.press("Escape")
    until(lambda: board.locator(".onb-ledger .js-plotly-plot").count() == 1, "no waterfall")
    page.keyboard.press("Enter")
    until(lambda: board.locator(".onb-ledger .js-plotly-plot").count() == 2, "the waterfall again")
    assert shown.page.locator(".jp-Notebook .jp-Cell").count() == 3, "no key was a command of the notebook's"


def width(figure: Locator) -> float:
    """Of what plotly drew."""
    box = figure.locator(".main-svg").first.bounding_box()
    return box["width"] if box else 0.0


def test_it_follows_a_run(open_notebook: Open, tmp_path: Path) -> None:
    cell = "%%orchestrate triage --over tickets --concurrency 4 --background --fresh\ntopic = llm(body)"
    shown = open_notebook(FOLLOWED, "%orchestrate dashboard by flow", cell, "%orchestrate cancel")
    shown.run(0)
    shown.run(1)
    board = shown.output(1).locator(".onb-ledger")
    assert "No call was made" in board.inner_text()
    shown.run(2)
    seen: list[int] = []

    def counted() -> int:
        found = re.search(r"([\d,]+) simulated call", board.inner_text())
        calls = int(found[1].replace(",", "")) if found else 0
        if calls and calls not in seen:
            seen.append(calls)
        return len(seen)

    until(lambda: counted() >= 2, "two looks at the run while it goes on", within_s=60)
    assert "A run goes on, which this follows." in board.inner_text()
    assert "running" in board.locator("[role=option]").first.inner_text()
    look(shown, "dashboard-follows", tmp_path, board)
    shown.run(3)
    until(lambda: "cancelled" in board.locator("[role=option]").first.inner_text(), "the run's end")
    until(lambda: "goes on" not in board.inner_text(), "nothing to follow")
    counted()

    last = seen[-1]
    folder = Path(shown.server.folder, shown.path).parent
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    with subprocess.Popen([sys.executable, "-c", ELSEWHERE], cwd=folder, env=environment) as other:
        until(lambda: "A run goes on" in board.inner_text() or other.poll(), "a run of another process", within_s=60)
        assert other.poll() is None, "it was seen before it ended"
        assert other.wait(60) == 0
        until(lambda: counted() and seen[-1] >= last + 40, "all of its calls")
    until(lambda: "goes on" not in board.inner_text(), "its end")
    assert "elsewhere" in board.locator("[role=option]").first.inner_text()


def test_it_is_there_without_a_kernel(open_notebook: Open, lab: Server, browser: Browser, tmp_path: Path) -> None:
    shown = open_notebook(LEDGER, "%orchestrate dashboard")
    shown.run(0)
    shown.run(1)
    until(lambda: bars(shown.output(1)) == 30, "the dashboard")
    assert not shown.output(1).locator(".onb-saved").is_visible(), "where the dashboard lives nothing is said twice"
    shown.save()
    saved = lab.folder / shown.path
    until(lambda: "onb-saved" in saved.read_text(), "the file")
    for session in lab.ask("api/sessions"):
        lab.ask(f"api/sessions/{session['id']}", "DELETE")

    again = NotebookPage(page=shown.page.context.new_page(), server=lab)
    again.page.goto(f"{lab.url}doc/tree/{shown.path}?token={lab.token}&kernel=no")
    out = again.output(1)
    until(lambda: out.locator(".barlayer .point path").count() == 30, "the figure without a kernel", within_s=60)
    assert "Error" not in out.inner_text()
    assert "1,200 calls in the last 30 days" in out.inner_text()
    again.page.close()

    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "html", "--output-dir", str(tmp_path), str(saved)],
        check=True, capture_output=True, cwd=tmp_path,
    )  # fmt: skip
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    page = context.new_page()
    page.goto((tmp_path / saved.with_suffix(".html").name).as_uri())
    text = page.locator("body").inner_text()
    assert "1,200 calls in the last 30 days" in text
    assert "anthropic/claude-haiku-4-5" in text
    picture = page.locator(".jp-RenderedSVG").first
    box = picture.bounding_box()
    assert box is not None
    assert box["height"] > 400
    picture.scroll_into_view_if_needed()
    page.screenshot(path=Path(os.environ.get("ORCHESTRATE_LOOK") or tmp_path) / "dashboard-nbconvert.png")
    context.close()


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
