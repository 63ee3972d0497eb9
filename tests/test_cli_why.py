"""What strategies there are and why a request was answered so, in a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from orchestration_nb import cli
from tests.test_cli import record


def test_why_and_strategies_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def typed(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["orchestrate", *words, "--workspace", str(tmp_path)])
        return cli.main(), capsys.readouterr().out

    record(tmp_path)
    code, out = typed("why", "last")
    assert code == 0
    assert "The strategy cascade" in out
    assert typed("why", "nothing")[0] == 2
    assert "majority_vote(model, n=5)" in typed("strategies", "--format", "csv")[1]
