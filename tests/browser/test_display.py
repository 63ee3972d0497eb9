"""What works live in JupyterLab: displays that move, buttons that are obeyed."""

from __future__ import annotations

import time

import pytest

from tests.browser.conftest import Open
from tests.browser.lab import until

pytestmark = pytest.mark.browser

SCRIPTED = """
import sys, types
class Patch:
    setitem = staticmethod(dict.__setitem__)
from tests.notebook import scripted
scripted.install(Patch())
from orchestration_nb.notebook import load_ipython_extension
load_ipython_extension(get_ipython())
import pandas as pd
bodies = [f"ticket {n}, it costs $3 or $4. " + "long text " * 30 for n in range(60)]
tickets = pd.DataFrame({"id": range(60), "body": bodies})
ticks, tick_s, engine = 50, 0.05, True
"""
RUN = "%%orchestrate triage --over tickets\nqueue = llm(body)\nreply = llm(queue)"


def test_progress_moves_while_the_cell_runs(open_notebook: Open) -> None:
    shown = open_notebook(SCRIPTED, RUN)
    shown.run(0)
    shown.start(1)
    seen = set()
    ends_s = time.monotonic() + 20
    while time.monotonic() < ends_s and not shown.output(1).locator("table").count():
        bar = shown.output(1).locator("[role=progressbar]")
        if bar.count():
            seen.add(bar.get_attribute("aria-valuenow"))
            if len(seen) == 4:
                shown.page.screenshot(path="/tmp/nb_progress.png")
        time.sleep(0.1)
    print(seen)
    assert len(seen) > 5
    shown.page.screenshot(path="/tmp/nb_done.png")
    assert shown.output(1).locator("table").first.locator("tbody tr").count() == 10


def test_background(open_notebook: Open) -> None:
    shown = open_notebook(SCRIPTED + "tick_s = 0.2\n", RUN.replace("\n", " --background\n", 1), "1+1")
    shown.run(0)
    shown.run(1)
    shown.page.screenshot(path="/tmp/nb_bg.png")
    shown.run(2)
    button = shown.output(1).locator("button", has_text="Cancel")
    button.click()
    until(lambda: "cancelled" in shown.output(1).inner_text(), "cancelled")
    shown.page.screenshot(path="/tmp/nb_bg2.png")
