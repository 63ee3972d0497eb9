"""A resumed pipeline answers from its journal: nothing is sent again whose reply stands there."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb import Flow, Run, Workspace
from orchestration_nb.calls import Request
from orchestration_nb.errors import LedgerNewerError, ServerFailedError
from orchestration_nb.ids import PipelineId
from orchestration_nb.ledger import AskedAgain, JournalFile
from orchestration_nb.notebook.story import CHRONICLE
from orchestration_nb.pipeline_events import CellStarted, PipelineStarted
from orchestration_nb.testing import FakeProvider, fake_workspace
from tests.conftest import REPO

NOW = datetime(2026, 1, 31, 12)  # noqa: DTZ001 - naive UTC


class Model:
    """Answers each attempt differently; fails from ``broken`` on."""

    def __init__(self, first: int = 1, broken: int = 10**6) -> None:
        self.numbers = itertools.count(first)
        self.asked: list[str] = []
        self.broken = broken

    def __call__(self, request: Request) -> str:
        if len(self.asked) >= self.broken:
            raise ServerFailedError("The server failed.", billing="no")
        self.asked.append(request.messages[-1].text)
        return f"answer {next(self.numbers)}"


class Pipeline:
    """Pipeline runs of one workspace, each with a workspace object of its own, as kernels would have."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.root = ""
        (folder / "orchestrate.toml").write_text("[retry]\nattempts = 1\n")

    def begin(self, name: str, model: Model, restored: str = "") -> Workspace:
        self.root = self.root or name
        journal = JournalFile(self.folder)
        self.cell_journal = journal
        journal.write(
            PipelineStarted(
                pipeline_id=PipelineId(name),
                notebook="weekly.ipynb",
                digest="",
                cells=3,
                resumes=None if name == self.root else PipelineId(self.root),
                copy="",
                started_at=NOW,
                pid=os.getpid(),
                package_version="",
            )
        )
        for variable, value in (("", name), ("_ROOT", self.root), ("_RESTORED", restored)):
            self.monkeypatch.setenv(f"ORCHESTRATE_PIPELINE{variable}", value)
        return fake_workspace(self.folder, FakeProvider(model))

    def forget_cache(self) -> None:
        """As if each kill had come before the cache was committed."""
        with sqlite3.connect(self.folder / ".orchestrate" / "state.sqlite") as connection:
            connection.execute("delete from replies")
        connection.close()

    def cell(self, name: str, number: int, workspace: Workspace) -> None:
        self.cell_journal.write(
            CellStarted(
                pipeline_id=PipelineId(name), cell=number, title="", digest="", started_at=workspace.clock.now()
            )
        )


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    made = Pipeline(tmp_path, monkeypatch)
    yield made
    made.cell_journal.close()


FRAME = pd.DataFrame({"body": ["a bill", "a refund", "a bill", "a bug"]})
ONE = "topic = llm(f'Topic: {body}')"
THREE = "topics = [llm(f'Topic: {body}', cache=False) for _ in range(3)]"


def run(workspace: Workspace, source: str = ONE, **options: Any) -> Run:
    return Flow.from_source(source, name=options.pop("name", "triage"), workspace=workspace).map(
        FRAME, budget=1.0, concurrency=2, **options
    )


@pytest.mark.parametrize(("source", "fresh", "paid"), [(ONE, False, 3), (ONE, True, 4), (THREE, False, 12)])
def test_what_was_answered_is_given_again_in_its_order_and_billed_nothing(
    pipeline: Pipeline, source: str, fresh: bool, paid: int
) -> None:
    first, second = Model(), Model(first=100)
    before = run(pipeline.begin("p1", first), source, fresh=fresh)
    assert len(first.asked) == paid
    pipeline.forget_cache()
    workspace = pipeline.begin("p2", second)
    after = run(workspace, source, fresh=fresh)
    step = before.results.columns[1]
    assert after.results[step].tolist() == before.results[step].tolist()
    assert not second.asked
    calls = after.calls
    assert calls["cache"].eq("exact").all()
    assert calls["billed_usd"].sum() == 0
    assert workspace.ledger.asked_again("p2") == AskedAgain(sent=0, answered=len(calls))
    assert workspace.ledger.asked_again("p1") == AskedAgain(sent=0, answered=0)


def test_only_what_is_missing_is_sent_over_several_resumptions(pipeline: Pipeline) -> None:
    run(pipeline.begin("p1", Model(broken=5)), THREE)
    second = Model(first=100, broken=4)
    run(pipeline.begin("p2", second), THREE)
    third = Model(first=200)
    last = run(pipeline.begin("p3", third), THREE)
    assert (len(second.asked), len(third.asked)) == (4, 3)
    answers = {answer for topics in last.results["topics"] for answer in topics}
    assert answers == {f"answer {number}" for number in (*range(1, 6), *range(100, 104), *range(200, 203))}


