"""``%orchestrate compare`` in JupyterLab: what is drawn while it runs, what clicks and keys do, and the file of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Open
from tests.browser.lab import ROOT, NotebookPage, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

BEGIN = """\
%load_ext orchestration_nb
import pandas as pd
questions = pd.read_csv({bank!r})
questions = questions[questions.answer_type == "number"]

async def short_ones_first(request, ask):
    short = len(request.prompt) < 150
    request.decision.reason = "a short question" if short else "a long question"
    return await ask("medium" if short else "strong")

async def half_and_half(request, ask):
    return await ask(request.choose({{"fast": 0.5, "strong": 0.5}}))""".format(
    bank=str(ROOT / "data" / "questions.csv")
)
FLOW = "%%orchestrate quiz --over questions --define\nanswer = llm(prompt)"
LINE = (
    "%orchestrate compare quiz --over questions --strategies cascade short_ones_first half_and_half "
    "--score answer=numeric:gold --slices kind --reference strong --sample 240 --concurrency 24"
)
NAMES = {
    *("cascade", "short_ones_first", "half_and_half"),
    *("fast", "medium", "strong (reference)"),
    *("random mix", "slice prior", "oracle"),
}
MARKS = "%orchestrate sql SELECT item, strategy, versus, label, quality, scored_by FROM scores WHERE scorer = 'mark'"


def folder() -> Path:
    return Path(os.environ.get("ORCHESTRATE_LOOK") or ROOT / "build")


def points(shown: Locator | Page) -> Locator:
    return shown.locator(".js-plotly-plot:visible .scatterlayer .points path.point")


def names(shown: Locator | Page) -> set[str]:
    return set(shown.locator(".js-plotly-plot:visible .scatterlayer .textpoint text").all_text_contents())


def title(shown: Locator) -> str:
    return shown.locator(".js-plotly-plot:visible .gtitle").text_content() or ""


def click_point(shown: Locator, page: Page, label: str) -> None:
    """Clicks the point that has this label."""
    place = shown.locator(".js-plotly-plot:visible .scatterlayer .textpoint").all_text_contents().index(label)
    point = points(shown).nth(place)
    point.evaluate("point => point.scrollIntoView({block: 'center'})")
    box = point.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    until(lambda: shown.locator(".hoverlayer .hovertext").count(), "what the point says")
    page.mouse.down()
    page.mouse.up()


def opened(open_notebook: Open, *cells: str) -> NotebookPage:
    shown = open_notebook(BEGIN, FLOW, *cells)
    shown.page.set_viewport_size({"width": 1366, "height": 768})
    shown.run(0)
    shown.run(1)
    return shown


def test_it_is_drawn_while_it_runs_and_answers_clicks_and_keys(open_notebook: Open, browser: Browser) -> None:
    shown = opened(open_notebook, LINE, MARKS, "%orchestrate compare export quiz.html")
    page, output = shown.page, shown.output(2)
    shown.start(2)
    until(lambda: points(output).count() == len(NAMES), "points while it runs")
    prompt = shown.cell(2).locator(".jp-InputArea-prompt").inner_text()
    page.screenshot(path=folder() / "compare-live.png")
    assert "*" in prompt, "the cell was still busy"
    assert "items so far" in title(output)
    shown.wait_until_run(2)
    until(lambda: "so far" not in title(output), "the end")
    page.screenshot(path=folder() / "compare-end.png")
    assert points(output).count() == len(NAMES)
    assert names(output) == NAMES
    assert output.locator("table.cmp:visible").count() == 1, "what is kept for readers without a kernel is hidden"

    click_point(output, page, "cascade")
    until(lambda: "of cascade" in output.locator(".onb-items select").first.evaluate("s => s.selectedOptions[0].text"),
          "the items of the point")  # fmt: skip
    assert output.locator(".onb-items .row").count() == 240

    output.locator(".onb-items select").first.select_option("split")
    rows = output.locator(".onb-items .row")
    divided = rows.count()
    assert 10 < divided < 240
    first = rows.first.get_attribute("data-item")
    rows.first.click()
    until(lambda: f"Item {first}" in output.locator(".onb-items .detail").inner_text(), "the item")
    detail = output.locator(".onb-items .detail").inner_text()
    assert "MODELS ASKED" in detail.upper()
    output.locator(".onb-items").scroll_into_view_if_needed()
    page.screenshot(path=folder() / "compare-items.png")

    for key in ("1", "2", "0"):
        page.keyboard.press(key)
    until(lambda: output.locator(".onb-items .row .chip").count() == 3, "three marks in the list")
    assert shown.cell(2).count() == 1
    shown.run(3)
    until(lambda: "person" in shown.output(3).inner_text(), "the marks in the ledger")
    told = shown.output(3).inner_text()
    assert all(word in told for word in ("better", "worse", "same", "cascade", "short_ones_first"))
    assert first is not None
    shown.run(4)
    assert "opens with no network" in shown.output(4).inner_text()
    assert not shown.dialogs
    assert not shown.strangers
    assert not page.evaluate("window.owned")
    (path,) = shown.server.folder.glob("*/quiz.html")
    exported(browser, path, points(output).count())


def exported(browser: Browser, path: Path, drawn: int) -> None:
    """The file opens with no network, draws the same points, and lists the same items."""
    context = browser.new_context(viewport={"width": 1366, "height": 768}, offline=True)
    try:
        page = context.new_page()
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.goto(path.as_uri())
        until(lambda: points(page).count() == drawn, "the same points")
        assert "cascade" in names(page)
        page.screenshot(path=folder() / "compare-page.png")
        click_point(page.locator("body"), page, "short_ones_first")
        until(lambda: page.locator(".onb-items .row").count() == 240, "the items of the point")
        page.locator(".onb-items .row").first.click()
        assert "REPLY" in page.locator(".onb-items .detail").inner_text().upper()
        assert page.locator(".onb-items button").count() == 0, "a file takes no marks"
        page.locator("#slices").select_option("1")
        until(lambda: page.locator(".onb-items .row").count() < 240, "the items of a slice")
        assert points(page).count() == drawn
        page.screenshot(path=folder() / "compare-page-items.png")
        assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
        assert said == []
        assert not page.evaluate("window.owned")
    finally:
        context.close()
