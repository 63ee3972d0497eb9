"""Ids are in the order in which they were made."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestration_nb.ids import new_id


def test_more_than_a_counter_holds_are_in_order() -> None:
    made = [new_id() for _ in range(70_000)]
    assert all(before < after for before, after in itertools.pairwise(made))
    assert {len(each) for each in made} == {24}
    assert len({each[-12:] for each in made[:65_536]}) == 65_536  # people write the end of an id


def test_a_clock_that_is_set_back_changes_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_id()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert first < new_id() < new_id()


def test_no_two_threads_make_the_same() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: [new_id() for _ in range(2000)], range(8)))
    assert len({each for some in made for each in some}) == 16_000
    assert all(some == sorted(some) for some in made)
