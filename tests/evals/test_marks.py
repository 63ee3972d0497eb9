"""Marks of a person, as values and as scores."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.marks import HumanMark, qualities


def mark(item: int, strategy: str, versus: str, said: Any) -> HumanMark:
    return HumanMark(item=item, strategy=strategy, versus=versus, mark=said)


@pytest.mark.parametrize(("said", "value", "other"), [("better", 1.0, 0.0), ("same", 0.5, 0.5), ("worse", 0.0, 1.0)])
def test_a_mark_scores_both_strategies(said: str, value: float, other: float) -> None:
    given = mark(0, "a", "b", said)
    assert (given.score.value, given.score.label) == (value, said)
    assert (given.mirrored().strategy, given.mirrored().score.value) == ("b", other)
    assert given.mirrored().mirrored() == given


def test_the_quality_is_the_mean_over_the_pairs_of_an_item() -> None:
    given = [
        mark(0, "a", "b", "better"),
        mark(0, "a", "c", "same"),
        mark(0, "b", "c", "worse"),
        mark(3, "a", "b", "same"),
    ]
    assert qualities(given) == {"a": {0: 0.75, 3: 0.5}, "b": {0: 0.0, 3: 0.5}, "c": {0: 0.75}}


def test_the_last_mark_of_a_pair_counts_whichever_way_round() -> None:
    assert qualities([mark(0, "a", "b", "better"), mark(0, "b", "a", "better")]) == {"b": {0: 1.0}, "a": {0: 0.0}}
    assert qualities([]) == {}


def test_what_is_no_mark_is_refused() -> None:
    with pytest.raises(UsageError, match="'beter' is no mark") as caught:
        mark(0, "a", "b", "beter")
    assert "'better'" in caught.value.hint
    with pytest.raises(UsageError, match="against itself"):
        mark(0, "a", "a", "same")
