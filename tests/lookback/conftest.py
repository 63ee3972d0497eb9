"""A workspace in which headless runs have ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lookback.ran import Ran

RunIt = Callable[..., str]


@pytest.fixture
def run_it(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> RunIt:
    """Runs the notebook of :class:`~tests.lookback.ran.Ran`, and returns the run's id."""

    def run(**how: Any) -> str:
        return Ran(folder=workspace, monkeypatch=monkeypatch, **how).run()

    return run
