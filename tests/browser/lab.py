"""JupyterLab and Chromium, started for a test: a server on a free port, and a notebook as a user sees it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Locator, Page, Request

ROOT = Path(__file__).resolve().parents[2]
START_S = 90
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}


def until(reached: Callable[[], Any], what: str, *, within_s: float = 30) -> Any:
    """Waits for a truth; says what did not come."""
    ends_s = time.monotonic() + within_s
    while time.monotonic() < ends_s:
        if value := reached():
            return value
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {within_s:g} s")


@dataclass(kw_only=True)
class Server:
    """A JupyterLab server with a folder of its own."""

    url: str
    token: str
    folder: Path

    def ask(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """An answer of the REST interface."""
        headers = {"Authorization": f"token {self.token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def ask_if_up(self, path: str) -> Any:
        """An answer of the REST interface, or ``None`` while the server or a kernel is still starting."""
        try:
            return self.ask(path)
        except OSError:  # refused, or an error of the server's
            return None

    def kernel_is(self, state: str) -> bool:
        """Whether there is a kernel, and all of them are in this state."""
        kernels = self.ask_if_up("api/kernels")
        return bool(kernels) and all(kernel["execution_state"] == state for kernel in kernels)

    def wear(self, theme: str) -> None:
        """Shows pages that are opened from now on in this theme."""
        path = "lab/api/settings/@jupyterlab/apputils-extension:themes"
        self.ask(path, "PUT", {"raw": json.dumps({"theme": theme})})

    def add(self, notebook: Any, name: str) -> str:
        """Puts a notebook into a workspace of its own, with the data that ships; returns its path for the address."""
        folder = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        (folder / "orchestrate.toml").write_text("[sim]\nlatency_scale = 0.5\n")
        for table in ("tickets.csv", "orders.csv", "questions.csv"):
            shutil.copy(ROOT / "data" / table, folder)
        nbformat.write(notebook, folder / f"{name}.ipynb")  # type: ignore[no-untyped-call]
        return f"{folder.name}/{name}.ipynb"


def notebook_of(*cells: str) -> Any:
    """A notebook of code cells."""
    notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]  # type: ignore[no-untyped-call]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


def environment(home: Path) -> dict[str, str]:
    """Of a server whose settings, files and kernels are a test's own."""
    for name, value in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
    return {
        **os.environ,
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }


def _url(record: Path) -> str:
    """The address that a server has put on record, or nothing while it is still writing."""
    try:
        return str(json.loads(record.read_text())["url"])
    except (FileNotFoundError, json.JSONDecodeError):
        return ""


@contextmanager
def server(home: Path, folder: Path) -> Iterator[Server]:
    """A running JupyterLab; it ends with the context, and its kernels with it."""
    token = os.urandom(16).hex()
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": "0",
        "ServerApp.root_dir": str(folder),
        "ServerApp.open_browser": "False",
        "ServerApp.allow_root": "True",
        "IdentityProvider.token": token,
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    log = home / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environment(home), cwd=folder, stdout=out, stderr=out)
    try:
        record = home / "runtime" / f"jpserver-{process.pid}.json"
        until(lambda: _url(record) or process.poll() is not None, "JupyterLab's start", within_s=START_S)
        assert process.poll() is None, log.read_text()
        found = Server(url=_url(record), token=token, folder=folder)
        until(lambda: found.ask_if_up("api/status"), "JupyterLab's first answer", within_s=START_S)
        yield found
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(kw_only=True)
class NotebookPage:
    """A notebook that is open in the browser."""

    page: Page
    server: Server
    dialogs: list[str] = field(default_factory=list)
    """What the page popped up."""
    path: str = ""
    """The notebook that is open, under the server's folder."""
    strangers: list[str] = field(default_factory=list)
    """Addresses outside the server that the page asked for."""

    def __post_init__(self) -> None:
        self.page.on("dialog", self._dialog)
        self.page.on("request", self._request)

    def _dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.server.url, "data:", "blob:")):
            self.strangers.append(request.url)

    def open(self, path: str) -> None:
        """Opens a notebook and waits for its kernel."""
        self.path = path
        self.page.goto(f"{self.server.url}doc/tree/{path}?token={self.server.token}")
        until(self._kernel_is_ready, "the kernel", within_s=START_S)

    def _kernel_is_ready(self) -> bool:
        select = self.page.locator(".jp-Dialog button.jp-mod-accept")
        if select.count():
            select.first.click()
        shown = self.page.locator(".jp-Notebook .jp-Cell").count()
        return bool(shown) and self.server.kernel_is("idle")

    def cell(self, number: int) -> Locator:
        """A cell, counted from 0."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)

    def output(self, number: int) -> Locator:
        """The outputs of a cell."""
        return self.cell(number).locator(".jp-Cell-outputArea")

    def write(self, number: int, text: str) -> None:
        """Types over what stands in a cell."""
        self.cell(number).locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)

    def start(self, number: int) -> None:
        """Runs a cell and does not wait for it."""
        self.cell(number).locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")

    def run(self, number: int, *, within_s: float = 60) -> None:
        """Runs a cell and waits for its end."""
        self.start(number)
        self.wait_until_run(number, within_s=within_s)

    def wait_until_run(self, number: int, *, within_s: float = 60) -> None:
        """Waits until a cell that was started has its number."""
        prompt = self.cell(number).locator(".jp-InputArea-prompt")
        until(lambda: any(sign.isdigit() for sign in prompt.inner_text()), f"cell {number}", within_s=within_s)

    def interrupt(self) -> None:
        """Interrupts the kernel, as its button does."""
        kernel = self.server.ask("api/kernels")[0]["id"]
        self.server.ask(f"api/kernels/{kernel}/interrupt", "POST")

    def save(self) -> None:
        """Saves the notebook."""
        self.page.keyboard.press("Control+S")
