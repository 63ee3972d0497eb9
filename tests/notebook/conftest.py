"""A shell of its own for each test, with the magics loaded and scripted flows below them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import CapturedIO, capture_output

from orchestration_nb.notebook import load_ipython_extension
from tests.notebook import scripted


class Shell:
    """What a user sees of an IPython shell."""

    def __init__(self) -> None:
        self.ip = InteractiveShell.instance(colors="nocolor")
        self.ip.history_manager.enabled = False

    @property
    def names(self) -> dict[str, Any]:
        return self.ip.user_ns

    def run(self, text: str) -> tuple[Any, CapturedIO]:
        """Runs a cell; returns its result and what it printed and displayed."""
        with capture_output() as out:
            result = self.ip.run_cell(text)
        return result, out

    def complete(self, text: str) -> list[str]:
        from IPython.core.completer import provisionalcompleter

        with provisionalcompleter():
            return [offer.text for offer in self.ip.Completer.completions(text, len(text))]


@pytest.fixture
def shell(monkeypatch: Any, tmp_path: Any) -> Iterator[Shell]:
    """A plain shell: no outputs that can be drawn again, no terminal."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    scripted.install(monkeypatch)
    shell = Shell()
    load_ipython_extension(shell.ip)
    yield shell
    shell.ip.atexit_operations()
    shell.ip.restore_sys_module_state()
    InteractiveShell.clear_instance()


@pytest.fixture
def tickets(shell: Shell) -> pd.DataFrame:
    """Thirty tickets, as a variable of the notebook."""
    frame = pd.DataFrame({"id": range(30), "body": [f"ticket {number}" for number in range(30)]})
    shell.names["tickets"] = frame
    return frame
