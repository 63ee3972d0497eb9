"""Moving windows and places in flight, agreed on by all processes of a workspace.

What is sent at one moment arrives a little later, and nobody tells when. So that the provider never sees more than a
limit allows in any window, however it counts, each request fills its window from the moment of its grant until the
window's length after the latest moment at which it may have arrived: its answer, or :data:`GRACE_S` after it went out.
A process may be held up between the grant and the sending; it therefore says when the request has gone out
(:func:`move`), and until then the request may arrive at any time within :data:`HANDOVER_S`.

Amounts that leave a window together are kept as one row, on a grid of a two-hundredth of the window, rounded to the
careful side: a limit of a million a day takes two hundred rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

TABLES: Final = """
    create table if not exists windows (
        account text not null, until_us integer not null, amount integer not null, primary key (account, until_us)
    ) without rowid;
    create table if not exists places (
        account text not null, owner text not null, taken integer not null, primary key (account, owner)
    ) without rowid;
"""
GRACE_S: Final = 0.25
"""Seconds after going out within which a request has arrived."""
HANDOVER_S: Final = 10.0
"""Seconds after the grant within which a request has arrived, whatever holds its process up."""
_PARTS: Final = 200
_SECOND_US: Final = 1_000_000
_HANDOVER_US: Final = round(HANDOVER_S * 1e6)
_MANY: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """At most ``most`` of something in any stretch of ``seconds``."""

    name: str
    """Whose limit it is: a provider, a model, or the name of a key."""
    counts: Literal["requests", "tokens"]
    seconds: int
    most: int

    @property
    def account(self) -> str:
        """The key of its rows; a limit that is changed goes on with what was counted."""
        return f"{self.name} {self.counts}/{self.seconds}s"

    def until_us(self, moment_us: int) -> int:
        """When what arrives at the latest at ``moment_us`` has left the window."""
        part_us = self.seconds * _SECOND_US // _PARTS
        return -(-(moment_us + self.seconds * _SECOND_US) // part_us) * part_us

    def amount(self, tokens: int) -> int:
        """What one call fills of it; one that is larger than the whole goes alone, rather than never."""
        return 1 if self.counts == "requests" else min(tokens, self.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """At most ``most`` calls in flight at once."""

    name: str
    most: int

    @property
    def account(self) -> str:
        """The key of its rows."""
        return f"{self.name} in flight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """All limits that one model's calls stay within."""

    windows: tuple[Window, ...] = ()
    places: tuple[Places, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.windows or self.places)


