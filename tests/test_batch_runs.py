"""A run through a batch API, from the cell's options to the ledger; killed, and gone on with in another process."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest

from orchestration_nb import Flow, Workspace
from orchestration_nb.errors import CallError, UsageError
from tests.conftest import REPO

SOURCE = """
queue: Literal["billing", "bug", "refund"] = llm(f"Which queue does this ticket belong to?\\n{body}", model="sim/small")
reply = llm(f"Queue: {queue}. Write the reply to:\\n{body}", model="sim/medium")
"""
ITEMS = 25
SETTINGS = "[sim]\nbatch_s = {batch_s}\nlatency_scale = 1\n[batch]\npoll_s = 0.1\n"


def tickets(rows: int = ITEMS) -> pd.DataFrame:
    return pd.DataFrame({"body": [f"Ticket {row}: I was charged twice for order {row * 7}." for row in range(rows)]})


def flow() -> Flow:
    return Flow.from_source(SOURCE, name="triage", namespace={"Literal": Literal})


@pytest.fixture
def settled(tmp_path: Path) -> Path:
    (tmp_path / "orchestrate.toml").write_text(SETTINGS.format(batch_s=0.2))
    return tmp_path


def calls(workspace: Path) -> pd.DataFrame:
    return Workspace(workspace).ledger.sql("select * from calls order by call_id")


def until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def batches(workspace: Path) -> int:
    return len(list((workspace / ".orchestrate" / "sim").glob("batch-*")))


def test_every_call_of_the_run_costs_half_and_says_so(settled: Path) -> None:
    run = flow().map(tickets(), batch=True)
    assert set(run.results["_status"]) == {"ok"}
    single = flow().map(tickets(), fresh=True)
    assert run.results["queue"].tolist() == single.results["queue"].tolist()
    assert run.cost_usd == pytest.approx(single.cost_usd / 2)
    rows = calls(settled)
    in_batch = rows[rows["run_id"] == run.id]
    assert len(in_batch) == 2 * ITEMS
    assert in_batch["batch"].all()
    assert not rows[rows["run_id"] == single.id]["batch"].any()
    assert in_batch["input_usd_per_mtok"].tolist().count(0.0375) == ITEMS, "half the list price stands in the row"
    assert batches(settled) == 2, "one for each of the two models"


def test_what_cannot_be_a_batch_is_refused_before_anything_is_sent(settled: Path) -> None:
    (settled / "orchestrate.toml").write_text(
        '[providers.house]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'
        '[models."house/large"]\ninput_usd_per_mtok = 1.0\noutput_usd_per_mtok = 1.0\n'
    )
    with pytest.raises(CallError, match="house has no batch API") as refused:
        Flow.from_source("a = llm('Hello', model='house/large')", name="f").start(batch=True)
    assert "Leave --batch away" in refused.value.hint


def held(workspace: Path) -> int:
    """How many calls have money set aside."""
    if not (workspace / ".orchestrate" / "state.sqlite").exists():
        return 0
    with sqlite3.connect(workspace / ".orchestrate" / "state.sqlite") as state:
        made = state.execute("select 1 from sqlite_master where name = 'holds'").fetchone()
        count: int = state.execute("select count(*) from holds").fetchone()[0] if made else 0
    state.close()
    return count


def test_a_run_that_is_cancelled_leaves_its_batch_and_the_same_cell_joins_it(settled: Path) -> None:
    (settled / "orchestrate.toml").write_text(SETTINGS.format(batch_s=3))
    run = flow().start(tickets(), batch=True)
    until(lambda: run.progress.note == "25 calls are gathered for a batch")
    until(lambda: "since" in run.progress.note)
    assert re.fullmatch(
        r"1 batch of 25 calls is under way at sim since \d\d:\d\d UTC; interrupting leaves it, the same cell joins it "
        "again",
        run.progress.note,
    )
    run.cancel()
    run.wait()
    assert (run.status, run.progress.note) == ("cancelled", "")
    (left,) = run.batches_left
    assert (left.flow, left.run_id, left.provider_id is not None) == ("triage", run.id, True)
    assert (run.billed_usd, run.left_under_way, held(settled)) == (0.0, ITEMS, ITEMS)
    again = flow().map(tickets(), batch=True)
    assert set(again.results["_status"]) == {"ok"}
    assert (batches(settled), held(settled), again.left_under_way) == (2, 0, 0)
    rows = calls(settled)
    assert rows["billed_usd"].sum() == pytest.approx(again.billed_usd)
    assert not rows["bill_unknown"].any()


def test_a_batch_that_was_left_can_be_cancelled_and_the_same_cell_books_what_it_answered(settled: Path) -> None:
    (settled / "orchestrate.toml").write_text(SETTINGS.format(batch_s=60))
    run = flow().start(tickets(), batch=True)
    until(lambda: "since" in run.progress.note)
    run.cancel()
    run.wait()
    workspace = Workspace(settled)
    (batch,) = workspace.batches_under_way()
    aside = re.fullmatch(
        rf"sim was asked to cancel the batch {batch.token[:8]} with 25 requests\. What it has answered by then is "
        r"billed, \$([\d.]+) at the most, and the rest is free\. That much stays set aside in the budgets until the "
        r"cell 'triage' is run again with --batch, which takes the answers\.",
        workspace.cancel_batch(batch.token[:6]),
    )
    assert aside is not None
    with sqlite3.connect(settled / ".orchestrate" / "state.sqlite") as state:
        (held_picodollars,) = state.execute("select held from accounts where key like 'usd|run|%'").fetchone()
    state.close()
    assert float(aside[1]) == pytest.approx(held_picodollars / 1e12, rel=0.05)
    with pytest.raises(CallError, match="cancel"):
        workspace.cancel_batch(batch.token)
    with pytest.raises(UsageError, match="No batch of this workspace begins with 'zz'"):
        workspace.cancel_batch("zz")
    again = flow().map(tickets(), batch=True)
    refused = again.errors[again.errors["step"] == "queue"]["error"]
    assert set(refused) == {"The batch was cancelled before sim/small came to this request."}
    assert (held(settled), workspace.batches_under_way()) == (0, [])


def test_a_run_that_is_cancelled_while_it_gathers_has_spent_nothing(settled: Path) -> None:
    run = flow().start(tickets(), batch=True)
    until(lambda: held(settled) == ITEMS)
    run.cancel()
    run.wait()
    assert (batches(settled), held(settled), run.billed_usd) == (0, 0, 0.0)
    assert not calls(settled)["bill_unknown"].any()


def test_calls_that_want_answers_of_their_own_get_them(settled: Path) -> None:
    source = 'drawn = [llm(f"Name a {what}.", model="sim/small", cache=False) for _ in range(3)]'
    run = Flow.from_source(source, name="draw").map(pd.DataFrame({"what": ["colour"] * 4}), batch=True)
    assert set(run.results["_status"]) == {"ok"}
    (batch,) = (settled / ".orchestrate" / "sim").glob("batch-*")
    assert json.loads(batch.read_bytes())["request_counts"]["total"] == 12
    assert len(calls(settled)) == 12


NEVER_FITS = """
class Never(str):
    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        from pydantic_core import core_schema
        return core_schema.no_info_after_validator_function(cls.refuse, handler(str))

    @staticmethod
    def refuse(value):
        raise ValueError("not this one")

