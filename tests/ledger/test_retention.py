"""Forgetting by age: rows, the files of the journal behind them, and the room that they took."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.events import ComparisonFinished, ComparisonStarted, ItemCompared, Scored
from orchestration_nb.ids import RunId
from orchestration_nb.ledger import JournalFile, Ledger
from tests.ledger import happened
from tests.ledger.conftest import Write

SECRET = "the customer's secret"


def run(name: str, ended: datetime) -> tuple[object, ...]:
    return (
        happened.run_started(name, started_at=ended),
        happened.call(name, started_at=ended, prompt=f"{SECRET} {name}"),
        happened.request(name, started_at=ended),
        happened.item(name, finished_at=ended),
        Scored(
            run_id=RunId(name), item=0, step="q", scorer="tell", scored_by="scorer", label=f"{SECRET} {name}",
            quality=None, scored_at=ended,
        ),
        ComparisonStarted(
            comparison_id=name, kind="compare", flow="f", strategies=("a",), reference=None, step="q", scorer="tell",
            items=1, margin=0.02, seed=0, started_at=ended,
        ),
        ItemCompared(
            comparison_id=name, run_id=None, strategy="a", item=0, status="ok", quality=1.0, cost_usd=0.0,
            latency_ms=1.0, model="m", asked=("m",), reason=f"{SECRET} {name}", error=None, compared_at=ended,
        ),
        ComparisonFinished(
            comparison_id=name, status="done", error=None, questions=1, cost_usd=0.0, billed_usd=0.0, finished_at=ended
        ),
        happened.run_finished(name, finished_at=ended),
    )  # fmt: skip


@pytest.fixture
def old_and_new(write: Write) -> None:
    """A run of forty days ago and one of today, each with a file of its own."""
    long_ago = happened.now() - timedelta(days=40)
    path = write(*run("old", long_ago))
    os.utime(path, (long_ago.timestamp(), long_ago.timestamp()))
    write(*run("new", happened.now()))


@pytest.mark.usefixtures("old_and_new")
class TestPrune:
    def test_deletes_old_runs_as_a_whole(self, ledger: Ledger) -> None:
        gone = ledger.prune(30)
        rows = {"texts": 1, "items": 1, "steps": 2, "requests": 1, "calls": 1, "scores": 1, "runs": 1}
        rows |= {"comparisons": 1, "pipelines": 0}
        assert gone == rows | {"segments": 1}
        for table in ("runs", "items", "steps", "requests", "calls", "scores"):
            assert set(ledger.sql(f"select run_id from {table}").run_id) == {"new"}
        for table in ("comparisons", "compared"):
            assert set(ledger.sql(f"select comparison_id from {table}").comparison_id) == {"new"}
        assert ledger.sql("select prompt from texts").prompt.tolist() == [f"{SECRET} new"]

    def test_leaves_nothing_of_them_in_any_file(self, ledger: Ledger, tmp_path: Path) -> None:
        ledger.merge()
        assert any(f"{SECRET} old".encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        ledger.prune(30)
        for path in tmp_path.rglob("*"):
            assert not path.is_file() or f"{SECRET} old".encode() not in path.read_bytes()

    def test_keeps_the_views_and_what_comes_later(self, ledger: Ledger, write: Write) -> None:
        ledger.prune(30)
        write(*run("later", happened.now()))
        assert ledger.sql("from spend").calls.tolist() == [2]
        assert ledger.runs().run_id.tolist() == ["new", "later"]

    def test_a_ledger_made_anew_stays_pruned(self, ledger: Ledger, tmp_path: Path) -> None:
        ledger.prune(30)
        (tmp_path / ".orchestrate" / "ledger.duckdb").unlink()
        assert ledger.runs().run_id.tolist() == ["new"]

    def test_again_finds_nothing(self, ledger: Ledger) -> None:
        ledger.prune(30)
        assert not any(ledger.prune(30).values())

    def test_a_negative_age_is_refused(self, ledger: Ledger) -> None:
        with pytest.raises(UsageError, match="-1 days"):
            ledger.prune(-1)


def test_files_of_artifacts_that_nothing_names_any_more_go_with_them(
    ledger: Ledger, write: Write, tmp_path: Path
) -> None:
    long_ago = happened.now() - timedelta(days=40)
    folder = tmp_path / ".orchestrate" / "artifacts" / "p"
    folder.mkdir(parents=True)
    for name in ("older", "newest", "not yet journalled"):
        (folder / name).write_text(SECRET)
        if name != "not yet journalled":
            os.utime(folder / name, (long_ago.timestamp(), long_ago.timestamp()))
    write(
        happened.artifact("scores", path="artifacts/p/older", saved_at=long_ago - timedelta(days=1)),
        happened.artifact("scores", path="artifacts/p/newest", saved_at=long_ago),
    )
    ledger.prune(30)
    assert {path.name for path in folder.iterdir()} == {"newest", "not yet journalled"}


def test_headless_runs_go_with_their_cells_and_the_newest_artifact_stays(ledger: Ledger, write: Write) -> None:
    long_ago = happened.now() - timedelta(days=40)
    write(
        happened.pipeline_started("old", started_at=long_ago),
        happened.cell_started("old", started_at=long_ago),
        happened.artifact("scores", path="artifacts/old/scores.json", saved_at=long_ago - timedelta(days=1)),
        happened.artifact("scores", path="artifacts/older/scores.json", saved_at=long_ago - timedelta(days=2)),
        happened.pipeline_finished("old", finished_at=long_ago),
        happened.pipeline_started("new", started_at=happened.now()),
        happened.cell_started("new", started_at=happened.now()),
    )
    assert ledger.prune(30)["pipelines"] == 1
    assert ledger.sql("select pipeline_id from pipelines").pipeline_id.tolist() == ["new"]
    assert ledger.sql("select pipeline_id from cells").pipeline_id.tolist() == ["new"]
    assert ledger.sql("select path from artifacts").path.tolist() == ["artifacts/old/scores.json"]


def test_what_still_runs_is_kept_however_old(tmp_path: Path, ledger: Ledger) -> None:
    long_ago = happened.now() - timedelta(days=40)
    journal = JournalFile(tmp_path)
    journal.write(happened.run_started("r1", started_at=long_ago))
    journal.write(happened.call("r1", started_at=long_ago))
    ledger.prune(30)
    assert ledger.runs().status.tolist() == ["running"]
    journal.write(happened.call("r1"))
    assert len(ledger.sql("from calls")) == 2


def test_old_calls_whose_run_nobody_knows_go_too(ledger: Ledger, write: Write) -> None:
    write(
        happened.call("lost", started_at=happened.now() - timedelta(days=40)),
        happened.call("lost2", started_at=happened.now()),
    )
    assert ledger.prune(30)["calls"] == 1
    assert ledger.sql("select run_id from calls").run_id.tolist() == ["lost2"]
