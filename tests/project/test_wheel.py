"""The wheel that users install."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import OFFLINE, REPO

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The built wheel; pip fetches the build backend, so this one child may leave the machine."""
    folder = tmp_path_factory.mktemp("wheel")
    paths = os.environ["PYTHONPATH"].split(os.pathsep)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if Path(path) != OFFLINE)}
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(folder), str(REPO)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if "hatchling" in done.stderr and "No matching distribution" in done.stderr:
        pytest.skip("the build backend cannot be fetched from here")
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_wheel_is_typed_licensed_and_ships_its_data(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    data = {f"orchestration_nb/data/{path.name}" for path in (REPO / "data").glob("*.csv")}
    assert data
    assert data | {"orchestration_nb/py.typed", "orchestration_nb/cli/__init__.py"} <= names
    assert [name for name in names if name.endswith("licenses/LICENSE")]


def test_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    assert {name.split("/")[0].partition("-")[0] for name in wheel.namelist()} == {"orchestration_nb"}
    assert not [name for name in wheel.namelist() if name.endswith((".pyc", ".ipynb")) or "/.orchestrate/" in name]


def test_wheel_has_its_commands(wheel: zipfile.ZipFile) -> None:
    entry_points = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    text = wheel.read(entry_points).decode()
    assert "orchestrate = orchestration_nb.cli:main" in text
    assert "jupyter-orchestrate = orchestration_nb.cli:main" in text
