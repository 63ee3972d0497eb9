"""The targets set themselves up on a machine that has only Python, make and pip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh folder with what make looks at."""
    folder = tmp_path / "a checkout"
    (folder / "tests" / "bench").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "tests/bench/peers.txt"):
        shutil.copy(REPO / name, folder / name)
    return folder


def make(folder: Path, *words: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "PYTHON"}}
    command = [str(shutil.which("make")), *words]
    environ["PATH"] = path or environ["PATH"]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("target", ["setup", "demo", "lab", "test", "check", "bench"])
def test_target_sets_itself_up(checkout: Path, target: str) -> None:
    planned = make(checkout, "--dry-run", target, f"PYTHON={sys.executable}")
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.index("venv --clear .venv") < planned.stdout.index("install -qq --editable")


def test_no_python_is_said_so(checkout: Path) -> None:
    tools = checkout / "tools"
    tools.mkdir()
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n")  # too old
    (tools / "python3").chmod(0o755)
    for name in ("sh", "sed", "test", "rm"):
        (tools / name).symlink_to(str(shutil.which(name)))
    said = make(checkout, "setup", path=str(tools))
    assert said.returncode != 0
    assert "Python 3.11 or newer was not found" in said.stderr
    assert not (checkout / ".venv").exists()


def test_environment_that_cannot_be_made_is_said_so_and_left_clean(checkout: Path) -> None:
    said = make(checkout, "setup", "PYTHON=false")
    assert said.returncode != 0
    assert ".venv could not be made with false." in said.stderr
    assert not (checkout / ".venv").exists()


def test_packages_are_installed_again_when_pyproject_changes(checkout: Path) -> None:
    venv = checkout / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").touch()
    (venv / ".dev").touch()
    os.utime(checkout / "pyproject.toml", (0, 0))
    assert "install" not in make(checkout, "--dry-run", "setup").stdout
    os.utime(checkout / "pyproject.toml")
    os.utime(venv / ".dev", (0, 0))
    assert "install -qq --editable" in make(checkout, "--dry-run", "setup").stdout


def test_help_names_every_target(checkout: Path) -> None:
    said = make(checkout).stdout
    assert all(f"make {target} " in said for target in ("demo", "lab", "test", "check", "bench", "setup"))
