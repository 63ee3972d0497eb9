"""How long a call may wait: connect, first token, between tokens, total.

These limits are ours and not the HTTP library's, because a server's keep-alive comments reset a read timeout although
no token came: only data of the model moves the deadline here.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from orchestration_nb.calls import Timeouts
from orchestration_nb.errors import Billing, CallTimeoutError, Phase

_SENTENCES: dict[Phase, str] = {
    "connect": "could not be connected to within",
    "first token": "sent no first token within",
    "between tokens": "fell silent in the middle of its reply for",
    "total": "did not finish its reply within",
}


class Patience:
    """An async context manager around one call; :meth:`wait_for` moves the deadline.

    Args:
        who: Who is waited for, for the sentence.
        timeouts: The limits.

    Raises:
        CallTimeoutError: On leaving the block, when a wait ran out.
    """

    __slots__ = ("_ends_at", "_limit", "_limits", "_loop", "_who", "phase")

    def __init__(self, who: str, timeouts: Timeouts) -> None:
        self._who = who
        self._limits: dict[Phase, float] = {
            "connect": timeouts.connect_s,
            "first token": timeouts.first_token_s,
            "between tokens": timeouts.between_tokens_s,
            "total": timeouts.total_s,
        }
        self.phase: Phase = "total"
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._loop.time() + timeouts.total_s
        self._limit = asyncio.timeout_at(self._ends_at)

    def wait_for(self, phase: Phase) -> None:
        """Starts a wait, whose limit never passes that of the whole call."""
        deadline = self._loop.time() + self._limits[phase]
        self.phase = phase if deadline < self._ends_at else "total"
        self._limit.reschedule(min(deadline, self._ends_at))

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            seconds = self._limits[self.phase]
            billing: Billing = "no" if self.phase == "connect" else "unknown"
            raise CallTimeoutError(
                f"{self._who} {_SENTENCES[self.phase]} {seconds:g} s.",
                phase=self.phase,
                hint="[timeouts] in orchestrate.toml, or timeout= of the call, allows more.",
                billing=billing,
            ) from None
