"""Moving windows and places in flight, agreed on by all processes of a workspace.

What is sent at one moment arrives a little later, and nobody tells when. So that the provider never sees more than a
limit allows in any window, however it counts, each request fills its window from the moment of its grant until the
window's length after the latest moment at which it may have arrived: its answer, or :data:`GRACE_S` after it went out.
A process may be held up between the grant and the sending; it therefore says when the request has gone out
(:func:`move_all`), and until then the request may arrive at any time within :data:`HANDOVER_S`.

Amounts that leave a window together are kept as one row, on a grid of a two-hundredth of the window, rounded to the
careful side: a limit of a million a day takes two hundred rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

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
    account: str = field(init=False)
    """The key of its rows; a limit that is changed goes on with what was counted."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "account", f"{self.name} {self.counts}/{self.seconds}s")

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


class Move(NamedTuple):
    """A correction of what stands in the tables for a call."""

    bounds: Bounds
    """What it stays within."""
    before: Grant
    """What stands there."""
    after: Grant | None
    """What is known now; ``None``: it was not sent after all."""
    owner: str | None
    """The process whose call it was, where it is over: its place is free."""


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
    filled = _filled(connection, bounds.windows, now_us)
    for window in bounds.windows:
        count, over = _fitting(window, filled[window.account], tokens[:fitting])
        if count < fitting:
            until_us = _room_us(connection, window, over) or now_us + _SECOND_US
            fitting, wait_us, held_by = count, until_us - now_us, window
    grants = [Grant(now_us + _HANDOVER_US, each) for each in tokens[:fitting]]
    if grants:
        _note(connection, bounds, grants, owner)
    return Answer(grants=grants, wait_s=wait_us / 1e6, held_by=held_by)


def move_all(connection: sqlite3.Connection, moves: Iterable[Move]) -> None:
    """Corrects what stands in the tables for some calls; each row is written once.

    Args:
        connection: Within a transaction that writes.
        moves: The corrections.
    """
    taken_out: dict[tuple[str, int], int] = {}
    put_in: dict[tuple[str, int], dict[int, int]] = {}
    freed: dict[tuple[str, str], int] = {}
    for bounds, before, after, owner in moves:
        for window in bounds.windows:
            row = window.account, window.until_us(before.latest_us)
            taken_out[row] = taken_out.get(row, 0) + window.amount(before.tokens)
            if after is not None:
                # More than the whole limit counts here as much as it is: it was taken.
                amount = 1 if window.counts == "requests" else after.tokens
                until_us, into = window.until_us(after.latest_us), put_in.setdefault(row, {})
                into[until_us] = into.get(until_us, 0) + amount
        for places in bounds.places if owner is not None else ():
            place = places.account, owner or ""
            freed[place] = freed.get(place, 0) + 1
    _shift(connection, taken_out, put_in)
    connection.executemany(
        "update places set taken = max(0, taken - ?) where account = ? and owner = ?",
        [(count, account, owner) for (account, owner), count in freed.items()],
    )


def _shift(
    connection: sqlite3.Connection,
    taken_out: dict[tuple[str, int], int],
    put_in: dict[tuple[str, int], dict[int, int]],
) -> None:
    """Takes out of rows, and of what was taken puts into others; a row that has left its window gives nothing."""
    # The latest first: what is known better is earlier, so that a call that moved twice is found where it was put.
    for (account, until_us), amount in sorted(taken_out.items(), key=lambda item: -item[0][1]):
        into = put_in.get((account, until_us), {})
        stays = into.pop(until_us, 0)
        if stays == amount and not into:
            continue
        is_there = connection.execute(
            "update windows set amount = max(0, amount - ?) + ? where account = ? and until_us = ?",
            (amount, stays, account, until_us),
        ).rowcount
        for other_us, more in into.items() if is_there else ():
            _add(connection, account, other_us, more)


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


def _filled(connection: sqlite3.Connection, windows: Sequence[Window], now_us: int) -> dict[str, int]:
    """What fills each window, by account."""
    filled = {window.account: 0 for window in windows}
    marks = ",".join("?" * len(filled))
    select = "select account, sum(amount), min(until_us), max(until_us) from windows where account in"
    found = {account: row for account, *row in connection.execute(f"{select} ({marks}) group by account", [*filled])}
    for window in windows:
        if window.account in found:
            amount, first_us, last_us = found[window.account]
            strange_us = window.until_us(now_us + _HANDOVER_US)
            if first_us <= now_us or last_us > strange_us:
                amount = _forget(connection, window.account, now_us, strange_us)
            filled[window.account] = amount
    return filled


def _forget(connection: sqlite3.Connection, account: str, now_us: int, strange_us: int) -> int:
    """Forgets what has left the window, and what a clock that has since been set back wrote for later.

    Returns:
        What still fills it.
    """
    connection.execute(
        "delete from windows where account = ? and (until_us <= ? or until_us > ?)", (account, now_us, strange_us)
    )
    filled: int = connection.execute(
        "select coalesce(sum(amount), 0) from windows where account = ?", (account,)
    ).fetchone()[0]
    return filled


def _fitting(window: Window, filled: int, tokens: Sequence[int]) -> tuple[int, int]:
    """How many of the calls fit one after another, and by how much the first of the others passes the limit."""
    for count, each in enumerate(tokens):
        filled += window.amount(each)
        if filled > window.most:
            return count, filled - window.most
    return len(tokens), 0


def _room_us(connection: sqlite3.Connection, window: Window, wanted: int) -> int | None:
    """When so much of the window is free; ``None``: nobody knows, it is not yet written what stands in the way."""
    rows = connection.execute(
        "select until_us, amount from windows where account = ? order by until_us", (window.account,)
    )
    for until_us, amount in rows:
        wanted -= amount
        if wanted <= 0:
            return int(until_us)
    return None


def _note(connection: sqlite3.Connection, bounds: Bounds, grants: Sequence[Grant], owner: str) -> None:
    for window in bounds.windows:
        amount = sum(window.amount(grant.tokens) for grant in grants)
        _add(connection, window.account, window.until_us(grants[0].latest_us), amount)
    connection.executemany(
        "insert into places values (?, ?, ?) on conflict do update set taken = taken + excluded.taken",
        [(places.account, owner, len(grants)) for places in bounds.places],
    )


def _add(connection: sqlite3.Connection, account: str, until_us: int, amount: int) -> None:
    connection.execute(
        "insert into windows values (?, ?, ?) on conflict do update set amount = amount + excluded.amount",
        (account, until_us, amount),
    )
