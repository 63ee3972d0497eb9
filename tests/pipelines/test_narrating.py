"""What a terminal shows while a notebook runs."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import pytest

from orchestration_nb.cli.narrating import LineNarrator, LiveNarrator, Silent, narrator_for
from orchestration_nb.ids import PipelineId
from orchestration_nb.ledger.journal import JournalFile
from orchestration_nb.pipeline_events import CellFinished, CellStarted, PipelineFinished, PipelineStarted
from orchestration_nb.pipelines import Begun, CellEnded, Spent
from orchestration_nb.pipelines.eta import Pace, pace_of
from orchestration_nb.testing import ManualClock

SPENT = Spent(calls=1200, cost_usd=0.0123, simulated=True)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def begun(folder: Path, spent: Spent = SPENT) -> Begun:
    return Begun(
        pipeline_id=PipelineId("p"),
        notebook=folder / "weekly.ipynb",
        copy=folder / "copy.ipynb",
        cells=3,
        attempt=1,
        simulated=True,
        spent=lambda: spent,
        workspace=folder,
    )


def test_each_output_has_its_narrator() -> None:
    assert isinstance(narrator_for(io.StringIO(), silent=True), Silent)
    assert type(narrator_for(io.StringIO(), silent=False)) is LineNarrator
    live = narrator_for(Terminal(), silent=False)
    assert isinstance(live, LiveNarrator)
    live.close()


async def test_a_terminal_keeps_the_cell_in_view_with_time_calls_cost_and_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("TERM", "xterm")
    out, clock = Terminal(), ManualClock()
    live = LiveNarrator(out, clock)
    live.starts(begun(tmp_path))
    live.begins(2, 3, "%%orchestrate triage\x1b[2K")
    await clock.advance(65)
    assert (
        live.shown()
        == r"[2/3] %%orchestrate triage\x1b[2K  1 min 05 s · 1 min 05 s in all · 1,200 calls · $0.012 simulated"
    )
    live.pace = Pace({1: 5.0, 2: 70.0, 3: 20.0})
    assert live.shown().endswith("· about 25 s left")
    live.ended(CellEnded(number=2, title="%%orchestrate triage", seconds=65, accounts=("triage done",), spent=SPENT))
    live.retries(2, 4.0, "ValueError: not yet")
    live.said("The report could not be written.")
    live.close()
    said = out.getvalue()
    for text in (
        "All models are simulated",
        "[2/3] %%orchestrate triage  ok, 65.0 s · 1,200 calls · $0.012 simulated",
        "triage done",
        "Attempt 2 begins in 4.0 s: ValueError: not yet",
        "The report could not be written.",
    ):
        assert text in said


def test_the_pace_is_that_of_earlier_runs_which_came_to_their_end(tmp_path: Path) -> None:
    assert pace_of(begun(tmp_path)) is None
    journal = JournalFile(tmp_path)
    for number, (status, seconds) in enumerate([("done", 10), ("done", 12), ("done", 50), ("failed", 1)]):
        which = PipelineId(f"p{number}")
        at = datetime(2026, 1, 1 + number)  # noqa: DTZ001
        journal.write(
            PipelineStarted(
                pipeline_id=which, notebook="weekly.ipynb", digest="", cells=3, copy="", started_at=at, pid=1,
                package_version="",
            )
        )  # fmt: skip
        for cell in (1, 2):
            journal.write(CellStarted(pipeline_id=which, cell=cell, title="", digest="", started_at=at))
            ended = at.replace(second=seconds if cell == 2 else 2)
            journal.write(CellFinished(pipeline_id=which, cell=cell, status="ok", finished_at=ended))
        journal.write(
            PipelineFinished(pipeline_id=which, status=status, cells_done=2, finished_at=at)  # type: ignore[arg-type]
        )
    journal.close()
    pace = pace_of(begun(tmp_path))
    assert pace == Pace({1: 2.0, 2: 12.0})
    assert pace.left_s(1, 0.5) == 13.5
    assert pace.left_s(2, 100) == 0
