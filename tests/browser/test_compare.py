"""``%orchestrate compare`` in JupyterLab: what is drawn while it runs, what clicks and keys do, and the file of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Open
from tests.browser.lab import ROOT, NotebookPage, Server, until
from tests.notebook.hostile import PAYLOADS

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
    shown = open_notebook(BEGIN, FLOW, *cells, name="compare")
    shown.page.set_viewport_size({"width": 1366, "height": 768})
    shown.run(0)
    shown.run(1)
    return shown


def opens(output: Locator, number: int) -> None:
    until(lambda: f"Item {number}" in output.locator(".detail").inner_text(), "the item")


def picture(shown: NotebookPage, folder: Path) -> None:
    """The picture of the README: the line, the figure and both tables."""
    folder.mkdir(exist_ok=True)
    shown.page.set_viewport_size({"width": 1366, "height": 1440})
    shown.cell(2).evaluate("cell => cell.scrollIntoView()")
    shown.page.wait_for_timeout(300)  # the figure takes its room anew
    shown.page.screenshot(path=folder / "compare.png")
    assert (folder / "compare.png").stat().st_size > 20_000
    shown.page.set_viewport_size({"width": 1366, "height": 768})
    shown.page.wait_for_timeout(300)  # and again, or what is clicked moves away


def test_it_is_drawn_while_it_runs_and_answers_clicks_and_keys(
    open_notebook: Open, browser: Browser, tmp_path: Path
) -> None:
    folder = Path(os.environ.get("ORCHESTRATE_LOOK") or tmp_path)
    shown = opened(open_notebook, LINE, MARKS, "%orchestrate compare export quiz.html")
    page, output = shown.page, shown.output(2)
    shown.start(2)
    until(lambda: points(output).count() == len(NAMES), "points while it runs")
    prompt = shown.cell(2).locator(".jp-InputArea-prompt").inner_text()
    page.screenshot(path=folder / "compare-live.png")
    assert "*" in prompt, "the cell was still busy"
    assert "items so far" in title(output)
    shown.wait_until_run(2)
    until(lambda: "so far" not in title(output), "the end")
    picture(shown, ROOT / "docs" if os.environ.get("ORCHESTRATE_PICTURES") else tmp_path)
    assert points(output).count() == len(NAMES)
    assert names(output) == NAMES
    kept = "what is kept for readers without a kernel is hidden"
    assert output.locator("table.cmp:not(.between):visible").count() == 1, kept
    assert output.locator("table.between:visible").count() == 1, kept
    assert "fast → strong" in output.locator("table.between:visible").inner_text()

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
    page.screenshot(path=folder / "compare-items.png")

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
    path = max(shown.server.folder.glob("*/quiz.html"), key=lambda file: file.stat().st_mtime)
    exported(browser, path, points(output).count(), folder)


def exported(browser: Browser, path: Path, drawn: int, folder: Path) -> None:
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
        page.screenshot(path=folder / "compare-page.png")
        click_point(page.locator("body"), page, "short_ones_first")
        until(lambda: page.locator(".onb-items .row").count() == 240, "the items of the point")
        page.locator(".onb-items .row").first.click()
        assert "REPLY" in page.locator(".onb-items .detail").inner_text().upper()
        assert page.locator(".onb-items button").count() == 0, "a file takes no marks"
        page.locator("#slices").select_option("1")
        until(lambda: page.locator(".onb-items .row").count() < 240, "the items of a slice")
        assert points(page).count() == drawn
        page.screenshot(path=folder / "compare-page-items.png")
        assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
        assert said == []
        assert not page.evaluate("window.owned")
    finally:
        context.close()


HOSTILE = """\
%load_ext orchestration_nb
import pandas as pd
from tests.notebook.hostile import PAYLOADS
from tests.notebook.kernel import Answers, answered_by
provider = answered_by(Answers())
provider._respond = lambda request: "fine" if len(request.prompt) % 2 else request.prompt
frame = pd.DataFrame({"said": PAYLOADS, "gold": "fine", "kind": PAYLOADS})

async def hostile(request, ask):
    request.decision.reason = PAYLOADS[0]
    return await ask("fast")

async def other(request, ask):
    return await ask("strong")

hostile.__name__, other.__name__ = PAYLOADS[15], PAYLOADS[3]
strategies = [hostile, other]
a, b = strategies"""


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_what_data_say_is_inert_in_the_background_too(
    open_notebook: Open, browser: Browser, lab: Server, tmp_path: Path, theme: str
) -> None:
    lab.wear(f"JupyterLab {theme}")
    try:
        shown = open_notebook(
            HOSTILE,
            "%%orchestrate quiz --over frame --define\nreply = llm(said)",
            "%orchestrate compare quiz --over frame --strategies a b fast --score reply=exact:gold --slices kind "
            "--background",
            "%orchestrate compare export quiz.html",
        )
        for number in range(3):
            shown.run(number)
        output, page = shown.output(2), shown.page
        until(lambda: "done" in output.locator(".chip").first.inner_text(), "the end")
        until(lambda: points(output).count() >= 5, "the points")
        rows = output.locator(".onb-items .row")
        output.locator(".onb-items select").first.select_option("all")
        until(lambda: rows.count() == len(PAYLOADS), "all items")
        for number in (0, 3, 7):
            rows.nth(number).click()
            opens(output, number)
        output.locator(".detail").scroll_into_view_if_needed()
        page.screenshot(path=Path(os.environ.get("ORCHESTRATE_LOOK") or tmp_path) / f"compare-{theme}.png")
        shown.run(3)
        path = max(lab.folder.glob("*/quiz.html"), key=lambda file: file.stat().st_mtime)
        still = browser.new_page(color_scheme="dark" if theme == "Dark" else "light")
        still.goto(path.as_uri())
        until(lambda: points(still).count() == points(output).count(), "the same points")
        still.screenshot(path=Path(os.environ.get("ORCHESTRATE_LOOK") or tmp_path) / f"compare-page-{theme}.png")
        for seen in (page, still):
            assert not seen.evaluate("window.owned")
        still.close()
        assert not shown.dialogs
        assert not shown.strangers
    finally:
        lab.wear("JupyterLab Light")
