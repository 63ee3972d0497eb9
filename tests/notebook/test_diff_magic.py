"""``%orchestrate diff`` and ``%orchestrate runs --pipelines`` in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.lookback.ran import Ran
from tests.notebook.shell import Shell


@pytest.fixture
def two_runs(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of two headless runs in the workspace of the shell, the second with another last cell."""
    assert shell
    texts = ("print('<b>a</b>')", "print('c')")
    return [Ran(folder=Path.cwd(), monkeypatch=monkeypatch, score=None, last=text).run() for text in texts]


def test_two_runs_are_shown_side_by_side(shell: Shell, two_runs: list[str]) -> None:
    result, out = shell.run(f"%orchestrate diff {two_runs[0][-12:]} last")
    assert result.success, out.stdout
    data: dict[str, Any] = out.outputs[0].data
    assert f"{two_runs[0][-12:]})  →" in data["text/plain"]
    assert "-print('<b>a</b>')" in data["text/plain"]
    assert "Paired differences" in data["text/plain"]
    assert "&lt;b&gt;a&lt;/b&gt;" in data["text/html"]
    assert "<b>" not in data["text/html"]


def test_headless_runs_are_listed_as_a_frame(shell: Shell, two_runs: list[str]) -> None:
    result, _ = shell.run("%orchestrate runs --pipelines")
    assert result.result.pipeline_id.tolist() == two_runs[::-1]
    assert result.result.calls.tolist() == [12, 12]
    result, _ = shell.run("%orchestrate runs 1 --pipelines")
    assert result.result.pipeline_id.tolist() == two_runs[1:]


@pytest.mark.usefixtures("shell")
def test_one_run_is_not_enough(shell: Shell) -> None:
    _, out = shell.run("%orchestrate diff last")
    assert "needs two headless runs" in out.stdout + out.stderr
