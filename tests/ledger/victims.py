"""Processes for the tests to kill: writers that acknowledge each line, and readers that merge without end."""

from __future__ import annotations

import random
import time
from multiprocessing.connection import Connection
from pathlib import Path

from orchestration_nb.ledger import JournalFile, Ledger
from tests.ledger import happened


def write_forever(workspace: Path, seed: int, acknowledge: Connection) -> None:
    """Writes calls of one run, small and large; sends each call's id once its line is written."""
    dice = random.Random(seed)
    journal = JournalFile(workspace)
    run = happened.run_started()
    journal.write(run)
    acknowledge.send_bytes(run.run_id.encode())
    while True:
        large = dice.random() < 0.03
        call = happened.call(run.run_id, prompt="x" * dice.randrange(100_000 if large else 500))
        journal.write(call)
        acknowledge.send_bytes(call.call_id.encode())
        time.sleep(dice.random() * 0.002)


def merge_forever(workspace: Path, _seed: int, acknowledge: Connection) -> None:
    """Merges, and sends a word after each merge."""
    ledger = Ledger(workspace)
    while True:
        ledger.merge()
        acknowledge.send_bytes(b"merged")


def write_for(workspace: Path, seconds: float, result: Connection) -> None:
    """Writes whole runs for so long; sends how many calls it wrote."""
    journal = JournalFile(workspace)
    written = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        run = happened.run_started()
        journal.write(run)
        for number in range(5):
            journal.write(happened.call(run.run_id))
            journal.write(happened.item(run.run_id, number))
            written += 1
            time.sleep(0.005)
        journal.write(happened.run_finished(run.run_id))
    journal.close()
    result.send(written)


def query_for(workspace: Path, seconds: float, result: Connection) -> None:
    """Asks four times a second for so long, at least five times; sends the counts that it saw."""
    ledger = Ledger(workspace)
    counts: list[int] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(counts) < 5:
        began = time.monotonic()
        counts.append(int(ledger.sql("select count(*) as n from calls").n[0]))
        ledger.runs(5)
        time.sleep(max(0.0, 0.25 - (time.monotonic() - began)))
    result.send(counts)
