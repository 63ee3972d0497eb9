"""Real processes on one workspace: killed at random moments, or living side by side."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest

from orchestration_nb.ledger import Ledger
from tests.conftest import REPO
from tests.ledger import victims

KILLS = 200
WRITER_WORDS, READER_WORDS = 120, 3
LAST_MOMENT_S = 0.1
Target = Callable[[Path, int, Connection], None]


@pytest.fixture(scope="module")
def processes() -> Iterator[ForkServerContext]:
    """Starts processes from a server that has everything imported, and no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.ledger.victims", "duckdb", "pandas"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]))
        forkserver.ensure_running()
    yield context
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


@dataclass
class Victim:
    """A process that will be killed at a random moment: some time after a number of words from it."""

    process: ForkServerProcess
    words: Connection
    writes: bool
    words_left: int
    delay_s: float
    heard: list[str] = field(default_factory=list)
    dies_at: float | None = None

    def listen(self) -> None:
        """Takes what is in the pipe, whole words only."""
        try:
            while self.words.poll():
                self.heard.append(self.words.recv_bytes().decode())
        except (EOFError, OSError):
            pass

    def is_due(self) -> bool:
        """Whether its moment has come."""
        if self.dies_at is None and len(self.heard) >= self.words_left:
            self.dies_at = time.monotonic() + self.delay_s
        return self.dies_at is not None and time.monotonic() >= self.dies_at

    def kill(self) -> None:
        assert self.process.pid is not None
        assert self.process.exitcode is None, "it ended by itself"
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        assert self.process.exitcode == -signal.SIGKILL
        self.listen()
        self.words.close()


@pytest.mark.slow
def test_killed_200_times_nothing_acknowledged_is_lost_and_nothing_doubled(
    tmp_path: Path, processes: ForkServerContext, dice: random.Random
) -> None:
    dead: list[Victim] = []
    caught_merging = 0
    for victim in _victims(tmp_path, processes, dice):
        victim.kill()
        dead.append(victim)
        caught_merging += not victim.writes and any((tmp_path / ".orchestrate").glob("merge-*"))
    ledger = Ledger(tmp_path)
    report = ledger.merge()
    acknowledged = [word for victim in dead if victim.writes for word in victim.heard]
    rows = ledger.sql("select call_id as id from calls union all select run_id from runs").id.tolist()
    merges = sum(len(victim.heard) for victim in dead if not victim.writes)
    print(
        f"{len(acknowledged)} acknowledged, {len(rows)} rows, {merges} merges, {caught_merging} readers killed in one"
    )
    assert len(rows) == len(set(rows)), "doubled"
    assert set(acknowledged) <= set(rows), "lost"
    writers = sum(victim.writes for victim in dead)
    assert len(rows) - len(acknowledged) <= writers, "at most the line in flight was written and not acknowledged"
    assert int(ledger.sql("select coalesce(sum(bad_lines), 0) as n from segments").n[0]) <= writers
    assert set(ledger.runs(KILLS).status) == {"failed"}
    assert len(acknowledged) > 10 * KILLS
    assert merges > 5
    assert caught_merging > 5
    assert report.rebuilt_from is None
    assert not list((tmp_path / ".orchestrate").glob("ledger.damaged-*"))


def _victims(workspace: Path, processes: ForkServerContext, dice: random.Random) -> Iterator[Victim]:
    """Two writers and two readers at any time; 200 are handed out when their hour has come, four more at the end."""

    def start(target: Target) -> Victim:
        writes = target is victims.write_forever
        here, there = processes.Pipe(duplex=False)
        process = processes.Process(target=target, args=(workspace, dice.randrange(2**32), there), daemon=True)
        process.start()
        there.close()
        words = dice.randrange(WRITER_WORDS if writes else READER_WORDS)
        return Victim(process, here, writes, words, dice.random() * LAST_MOMENT_S)

    alive = [start(target) for target in [victims.write_forever, victims.merge_forever] * 2]
    for _ in range(KILLS):
        while not (due := [victim for victim in alive if victim.is_due()]):
            wait([victim.words for victim in alive], timeout=0.005)
            for victim in alive:
                victim.listen()
        alive.remove(due[0])
        alive.append(start(victims.write_forever if due[0].writes else victims.merge_forever))
        yield due[0]
    yield from alive  # what they have written is looked at like the rest


@pytest.mark.slow
def test_two_kernels_a_headless_run_and_a_dashboard_never_meet_a_lock(
    tmp_path: Path, processes: ForkServerContext
) -> None:
    seconds = 4.0
    jobs = [victims.write_for] * 3 + [victims.query_for] * 2
    started = []
    for job in jobs:
        here, there = processes.Pipe(duplex=False)
        process = processes.Process(target=job, args=(tmp_path, seconds, there), daemon=True)
        process.start()
        there.close()
        started.append((process, here))
    results = [words.recv() for _, words in started]
    for process, words in started:
        process.join()
        words.close()
        assert process.exitcode == 0
    written = sum(results[:3])
    for counts in results[3:]:
        assert counts == sorted(counts)
    ledger = Ledger(tmp_path)
    assert int(ledger.sql("select count(*) as n from calls").n[0]) == written
    assert set(ledger.runs(10_000).status) == {"done"}