@dataclass(slots=True)
class Grant:
    """One call's leave, as it stands in the tables."""

    latest_us: int
    """When it has arrived at the latest."""
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was granted, and what stands in the way of more."""

    grants: Sequence[Grant]
    wait_s: float = 0.0
    """Seconds until the next may fit; an answer that comes early may shorten it."""
    held_by: Window | Places | None = None


Dead = Callable[[Iterable[str]], set[str]]
"""Which of some owners live no more."""


def take(
    connection: sqlite3.Connection, bounds: Bounds, tokens: Sequence[int], *, now_us: int, owner: str, dead: Dead
) -> Answer:
    """Grants as many calls as fit, in the order given.

    Args:
        connection: Within a transaction that writes.
        bounds: What they stay within.
        tokens: What each is expected to take.
        now_us: The time of day, read within the transaction; microseconds since 1970.
        owner: The process that asks.
        dead: Tells whose places are void.
    """
    fitting, wait_us = len(tokens), 0
    held_by: Window | Places | None = None
    for places in bounds.places:
        free = places.most - _taken(connection, places, dead)
        if free < fitting:
            fitting, wait_us, held_by = max(0, free), _SECOND_US, places
    for window in bounds.windows:
        _forget(connection, window, now_us)
        count, until_us = _fitting(connection, window, tokens[:fitting])
        if count < fitting:
            fitting, wait_us, held_by = count, (until_us or now_us + _SECOND_US) - now_us, window
    grants = [Grant(now_us + _HANDOVER_US, each) for each in tokens[:fitting]]
    if grants:
        _note(connection, bounds, grants, owner)
    return Answer(grants=grants, wait_s=wait_us / 1e6, held_by=held_by)


def move(
    connection: sqlite3.Connection, bounds: Bounds, before: Grant, after: Grant | None, *, owner: str | None
) -> None:
    """Corrects what stands in the tables for a call.

    Args:
        connection: Within a transaction that writes.
        bounds: What it stays within.
        before: What stands there.
        after: What is known now; ``None``: it was not sent after all.
        owner: The process whose call it was, where it is over: its place is free.
    """
    for window in bounds.windows:
        taken_out = connection.execute(
            "update windows set amount = max(0, amount - ?) where account = ? and until_us = ?",
            (window.amount(before.tokens), window.account, window.until_us(before.latest_us)),
        )
        if after is not None and taken_out.rowcount:  # else it has left the window already
            # More than the whole limit counts here as much as it is: it was taken.
            amount = 1 if window.counts == "requests" else after.tokens
            _add(connection, window, window.until_us(after.latest_us), amount)
    if owner is not None:
        connection.executemany(
            "update places set taken = taken - 1 where account = ? and owner = ? and taken > 0",
            [(places.account, owner) for places in bounds.places],
        )


def _taken(connection: sqlite3.Connection, places: Places, dead: Dead) -> int:
    """Calls in flight; those of dead processes are forgotten where they stand in the way, or there are many."""
    rows = connection.execute("select owner, taken from places where account = ?", (places.account,)).fetchall()
    taken: int = sum(row[1] for row in rows)
    if taken < places.most and len(rows) < _MANY:
        return taken
    void = dead([row[0] for row in rows])
    connection.executemany(
        "delete from places where account = ? and owner = ?", [(places.account, owner) for owner in void]
    )
    return sum(row[1] for row in rows if row[0] not in void)


def _forget(connection: sqlite3.Connection, window: Window, now_us: int) -> None:
    """Forgets what has left the window, and what a clock that has since been set back wrote for later."""
    connection.execute(
        "delete from windows where account = ? and (until_us <= ? or until_us > ?)",
        (window.account, now_us, window.until_us(now_us + _HANDOVER_US)),
    )


def _fitting(connection: sqlite3.Connection, window: Window, tokens: Sequence[int]) -> tuple[int, int | None]:
    """How many of the calls fit one after another, and when the first of the others may; ``None``: nobody knows."""
    rows = connection.execute(
        "select until_us, amount from windows where account = ? order by until_us", (window.account,)
    ).fetchall()
    filled = sum(amount for _, amount in rows)
    for count, each in enumerate(tokens):
        amount = window.amount(each)
        if filled + amount > window.most:
            return count, _room_us(rows, filled + amount - window.most)
        filled += amount
    return len(tokens), None


def _room_us(rows: Sequence[tuple[int, int]], wanted: int) -> int | None:
    for until_us, amount in rows:
        wanted -= amount
        if wanted <= 0:
            return until_us
    return None  # what stands in the way was granted just now, to those before


def _note(connection: sqlite3.Connection, bounds: Bounds, grants: Sequence[Grant], owner: str) -> None:
    for window in bounds.windows:
        amount = sum(window.amount(grant.tokens) for grant in grants)
        _add(connection, window, window.until_us(grants[0].latest_us), amount)
    connection.executemany(
        "insert into places values (?, ?, ?) on conflict do update set taken = taken + excluded.taken",
        [(places.account, owner, len(grants)) for places in bounds.places],
    )


def _add(connection: sqlite3.Connection, window: Window, until_us: int, amount: int) -> None:
    connection.execute(
        "insert into windows values (?, ?, ?) on conflict do update set amount = amount + excluded.amount",
        (window.account, until_us, amount),
    )
