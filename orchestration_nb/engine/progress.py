"""How far a run is: counters that any thread may read while the engine's loop writes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestration_nb.clock import Clock
from orchestration_nb.events import RunStatus


def _nothing() -> str:
    return ""


@dataclass(slots=True, kw_only=True, eq=False)
class Progress:
    """Counters of one run."""

    clock: Clock
    started_s: float
    """Monotonic seconds at the beginning."""
    items: int | None
    """How many items there are, or ``None`` where nobody knows."""
    budget_usd: float
    status: RunStatus = "running"
    ended_s: float | None = None
    """Monotonic seconds at the end."""
    done: int = 0
    """Items that ended, failed ones included."""
    failed: int = 0
    at_work: int = 0
    """Items that were begun and have not ended."""
    in_flight: int = 0
    """Attempts on the wire at this moment."""
    calls: int = 0
    """Calls that ended, those from the cache included."""
    cache_hits: int = 0
    retries: int = 0
    cost_usd: float = 0.0
    """At list price, cache hits included."""
    billed_usd: float = 0.0
    """What was spent; counts against the budget."""
    spent_usd: float = 0.0
    """Of what was billed, the real money: simulated dollars are left out."""
    simulated: bool = False
    """Whether any of it came from a simulated or recorded model."""
    waits_because: str = ""
    """Which budget the run waits for, in words."""
    limited_because: Callable[[], str] = _nothing
    """Tells in words which limit holds calls up, or nothing."""

    @property
    def note(self) -> str:
        """What holds the run up at the moment, in words; empty where nothing does."""
        return self.waits_because or (self.limited_because() if self.status == "running" else "")

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning, or from beginning to end."""
        return (self.clock.monotonic() if self.ended_s is None else self.ended_s) - self.started_s

    @property
    def calls_per_s(self) -> float:
        """Calls that ended, per second of the run so far."""
        elapsed_s = self.elapsed_s
        return self.calls / elapsed_s if elapsed_s > 0 else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds that the rest takes at the pace so far, or ``None`` where there is nothing to reckon with."""
        if not self.items or not self.done or self.status != "running":
            return None
        return self.elapsed_s / self.done * (self.items - self.done)
