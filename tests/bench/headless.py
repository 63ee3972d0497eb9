"""Headless runs: a notebook of 20 trivial cells beside bare nbclient and papermill, and many notebooks at once.

Each run is a process of its own, timed from its start to its end: what a schedule pays. papermill, and nbclient once
more, run in the peers' environment, which holds fewer packages; so do their kernels.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import nbformat

from tests.bench.figures import Figure, Rounds, column, medians, ratios, side_by_side

TITLE = "A notebook of 20 trivial cells"
CELLS = 20
MANY_TITLE = "20 notebooks that wait for 3 s"
MANY = 20
ALONE, TOGETHER = "one by one", "two at once"
OURS, BARE, BARE_APART, PAPERMILL = "orchestration_nb", "nbclient", "nbclient (peers' env)", "papermill (peers' env)"
_BARE = """\
import nbformat, nbclient
notebook = nbformat.read("cells.ipynb", as_version=4)
nbclient.NotebookClient(notebook).execute()
nbformat.write(notebook, "executed.ipynb")"""


def notebooks(rounds: int, peer_python: str) -> tuple[Rounds, list[Figure], dict[str, str]]:
    """Runs each subject once a round.

    Returns:
        What was measured, the figure that has a target, and the versions.
    """
    commands = {
        OURS: [sys.executable, "-m", "orchestration_nb.cli", "run", "cells.ipynb"],
        BARE: [sys.executable, "-c", _BARE],
        BARE_APART: [peer_python, "-c", _BARE],
        PAPERMILL: [peer_python, "-m", "papermill", "--no-progress-bar", "cells.ipynb", "executed.ipynb"],
    }
    measured: dict[str, list[dict[str, float]]] = {subject: [] for subject in commands}
    print(f"{TITLE}: round", end="", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cells = [f"value_{number} = {number}\nprint(value_{number})" for number in range(CELLS)]
        _write(folder / "cells.ipynb", cells)
        for number in range(rounds):
            print("", number + 1, end="", flush=True)
            for subject, command in commands.items():
                measured[subject].append(_timed(command, folder))
    print()
    walls, cpus = medians(measured, "wall_s"), medians(measured, "cpu_s")
    print("\n" + side_by_side(TITLE, {"wall, s": walls, "CPU with its kernel, s": cpus}))
    over = ratios(column(measured, OURS, "wall_s"), column(measured, BARE, "wall_s"))
    figure = Figure(name="20 trivial cells, ours / bare nbclient", unit="x", bound="at most", target=1.15, rounds=over)
    return measured, [figure], {"nbclient": version("nbclient")}


def many_at_once(rounds: int) -> tuple[Rounds, list[Figure]]:
    """Runs notebooks that wait, as they would on calls, one by one and two at once.

    Returns:
        What was measured, and the figure that has a target.
    """
    measured: dict[str, list[dict[str, float]]] = {ALONE: [], TOGETHER: []}
    print(f"{MANY_TITLE}: round", end="", flush=True)
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"waits-{number}.ipynb" for number in range(MANY)]
        for path in paths:
            _write(path, ["import time\ntime.sleep(3)"])
        for number in range(rounds):
            print("", number + 1, end="", flush=True)
            for parallel, seconds in zip(("1", "2"), measured.values(), strict=True):
                command = [sys.executable, "-m", "orchestration_nb.cli", "run", *(path.name for path in paths)]
                seconds.append(_timed([*command, "--parallel", parallel], Path(name)))
    print()
    print("\n" + side_by_side(MANY_TITLE, {"wall, s": medians(measured, "wall_s")}))
    faster = ratios(column(measured, ALONE, "wall_s"), column(measured, TOGETHER, "wall_s"))
    figure = Figure(
        name="20 waiting notebooks, one by one / two at once", unit="x", bound="at least", target=1.7, rounds=faster
    )
    return measured, [figure]


def _write(path: Path, sources: Sequence[str]) -> None:
    notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    notebook.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "Python 3"}
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]  # type: ignore[no-untyped-call]
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


def _timed(command: Sequence[str], folder: Path) -> dict[str, float]:
    root = str(Path(__file__).resolve().parent.parent.parent)
    environ: Mapping[str, str] = {**os.environ, "PYTHONPATH": root} if command[0] == sys.executable else os.environ
    before, begun_s = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    wall_s, after = time.perf_counter() - begun_s, os.times()
    if done.returncode:
        raise SystemExit(f"\n{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    spent_s = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall_s": wall_s, "cpu_s": spent_s}
