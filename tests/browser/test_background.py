"""Runs in the background, and their buttons, in JupyterLab."""

from __future__ import annotations

import time

import pytest

from tests.browser.conftest import Open
from tests.browser.lab import NotebookPage, until

pytestmark = pytest.mark.browser

BEGIN = """\
%load_ext orchestration_nb
import pandas as pd
from tests.notebook.kernel import Answers, answered_by
answers = Answers(wait_s=0.4)
provider = answered_by(answers)
tickets = pd.DataFrame({"body": [f"ticket {number}" for number in range(400)]})"""

CELL = "%%orchestrate triage --over tickets --concurrency 4 --background --into rows --fresh\ntopic = llm(body)"


def done(shown: NotebookPage) -> int:
    """How many items the bar of the second cell says are done."""
    return int(shown.output(1).locator("[role=progressbar]").get_attribute("aria-valuenow") or 0)


def click(shown: NotebookPage, button: str) -> None:
    shown.output(1).locator("button", has_text=button).click()


def test_cancel_is_obeyed(open_notebook: Open) -> None:
    shown = open_notebook(
        BEGIN, CELL, "6 * 7", "print(triage.last.status, len(rows), (rows._status == 'ok').sum() > 0)"
    )
    shown.run(0)
    shown.run(1)
    until(lambda: done(shown) > 4, "progress after the cell has ended")
    shown.run(2)
    assert "42" in shown.output(2).inner_text()
    click(shown, "Cancel")
    until(lambda: shown.output(1).locator("table").count(), "the account")
    assert "cancelled" in shown.output(1).inner_text()
    assert shown.output(1).locator("table").first.locator("tbody tr").count() == 10
    assert not shown.output(1).locator("button").count()
    shown.run(3)
    assert shown.output(3).inner_text().strip() == "cancelled 400 True"


def test_a_run_that_ends_at_once_settles(open_notebook: Open) -> None:
    shown = open_notebook(BEGIN, "answers.wait_s = 0", CELL)
    for number in range(3):
        shown.run(number)
    until(lambda: shown.output(2).locator("table").count(), "the account")
    assert "400 ok" in shown.output(2).inner_text()
    assert not shown.output(2).locator("button").count()


def test_pause_and_resume_are_obeyed(open_notebook: Open) -> None:
    shown = open_notebook(BEGIN, CELL)
    shown.run(0)
    shown.run(1)
    until(lambda: done(shown) > 4, "progress")
    click(shown, "Pause")
    until(lambda: "paused" in shown.output(1).inner_text(), "the pause")
    until(lambda: " 0 in flight" in shown.output(1).inner_text(), "the end of what was in flight")
    before = done(shown)
    time.sleep(1)
    assert done(shown) == before
    click(shown, "Resume")
    until(lambda: done(shown) > before, "progress after the pause")
    click(shown, "Cancel")
    until(lambda: shown.output(1).locator("table").count(), "the account")


def test_a_click_during_another_cell_is_obeyed_when_that_ends(open_notebook: Open) -> None:
    shown = open_notebook(BEGIN, CELL, "import time\ntime.sleep(2)\nprint('slept')")
    shown.run(0)
    shown.run(1)
    shown.start(2)
    click(shown, "Cancel")
    until(lambda: shown.output(1).locator("table").count(), "the account")
    assert "slept" in shown.output(2).inner_text()
    assert not shown.output(2).locator("table").count()


def test_an_interrupt_cancels_a_run_in_the_foreground(open_notebook: Open) -> None:
    cell = CELL.replace(" --background", "").replace("--concurrency 4", "--concurrency 400")
    shown = open_notebook(BEGIN, "answers.wait_s = 60", cell, "print(triage.last.status)")
    shown.run(0)
    shown.run(1)
    shown.start(2)
    until(lambda: "400 in flight" in shown.output(2).inner_text(), "400 calls in flight")
    begun_s = time.monotonic()
    shown.interrupt()
    shown.wait_until_run(2)
    assert time.monotonic() - begun_s < 2
    assert "Cancelled: " in shown.output(2).inner_text()
    assert "Traceback" not in shown.output(2).inner_text()
    shown.run(3)
    assert shown.output(3).inner_text().strip() == "cancelled"
