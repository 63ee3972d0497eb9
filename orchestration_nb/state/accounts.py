"""Accounts and holds: what is spent, and what is set aside for calls under way, over all processes of a workspace.

An account is kept for each budget or quota, for whom it holds, and for each of its periods. A hold sets amounts aside
in several accounts at once, all or nothing; it ends exactly once, whichever process ends it. Amounts are integers
(picodollars, requests, tokens), so that sums are exact. All functions are works for the
:class:`~orchestration_nb.state.desk.Desk`: each runs within a transaction that somebody else began.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import orjson

TABLES = """
create table if not exists accounts (
    key text primary key,
    kind text not null, name text not null, per text not null, whose text not null, begins_us integer not null,
    most integer not null, raised integer, raised_from integer, allowed integer not null,
    spent integer not null default 0, held integer not null default 0,
    told integer not null default 0, told_most integer not null, tell_at integer not null,
    refused integer not null default 0, used_us integer not null
) without rowid;
create table if not exists holds (
    id integer primary key, owner text not null, parts blob not null, parked text, opened_us integer not null,
    facts blob not null
);
create index if not exists holds_parked on holds (parked) where parked is not null;
"""

Spent = tuple[int, int, str]
"""What was held in an account, what was really spent, and the account's key."""
Kind = Literal["usd", "requests", "tokens"]
"""What an account counts: picodollars, requests or tokens."""
MARKS: Final = (50, 80, 100)
"""Per cent of a budget at which somebody is told."""
_NEVER: Final = 2**62
DAY_US: Final = 86_400_000_000
KEPT_DAYS: Final = 30
"""How long the account of a run is kept after its last call, and a parked hold that nobody comes back for."""


@dataclass(frozen=True, slots=True)
class Account:
    """Which account: of what, for whom, since when."""

    kind: Kind
    name: str
    """The budget or quota, as the settings call it; ``run`` for a run's own."""
    per: str = "workspace"
    whose: str = ""
    """The run, step, flow, notebook, user or tag value; empty for the workspace as a whole."""
    begins_us: int = 0
    """Beginning of the period: microseconds since 1970; 0 where it never begins anew."""
    period: str = ""

    @property
    def key(self) -> str:
        """Stands for the account in the file."""
        return f"{self.kind}|{self.name}|{self.per}|{self.period}|{self.begins_us}|{self.whose}"


class Charge(NamedTuple):
    """An amount that a call is to be charged to an account at most."""

    key: str
    account: Account
    amount: int
    most: int
    """What the settings allow the account, unless that was raised since."""
    binds: bool
    """Whether the account refuses what it does not cover."""
    pauses: bool = False
    known_spent: int = 0
    """What this process knows to be spent of it, should the file have been removed meanwhile."""


class Short(NamedTuple):
    """An account does not cover a charge."""

    charge: Charge
    is_final: bool
    """Whether it is what is spent that stands against it, and not only what is held."""
    spent: int
    most: int
    is_news: bool
    """Whether nobody was told yet that this account refuses."""


class Passed(NamedTuple):
    """An account passed marks of which nobody was told yet."""

    account: Account
    marks: tuple[int, ...]
    spent: int
    most: int


class Lost(NamedTuple):
    """A hold whose process died: settled at its maximum."""

    owner: str
    opened_us: int
    usd: int
    """Picodollars."""
    facts: bytes
    passed: list[Passed]


class Balance(NamedTuple):
    """How an account stands."""

    account: Account
    most: int
    spent: int
    held: int


def take(
    connection: sqlite3.Connection, charges: Sequence[Charge], *, owner: str, facts: bytes, now_us: int
) -> int | Short:
    """Sets all the amounts aside, or none.

    Returns:
        The id of the hold, or the account that stands most in its way.
    """
    if not _taken(connection, charges, now_us):
        short = _shortest(connection, charges, now_us)
        if short is not None:
            return short
        rows = [(charge.amount, now_us, charge.key) for charge in charges]
        connection.executemany("update accounts set held = held + ?, used_us = ? where key = ?", rows)
    parts = orjson.dumps([(charge.key, charge.amount) for charge in charges])
    row = (owner, parts, now_us, facts)
    hold = connection.execute("insert into holds (owner, parts, opened_us, facts) values (?, ?, ?, ?)", row).lastrowid
    assert hold is not None
    return hold


def end(connection: sqlite3.Connection, hold: int, spent: Sequence[Spent]) -> list[Passed]:
    """Ends a hold; one that was ended before, by whomever, stays as it is.

    Args:
        connection: Within a transaction that writes.
        hold: Its id.
        spent: For each account what was held, what was really spent, and its key.

    Returns:
        The accounts that passed a mark.
    """
    if not connection.execute("delete from holds where id = ?", (hold,)).rowcount:
        return []
    return _book(connection, spent)


