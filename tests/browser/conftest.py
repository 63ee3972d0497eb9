"""One JupyterLab and one Chromium for all tests of a process; a page and a notebook for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, which is not installed")

from playwright.sync_api import Browser, sync_playwright  # noqa: E402 - only where it is installed

from tests.browser.lab import CHROMIUM_FLAGS, NotebookPage, Server, server  # noqa: E402
from tests.conftest import chromium_path  # noqa: E402

Open = Callable[..., NotebookPage]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running JupyterLab."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "orchestrate.toml").write_text("[sim]\nlatency_scale = 0.2\n")
    with server(tmp_path_factory.mktemp("home"), folder) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=chromium_path(), args=list(CHROMIUM_FLAGS))
        yield running
        running.close()


@pytest.fixture
def open_notebook(lab: Server, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens a notebook of the given cells, in a page of its own."""
    context = browser.new_context(viewport={"width": 1180, "height": 900})
    path: list[Path] = []

    def open_(*cells: str) -> NotebookPage:
        path.append(
            lab.write_notebook(*cells, name=f"{request.node.name[:60]}.ipynb".replace("[", "-").replace("]", ""))
        )
        shown = NotebookPage(page=context.new_page(), server=lab)
        shown.open(path[-1])
        return shown

    yield open_
    context.close()
    for session in lab.ask("api/sessions"):
        lab.ask(f"api/sessions/{session['id']}", "DELETE")
