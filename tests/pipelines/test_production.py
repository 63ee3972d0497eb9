"""The README's way into production, in one piece: schedule, run, fail, alert, fix, resume, report, diff."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import nbformat
import pytest

from orchestration_nb.clock import SystemClock
from orchestration_nb.ledger import Ledger
from orchestration_nb.pipelines.schedules import ScheduleBook, microseconds
from tests.conftest import REPO

pytestmark = pytest.mark.slow

NOTEBOOK = "04_daily_pipeline.ipynb"
WATCHED = "[sim]\nlatency_scale = 0\n\n[watch]\nquality = 0.97\ngrace_s = 60\n"

Type = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the shipped notebook, in which models answer at once and headless runs are watched."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]))
    shutil.copytree(REPO / "data", tmp_path / "data", ignore=shutil.ignore_patterns("builders"))
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(REPO / "notebooks" / NOTEBOOK, folder)
    (folder / "orchestrate.toml").write_text(WATCHED)
    return folder


@pytest.fixture
def orchestrate(folder: Path) -> Type:
    """Types a command in that folder."""

    def type_it(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "orchestration_nb.cli", *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"{' '.join(words)}: {done.stdout}\n{done.stderr}"
        return done

    return type_it


def scheduled_run(folder: Path, due_at: datetime) -> str:
    """Lets a scheduler find a due time that has come, and returns what it said until the run had failed."""
    book = ScheduleBook(folder)
    back = microseconds(due_at - timedelta(seconds=30))
    book.file.transact(lambda connection: connection.execute("update schedules set looked_us = ?", (back,)))
    log = folder / "scheduler.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestration_nb.cli", "scheduler"], cwd=folder, stdout=out, stderr=out
        )
    try:
        ends_s = time.monotonic() + 120
        while "daily: failed" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < ends_s, log.read_text()
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        book.close()
    return log.read_text()


def test_schedule_run_fail_alert_fix_resume_report_diff(folder: Path, orchestrate: Type) -> None:
    # A check that this data cannot pass: the scheduled run fails at it.
    listed = orchestrate("inspect", NOTEBOOK, "--format", "json").stdout
    assert [row["name"] for row in json.loads(listed)] == ["since", "days", "strategy", "least_quality"]
    due_at = SystemClock().now().replace(second=0, microsecond=0) - timedelta(minutes=2)
    due = ("--cron", f"{due_at.minute} * * * *", "--catch-up", "last", "--name", "daily", "--budget", "1")
    orchestrate("schedule", "add", NOTEBOOK, *due, "-p", "least_quality=0.99", "--tag", "team=support")
    told = scheduled_run(folder, due_at)
    assert "daily" in told
    assert "failed" in told

    # The run stands in the ledger with its cells, and both what failed and the watched quality are alerts.
    ledger = Ledger(folder)
    [failed] = ledger.pipelines()
    assert (failed["status"], failed["error_type"], failed["schedule"]) == ("failed", "ValueError", "daily")
    assert failed["tags"] == {"team": "support"}
    assert failed["calls"] > 0
    assert failed["billed_usd"] > 0
    alerts = ledger.sql("select metric, message from pipeline_alerts where pipeline_id = ?", [failed["pipeline_id"]])
    assert set(alerts.metric) == {"status", "quality"}
    assert ledger.sql("select count(*) as n from cells where status = 'failed'").n[0] == 1
    rows = json.loads(orchestrate("schedule", "list", "--format", "json").stdout)
    assert [row["last_status"] for row in rows] == ["failed"]
    assert "No scheduled run is missing" in orchestrate("watch").stdout

    # Mended, it goes on: the tickets are not asked again, whatever is run again.
    cells = nbformat.read(folder / NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    check = next(cell for cell in cells.cells if cell.source.startswith("quality = "))
    check.source = check.source.replace("quality < least_quality", "quality < 0.5")
    nbformat.write(cells, folder / NOTEBOOK)  # type: ignore[no-untyped-call]
    said = orchestrate("run", NOTEBOOK, "--resume", "last").stdout
    assert "Restored from what was kept" in said
    resumed, first = ledger.pipelines()
    assert (resumed["status"], resumed["resumes"]) == ("done", first["pipeline_id"])
    assert (resumed["cells_done"], resumed["billed_usd"]) == (resumed["cells"], 0.0)

    # Its report and what differs from the run before.
    report = folder / "daily.html"
    orchestrate("report", "last", "--out", str(report))
    page = report.read_text()
    assert "Tickets of the last days, every morning" in page
    assert "simulated, no money" in page
    assert "Attempts" in page
    found = json.loads(orchestrate("diff", first["pipeline_id"], "last", "--format", "json").stdout)
    assert [(cell["what"], cell["title"]) for cell in found["cells"]] == [
        ("changed", "quality = (results.queue == results.gold_queue).mean()")
    ]
    assert "-if quality < least_quality:" in found["cells"][0]["lines"]
    assert found["left"]["status"] == "failed"
    history = orchestrate("runs", "--pipelines", "--format", "table").stdout
    assert history.count(NOTEBOOK) == 2
