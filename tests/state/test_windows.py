"""Moving windows and places in flight: exact however calls come and go, over any number of processes."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from orchestration_nb.state.windows import TABLES, Answer, Bounds, Grant, Move, Places, Window, move_all, take

SECOND = 1_000_000
GRACE = 250_000
FIFTY = Window(name="openai", counts="requests", seconds=1, most=50)


def nobody(_: Iterable[str]) -> set[str]:
    return set()


@pytest.fixture
def table() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(TABLES)
    yield connection
    connection.close()


def ask(table: sqlite3.Connection, bounds: Bounds, count: int = 1, *, at: int, tokens: int = 1, **more: Any) -> Answer:
    return take(table, bounds, [tokens] * count, now_us=at, **{"owner": "me", "dead": nobody, **more})


def end(table: sqlite3.Connection, bounds: Bounds, grant: Grant, *, at: int, tokens: int = 1) -> None:
    """The call is over at that moment."""
    after = Grant(min(grant.latest_us, at), tokens)
    move_all(table, [Move(bounds, grant, after, "me")])
    grant.latest_us, grant.tokens = after.latest_us, after.tokens


def sent(table: sqlite3.Connection, bounds: Bounds, grant: Grant, *, at: int) -> None:
    """The call has gone out by that moment."""
    move_all(table, [Move(bounds, grant, Grant(at + GRACE, grant.tokens), None)])
    grant.latest_us = at + GRACE


def most_in_any_window(times: Iterable[int], length_us: int) -> int:
    held = sorted(times)
    most = first = 0
    for last, time in enumerate(held):
        while held[first] <= time - length_us:
            first += 1
        most = max(most, last - first + 1)
    return most


class TestWindow:
    def test_grants_what_fits_and_says_when_the_next_does(self, table: sqlite3.Connection) -> None:
        bounds = Bounds(windows=(FIFTY,))
        first = ask(table, bounds, 80, at=10 * SECOND)
        assert (len(first.grants), first.held_by) == (50, FIFTY)
        for grant in first.grants:
            sent(table, bounds, grant, at=10 * SECOND)
        again = ask(table, bounds, 1, at=10 * SECOND + 400_000)
        assert again.grants == []
        assert again.wait_s == pytest.approx(0.85, abs=0.006)  # the window, and the moment it may take to arrive
        assert len(ask(table, bounds, 80, at=11 * SECOND + 260_000).grants) == 50

    def test_a_process_that_is_held_up_between_grant_and_sending_lets_nobody_else_go(
        self, table: sqlite3.Connection
    ) -> None:
        bounds = Bounds(windows=(FIFTY,))
        granted = ask(table, bounds, 50, at=10 * SECOND).grants
        assert ask(table, bounds, 1, at=12 * SECOND, owner="other").grants == []
        for grant in granted:
            sent(table, bounds, grant, at=12 * SECOND)
        assert ask(table, bounds, 1, at=13 * SECOND, owner="other").grants == []
        assert len(ask(table, bounds, 60, at=13 * SECOND + 260_000, owner="other").grants) == 50

    def test_one_that_dies_between_them_holds_its_room_for_some_seconds_only(self, table: sqlite3.Connection) -> None:
        bounds = Bounds(windows=(FIFTY,))
        ask(table, bounds, 50, at=10 * SECOND, owner="killed")
        assert len(ask(table, bounds, 60, at=22 * SECOND).grants) == 50

    def test_an_answer_says_that_the_call_had_arrived(self, table: sqlite3.Connection) -> None:
        bounds = Bounds(windows=(FIFTY,))
        for grant in ask(table, bounds, 50, at=10 * SECOND).grants:
            end(table, bounds, grant, at=10 * SECOND + 20_000)
        assert ask(table, bounds, 1, at=11 * SECOND).grants == []
        assert len(ask(table, bounds, 80, at=11 * SECOND + 30_000).grants) == 50

    def test_no_server_sees_more_than_the_limit_in_any_window(
        self, table: sqlite3.Connection, dice: random.Random
    ) -> None:
        bounds = Bounds(windows=(FIFTY,))
        now = 0
        arrivals: list[int] = []
        open_calls: list[tuple[int, Grant]] = []
        to_send: list[tuple[int, Grant]] = []
        while len(arrivals) < 3000:
            now += dice.randrange(20_000)
            for call in [call for call in open_calls if call[0] <= now]:
                open_calls.remove(call)
                end(table, bounds, call[1], at=call[0])
            for call in [call for call in to_send if call[0] <= now]:
                to_send.remove(call)
                sent(table, bounds, call[1], at=call[0])
            for grant in ask(table, bounds, dice.randrange(30), at=now).grants:
                held_up_us = dice.choice([0, 0, 0, dice.randrange(700_000)])
                arrives = now + held_up_us + dice.randrange(GRACE)
                to_send.append((now + held_up_us, grant))
                arrivals.append(arrives)
                open_calls.append((arrives + dice.randrange(500_000), grant))
        assert most_in_any_window(arrivals, SECOND) <= 50
        assert len(arrivals) / (now / SECOND) > 0.7 * 50

    def test_what_is_corrected_together_comes_to_the_same_as_one_after_another(self, dice: random.Random) -> None:
        minute = Window(name="openai", counts="tokens", seconds=60, most=400)
        bounds = Bounds(windows=(FIFTY, minute), places=(Places(name="openai", most=90),))
        tables = [sqlite3.connect(":memory:", isolation_level=None) for _ in range(2)]
        for one in tables:
            one.executescript(TABLES)
        open_calls: list[Grant] = []
        for now in range(0, 30 * SECOND, 200_000):
            moves = []
            for grant in dice.sample(open_calls, dice.randrange(len(open_calls) + 1)):
                if dice.random() < 0.3:
                    after = Grant(min(grant.latest_us, now + GRACE), grant.tokens)
                    moves.append(Move(bounds, Grant(grant.latest_us, grant.tokens), after, None))
                    grant.latest_us = after.latest_us
                sent = Grant(min(grant.latest_us, now), dice.randrange(60))
                moves.append(Move(bounds, grant, None if dice.random() < 0.1 else sent, "me"))
                open_calls = [each for each in open_calls if each is not grant]  # others may be equal to it
            for move in moves:
                move_all(tables[0], [move])
            move_all(tables[1], moves)
            tokens = [dice.randrange(1, 30) for _ in range(dice.randrange(9))]
            first, second = (take(each, bounds, tokens, now_us=now, owner="me", dead=nobody) for each in tables)
            assert first == second
            open_calls += first.grants
            for name in ("windows", "places"):
                rows, others = ([*each.execute(f"select * from {name} order by 1, 2")] for each in tables)
                assert rows == others
        for one in tables:
            one.close()

    def test_a_call_that_was_not_sent_gives_its_room_back(self, table: sqlite3.Connection) -> None:
        bounds = Bounds(windows=(FIFTY,), places=(Places(name="openai", most=50),))
        for grant in ask(table, bounds, 50, at=0).grants:
            move_all(table, [Move(bounds, grant, None, "me")])
        assert len(ask(table, bounds, 50, at=0).grants) == 50

    def test_a_clock_that_is_set_back_blocks_nothing_for_longer_than_the_window(
        self, table: sqlite3.Connection
    ) -> None:
        bounds = Bounds(windows=(FIFTY,))
        ask(table, bounds, 50, at=10_000 * SECOND)
        assert len(ask(table, bounds, 50, at=5 * SECOND).grants) == 50

    def test_two_names_count_apart_and_the_tightest_decides(self, table: sqlite3.Connection) -> None:
        own = Window(name="openai/gpt-4.1", counts="requests", seconds=60, most=3)
        assert len(ask(table, Bounds(windows=(FIFTY, own)), 10, at=0).grants) == 3
        assert len(ask(table, Bounds(windows=(FIFTY,)), 80, at=0).grants) == 47

    def test_a_day_of_calls_takes_few_rows(self, table: sqlite3.Connection) -> None:
        day = Bounds(windows=(Window(name="openai", counts="requests", seconds=86_400, most=10**9),))
        for number in range(5000):
            ask(table, day, 7, at=number * 17 * SECOND)
        assert table.execute("select count(*) from windows").fetchone()[0] <= 202
        assert table.execute("select sum(amount) from windows").fetchone()[0] >= 35_000


class TestTokens:
    MINUTE = Bounds(windows=(Window(name="openai", counts="tokens", seconds=60, most=10_000),))

    def test_what_a_call_took_replaces_what_was_expected(self, table: sqlite3.Connection) -> None:
        [first] = ask(table, self.MINUTE, at=0, tokens=9000).grants
        assert ask(table, self.MINUTE, at=0, tokens=2000).grants == []
        end(table, self.MINUTE, first, tokens=100, at=SECOND)
        [second] = ask(table, self.MINUTE, at=2 * SECOND, tokens=9000).grants
        end(table, self.MINUTE, second, tokens=30_000, at=3 * SECOND)  # three times what is allowed
        assert ask(table, self.MINUTE, at=4 * SECOND, tokens=1).grants == []
        assert ask(table, self.MINUTE, at=63 * SECOND, tokens=10_000).grants

    def test_a_call_larger_than_the_limit_goes_alone_rather_than_never(self, table: sqlite3.Connection) -> None:
        ask(table, self.MINUTE, at=0, tokens=500)
        assert ask(table, self.MINUTE, at=SECOND, tokens=50_000).grants == []
        assert ask(table, self.MINUTE, at=72 * SECOND, tokens=50_000).grants
        assert ask(table, self.MINUTE, at=73 * SECOND, tokens=1).grants == []


class TestPlaces:
    THREE = Bounds(places=(Places(name="openai", most=3),))

    def test_are_free_again_when_calls_end(self, table: sqlite3.Connection) -> None:
        answer = ask(table, self.THREE, 5, at=0)
        assert (len(answer.grants), answer.held_by) == (3, self.THREE.places[0])
        end(table, self.THREE, answer.grants[0], at=1)
        assert len(ask(table, self.THREE, 5, at=0).grants) == 1

    def test_those_of_a_dead_process_are_void(self, table: sqlite3.Connection) -> None:
        ask(table, self.THREE, 2, at=0, owner="killed")
        ask(table, self.THREE, 1, at=0, owner="alive")
        assert ask(table, self.THREE, 3, at=0).grants == []
        assert len(ask(table, self.THREE, 3, at=0, dead=lambda owners: {"killed"} & set(owners)).grants) == 2
        assert len(ask(table, self.THREE, 3, at=0).grants) == 0

    def test_processes_that_came_and_went_leave_no_rows(self, table: sqlite3.Connection) -> None:
        for number in range(100):
            ask(table, self.THREE, 1, at=0, owner=f"was{number}", dead=set)
        assert table.execute("select count(*) from places").fetchone()[0] <= 16

    def test_ending_twice_frees_no_more_than_was_taken(self, table: sqlite3.Connection) -> None:
        for _ in range(3):
            end(table, self.THREE, Grant(0, 1), at=1)
        assert len(ask(table, self.THREE, 9, at=0).grants) == 3