def recover(connection: sqlite3.Connection, dead: Callable[[Iterable[str]], set[str]], *, now_us: int) -> list[Lost]:
    """Settles at their maximum the holds of processes that died, and those parked that nobody came back for."""
    owners = [owner for (owner,) in connection.execute("select distinct owner from holds where parked is null")]
    before_us = now_us - KEPT_DAYS * DAY_US
    rows = connection.execute(
        "delete from holds where parked is not null and opened_us < ? returning owner, opened_us, parts, facts",
        (before_us,),
    ).fetchall()
    for owner in dead(owners):
        rows += connection.execute(
            "delete from holds where owner = ? and parked is null returning owner, opened_us, parts, facts", (owner,)
        ).fetchall()
    return [_lost(connection, *row) for row in rows]


def forget(connection: sqlite3.Connection, *, now_us: int) -> None:
    """Deletes the accounts of runs that ended long ago."""
    connection.execute(
        "delete from accounts where per in ('own', 'run', 'headless', 'pipeline') and used_us < ? and held = 0",
        (now_us - KEPT_DAYS * DAY_US,),
    )


def park(connection: sqlite3.Connection, hold: int, key: str) -> None:
    """Lets a hold outlive its process; :func:`parked` finds it by ``key``."""
    connection.execute("update holds set parked = ? where id = ?", (key, hold))


def parked(connection: sqlite3.Connection, key: str) -> tuple[int, list[tuple[str, int]]] | None:
    """The id of a parked hold, and for each account its key and what is held; ``None`` where there is none."""
    row = connection.execute("select id, parts from holds where parked = ? order by id limit 1", (key,)).fetchone()
    return None if row is None else (row[0], [(account, amount) for account, amount in orjson.loads(row[1])])


def raise_most(connection: sqlite3.Connection, charge: Charge, to: int, *, now_us: int) -> int | None:
    """Lets the account hold at most ``to``, until its period ends or the settings say something new.

    Returns:
        What is spent of it if that is no less than ``to``: then nothing was changed. Else ``None``.
    """
    spent, _, _ = _read(connection, charge, now_us)
    if spent >= to:
        return spent
    update = "update accounts set raised = ?, raised_from = most, allowed = ? where key = ?"
    connection.execute(update, (to, to, charge.key))
    _tell_anew(connection, charge.key, spent, to)
    return None


def balance(connection: sqlite3.Connection, account: Account, most: int) -> Balance:
    """How an account stands; one that was never charged is empty."""
    row = connection.execute(
        "select spent, held, raised, raised_from from accounts where key = ?", (account.key,)
    ).fetchone()
    if row is None:
        return Balance(account, most, 0, 0)
    spent, held, raised, raised_from = row
    return Balance(account, _valid(most, raised, raised_from), spent, held)


def of_periods(connection: sqlite3.Connection, periods: Iterable[tuple[Kind, str, int]]) -> list[Account]:
    """The accounts of budgets and quotas, each given by its kind, name, and the beginning of a period."""
    select = "select key, kind, name, per, whose, begins_us from accounts where kind = ? and name = ? and begins_us = ?"
    rows = [row for period in periods for row in connection.execute(f"{select} order by key", period)]
    return [Account(kind, name, per, whose, us, key.split("|")[3]) for key, kind, name, per, whose, us in rows]


def rescue(damaged: Path, connection: sqlite3.Connection) -> int:
    """Copies what can be read of a damaged file's accounts and holds; what is lost of the holds counts as spent.

    Args:
        damaged: The file, set aside.
        connection: To the new one; not within a transaction.

    Returns:
        How many accounts could be read.
    """
    with contextlib.closing(sqlite3.connect(damaged)) as old:
        rows = {table: _readable(old, table) for table in ("accounts", "holds")}
    connection.execute("begin immediate")
    for table, (columns, found) in rows.items():
        if not found:
            continue
        marks = ", ".join("?" * len(columns))
        insert = f"insert or ignore into {table} ({', '.join(columns)}) values ({marks})"  # noqa: S608 - our own names
        connection.executemany(insert, found)
    held: dict[str, int] = {}
    for (parts,) in connection.execute("select parts from holds"):
        for key, amount in orjson.loads(parts):
            held[key] = held.get(key, 0) + amount
    for (key,) in connection.execute("select key from accounts").fetchall():
        update = "update accounts set spent = spent + held - ?, held = ? where key = ?"
        connection.execute(update, (held.get(key, 0), held.get(key, 0), key))
    connection.execute("commit")
    return len(rows["accounts"][1])