a: Never = llm(f"Say {body}", model="sim/small")
"""


def unfit() -> Flow:
    return Flow.from_source(NEVER_FITS, name="f")


def test_an_answer_that_does_not_fit_is_asked_for_again_in_the_next_batch(settled: Path) -> None:
    run = unfit().map(tickets(3), batch=True)
    assert set(run.results["_status"]) == {"failed"}
    assert (batches(settled), held(settled)) == (3, 0), "three attempts, as for single calls"
    rows = calls(settled)
    assert [len(attempts) for attempts in rows["attempts"]] == [3, 3, 3]


MONTH = '[budgets.month]\nusd = 5.0\nper = "user"\nperiod = "month"\n'


def of_the_month(workspace: Path) -> float:
    """US dollars that the budget of the month counts as spent."""
    with sqlite3.connect(workspace / ".orchestrate" / "state.sqlite") as state:
        (picodollars,) = state.execute("select spent from accounts where key like 'usd|month|%'").fetchone()
    state.close()
    return float(picodollars) / 1e12


def assert_all_is_billed_once(workspace: Path) -> None:
    billed_usd = calls(workspace)["billed_usd"].sum()
    assert held(workspace) == 0
    assert of_the_month(workspace) == pytest.approx(billed_usd)
    assert unfit().map(tickets(3), batch=True, fresh=True).billed_usd == pytest.approx(billed_usd)


def test_what_was_answered_before_an_interrupt_is_billed_once(settled: Path) -> None:
    (settled / "orchestrate.toml").write_text(SETTINGS.format(batch_s=0.7) + MONTH)
    run = unfit().start(tickets(3), batch=True)
    until(lambda: batches(settled) == 2 and "since" in run.progress.note)
    run.cancel()
    run.wait()
    assert (run.billed_usd > 0, run.left_under_way) == (True, 3), "the first answers are paid, the second are to come"
    again = unfit().map(tickets(3), batch=True)
    assert (set(again.results["_status"]), batches(settled)) == ({"failed"}, 3)
    assert_all_is_billed_once(settled)


@pytest.mark.slow
def test_what_was_answered_before_a_kill_is_billed_once(settled: Path) -> None:
    (settled / "orchestrate.toml").write_text(SETTINGS.format(batch_s=0.7) + MONTH)
    killed = another_process(settled, UNFIT_IN_ANOTHER_PROCESS)
    until(lambda: batches(settled) == 2)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    unfit().map(tickets(3), batch=True)
    assert batches(settled) == 3
    assert_all_is_billed_once(settled)


IN_ANOTHER_PROCESS = """
import json, sys
from tests.test_batch_runs import flow, tickets
run = flow().map(tickets(), batch=True)
print(json.dumps({"ok": int((run.results["_status"] == "ok").sum()), "cost_usd": run.cost_usd}))
"""
UNFIT_IN_ANOTHER_PROCESS = """
from tests.test_batch_runs import tickets, unfit
unfit().map(tickets(3), batch=True)
"""


def another_process(workspace: Path, source: str = IN_ANOTHER_PROCESS) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", source],
        cwd=workspace,
        env={**os.environ, "PYTHONPATH": f"{REPO}{os.pathsep}{os.environ['PYTHONPATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_run_that_was_killed_after_submission_goes_on_in_a_new_process(settled: Path) -> None:
    (settled / "orchestrate.toml").write_text(SETTINGS.format(batch_s=2))
    killed = another_process(settled)
    until(lambda: batches(settled) == 1)
    time.sleep(0.3)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    resumed = another_process(settled)
    said, _ = resumed.communicate(timeout=60)
    ended = json.loads(said)
    assert ended["ok"] == ITEMS
    rows = calls(settled)
    answered = rows[rows["status"] == "ok"]
    assert len(answered) == 2 * ITEMS, "every item once"
    assert answered["cache_key"].nunique() == 2 * ITEMS
    assert len(rows) == 2 * ITEMS
    assert answered["batch"].all()
    (settled / "orchestrate.toml").write_text("[sim]\nlatency_scale = 0\n")
    list_price = flow().map(tickets(), fresh=True).cost_usd
    assert rows["billed_usd"].sum() == pytest.approx(list_price / 2)
    assert batches(settled) == 2, "one for each of the two models: nothing was handed over twice"
    with sqlite3.connect(settled / ".orchestrate" / "state.sqlite") as state:
        assert state.execute("select count(*) from holds").fetchone() == (0,)
        assert state.execute("select count(*) from batches").fetchone() == (0,)
    state.close()
