"""``make demo``: what a newcomer sees first."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.conftest import REPO

pytestmark = pytest.mark.slow


def run_demo(checkout: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(checkout), os.environ["PYTHONPATH"]])}
    command = [sys.executable, "notebooks/demo.py"]
    return subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the project in which simulated models answer at once."""
    for name in ("notebooks", "data", "orchestration_nb"):
        shutil.copytree(REPO / name, tmp_path / name, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    (tmp_path / "notebooks" / "orchestrate.toml").write_text("[sim]\nlatency_scale = 0\n")
    return tmp_path


def test_demo_shows_progress_results_cost_and_the_ledger(checkout: Path) -> None:
    done = run_demo(checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert "%%orchestrate triage" in done.stdout
    assert "] triage running: " in done.stdout
    assert "triage done: 100 items" in done.stdout
    assert "orchestrate sql" in done.stdout
    ledger = done.stdout.partition("The ledger, from the command line:")[2]
    assert "sim/large" in ledger
    assert "build/demo/01_quickstart.ipynb" in ledger
    assert "\x1b" not in done.stdout
    executed = nbformat.read(checkout / "build" / "demo" / "01_quickstart.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")


def test_demo_that_fails_says_so(checkout: Path) -> None:
    (checkout / "data" / "tickets.csv").unlink()
    done = run_demo(checkout)
    assert done.returncode == 1
    assert "tickets.csv" in done.stderr
    assert "The notebook stopped" in done.stderr
    assert "\x1b" not in done.stderr
