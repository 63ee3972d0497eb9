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
WRITER_S, READER_S = 0.3, 0.8
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
    """A process that will be killed at a given moment."""

    process: ForkServerProcess
    words: Connection
    writes: bool
    dies_at: float
    heard: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Takes what is in the pipe, whole words only."""
        try:
            while self.words.poll():
                self.heard.append(self.words.recv_bytes().decode())
        except (EOFError, OSError):
            pass

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
    tmp_path: Path, processes: ForkServerContext
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
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
    assert merges > 10
    assert caught_merging > 10
    assert report.rebuilt_from is None
    assert not list((tmp_path / ".orchestrate").glob("ledger.damaged-*"))


def _victims(workspace: Path, processes: ForkServerContext, dice: random.Random) -> Iterator[Victim]:
    """Two writers and two readers at any time, 200 in all, each handed out when its hour has come."""

    def start(target: Target) -> Victim:
        here, there = processes.Pipe(duplex=False)
        process = processes.Process(target=target, args=(workspace, dice.randrange(2**32), there), daemon=True)
        process.start()
        there.close()
        life_s = dice.random() * (WRITER_S if target is victims.write_forever else READER_S)
        return Victim(process, here, target is victims.write_forever, time.monotonic() + life_s)

    plan: list[Target] = [victims.write_forever] * 2 + [victims.merge_forever] * 2
    alive = [start(target) for target in plan]
    for _ in range(KILLS):
        next_to_die = min(alive, key=lambda victim: victim.dies_at)
        while (left_s := next_to_die.dies_at - time.monotonic()) > 0:
            wait([victim.words for victim in alive], timeout=min(left_s, 0.01))
            for victim in alive:
                victim.listen()
        alive.remove(next_to_die)
        alive.append(start(victims.write_forever if next_to_die.writes else victims.merge_forever))
        yield next_to_die
    for victim in alive:
        victim.kill()


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
        assert len(counts) > 2
        assert counts == sorted(counts)
    ledger = Ledger(tmp_path)
    assert int(ledger.sql("select count(*) as n from calls").n[0]) == written
    assert set(ledger.runs(10_000).status) == {"done"}