def _readable(damaged: sqlite3.Connection, table: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns of a table, and its rows up to where it is damaged."""
    columns: list[str] = []
    rows: list[tuple[Any, ...]] = []
    with contextlib.suppress(sqlite3.Error):
        found = damaged.execute(f"select * from {table}")  # noqa: S608 - one of our own
        columns = [name for name, *_ in found.description]
        for row in found:
            rows.append(row)  # noqa: PERF402 - what was read before the damage counts
    return columns, rows


def _taken(connection: sqlite3.Connection, charges: Sequence[Charge], now_us: int) -> bool:
    """Whether all accounts are there and covered it all, the usual case; else nothing was taken."""
    for place, (key, _, amount, most, binds, _, _) in enumerate(charges):
        row = (amount, now_us, key, most, amount, not binds or amount == 0)
        if not connection.execute(_TAKE, row).rowcount:
            taken = [(charge.amount, charge.key) for charge in charges[:place]]
            connection.executemany("update accounts set held = held - ? where key = ?", taken)
            return False
    return True


_TAKE = (
    "update accounts set held = held + ?, used_us = ? where key = ? and most = ? and (spent + held + ? <= allowed or ?)"
)


def _shortest(connection: sqlite3.Connection, charges: Sequence[Charge], now_us: int) -> Short | None:
    """The account that stands most in the way: what is final counts more, and to fail more than to pause."""
    found = [short for short in (_shortage(connection, charge, now_us) for charge in charges) if short is not None]
    if not found:
        return None
    short = max(found, key=lambda short: (short.is_final, not short.charge.pauses))
    if short.is_final:
        update = "update accounts set refused = 1 where key = ? and not refused"
        short = short._replace(is_news=connection.execute(update, (short.charge.key,)).rowcount == 1)
    return short


def _shortage(connection: sqlite3.Connection, charge: Charge, now_us: int) -> Short | None:
    spent, held, allowed = _read(connection, charge, now_us)
    amount = charge.amount
    if not charge.binds or amount == 0 or spent + held + amount <= allowed:
        return None
    return Short(charge, spent + amount > allowed, spent, allowed, is_news=False)


def _read(connection: sqlite3.Connection, charge: Charge, now_us: int) -> tuple[int, int, int]:
    """Spent, held, and what is allowed; the account is made where it is missing, with what is known of it."""
    row = connection.execute(
        "select spent, held, most, raised, raised_from, allowed from accounts where key = ?", (charge.key,)
    ).fetchone()
    if row is None:
        account, most = charge.account, charge.most
        whose = (account.kind, account.name, account.per, account.whose, account.begins_us)
        connection.execute(
            "insert into accounts"
            " (key, kind, name, per, whose, begins_us, most, allowed, told_most, tell_at, spent, used_us)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (charge.key, *whose, most, most, most, _tell_at(0, most), charge.known_spent, now_us),
        )
        return charge.known_spent, 0, most
    spent, held, most, raised, raised_from, allowed = row
    if most != charge.most:
        most, allowed = charge.most, _valid(charge.most, raised, raised_from)
        connection.execute("update accounts set most = ?, allowed = ? where key = ?", (most, allowed, charge.key))
        _tell_anew(connection, charge.key, spent, allowed)
    return spent, held, allowed


def _tell_anew(connection: sqlite3.Connection, key: str, spent: int, allowed: int) -> None:
    """A budget that is larger than ever tells of its marks anew; one that two processes see differently, once each."""
    told, told_most, refused = connection.execute(
        "select told, told_most, refused from accounts where key = ?", (key,)
    ).fetchone()
    if allowed > told_most:
        told, told_most, refused = min(told, _highest_mark(spent, allowed)), allowed, 0
    update = "update accounts set told = ?, told_most = ?, refused = ?, tell_at = ? where key = ?"
    connection.execute(update, (told, told_most, refused, _tell_at(told, allowed), key))


def _valid(most: int, raised: int | None, raised_from: int | None) -> int:
    """What holds now: what it was raised to, unless the settings have changed since."""
    return raised if raised is not None and raised_from == most else most


def _book(connection: sqlite3.Connection, spent: Sequence[Spent]) -> list[Passed]:
    connection.executemany("update accounts set held = held - ?, spent = spent + ? where key = ?", spent)
    passed = [_told(connection, key) for _, amount, key in spent if amount and key.startswith("usd|")]
    return [one for one in passed if one is not None]


def _told(connection: sqlite3.Connection, key: str) -> Passed | None:
    """The marks that an account has passed, if there are any: from now on somebody was told of them."""
    # Not by `returning`, which costs five times the update.
    row = connection.execute(
        "select spent, allowed, told, kind, name, per, whose, begins_us from accounts"
        " where key = ? and spent >= tell_at",
        (key,),
    ).fetchone()
    if row is None:
        return None
    spent, allowed, told, *account = row
    mark = max(told, _highest_mark(spent, allowed))
    connection.execute("update accounts set told = ?, tell_at = ? where key = ?", (mark, _tell_at(mark, allowed), key))
    marks = tuple(one for one in MARKS if told < one <= mark)
    return Passed(Account(*account), marks, spent, allowed) if marks else None


def _tell_at(told: int, most: int) -> int:
    """The amount from which on somebody is to be told of the next mark."""
    following = next((mark for mark in MARKS if mark > told), None)
    return _NEVER if following is None else max(1, -(-most * following // 100))


def _highest_mark(spent: int, most: int) -> int:
    for mark in reversed(MARKS):
        if spent * 100 >= mark * most and spent:
            return mark
    return 0


def _lost(connection: sqlite3.Connection, owner: str, opened_us: int, parts: bytes, facts: bytes) -> Lost:
    amounts: list[tuple[str, int]] = orjson.loads(parts)
    usd = max((amount for key, amount in amounts if key.startswith("usd|")), default=0)
    passed = _book(connection, [(amount, amount, key) for key, amount in amounts])
    return Lost(owner, opened_us, usd, facts, passed)
