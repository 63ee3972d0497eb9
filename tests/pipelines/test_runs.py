"""What a headless run is given reaches its kernel and the ledger: parameters, a budget, tags, simulated models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest

import orchestration_nb
from orchestration_nb.clock import SystemClock
from orchestration_nb.errors import UsageError
from orchestration_nb.ledger import Ledger
from orchestration_nb.pipelines import CellEnded, NotebookRun, RunOptions, Seams, Unwatched, run_notebook
from orchestration_nb.pipelines.memory import MemoryWatch
from orchestration_nb.pipelines.scrubbing import scrubber
from orchestration_nb.pipelines.seams import RestoredCell, Resumed, Resumption
from tests.conftest import REPO
from tests.pipelines.notebooks import BEGIN, SMALL_USD, flow, outputs, write


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]))


class QuickClock(SystemClock):
    """Waits for nothing, and remembers how long it should have."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []
        self.passed_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.passed_s

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)


class Heard(Unwatched):
    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.again: list[tuple[int, float, str]] = []
        self.cells: list[CellEnded] = []

    def said(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def retries(self, attempt: int, wait_s: float, because: str) -> None:
        self.again.append((attempt, wait_s, because))

    def ended(self, cell: CellEnded) -> None:
        self.cells.append(cell)


def tag(path: Path, cell: int, name: str) -> None:
    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    notebook.cells[cell].metadata.tags = [name]
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


def test_parameters_tags_and_simulated_models_reach_the_kernel_and_the_ledger(tmp_path: Path) -> None:
    models = "print([workspace.catalog.resolve(name).name for name in ('fast', 'openai/gpt-4.1', 'openai/any')])"
    path = write(
        tmp_path,
        "top = 3\nday: str = 'today'",
        BEGIN,
        flow("--tag step=one"),
        "from orchestration_nb import Workspace, llm\nworkspace = Workspace.current()\n" + models,
        "print(top, day, llm('Say yes.', model='openai/gpt-4.1').strip() != '')",
    )
    (tmp_path / "orchestrate.toml").write_text(
        '[sim]\nlatency_scale = 0\n[aliases]\nfast = "openai/gpt-4.1-mini"\nmedium = "anthropic/claude-sonnet-4-5"\n'
        '[models."openai/gpt-4.1-mini"]\ninput_usd_per_mtok = 0.05\noutput_usd_per_mtok = 1\n'
        '[models."openai/gpt-4.1"]\ninput_usd_per_mtok = 2\noutput_usd_per_mtok = 8\n'
    )
    tag(path, 0, "parameters")
    done = orchestration_nb.run_notebook(
        path, parameters={"top": 7}, tags={"team": "support"}, models="sim", budget_usd=1, out=tmp_path / "copies"
    )
    assert done.status == "done", done.error
    assert outputs(done.copy, 4) == "['sim/small', 'sim/large', 'sim/medium']\n"
    assert outputs(done.copy, 5) == "7 today True\n"
    assert [cell.title for cell in done.cells[:2]] == ["top = 3", "# Parameters"]
    assert done.spent.simulated
    assert done.spent.calls == done.cells[3].spent.calls + 1 == 41
    ledger = Ledger(tmp_path)
    row = ledger.sql("select * from pipelines").iloc[0]
    assert row["parameters"] == {"top": "7"}
    assert (row["status"], row["attempt"], row["budget_usd"], row["cells_done"]) == ("done", 1, 1.0, 6)
    runs = ledger.sql("select tags, pipeline_id from runs order by run_id")
    assert runs["tags"].tolist() == [{"team": "support", "step": "one"}, {"team": "support"}]
    assert set(runs["pipeline_id"]) == {done.pipeline_id}
    assert ledger.sql("select bool_and(simulated) as s, sum(cost_usd) as usd from calls")["s"].all()
    per_cell = ledger.sql("select cell, calls, cost_usd from cell_costs where calls > 0 order by cell")
    assert per_cell["cell"].tolist() == [4, 6]
    assert per_cell["cost_usd"].sum() == pytest.approx(done.cost_usd)


def test_what_does_not_fit_is_refused_before_anything_starts(tmp_path: Path) -> None:
    path = write(tmp_path, "top = 3")
    tag(path, 0, "parameters")
    for how, said in (
        ({"parameters": {"tap": 1}}, "no parameter 'tap'"),
        ({"parameters": {"top": "x"}}, "'top' takes int"),
        ({"budget": 1}, "has no option 'budget'"),
        ({"budget_usd": -1}, "A budget of -1"),
        ({"cell_timeout_s": 0}, "A timeout of a cell of 0"),
        ({"retries": -1}, "-1 retries"),
        ({"models": "real"}, "models='real'"),
        ({"tags": {"a b": "c"}}, "'a b' cannot be"),
        ({"secrets": {"TOKEN": "env:X"}}, "from the variable X, which is not set"),
    ):
        with pytest.raises(UsageError, match=said):
            orchestration_nb.run_notebook(path, **how)
    assert not (tmp_path / ".orchestrate").exists()


def test_a_budget_holds_for_all_runs_of_the_notebook_and_for_what_goes_on_with_them(tmp_path: Path) -> None:
    other = flow(name="other").replace("about", "really about")
    path = write(tmp_path, BEGIN, flow(), other, "len(other.last.results)")
    first = run_notebook(path, options=RunOptions(budget_usd=3 * SMALL_USD, tags={"team": "a"}))
    assert (first.status, first.exit_code, first.error_type) == ("over budget", 3, "OverBudgetError")
    assert "for this run of the notebook does not cover the next call" in first.error
    assert [cell.status for cell in first.cells] == ["ok", "ok", "failed"]
    assert 40 < first.spent.calls < 80
    (tmp_path / "orchestrate.toml").write_text('reached = "pause"\n[sim]\nlatency_scale = 0\n')
    again = run_notebook(path, options=RunOptions(resumes=first.pipeline_id[:18]))
    assert (again.status, again.exit_code) == ("paused", 4)  # not a cent more
    assert f"`orchestrate resume {again.pipeline_id} --budget USD` goes on with it" in again.error
    assert again.root == first.pipeline_id
    done = run_notebook(path, options=RunOptions(resumes="last", budget_usd=1))
    assert done.status == "done"
    ledger = Ledger(tmp_path)
    rows = ledger.sql("select attempt, resumes, tags['team'] as team, budget_usd from pipelines order by pipeline_id")
    assert rows["attempt"].tolist() == [1, 2, 3]
    assert rows["resumes"].tolist()[1:] == [first.pipeline_id] * 2
    assert set(rows["team"]) == {"a"}
    assert rows["budget_usd"].tolist() == [3 * SMALL_USD, 3 * SMALL_USD, 1.0]
    sent = ledger.sql(
        "select count(*) as n, count(distinct cache_key) as k from calls where cache = 'none' and status = 'ok'"
    )
    assert sent["n"].iloc[0] == sent["k"].iloc[0] == 80  # nothing was paid twice
    with pytest.raises(UsageError, match="is done; there is nothing to go on with"):
        run_notebook(path, options=RunOptions(resumes="last"))
    with pytest.raises(UsageError, match="no pipeline run 'nowhere'"):
        run_notebook(path, options=RunOptions(resumes="nowhere"))


def test_a_notebook_that_fails_is_begun_anew_in_a_fresh_kernel_after_a_wait(tmp_path: Path) -> None:
    flaky = (
        "import os, pathlib\nmark = pathlib.Path('tries')\n"
        "tries = len(mark.read_text()) if mark.exists() else 0\nmark.write_text('x' * (tries + 1))\n"
        "if tries == 0: os._exit(1)\nif tries == 1: raise ValueError('not yet')\nprint(tries)"
    )
    clock, heard = QuickClock(), Heard()
    done = run_notebook(
        write(tmp_path, BEGIN, flow(), flaky), options=RunOptions(retries=3), clock=clock, watcher=heard
    )
    assert (done.status, done.attempts) == ("done", 3)
    assert outputs(done.copy, 2) == "2\n"
    assert [attempt for attempt, _, _ in heard.again] == [2, 3]
    assert [because for _, _, because in heard.again] == [
        "The kernel died: it ended itself with exit code 1.",
        "ValueError: not yet",
    ]
    assert clock.slept_s == [wait_s for _, wait_s, _ in heard.again]
    assert 2.5 <= clock.slept_s[0] <= 5 <= clock.slept_s[1] <= 10
    rows = Ledger(tmp_path).sql("select * from pipelines order by pipeline_id")
    assert rows["status"].tolist() == ["failed", "failed", "done"]
    assert rows["attempt"].tolist() == [1, 2, 3]
    assert rows["resumes"].tolist()[1:] == [rows["pipeline_id"].iloc[0]] * 2
    paid = Ledger(tmp_path).sql("select count(*) as n from calls where cache = 'none'")["n"].iloc[0]
    assert paid == 40  # the other 80 came from the cache
    assert done.spent.calls == 120


@pytest.mark.parametrize(("cell", "status"), [("raise KeyboardInterrupt", "cancelled"), ("1 / 0", "failed")])
def test_what_is_not_worth_a_retry_is_not_begun_anew(tmp_path: Path, cell: str, status: str) -> None:
    clock = QuickClock()
    retries = 1 if status == "cancelled" else 0
    done = run_notebook(write(tmp_path, cell), options=RunOptions(retries=retries), clock=clock)
    assert (done.status, done.attempts, clock.slept_s) == (status, 1, [])


def test_a_retry_for_which_no_time_is_left_is_not_waited_for(tmp_path: Path) -> None:
    class Late(Heard):
        def ended(self, cell: CellEnded) -> None:
            clock.passed_s = 100

    clock, heard = QuickClock(), Late()
    options = RunOptions(retries=3, timeout_s=102)
    done = run_notebook(write(tmp_path, "raise ValueError('not yet')"), options=options, clock=clock, watcher=heard)
    assert (done.status, done.error_type, done.attempts) == ("failed", "ValueError", 1)
    assert (clock.slept_s, heard.again) == ([], [])


def test_secrets_restored_cells_and_what_comes_after_are_left_to_others(tmp_path: Path) -> None:
    def restore(asked: Resumption) -> Resumed:
        output = nbformat.v4.new_output("stream", text="41\n")  # type: ignore[no-untyped-call]
        held = RestoredCell(source="value = 41", outputs=[output], execution_count=1)
        return Resumed(
            root=asked.earlier.root, attempt=asked.earlier.attempt, cells={1: held}, said=["Cell 1 was restored."]
        )

    def after(done: NotebookRun) -> str:
        assert (
            Ledger(tmp_path).sql("select status from pipelines order by pipeline_id")["status"].iloc[-1] == done.status
        )
        if done.status == "done":
            raise OSError("no room")
        return "It failed."

    path, heard = (
        write(tmp_path, "value = 41\nprint(value)", "import os\nprint(os.environ['TOKEN'])\nvalue / 0"),
        Heard(),
    )
    seams = Seams(scrub=lambda asked: scrubber(asked, {"MINE": "hunter2"}), restore=restore, after_run=(after,))
    options = RunOptions(secrets={"TOKEN": "env:MINE"})
    failed = run_notebook(path, options=options, seams=seams, watcher=heard)
    assert outputs(failed.copy, 1).startswith("[secret TOKEN]\n")
    write(tmp_path, "value = 41\nprint(value)", "print(value + 1)\nassert 'In' in globals()")
    done = run_notebook(path, options=RunOptions(resumes="last"), seams=seams, watcher=heard)
    assert [cell.status for cell in done.cells] == ["restored", "ok"]
    assert [outputs(done.copy, cell) for cell in (0, 1)] == ["41\n", "42\n"]
    assert heard.sentences == [
        "It failed.",
        "Cell 1 was restored.",
        "What comes after a run went wrong: OSError: no room",
    ]
    row = Ledger(tmp_path).sql("select secrets, cells_done from pipelines order by pipeline_id")
    assert row["secrets"].iloc[0] == {"TOKEN": "env:MINE"}
    assert row["cells_done"].tolist() == [1, 2]


async def test_it_can_be_called_where_a_loop_is_running(tmp_path: Path) -> None:
    assert run_notebook(write(tmp_path, "1")).status == "done"


def test_kills_for_lack_of_memory_are_counted_by_the_control_group(tmp_path: Path) -> None:
    of, group = tmp_path / "cgroup", tmp_path / "groups" / "mine"
    of.write_text("0::/mine\n")
    group.mkdir(parents=True)
    events = group / "memory.events"
    events.write_text("low 0\noom 3\noom_kill 2\n")
    watch = MemoryWatch(of, tmp_path / "groups")
    assert not watch.ran_out()
    events.write_text("low 0\noom 4\noom_kill 3\n")
    assert watch.ran_out()
    of.write_text("7:cpu,memory:/else\n")
    (tmp_path / "groups" / "memory").mkdir()
    control = tmp_path / "groups" / "memory" / "memory.oom_control"
    control.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    watch = MemoryWatch(of, tmp_path / "groups")
    control.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    assert watch.ran_out()
    assert not MemoryWatch(tmp_path / "nowhere", tmp_path).ran_out()
