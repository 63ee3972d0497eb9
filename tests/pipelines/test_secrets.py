"""Secrets of a headless run: many ways to let one out, and every file of the run read for them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from orchestration_nb.ledger import Ledger
from tests.conftest import REPO
from tests.pipelines.leaks import WAYS, Leak, leaks, write_notebook
from tests.pipelines.reader import files, found_in

NOTEBOOKS = 2


class Ran(NamedTuple):
    folder: Path
    said: bytes


def run(folder: Path, held: list[Leak], *, protected: bool) -> Ran:
    """Runs the ways in a few notebooks, and merges the ledger; ``folder`` holds all that was written."""
    house, home = folder / "house", folder / "home"
    house.mkdir(parents=True)
    (house / "orchestrate.toml").write_text("[sim]\nlatency_scale = 0\nbatch_s = 0.1\n")
    python_path = os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")])
    values = {leak.name: leak.value for leak in held}
    environ = os.environ | values | {"HOME": str(home), "PYTHONPATH": python_path, "XDG_CONFIG_HOME": str(home / "c")}
    environ |= {
        "JUPYTER_RUNTIME_DIR": str(home / "r"),
        "IPYTHONDIR": str(home / "i"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    said = b""
    *ways, hard_coded = held
    flags = [word for name in values for word in ("--secret", f"{name}=env:{name}")] if protected else []
    for number in range(NOTEBOOKS):
        path = folder / f"leaks-{number}.ipynb"
        write_notebook(path, ways[number::NOTEBOOKS], hard_coded)
        path = path.rename(house / path.name)
        command = [sys.executable, "-m", "orchestration_nb.cli", "run", str(path), *flags]
        done = subprocess.run(command, cwd=house, env=environ, capture_output=True, timeout=300, check=False)
        said += done.stdout + b"\n" + done.stderr
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        path.unlink()
    Ledger(house).sql("select 1")
    return Ran(folder, said)


@pytest.mark.slow
def test_no_file_that_a_run_wrote_holds_a_secret_in_any_disguise(tmp_path: Path, dice: random.Random) -> None:
    held = [*leaks(dice), Leak("hard-coded", "HARD_KEY", "q7Rz-Lm2PxV_t9Ka.Wd4sYb8Nc/e1Hg6Uj3Fo")]
    values = {leak.name: leak.value for leak in held}
    way = {leak.name: leak.way for leak in held}

    bare = run(tmp_path / "bare", held, protected=False)
    seen = found_in([*files(bare.folder), bare.said], values)
    assert {way[name] for name in values} - {way[name] for name in seen} == set()  # each way does let its secret out

    ran = run(tmp_path / "kept", held, protected=True)
    leaked = found_in([*files(ran.folder), ran.said], values)
    assert {way[name]: kinds for name, kinds in leaked.items()} == {}
    assert len(WAYS) >= 40
