"""Commands whose reader goes away before their end, as `head` does."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestration_nb import Flow, cli
from orchestration_nb.cli import reading
from orchestration_nb.cli.narrating import LineNarrator
from orchestration_nb.cli.several import _Lines
from orchestration_nb.pipelines import CellEnded
from orchestration_nb.pipelines.many import OneEnded
from tests.conftest import REPO

pytestmark = pytest.mark.usefixtures("workspace")


def test_reader_that_has_had_enough_is_no_error() -> None:
    Flow.from_source("a = llm('x')", name="triage").run()
    query = "sql 'SELECT range FROM range(200000)'"
    command = f"({sys.executable} -m orchestration_nb.cli {query}; echo $? >&2) | head -n 1"
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(REPO), os.environ["PYTHONPATH"]]),
        "PYTHONUNBUFFERED": "",
    }
    done = subprocess.run(["/bin/sh", "-c", command], env=environ, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("range\n", "0\n")


@contextmanager
def unread() -> Iterator[None]:
    """Whoever read what is written to standard output has gone away."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", sys.stderr)  # typer puts others into their places
        yield


@pytest.mark.parametrize(("words", "code"), [(["runs"], 0), (["run", "--help"], 0), (["--help"], 0), (["nothing"], 2)])
def test_a_command_whose_reader_has_gone_ends_as_it_would_have(
    monkeypatch: pytest.MonkeyPatch, words: list[str], code: int
) -> None:
    Flow.from_source("a = llm('x')", name="triage").run()
    monkeypatch.setattr(sys, "argv", ["orchestrate", *words])
    with unread():
        assert cli.main() == code


def test_a_notebook_whose_reader_has_gone_is_told_to_nobody_and_not_ended() -> None:
    narrator = LineNarrator()
    with unread():
        for number in range(2):
            narrator.begins(number, 2, "1")
            narrator.ended(CellEnded(number=number, seconds=1, accounts=("done",)))
    with unread():
        _Lines().ended(OneEnded(name="a", status="done", exit_code=0))


def test_a_pipe_that_breaks_elsewhere_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # typer puts others into their places
    monkeypatch.setattr(sys, "stderr", sys.stderr)

    def breaks(_start: Path | None) -> Path:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(reading, "ledger_of", breaks)
    monkeypatch.setattr(sys, "argv", ["orchestrate", "sql", "SELECT 1"])
    assert cli.main() == 1
    assert "BrokenPipeError" in capfd.readouterr().err
