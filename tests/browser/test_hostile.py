"""What models, prompts, columns, tags and errors say is inert: in JupyterLab, and in files made of the notebook."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from nbclient import NotebookClient

from tests.browser.conftest import Open
from tests.browser.lab import ROOT, notebook_of, until
from tests.notebook.hostile import AWAY, PAYLOADS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

BEGIN = """\
%load_ext orchestration_nb
import pandas as pd
from tests.notebook.hostile import PAYLOADS
from tests.notebook.kernel import Answers, answered_by
answers = Answers()
provider = answered_by(answers)
provider._respond = lambda request: request.prompt
frame = pd.DataFrame({"said": PAYLOADS, **{payload: payload for payload in PAYLOADS[:3]}})
def fail(text):
    raise ValueError(text)"""

CELLS = (
    BEGIN,
    "%%orchestrate flow --over frame\nreply = llm(said)\nlisted = [llm(f'again: {said}')]\nfailed = fail(said)",
    "provider._respond = lambda request: fail(request.prompt)",
    "run = flow.map(frame, tags={PAYLOADS[0]: PAYLOADS[1]}, fresh=True)\nrun",
    "%%orchestrate planned --over frame --plan\nreply = llm(said, model='fast')",
    "%orchestrate sql SELECT prompt, reply FROM texts",
    "%orchestrate last errors",
    "shown = %orchestrate runs 1\nget_ipython().run_line_magic('orchestrate', f'show {shown.run_id[0]}')",
    "%orchestrate status",
    "flow.last.results",
)
"""Everything that shows something of somebody else's."""

PROBE = """() => ({
  owned: window.owned,
  loaded: performance.getEntriesByType('resource').map(entry => entry.name).filter(name => name.includes(':9/')),
  armed: [...document.querySelectorAll('.jp-OutputArea *, .output *')].filter(element =>
    ['SCRIPT', 'IFRAME', 'IMG', 'OBJECT', 'EMBED', 'LINK', 'META', 'BASE', 'FORM', 'VIDEO'].includes(element.tagName)
    || [...element.attributes].some(attribute => attribute.name.startsWith('on')
      || /^\\s*javascript:/i.test(attribute.value))).map(element => element.outerHTML.slice(0, 200)),
})"""


def check(page: Page) -> None:
    """Nothing ran, nothing was fetched, nothing waits for a click."""
    time.sleep(1)
    found = page.evaluate(PROBE)
    assert found.get("owned") is None
    assert (found["loaded"], found["armed"]) == ([], [])


def test_in_jupyterlab(open_notebook: Open) -> None:
    shown = open_notebook(*CELLS)
    for number in range(len(CELLS)):
        shown.run(number)
    until(lambda: shown.output(1).locator("table").count() == 3, "the tables")
    assert shown.output(1).locator("table").first.locator("tbody tr").count() == 10
    for summary in shown.output(1).locator("td summary").all()[:20]:
        summary.click()
        summary.hover()
    check(shown.page)
    assert not shown.dialogs
    assert not [address for address in shown.strangers if AWAY in address]
    drawn = shown.output(1).inner_text()
    assert all(payload in drawn for payload in PAYLOADS[:3])


def test_while_the_run_is_in_the_background(open_notebook: Open) -> None:
    cell = "%%orchestrate flow --over frame --background\nreply = llm(said)\nfailed = fail(said)"
    shown = open_notebook(BEGIN, "answers.wait_s = 1\nprovider._respond = answers", cell)
    for number in range(3):
        shown.run(number)
    check(shown.page)
    until(lambda: shown.output(2).locator("table").count() == 3, "the account")
    check(shown.page)
    assert not shown.dialogs


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook, run without a browser."""
    folder = tmp_path_factory.mktemp("headless")
    notebook = notebook_of(*CELLS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        patch.setenv("PYTHONPATH", str(ROOT))
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def test_in_the_exported_page(executed: Any, page: Page, tmp_path: Path) -> None:
    from nbconvert import HTMLExporter

    html, _ = HTMLExporter().from_notebook_node(executed)  # type: ignore[no-untyped-call]
    path = tmp_path / "executed.html"
    path.write_text(html)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    page.goto(path.as_uri(), wait_until="commit")
    page.wait_for_selector(".onb table")
    check(page)
    assert not [address for address in asked if AWAY in address or "owned" in address]
    assert page.locator(".onb").nth(0).locator("table").first.locator("tbody tr").count() == 10


def test_an_executed_notebook_that_nobody_trusts_yet_still_shows_its_tables(executed: Any, open_notebook: Open) -> None:
    shown = open_notebook(notebook=executed)
    until(lambda: shown.output(1).locator("table").count() == 3, "the tables")
    assert shown.output(1).locator("table").first.locator("tbody tr").count() == 10
    check(shown.page)
    assert not shown.dialogs
