"""Both dashboards as an app: Voila runs the notebook, shows no code, and its widgets answer."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

from tests.browser.lab import ROOT, START_S, environment, notebook_of, until
from tests.browser.test_ledger_dashboard import LEDGER, bars

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

COMPARED = (
    "import pandas as pd\nquestions = pd.read_csv('questions.csv').query('answer_type == \"number\"')",
    "%%orchestrate quiz --over questions --define\nanswer = llm(prompt)",
    "%orchestrate compare quiz --over questions --strategies cascade --score answer=numeric:gold --sample 24",
)
ICONS = "https://cdn.jsdelivr.net/npm/@fortawesome/"
"""Voila's own page asks for them; the dashboards do not need them."""


@contextmanager
def voila(home: Path, folder: Path) -> Iterator[str]:
    """Voila over the notebook ``app.ipynb`` of a folder; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = os.urandom(16).hex()
    options = ["--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1", f"--token={token}"]
    with (home / "voila.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "voila", "app.ipynb", *options],
            cwd=folder, env=environment(home), stdout=log, stderr=log,
        )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or answers(port), "Voila's start", within_s=START_S)
        assert process.poll() is None, (home / "voila.log").read_text()
        yield f"http://127.0.0.1:{port}/?token={token}"
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    """Whether something listens there."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/voila/static/voila.js", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def test_both_dashboards(browser: Browser, tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "app"
    for one in (home, folder):
        one.mkdir()
    (folder / "orchestrate.toml").write_text("[sim]\nlatency_scale = 0.1\n")
    shutil.copy(ROOT / "data" / "questions.csv", folder)
    notebook = notebook_of(LEDGER, "%orchestrate dashboard", *COMPARED)
    nbformat.write(notebook, folder / "app.ipynb")  # type: ignore[no-untyped-call]
    with voila(home, folder) as address:
        context = browser.new_context(viewport={"width": 1280, "height": 720})
        page, asked = context.new_page(), list[str]()
        page.on("request", lambda one: asked.append(one.url))
        page.goto(address, timeout=START_S * 1000)
        until(lambda: bars(page.locator("body")) == 30, "a bar for each model and day", within_s=START_S)
        compared = page.locator("table.cmp")
        until(lambda: "cascade" in compared.all_inner_texts()[0], "the comparison's table", within_s=START_S)
        points = page.locator(".scatterlayer .points path.point")
        until(lambda: points.count() >= 4, "a point for the strategy and each single model", within_s=START_S)
        assert "0 of 24 items" not in page.locator("body").inner_text()
        assert not page.locator(".onb-saved:visible").count(), "nothing is said twice"
        page.locator("[role=listbox]").first.focus()
        page.keyboard.press("Enter")
        requests = page.locator(".onb-ledger [role=listbox]").nth(1)
        until(lambda: requests.locator("[role=option]").count() > 1, "the requests of the newest run")
        page.screenshot(path=Path(os.environ.get("ORCHESTRATE_LOOK") or tmp_path) / "voila.png", full_page=True)
        own = address.partition("?")[0]
        assert not [url for url in asked if not url.startswith((own, "data:", "blob:", ICONS))]
        context.close()
