"""Runs pytest inside a test, with this project's own rules."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPO


@pytest.fixture
def pytester_run(tmp_path: Path) -> Callable[..., str]:
    """Runs one test file as if it lay in ``tests/`` and returns what pytest printed."""

    def run(text: str, **environ: str) -> str:
        folder = tmp_path / "inner" / "tests"
        folder.mkdir(parents=True)
        (folder / "conftest.py").write_text((REPO / "tests" / "conftest.py").read_text())
        (folder / "offline").symlink_to(REPO / "tests" / "offline")
        (folder / "test_inner.py").write_text(textwrap.dedent(text))
        command = [sys.executable, "-m", "pytest", "-c", str(REPO / "pyproject.toml"), "--rootdir", str(folder.parent)]
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider", str(folder / "test_inner.py")],
            cwd=folder.parent,
            env={**os.environ, "ORCHESTRATE_REQUIRE": "", **environ},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    return run
