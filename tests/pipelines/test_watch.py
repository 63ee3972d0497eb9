"""Headless runs against thresholds and against their past: what is found, what is left in peace, and who is told."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from orchestration_nb.clock import SystemClock
from orchestration_nb.config import WatchRule, load_settings, trust
from orchestration_nb.errors import ConfigError
from orchestration_nb.ids import PipelineId
from orchestration_nb.ledger import JournalFile, Ledger
from orchestration_nb.pipeline_events import PipelineAlert, PipelineStarted
from orchestration_nb.pipelines import NotebookRun, RunOptions, run_notebook
from orchestration_nb.pipelines.figures import Figures, figures
from orchestration_nb.pipelines.watch import Due, check, found_in, missing, unusual
from orchestration_nb.pipelines.webhooks import tell
from tests.pipelines.histories import SHAPES, runs
from tests.pipelines.notebooks import BEGIN, flow, write

HISTORIES = 250
"""Of each shape; with sixteen shapes 4,000."""
LOOKED_AT = 5


@pytest.mark.slow
def test_quiet_histories_raise_at_most_one_alarm_in_a_hundred_runs() -> None:
    looked = alarms = 0
    shares = {}
    for shape, held in SHAPES.items():
        dice, before = random.Random(f"quiet {shape}"), alarms
        for _ in range(HISTORIES):
            seen = list(runs(shape, dice, count=held.past + LOOKED_AT))
            alarms += sum(bool(unusual(seen[: held.past + 1 + number])) for number in range(LOOKED_AT))
        looked += HISTORIES * LOOKED_AT
        shares[shape] = (alarms - before) / (HISTORIES * LOOKED_AT)
    print(f"{alarms / looked:.4f}", shares)
    assert alarms / looked <= 0.005
    assert max(shares.values()) <= 0.01


@pytest.mark.slow
def test_all_figures_watched_together_share_the_one_alarm_in_a_hundred() -> None:
    shapes = ("cost, spread 20 %", "latency, p95 of 40 calls", "errors, 200 calls", "quality, 50 items")
    dice, alarms = random.Random("together"), 0
    for _ in range(HISTORIES * 2):
        each = [list(runs(shape, dice, count=36)) for shape in shapes]
        seen = [
            replace(days[0], values={name: value for day in days for name, value in day.values.items()}, requests=200)
            for days in zip(*each, strict=True)
        ]
        alarms += sum(bool(unusual(seen[:end])) for end in range(31, 37))
    print(f"{alarms / (HISTORIES * 2 * 6):.4f}")
    assert alarms / (HISTORIES * 2 * 6) <= 0.01


LEAST_FOUND = {
    "cost, spread 10 %": 0.99,
    "cost, spread 20 %": 0.85,
    "cost, spread 30 %": 0.45,
    "cost, half as much at weekends": 0.97,
    "cost, twice as much at weekends": 0.97,
    "cost, grows by a half per cent a day": 0.97,
    "cost, eight past runs": 0.80,
    "cost, twelve past runs": 0.92,
    "latency, p95 of 40 calls": 0.97,
    "latency, p95 of 200 calls": 0.99,
    "latency, bad days in the past": 0.92,
    "errors, 40 calls": 0.01,  # two errors in forty calls become four: nobody can tell
    "errors, 200 calls": 0.5,
    "errors, 1000 calls": 0.9,
    "quality, 50 items": 0.5,
    "quality, 200 items": 0.97,
}
"""The share of shifts by a factor of two that is found within three runs; of quality, of the wrong answers."""


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shift_by_a_factor_of_two_is_found_within_three_runs(shape: str) -> None:
    dice, held, found = random.Random(f"shift {shape}"), SHAPES[shape], 0
    for _ in range(HISTORIES):
        seen = list(runs(shape, dice, count=held.past + 3, shifted=3, factor=2.0))
        found += any(unusual(seen[: held.past + 1 + number]) for number in range(3))
    print(f"{shape}: {found / HISTORIES:.3f}")
    assert found / HISTORIES >= LEAST_FOUND[shape]


def days(*costs: float, **facts: Any) -> list[Figures]:
    return [Figures(values={"cost_usd": cost}, weekday=number % 7, **facts) for number, cost in enumerate(costs)]


def test_fewer_than_eight_past_runs_say_nothing() -> None:
    assert not unusual(days(1, 1, 1, 1, 1, 1, 1, 100))
    assert unusual(days(1, 1.1, 1, 0.9, 1, 1.05, 1, 1, 100))["cost_usd"].past == 8


def test_only_runs_of_the_same_kind_are_compared() -> None:
    past = days(*[1.0, 1.1] * 10)
    (dear,) = days(9.0)
    assert unusual([*past, dear])
    assert not unusual([*(replace(run, done=False) for run in past), dear])
    assert not unusual([*(replace(run, simulated=True) for run in past), dear])
    assert not unusual([*(replace(run, names="[day]") for run in past), dear])
    dated = [replace(run, names="[day]", given=str(number)) for number, run in enumerate(past)]
    assert unusual([*dated, replace(dear, names="[day]", given="today")])
    large = [replace(run, given="large", values={"cost_usd": 9.0}) for run in past]
    assert not unusual([*past, *large, replace(dear, given="large")])


def test_less_cost_and_better_quality_are_no_alarm() -> None:
    assert not unusual(days(*[1.0, 1.1] * 10, 0.01))
    assert not unusual(days(*[1.0, 1.1] * 10, 0.0))
    better = [Figures(values={"quality": value}) for value in [*[0.7, 0.72] * 10, 1.0]]
    assert not unusual(better)
    assert unusual([*better[:-1], Figures(values={"quality": 0.4})])
    assert unusual([Figures(values={"quality": value}) for value in [*[4.0, 4.2] * 10, 2.0]])


def test_thresholds() -> None:
    run = Figures(values={"cost_usd": 2.5, "p90_latency_ms": 900.0, "error_rate": 0.2, "quality": 0.7})
    rule = WatchRule(cost_usd=2, latency_ms=800, latency_percentile=90, error_rate=0.1, quality=0.8)
    assert [alert.message for alert in found_in([run], rule)] == [
        "the cost is $2.50, more than the $2.00 allowed",
        "the p90 latency is 900 ms, more than the 800 ms allowed",
        "the error rate is 20.0%, more than the 10.0% allowed",
        "the quality is 0.700, less than the 0.800 allowed",
    ]
    assert not found_in([run], WatchRule())
    assert not found_in([run], WatchRule(cost_usd=2.5, error_rate=0.2))


def test_settings_of_a_notebook_go_before_those_of_all(tmp_path: Path) -> None:
    (tmp_path / "orchestrate.toml").write_text(
        '[watch]\ncost_usd = 5\nerror_rate = 0.1\n[watch."daily.ipynb"]\ncost_usd = 2\n'
        '[watch."in/x.ipynb"]\nhistory = false\n'
    )
    watch = load_settings(tmp_path).watch
    assert (watch.rule("daily.ipynb").cost_usd, watch.rule("daily.ipynb").error_rate) == (2, 0.1)
    assert watch.rule("reports/daily.ipynb").cost_usd == 2
    assert not watch.rule("in/x.ipynb").history
    assert watch.rule("other.ipynb").cost_usd == 5
    for wrong in ("[watch]\ncosts = 5", '[watch."x.ipynb"]\ncosts = 5', '[watch]\nwebhooks = ["ftp://x"]'):
        (tmp_path / "orchestrate.toml").write_text(wrong)
        with pytest.raises(ConfigError, match="watch"):
            load_settings(tmp_path)


class Heard:
    """A server that keeps what it is told, and answers with the codes that it was given."""

    def __init__(self, *codes: int) -> None:
        self.bodies: list[Any] = []
        heard, left = self, list(codes)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(left.pop(0) if left else 200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/hook/T0KEN-in-the-address"
        self.thread = Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def heard() -> Iterator[Heard]:
    server = Heard(500, 503)
    yield server
    server.close()


def test_a_run_that_passes_a_threshold_is_recorded_said_and_sent(
    tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.conftest import REPO

    monkeypatch.setenv("PYTHONPATH", str(REPO))
    monkeypatch.setattr("orchestration_nb.pipelines.webhooks.time.sleep", lambda _: None)
    path = write(tmp_path, BEGIN, flow())
    (tmp_path / "orchestrate.toml").write_text(
        f'[sim]\nlatency_scale = 0\n[watch."weekly.ipynb"]\ncost_usd = 0.000001\nwebhooks = ["{heard.address}"]\n'
    )
    said: list[str] = []

    class Watcher:
        def __getattr__(self, name: str) -> Any:
            return said.append if name == "said" else lambda *_: None

    trust(tmp_path)
    monkeypatch.setenv("TOKEN", "sk-Live_9aB-3xY-zQ7w-Tr5Kp")
    done = run_notebook(path, options=RunOptions(secrets={"TOKEN": "env:TOKEN"}), watcher=Watcher())
    assert done.exit_code == 0
    assert len(said) == 1
    assert said[0].startswith("Alert: weekly.ipynb: the cost is $0.00")
    rows = Ledger(tmp_path).sql("select * from pipeline_alerts")
    assert rows[["metric", "basis", "notebook", "pipeline_id"]].to_numpy().tolist() == [
        ["cost_usd", "threshold", "weekly.ipynb", done.pipeline_id]
    ]
    assert len(heard.bodies) == 3  # two were refused for the moment
    assert heard.bodies[2]["text"] == rows["message"][0]
    assert heard.bodies[2]["alerts"][0]["metric"] == "cost_usd"
    assert "sk-Live" not in json.dumps(heard.bodies)
    (run,) = figures(Ledger(tmp_path), "weekly.ipynb", 95)
    assert (run.requests, run.simulated, run.done, run.root) == (40, True, True, done.root)
    assert run.values["error_rate"] == 0
    assert run.values["cost_usd"] == pytest.approx(done.cost_usd)


DUE_AT = datetime.fromisoformat("2026-01-05T06:00")


class At(SystemClock):
    """A clock that shows one time."""

    def __init__(self, minutes_after: int = 0) -> None:
        self._now = DUE_AT + timedelta(minutes=minutes_after)

    def now(self) -> datetime:
        return self._now


def alert() -> PipelineAlert:
    return PipelineAlert(
        pipeline_id=None, notebook="x.ipynb", metric="missing", value=None, limit=None, basis="schedule",
        message="x.ipynb: gone.", raised_at=DUE_AT,
    )  # fmt: skip


def test_webhooks_that_fail_are_said_by_their_host_alone(tmp_path: Path) -> None:
    waits, refusing = list[float](), Heard(403)
    try:
        said = tell(tmp_path, [alert()], [refusing.address, "http://127.0.0.1:9/T0KEN"], pause=waits.append)
    finally:
        refusing.close()
    assert len(refusing.bodies) == 1  # what is refused for good is not tried again
    assert waits == [0.5, 1.0]
    assert said == [
        "The webhook at 127.0.0.1 was not told: it answered 403.",
        "The webhook at 127.0.0.1 was not told: ConnectError.",
    ]
    (tmp_path / "orchestrate.toml").write_text("[watch]\n")
    (why,) = tell(tmp_path, [alert()], [refusing.address], pause=waits.append)
    assert "not trusted" in why


def ended(folder: Path, **facts: Any) -> NotebookRun:
    held = {
        "pipeline_id": PipelineId("p1"), "root": PipelineId("p1"), "notebook": folder / "daily.ipynb",
        "status": "failed", "copy": folder / "c.ipynb", "cells": (), "error_type": "ValueError", "workspace": folder,
        "started_at": DUE_AT, "finished_at": DUE_AT,
    }  # fmt: skip
    return NotebookRun(**{**held, **facts})


def test_a_run_that_failed_is_an_alert_where_anything_is_watched(workspace: Path) -> None:
    assert check(ended(workspace)) is None
    assert not Ledger(workspace).is_begun()
    (workspace / "orchestrate.toml").write_text("[watch]\n")
    assert check(ended(workspace)) == "Alert: daily.ipynb: failed (ValueError)."
    assert check(ended(workspace, status="cancelled")) is None


def test_a_scheduled_run_that_does_not_come_is_told_of_once(workspace: Path) -> None:
    journal = JournalFile(workspace)
    due = [
        Due(schedule="daily", notebook="daily.ipynb", due_at=DUE_AT),
        Due(schedule="hourly", notebook="hourly.ipynb", due_at=DUE_AT),
    ]
    journal.write(
        PipelineStarted(
            pipeline_id=PipelineId("p1"),
            notebook="hourly.ipynb",
            digest="",
            cells=1,
            schedule="hourly",
            due_at=DUE_AT,
            copy="c.ipynb",
            started_at=DUE_AT,
            pid=1,
            package_version="0",
        )
    )
    journal.close()
    late = At(11)
    assert missing(workspace, due, clock=late) is None  # nothing is watched
    (workspace / "orchestrate.toml").write_text("[watch]\n")
    assert missing(workspace, due, clock=At(9)) is None
    said = missing(workspace, due, clock=late)
    assert said == "Alert: daily.ipynb: the run of daily that was due at 2026-01-05 06:00 has not begun."
    assert missing(workspace, due, clock=late) is None
    rows = Ledger(workspace).sql("select metric, basis, schedule, value from pipeline_alerts")
    assert rows.to_numpy().tolist() == [["missing", "schedule", "daily", 660.0]]
