"""A small ledger of six days, three models and a name that would do harm, and its dashboard as a file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from orchestration_nb.ledger import JournalFile, Ledger, Scope
from orchestration_nb.notebook.ledger_page import write_dashboard
from tests.ledger import happened

HOSTILE = "</script><img src=x onerror=alert(1)>$x$"
MODELS = ("openai/gpt-4.1-mini", "anthropic/claude-haiku-4-5", HOSTILE)
NOW = happened.now()


def days(folder: Path, *, simulated: bool = False) -> Ledger:
    """A run a day, a request of each model in it."""
    journal = JournalFile(folder)
    for day in range(6):
        run, at = f"{6 - day:016d}", NOW - timedelta(days=day)
        journal.write(happened.run_started(run, started_at=at))
        for place, model in enumerate(MODELS):
            asked = happened.request(run, step=HOSTILE, model=model, started_at=at, simulated=simulated)
            usd = 0.5 + place
            journal.write(happened.call(run, model=model, request_id=asked.request_id, started_at=at, cost_usd=usd,
                                        billed_usd=usd, simulated=simulated, ttft_ms=120.0))  # fmt: skip
            journal.write(asked)
        journal.write(happened.run_finished(run, finished_at=at + timedelta(seconds=9)))
    journal.close()
    return Ledger(folder)


def write_days(folder: Path) -> Path:
    """The dashboard of these days as a file."""
    path = folder / "ledger.html"
    write_dashboard(days(folder), Scope(), path)
    return path
