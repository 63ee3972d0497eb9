"""A budget that pauses, in JupyterLab: the cell asks, and a run in the background is given more by its button."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Open
from tests.browser.lab import NotebookPage, Server, until

if TYPE_CHECKING:
    from playwright.sync_api import Locator

pytestmark = pytest.mark.browser

BEGIN = """\
%load_ext orchestration_nb
import pandas as pd
from tests.notebook.kernel import Answers, answered_by
answers = Answers(wait_s=0.05)
provider = answered_by(answers)
tickets = pd.DataFrame({"body": [f"ticket {number}" for number in range(60)]})"""

CELL = """\
%%orchestrate triage --over tickets --budget 0.0006 --on-budget pause --concurrency 4 --into rows {}
topic = llm(body, max_tokens=5)"""
TOLD = "print(triage.last.status, len(provider.requests), (rows._status == 'ok').sum())"

NAMED = "runs = %orchestrate sql SELECT DISTINCT notebook FROM runs\nprint(list(runs.notebook))"


def answer(shown: NotebookPage, line: str) -> None:
    """Types into the field that a cell's question opened."""
    field = shown.page.locator(".jp-Stdin-input")
    until(lambda: field.count() == 1, "one open question")  # the answered one goes a moment later
    field.fill(line)
    field.press("Enter")


def picture(shown: NotebookPage, name: str) -> None:
    """Keeps a picture where ``ORCHESTRATE_PICTURES`` names a folder."""
    folder = os.environ.get("ORCHESTRATE_PICTURES")
    if folder:
        shown.page.screenshot(path=Path(folder) / f"{name}.png")


def test_the_cell_asks_and_goes_on_with_what_it_is_given(open_notebook: Open) -> None:
    shown = open_notebook(BEGIN, CELL.format(""), TOLD)
    shown.run(0)
    shown.start(1)
    until(lambda: shown.page.locator(".jp-Stdin-input").count(), "the question")
    said = shown.output(1).inner_text()
    assert "paused" in said
    assert "does not cover the next call" in said
    assert "The run waits for its budget: " in said
    assert " of 60 items done, " in said
    assert "At the pace so far the rest costs about $0.000" in said
    assert "New budget in US dollars (Enter stops here):" in said
    picture(shown, "asks")
    answer(shown, "a lot")
    until(lambda: "not 'a lot'" in shown.output(1).inner_text(), "the second question")
    answer(shown, "1")
    shown.wait_until_run(1)
    assert "60 ok" in shown.output(1).inner_text()
    picture(shown, "went-on")
    shown.run(2)
    assert shown.output(2).inner_text().strip() == "done 60 60"


def test_enter_stops_and_the_cell_goes_on_another_time(open_notebook: Open) -> None:
    shown = open_notebook(BEGIN, CELL.format(""), CELL.replace("0.0006", "1").format("--resume last"), TOLD, NAMED)
    shown.run(0)
    shown.start(1)
    answer(shown, "")
    shown.wait_until_run(1)
    said = shown.output(1).inner_text()
    assert "paused" in said
    assert "again with --resume " in said
    assert "Traceback" not in said
    picture(shown, "stopped")
    for number in (2, 3, 4):
        shown.run(number)
    assert shown.output(3).inner_text().strip() == "done 60 60"
    # So `orchestrate resume` finds the file.
    assert shown.output(4).inner_text().strip() == "['test_enter_stops_and_the_cell_goes_on_another_time.ipynb']"


def test_a_run_in_the_background_is_given_more_by_its_button(open_notebook: Open) -> None:
    shown = open_notebook(BEGIN, CELL.format("--background"), "6 * 7", TOLD)
    shown.run(0)
    shown.run(1)
    output = shown.output(1)
    go_on = output.locator("button", has_text="Continue")
    until(lambda: go_on.count() and go_on.is_visible(), "the button")
    assert not output.locator("button", has_text="Pause").is_visible()
    assert "does not cover the next call" in output.inner_text()
    shown.run(2)  # the notebook is free meanwhile
    assert "42" in shown.output(2).inner_text()
    picture(shown, "background")
    go_on.click()
    until(lambda: "A budget needs a number" in output.inner_text(), "the refusal of nothing")
    output.locator("input[type=text]").fill("1")
    go_on.click()
    until(lambda: output.locator("table").count(), "the account")
    assert "60 ok" in output.inner_text()
    assert not output.locator("button").count()
    shown.run(3)
    assert shown.output(3).inner_text().strip() == "done 60 60"


TROUBLE = """\
from orchestration_nb.errors import OverloadedError
import itertools
beat = itertools.count()
def respond(request):
    if next(beat) % 3 == 0:
        raise OverloadedError("no room")
    return "fine"
provider._respond = respond"""


@pytest.fixture(params=["Light", "Dark"])
def theme(lab: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    lab.wear(f"JupyterLab {request.param}")
    yield request.param
    lab.wear("JupyterLab Light")


def contrast(part: Locator) -> float:
    """How much a text stands out from what is behind it, by the measure of the Web's guidelines: 1 to 21."""
    script = """element => {
        const rgb = text => text.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => [r, g, b].map(part => part / 255)
            .map(part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4)
            .reduce((sum, part, at) => sum + part * [.2126, .7152, .0722][at], 0);
        let behind = element;
        while (behind.parentElement && (rgb(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0)
            behind = behind.parentElement;
        const two = [light(rgb(getComputedStyle(element).color)), light(rgb(getComputedStyle(behind).backgroundColor))];
        return (Math.max(...two) + .05) / (Math.min(...two) + .05);
    }"""
    return float(part.first.evaluate(script))


def test_it_can_be_read_in_both_themes(open_notebook: Open, theme: str) -> None:
    again = CELL.replace("0.0006", "1").format("--fresh --degrade")
    shown = open_notebook(BEGIN, TROUBLE, CELL.format("--background"), again, "%orchestrate status")
    for number in range(3):
        shown.run(number)
    go_on = shown.output(2).locator("button", has_text="Continue")
    until(lambda: go_on.count() and go_on.is_visible(), "the button")
    picture(shown, f"waits-{theme}")
    shown.run(3)
    assert "attempts failed: " in shown.output(3).inner_text()
    picture(shown, f"story-{theme}")
    shown.run(4)
    assert "Circuits" in shown.output(4).inner_text()
    picture(shown, f"status-{theme}")
    assert contrast(shown.output(2).locator("input[type=text]")) >= 4
    for part in (".story li", ".name", ".foot", "td", "summary"):
        assert contrast(shown.output(3).locator(part)) >= 4, part
