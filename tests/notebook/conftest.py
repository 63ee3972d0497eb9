"""A shell of its own for each test, with the magics loaded and scripted flows below them."""

from __future__ import annotations

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from orchestration_nb.notebook import load_ipython_extension
from tests.notebook import scripted
from tests.notebook.shell import Shell


@pytest.fixture(scope="session")
def _ipython(tmp_path_factory: pytest.TempPathFactory) -> InteractiveShell:
    """One shell for all tests of a process: IPython is not made to be started twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        return InteractiveShell.instance(colors="nocolor")


@pytest.fixture
def shell(_ipython: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A plain shell with no variables: no outputs that can be drawn again, no terminal."""
    _ipython.reset(new_session=True)  # type: ignore[no-untyped-call]
    scripted.install(monkeypatch)
    load_ipython_extension(_ipython)
    return Shell(_ipython)


@pytest.fixture
def tickets(shell: Shell) -> pd.DataFrame:
    """Thirty tickets, as a variable of the notebook."""
    frame = pd.DataFrame({"id": range(30), "body": [f"ticket {number}" for number in range(30)]})
    shell.names["tickets"] = frame
    return frame
