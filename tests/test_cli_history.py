"""``orchestrate runs --pipelines``, ``report`` and ``diff`` in a terminal."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from orchestration_nb import cli
from tests.lookback.conftest import RunIt, run_it

__all__ = ["run_it"]


def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["orchestrate", *words])
    code = cli.main()
    said = capsys.readouterr()
    assert (code, said.err) == (0, "")
    return said.out


def test_headless_runs_are_listed_reported_and_compared(
    run_it: RunIt, workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = run_it(), run_it(model="strong", fails=True)
    listed = typed(capsys, monkeypatch, "runs", "--pipelines", "--format", "table")
    assert [line.split()[0] for line in listed.splitlines()[2:]] == [second[-12:], first[-12:]]
    assert "ValueError" in listed
    rows = list(csv.DictReader(io.StringIO(typed(capsys, monkeypatch, "runs", "--pipelines"))))
    assert [row["pipeline_id"] for row in rows] == [second, first]
    assert "report.html is written" in typed(capsys, monkeypatch, "report", first, "--out", "report.html")
    assert "triage" in (workspace / "report.html").read_text()
    told = typed(capsys, monkeypatch, "diff", first, "last")
    assert "cost of an item" in told
    facts = json.loads(typed(capsys, monkeypatch, "diff", first, second, "--format", "json"))
    assert facts["left"]["pipeline_id"] == first
    assert {one["measure"] for one in facts["differences"]} == {"quality", "cost_usd", "latency_ms"}
    assert all(one["items"] == 12 for one in facts["differences"])
