"""Time, passed in: nothing else in the package reads the time or sleeps.

Tests pass :class:`orchestration_nb.testing.ManualClock`.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC, as the ledger's TIMESTAMP


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> datetime:
        """Wall time as a naive UTC ``datetime`` (the ledger's ``TIMESTAMP``)."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Waits on the running loop."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Wall time as a naive UTC ``datetime``."""
        # Half the time of datetime.now(UTC).replace(tzinfo=None), and a call asks several times.
        return _EPOCH + timedelta(0, 0, time.time_ns() // 1000)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.perf_counter()

    async def sleep(self, seconds: float) -> None:
        """Waits on the running loop."""
        await asyncio.sleep(seconds)
