"""Amounts that are set aside, and let go of, together: the same as one after another."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from orchestration_nb.state import accounts
from orchestration_nb.state.accounts import TABLES, Account, Charge, Passed

RUN = Account("usd", "run", "own", "r")
DAY = Account("usd", "day", begins_us=1, period="day")
ASKED = Account("requests", "each-user", "user", "ada")


@pytest.fixture
def tables() -> Iterator[tuple[sqlite3.Connection, sqlite3.Connection]]:
    """Two states that begin alike."""
    one, two = (sqlite3.connect(":memory:", isolation_level=None) for _ in range(2))
    for each in (one, two):
        each.executescript(TABLES)
    yield one, two
    one.close()
    two.close()


def charges(usd: int, *, most: int = 1000) -> list[Charge]:
    asked = [(RUN, usd, most), (DAY, usd, 1500), (ASKED, 1, 40)]
    return [Charge(account.key, account, amount, allowed, binds=True) for account, amount, allowed in asked]


def take(connection: sqlite3.Connection, wanted: list[Charge], facts: bytes = b"{}") -> Any:
    return accounts.take(connection, wanted, owner="me", facts=facts, now_us=1)


def rows(connection: sqlite3.Connection) -> list[Any]:
    return [
        connection.execute("select key, spent, held, told, tell_at from accounts order by key").fetchall(),
        connection.execute("select * from holds order by id").fetchall(),
    ]


def test_many_come_to_the_same_together_as_one_after_another(
    tables: tuple[sqlite3.Connection, sqlite3.Connection], dice: random.Random
) -> None:
    one, two = tables
    for each in tables:  # the accounts are made by the first call
        accounts.end(each, take(each, charges(1)), [(1, 0, RUN.key), (1, 0, DAY.key), (1, 0, ASKED.key)])
    passed: list[list[Passed]] = [[], []]
    for _ in range(8):
        wanted = [(charges(dice.randrange(20)), b"%d" % number) for number in range(dice.randrange(2, 6))]
        holds = accounts.take_all(two, wanted, owner="me", now_us=1)
        if holds is None:
            break
        assert holds == [take(one, asked, facts) for asked, facts in wanted]
        assert rows(one) == rows(two)
        ended = [
            (hold, [(part.amount, dice.randrange(part.amount + 1), part.key) for part in asked])
            for hold, (asked, _) in zip(holds, wanted, strict=True)
        ]
        ended.append(ended[0])  # a hold is ended once, however often it is said
        passed[0] += [each for hold, spent in ended for each in accounts.end(one, hold, spent)]
        passed[1] += accounts.end_all(two, ended)
        assert rows(one) == rows(two)
    marks = [sorted((each.key, mark) for each in told for mark in each.marks) for told in passed]
    assert marks[0] == marks[1]


def test_where_not_all_are_covered_nobody_takes_anything(
    tables: tuple[sqlite3.Connection, sqlite3.Connection],
) -> None:
    one, _ = tables
    take(one, charges(400))
    before = rows(one)
    assert accounts.take_all(one, [(charges(300), b"{}"), (charges(301), b"{}")], owner="me", now_us=1) is None
    assert rows(one) == before
    assert accounts.take_all(one, [(charges(300), b"{}"), (charges(300), b"{}")], owner="me", now_us=1) == [2, 3]


def test_runs_that_see_an_account_differently_are_judged_each_by_itself(
    tables: tuple[sqlite3.Connection, sqlite3.Connection],
) -> None:
    one, _ = tables
    take(one, charges(10))
    differing = [(charges(10), b"{}"), (charges(10, most=2000), b"{}")]
    assert accounts.take_all(one, differing, owner="me", now_us=1) is None


def test_every_mark_that_many_pass_together_is_told_once(
    tables: tuple[sqlite3.Connection, sqlite3.Connection],
) -> None:
    one, _ = tables
    holds = [take(one, charges(300)) for _ in range(3)]
    spent = [(300, 300, RUN.key), (300, 300, DAY.key), (1, 1, ASKED.key)]
    told = accounts.end_all(one, [(hold, spent) for hold in holds])
    assert [(each.key, each.marks, each.spent) for each in told] == [(RUN.key, (50, 80), 900), (DAY.key, (50,), 900)]
    assert accounts.end_all(one, [(take(one, charges(1)), [(1, 1, RUN.key)])]) == []
