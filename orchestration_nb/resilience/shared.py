"""The limits that the user set, held over all processes of the workspace: which hold for a model, and who may go."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from orchestration_nb.catalog import Model
from orchestration_nb.clock import Clock
from orchestration_nb.config import LimitSettings
from orchestration_nb.errors import StateError
from orchestration_nb.state import windows
from orchestration_nb.state.desk import Desk, Gathering
from orchestration_nb.state.owners import Owners
from orchestration_nb.state.windows import Answer, Bounds, Grant, Move, Places, Window

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC, as the clock's
_MICROSECOND: Final = timedelta(microseconds=1)
SENT_WITHIN_S: Final = 0.1
"""Seconds after its turn within which a call is sent, by a loop that is not held up."""
_ON_ITS_WAY_US: Final = round((windows.GRACE_S - SENT_WITHIN_S) * 1e6)
_SPANS: Final[Mapping[int, str]] = {1: "second", 60: "minute", 86_400: "day"}


def bounds_of(model: Model, key: str | None, settings: Mapping[str, LimitSettings]) -> Bounds:
    """All limits that hold for a model: its own, its provider's, and those of the key that it is asked with.

    Args:
        model: The model.
        key: Name of the variable that holds the key, or ``None``.
        settings: What ``[limits.*]`` says, by any of these names.
    """
    names = dict.fromkeys(name for name in (model.name, model.provider, key) if name in settings and name)
    return Bounds(
        windows=tuple(window for name in names for window in _windows(name, settings[name])),
        places=tuple(Places(name=name, most=most) for name in names if (most := settings[name].concurrent)),
    )


def _windows(name: str, own: LimitSettings) -> list[Window]:
    limits: list[tuple[Literal["requests", "tokens"], int, int | None]] = [
        ("requests", 1, own.requests_per_second),
        ("requests", 60, own.requests_per_minute),
        ("requests", 86_400, own.requests_per_day),
        ("tokens", 60, own.tokens_per_minute),
        ("tokens", 86_400, own.tokens_per_day),
    ]
    return [
        Window(name=name, counts=counts, seconds=seconds, most=most)
        for counts, seconds, most in limits
        if most is not None
    ]


def said(bound: Window | Places) -> str:
    """A limit as a sentence's beginning: ``openai allows 50 requests per second``."""
    if isinstance(bound, Places):
        return f"{bound.name} allows {bound.most:,} {'call' if bound.most == 1 else 'calls'} at once"
    things = bound.counts if bound.most != 1 else bound.counts[:-1]
    return f"{bound.name} allows {bound.most:,} {things} per {_SPANS[bound.seconds]}"


class SharedLimits:
    """Grants calls within their bounds, exactly, over all processes of the workspace.

    Args:
        desk: Where the processes agree.
        owners: Which of them live: what a dead one had in flight is void.
        clock: Tells the time of day, the one clock that all processes share.
    """

    def __init__(self, desk: Desk, owners: Owners, clock: Clock) -> None:
        self._desk = desk
        self._owners = owners
        self._clock = clock
        self._moves = Gathering(desk, windows.move_all)

    async def take(self, bounds: Bounds, tokens: Sequence[int]) -> Answer:
        """Grants as many calls as fit, in the order given.

        Args:
            bounds: What they stay within.
            tokens: What each is expected to take.

        Raises:
            StateError: If the state cannot be written.
        """
        try:
            return await self._desk.submit(lambda connection: self.take_in(connection, bounds, tokens))
        except sqlite3.Error as error:  # its tables are not ours: nobody would be told otherwise, and all would wait
            raise StateError(f"The limits cannot be read from the state of the workspace: {error}.") from error

    def take_in(self, connection: sqlite3.Connection, bounds: Bounds, tokens: Sequence[int]) -> Answer:
        """The same, within a transaction: a work for the desk."""
        # The time is read within the transaction: another process's may have been waited for.
        me, dead = self._owners.me, self._owners.dead
        return windows.take(connection, bounds, tokens, now_us=self._now_us(), owner=me, dead=dead)

    def went_out(self, bounds: Bounds, grant: Grant) -> None:
        """A call that was granted has been sent by now."""
        self._correct(bounds, grant, self._now_us() + _ON_ITS_WAY_US, grant.tokens, ended=False)

    def end(self, bounds: Bounds, grant: Grant, tokens: int) -> None:
        """A call is over: it had arrived by now, its place is free, and its tokens are known."""
        self._correct(bounds, grant, min(grant.latest_us, self._now_us()), tokens, ended=True)

    def undo(self, bounds: Bounds, grant: Grant) -> None:
        """A call was not sent after all."""
        self._moves.add(Move(bounds, Grant(grant.latest_us, grant.tokens), None, self._owners.me))

    def _correct(self, bounds: Bounds, grant: Grant, latest_us: int, tokens: int, *, ended: bool) -> None:
        before, after = Grant(grant.latest_us, grant.tokens), Grant(latest_us, tokens)
        grant.latest_us, grant.tokens = latest_us, tokens
        owner = self._owners.me if ended else None
        self._moves.add(Move(bounds, before, after, owner))

    def _now_us(self) -> int:
        return (self._clock.now() - _EPOCH) // _MICROSECOND