def test_without_a_chain_nothing_is_answered_from_the_journal(pipeline: Pipeline) -> None:
    run(pipeline.begin("p1", Model()), fresh=True)
    pipeline.root = ""
    again = Model()
    run(pipeline.begin("other", again), fresh=True)
    assert len(again.asked) == 4


def test_who_asks_elsewhere_gets_what_the_lost_entry_of_the_cache_held(pipeline: Pipeline) -> None:
    run(pipeline.begin("p1", Model()))
    pipeline.forget_cache()
    second = Model(first=100)
    workspace = pipeline.begin("p2", second)
    other = run(workspace, name="another")
    assert sorted(other.results["topic"].unique()) == ["answer 1", "answer 2", "answer 3"]
    assert not second.asked
    assert len(run(workspace, name="third", fresh=True).results) == 4
    assert len(second.asked) == 4  # a question that is asked anew elsewhere is sent


def test_the_replies_of_a_restored_cell_are_nobodys_but_the_caches(pipeline: Pipeline) -> None:
    """Two cells ask the same anew: the second gets its own replies, although the first is not run again."""
    workspace = pipeline.begin("p1", Model())
    pipeline.cell("p1", 1, workspace)
    run(workspace, fresh=True)
    pipeline.cell("p1", 2, workspace)
    second = run(workspace, fresh=True)
    again = Model(first=100)
    assert run(pipeline.begin("p2", again, restored="1"), fresh=True).results["topic"].tolist() == (
        second.results["topic"].tolist()
    )
    assert not again.asked


def test_settings_that_change_on_the_way_let_nothing_be_given_twice(pipeline: Pipeline) -> None:
    run(pipeline.begin("p1", Model()), fresh=True)
    second = Model(first=100)
    workspace = pipeline.begin("p2", second)
    run(workspace, fresh=True)
    anew = fake_workspace(pipeline.folder, FakeProvider(second))
    anew._go_on_from(workspace)
    run(anew, fresh=True)
    assert len(second.asked) == 4


def test_what_cannot_be_read_is_not_sent(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    run(pipeline.begin("p1", Model()))
    second = Model()
    workspace = pipeline.begin("p2", second)

    def newer(*_: Any) -> None:
        raise LedgerNewerError("A newer version wrote the ledger.")

    monkeypatch.setattr(workspace.ledger, "earlier_calls", newer)
    failed = run(workspace, fresh=True)
    assert failed.results["_error"].tolist() == ["topic: A newer version wrote the ledger."] * 4
    assert not second.asked


VICTIM = """
import asyncio, sys
from pathlib import Path
from orchestration_nb.testing import FakeProvider, fake_workspace
from tests.test_earlier import ONE, run

async def answer(request):
    if "bill" in request.messages[-1].text:
        return "paid"
    print("in flight", flush=True)
    await asyncio.sleep(600)

run(fake_workspace(Path(sys.argv[1]), FakeProvider(answer)), ONE, fresh=True)
"""


@pytest.mark.slow
def test_what_was_in_flight_at_a_kill_is_sent_again_once_and_counted(pipeline: Pipeline) -> None:
    pipeline.begin("p1", Model())
    command = [sys.executable, "-c", VICTIM, str(pipeline.folder)]
    with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        assert [victim.stdout.readline() for _ in range(2)] == ["in flight\n"] * 2
        victim.send_signal(signal.SIGKILL)
    second = Model(first=100)
    workspace = pipeline.begin("p2", second)
    CHRONICLE.listen(workspace)
    after = run(workspace, fresh=True)
    assert after.results["topic"].tolist()[::2] == ["paid", "paid"]
    assert sorted(second.asked) == ["Topic: a bug", "Topic: a refund"]
    assert workspace.ledger.asked_again("p2") == AskedAgain(sent=2, answered=2)
    told = CHRONICLE.of(after.id).lines()
    assert "2 calls were in flight when it was killed and were sent again" in told
    assert "2 calls were answered from the journal, and not sent again" in told
    lost = workspace.ledger.sql("select bill_unknown, for_step, for_item from calls where recovered order by for_item")
    assert lost["for_item"].tolist() == [1, 3]
    assert lost["bill_unknown"].all()
    third = Model()
    run(pipeline.begin("p3", third), fresh=True)
    assert not third.asked
    assert workspace.ledger.asked_again("p3") == AskedAgain(sent=0, answered=4)
