"""A shell with the magics loaded, a workspace of its own, and models that say what the test wants."""

from __future__ import annotations

import gc

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from orchestration_nb import load_ipython_extension
from orchestration_nb.testing import FakeProvider
from tests.notebook.kernel import Answers, answered_by
from tests.notebook.shell import Shell


@pytest.fixture(scope="session")
def _ipython(tmp_path_factory: pytest.TempPathFactory) -> InteractiveShell:
    """One shell for all tests of a process: IPython is not made to be started twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        return InteractiveShell.instance(colors="nocolor", config=Config({"HistoryManager": {"enabled": False}}))


@pytest.fixture
def answers() -> Answers:
    """What the models say."""
    return Answers()


@pytest.fixture
def provider(answers: Answers) -> FakeProvider:
    """Who answers, in the workspace of the test."""
    return answered_by(answers)


@pytest.fixture
def shell(_ipython: InteractiveShell, provider: FakeProvider) -> Shell:
    """A plain shell with no variables: no outputs that can be drawn again, no terminal."""
    with pytest.MonkeyPatch.context() as patch:  # a reset collects garbage: half a second after thousands of tests
        patch.setattr(gc, "collect", lambda: 0)
        _ipython.reset(new_session=True)  # type: ignore[no-untyped-call]
    load_ipython_extension(_ipython)
    return Shell(_ipython)


@pytest.fixture
def tickets(shell: Shell) -> pd.DataFrame:
    """Thirty tickets, as a variable of the notebook."""
    frame = pd.DataFrame({"id": range(30), "body": [f"ticket {number}" for number in range(30)]})
    shell.names["tickets"] = frame
    return frame
