"""Headless runs in the ledger: their cells, what hangs below each, and those whose runner was killed."""

from __future__ import annotations

from pathlib import Path

from orchestration_nb.ids import PipelineId
from orchestration_nb.ledger import JournalFile, Ledger
from tests.ledger import happened
from tests.ledger.conftest import Write


def test_each_call_hangs_below_the_cell_that_made_it(ledger: Ledger, write: Write) -> None:
    second = [happened.NOON.replace(second=second) for second in range(10)]
    write(
        happened.pipeline_started("p", parameters={"limit": "50"}, secrets={"TOKEN": "env:TOKEN"}),
        happened.cell_started("p", 1, started_at=second[1]),
        happened.cell_finished("p", 1, finished_at=second[3]),
        happened.cell_started("p", 2, started_at=second[4]),
        happened.cell_finished("p", 2, finished_at=second[6]),
        happened.pipeline_finished("p"),
    )
    write(  # of the kernel, a process of its own
        happened.run_started("r1", pipeline_id=PipelineId("p"), started_at=second[2]),
        happened.call("r1", cost_usd=0.25),
        happened.call("r1", cost_usd=0.5),
        happened.run_started("r2", pipeline_id=PipelineId("p"), started_at=second[5]),
        happened.call("r2", cost_usd=1.0),
        happened.run_started("r3", started_at=second[5]),  # of somebody else at the same time
        happened.call("r3", cost_usd=8.0),
    )
    costs = ledger.sql("select cell, title, status, seconds, runs, calls, cost_usd from cell_costs order by cell")
    assert costs.values.tolist() == [[1, "step 1", "ok", 2.0, 1, 2, 0.75], [2, "step 2", "ok", 2.0, 1, 1, 1.0]]
    run = ledger.sql("select parameters['limit'] as given, secrets['TOKEN'] as token, status from pipelines")
    assert run.values.tolist() == [["50", "env:TOKEN", "done"]]


def test_a_run_whose_runner_was_killed_is_found_and_marked(ledger: Ledger, tmp_path: Path, write: Write) -> None:
    alive = JournalFile(tmp_path)
    alive.write(happened.pipeline_started("alive"))
    alive.write(happened.cell_started("alive", 1))
    write(
        happened.pipeline_started("killed"),
        happened.cell_started("killed", 1),
        happened.cell_finished("killed", 1),
        happened.cell_started("killed", 2),
    )
    rows = ledger.sql(
        """select pipeline_id, status, coalesce(error_type, '') as error_type, coalesce(cells_done, -1) as cells_done
           from pipelines order by pipeline_id"""
    )
    assert rows.values.tolist() == [["alive", "running", "", -1], ["killed", "failed", "VanishedError", 1]]
    cells = ledger.sql("select status from cells where pipeline_id = 'killed' order by cell")
    assert cells.status.tolist() == ["ok", "failed"]
    alive.close()
