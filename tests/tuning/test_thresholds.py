"""Thresholds to a target, and whether a router only ties the prior of its slices."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.curves import Escalation, apgr
from orchestration_nb.tuning.thresholds import realised, threshold_for
from orchestration_nb.tuning.ties import against_prior, prior_scores


def items(n: int, seed: int, *, told: float = 3.0) -> tuple[Escalation, np.ndarray]:
    """The chance of the cheap model falls with a hidden hardness, which the scores know up to some noise."""
    dice = np.random.default_rng(seed)
    hard = dice.normal(size=n)
    cheap = (dice.random(n) < 1 / (1 + np.exp(told * hard - 2))).astype(float)
    strong = (dice.random(n) < 1 / (1 + np.exp(hard - 3))).astype(float)
    ways = Escalation(
        scores=hard + dice.normal(scale=0.3, size=n),
        quality_kept=cheap,
        quality_escalated=strong,
        cost_kept=np.full(n, 0.1),
        cost_escalated=np.full(n, 1.1),
    )
    return ways, np.ones(n)


@pytest.mark.parametrize("target", [0.95, 0.97, 0.99])
def test_a_target_is_missed_no_more_often_than_the_level_says(dice: random.Random, target: float) -> None:
    whole, cost = items(200_000, dice.randrange(2**32))
    missed = {0.5: 0, 0.9: 0}
    for _ in range(200):
        some, paid = items(900, dice.randrange(2**32))
        for level in missed:
            threshold = threshold_for(some, paid, target, level=level)
            missed[level] += realised(whole, cost, threshold.value).kept < target
    assert missed[0.9] <= 33  # 20, and three standard deviations
    assert missed[0.9] < missed[0.5]


def test_what_a_threshold_comes_to_is_counted() -> None:
    ways = Escalation(
        scores=np.array([0.1, 0.5, 0.9, 0.5]),
        quality_kept=np.array([1.0, 0, 0, 1]),
        quality_escalated=np.array([1.0, 1, 1, 1]),
        cost_kept=np.array([1.0, 1, 1, 1]),
        cost_escalated=np.array([5.0, 5, 5, 5]),
    )
    found = realised(ways, np.full(4, 4.0), 0.9)
    assert (found.quality, found.kept, found.escalated) == (0.75, 0.75, 0.25)
    assert found.cost_usd == 2
    assert found.saved == 0.5
    assert realised(ways, np.full(4, 4.0), -math.inf).saved == pytest.approx(-0.25)
    assert realised(ways, np.full(4, 4.0), math.inf).escalated == 0


def test_a_cheap_model_that_is_never_worse_takes_all() -> None:
    ways, cost = items(300, 1)
    same = Escalation(
        scores=ways.scores,
        quality_kept=ways.quality_escalated,
        quality_escalated=ways.quality_escalated,
        cost_kept=ways.cost_kept,
        cost_escalated=ways.cost_escalated,
    )
    assert threshold_for(same, cost, 0.97).expected.escalated == 0


@pytest.mark.parametrize(("target", "level"), [(0, 0.8), (1.2, 0.8), (97, 0.8), (0.97, 1.0), (0.97, 0.2)])
def test_targets_that_are_no_shares_are_refused(target: float, level: float) -> None:
    ways, cost = items(100, 1)
    with pytest.raises(UsageError, match="cannot be kept"):
        threshold_for(ways, cost, target, level=level)


def test_a_router_that_knows_no_more_than_the_slice_ties_the_prior() -> None:
    dice = np.random.default_rng(4)
    slices = dice.integers(0, 3, 900)
    small = (dice.random(900) < np.array([0.9, 0.6, 0.3])[slices]).astype(float)
    strong = (dice.random(900) < 0.9).astype(float)
    prior = prior_scores(small, strong, list(slices), np.arange(900))
    noise = prior + dice.normal(scale=1e-3, size=900)
    found = against_prior(small, strong, [noise], [prior])
    assert found.ties
    assert str(found).startswith("It ties the prior: APGR 0.")
    assert found.prior == pytest.approx(apgr(small, strong, prior))
    assert found.difference.low < found.difference.estimate < found.difference.high


def test_a_router_that_knows_the_items_is_better_than_the_prior() -> None:
    ways, _ = items(1500, 5)
    flat = prior_scores(ways.quality_kept, ways.quality_escalated, ["all"] * 1500, np.arange(700))
    found = against_prior(ways.quality_kept, ways.quality_escalated, [ways.scores], [flat])
    assert found.prior == pytest.approx(0.5)
    assert not found.ties
    assert str(found).startswith("It is better than the prior")


def test_a_slice_that_was_not_trained_on_takes_the_mean() -> None:
    scores = prior_scores(np.zeros(4), np.array([1.0, 0, 1, 1]), ["a", "a", "b", "b"], np.array([0, 1]))
    assert list(scores) == [0.5] * 4


def test_no_gap_is_told() -> None:
    same = np.ones(50)
    with pytest.raises(UsageError, match="no gap"):
        against_prior(same, same, [same], [same])
