"""One JupyterLab and one Chromium for all tests of a process; a page and a notebook for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.lab import CHROMIUM_FLAGS, NotebookPage, Server, notebook_of, server
from tests.conftest import chromium_path

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Open = Callable[..., NotebookPage]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running JupyterLab."""
    with server(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, which is not installed")
    with playwright.sync_playwright() as play:
        running = play.chromium.launch(executable_path=chromium_path(), args=list(CHROMIUM_FLAGS))
        yield running
        running.close()


@pytest.fixture
def open_notebook(lab: Server, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens the given cells, or a notebook, in a page of its own; its kernel ends with the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    test = re.sub(r"\W+", "-", request.node.name)[:60]

    def open_(*cells: str, name: str = test, notebook: Any = None) -> NotebookPage:
        shown = NotebookPage(page=context.new_page(), server=lab)
        shown.open(lab.add(notebook or notebook_of(*cells), name))
        return shown

    yield open_
    context.close()
    for session in lab.ask("api/sessions"):
        lab.ask(f"api/sessions/{session['id']}", "DELETE")
