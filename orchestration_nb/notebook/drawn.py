"""When a display was drawn, and what that took."""

from __future__ import annotations

from orchestration_nb.clock import Clock


class Drawn:
    """Begins when it is made, and is told on the display itself.

    Args:
        clock: Measures.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_s = clock.monotonic()
        self._read_s = 0.0

    def has_read(self) -> None:
        """All that was read until now was the ledger's; the rest is drawing."""
        self._read_s = self.took_s

    @property
    def took_s(self) -> float:
        """Seconds until now."""
        return self._clock.monotonic() - self._began_s

    def sentence(self) -> str:
        """``Drawn 29 Nov 16:40:12 UTC in 0.42 s (ledger 0.38 s).``."""
        return f"Drawn {self._clock.now():%d %b %H:%M:%S} UTC in {self.took_s:.2f} s (ledger {self._read_s:.2f} s)."
