"""The sentences that every display shares: how far a run is, and how it ended."""

from __future__ import annotations

from orchestration_nb.engine.progress import Progress
from orchestration_nb.notebook.account import RunAccount
from orchestration_nb.pages.figures import count, span, usd
from orchestration_nb.terminal import printable

SIMULATED = "simulated"
PARTLY = f"partly {SIMULATED}"
SIMULATED_LONG = "Simulated or recorded models answered: no real model was asked and no real money was spent on them."


def money(progress: Progress) -> str:
    """Cost against budget: ``$0.031 of $2.00``."""
    return f"{usd(progress.cost_usd)} of {usd(progress.budget_usd)}"


def counts(progress: Progress) -> list[str]:
    """What a progress display says while the run goes on, piece by piece."""
    total = "" if progress.items is None else f"/{progress.items:,}"
    pieces = [f"{progress.done:,}{total} {'item' if progress.items == 1 else 'items'}"]
    if progress.failed:
        pieces.append(f"{progress.failed:,} failed")
    if progress.status == "running" or (progress.status == "paused" and progress.ended_s is None):
        pieces.append(f"{progress.in_flight:,} in flight")
    pieces.append(f"{progress.calls_per_s:.1f} calls/s" if progress.calls else "no call yet")
    if progress.cache_hits:
        pieces.append(f"{progress.cache_hits:,} from cache")
    if progress.retries:
        pieces.append(count(progress.retries, "retry", "retries"))
    return pieces


def times(progress: Progress) -> str:
    """``12 s, about 15 s left``."""
    passed = span(progress.elapsed_s)
    return passed if progress.eta_s is None else f"{passed}, about {span(progress.eta_s)} left"


def progress_line(flow: str, progress: Progress) -> str:
    """How far a run is, on one line."""
    cost = f"{money(progress)} {kind_of_money(progress)}".rstrip()
    pieces = [*counts(progress), cost, times(progress)]
    if progress.note:
        pieces.append(printable(progress.note))
    return f"{flow} {progress.status}: " + " · ".join(pieces)


def outcome(account: RunAccount) -> list[str]:
    """How a run ended, piece by piece: items by status, calls, time."""
    progress = account.progress
    pieces = [count(account.row_count, "item")]
    if account.sample:
        pieces.append(account.sample)
    pieces += [f"{number:,} {status}" for status, number in account.statuses]
    pieces.append(count(progress.calls, "call"))
    if progress.cache_hits:
        pieces.append(f"{progress.cache_hits:,} from cache")
    if progress.retries:
        pieces.append(count(progress.retries, "retry", "retries"))
    pieces.append(span(progress.elapsed_s))
    return pieces


def kind_of_money(progress: Progress) -> str:
    """``simulated``, ``partly simulated``, or nothing where all of it is real."""
    if not progress.simulated:
        return ""
    return PARTLY if progress.spent_usd else SIMULATED


def costs(account: RunAccount) -> str:
    """What it cost, and what of it was really spent."""
    progress = account.progress
    cost = f"cost {usd(progress.cost_usd)} {kind_of_money(progress)}".rstrip()
    return cost if kind_of_money(progress) == SIMULATED else f"{cost}, spent {usd(progress.spent_usd)}"


def more_rows(account: RunAccount) -> str:
    """What the table leaves out and where it stands, or an empty string."""
    missing = account.row_count - len(account.rows)
    pieces = [count(missing, "more row")] if missing else []
    if account.hidden_columns:
        pieces.append(count(account.hidden_columns, "more column"))
    return f"{' and '.join(pieces)} in {account.flow}.last.results" if pieces else ""


def question(account: RunAccount) -> str:
    """A query that shows the run's calls."""
    return f"%orchestrate sql SELECT * FROM calls WHERE run_id = '{account.run_id}'"  # noqa: S608 - shown, not run
