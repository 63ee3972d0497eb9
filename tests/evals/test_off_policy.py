"""What-if from logged propensities: known cases by hand, honest intervals over many logs, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from orchestration_nb.errors import TooLittleSupportError, UsageError
from orchestration_nb.evals.off_policy import (
    ChoiceLog,
    Estimate,
    cross_fitted_rewards,
    doubly_robust,
    effective_sample_size,
    ips,
    snips,
)

Method = Callable[..., Estimate]
METHODS: tuple[Method, ...] = (ips, snips, doubly_robust)


class World:
    """Items with four features, four models of differing worth on them, and a logging and a target strategy."""

    def __init__(self, *, base: tuple[float, ...] = (0.6, 1.2, 1.4, 1.6), sharp: float = 0.5) -> None:
        dice = np.random.default_rng(11)
        self.base = np.array(base)
        self.slope = np.array([[0.5, 0, 0, 0], [0.8, 0.3, 0, 0], [0.4, -0.6, 0.2, 0], [0.1, 0.1, 0.1, 0.4]])
        self.logging, self.target = sharp * dice.normal(size=(4, 4)), 0.6 * dice.normal(size=(4, 4))

    def draw(self, n: int, seed: int) -> tuple[ChoiceLog, float]:
        """A log of n new items, and the target's expected reward on them."""
        dice = np.random.default_rng([20, seed])
        items = dice.normal(size=(n, 4))
        worth = 1 / (1 + np.exp(-(items @ self.slope.T + self.base)))
        shares, target = 0.05 + 0.8 * softmax(items @ self.logging), softmax(items @ self.target)
        chosen = (dice.random((n, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(0, 3)
        rows = np.arange(n)
        reward = (dice.random(n) < worth[rows, chosen]).astype(float)
        log = ChoiceLog(chosen=chosen, propensity=shares[rows, chosen], reward=reward, target=target, features=items)
        return log, float(np.mean(np.sum(worth * target, axis=1)))


def softmax(values: np.ndarray) -> np.ndarray:
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def evenly(n: int = 400, *, reward: float = 1.0, chosen: int | None = None) -> ChoiceLog:
    """Two models asked in turn, each with probability a half; the target asks the second one only."""
    return ChoiceLog(
        chosen=np.arange(n) % 2 if chosen is None else np.full(n, chosen),
        propensity=np.full(n, 0.5),
        reward=np.full(n, reward),
        target=np.tile([0.0, 1.0], (n, 1)),
    )


def test_the_effective_sample_size_counts_equal_weights_in_full_and_one_heavy_one_as_one() -> None:
    assert effective_sample_size(np.ones(80)) == pytest.approx(80)
    assert effective_sample_size(np.array([1.0, 0, 0, 0])) == pytest.approx(1)
    assert effective_sample_size(np.zeros(4)) == 0


def test_by_hand() -> None:
    log = ChoiceLog(
        chosen=np.array([0, 1, 1, 0]),
        propensity=np.array([0.5, 0.5, 0.25, 0.5]),
        reward=np.array([0.0, 1.0, 0.5, 1.0]),
        target=np.tile([0.25, 0.75], (4, 1)),
    )
    weights = np.array([0.5, 1.5, 3.0, 0.5])
    assert np.allclose(log.weights, weights)
    assert ips(log, least_effective_items=2).value == pytest.approx(np.mean(weights * log.reward))
    assert snips(log, least_effective_items=2).value == pytest.approx(np.sum(weights * log.reward) / weights.sum())


@pytest.mark.parametrize("method", METHODS)
def test_the_logged_strategy_itself_is_estimated_by_its_own_mean(method: Method) -> None:
    log, _ = World().draw(600, seed=1)
    own = ChoiceLog(
        chosen=log.chosen % 2,
        propensity=np.full(600, 0.5),
        reward=log.reward,
        target=np.full((600, 2), 0.5),
    )
    estimate = method(own)
    assert estimate.value == pytest.approx(log.reward.mean(), abs=0.005)
    assert estimate.effective_items == pytest.approx(600)
    assert estimate.low < estimate.value < estimate.high


def test_a_model_of_the_reward_has_never_seen_the_item_it_predicts() -> None:
    log, _ = World().draw(200, seed=3)
    before = cross_fitted_rewards(log, folds=200)
    reward = log.reward.copy()
    reward[17] = 1 - reward[17]
    after = cross_fitted_rewards(
        ChoiceLog(
            chosen=log.chosen, propensity=log.propensity, reward=reward, target=log.target, features=log.features
        ),
        folds=200,
    )
    assert np.array_equal(before[17], after[17])
    assert not np.array_equal(before, after)


def test_a_model_of_the_reward_follows_features_that_tell_and_ignores_those_that_dont() -> None:
    dice = np.random.default_rng(5)
    n = 2000
    tells, silent = dice.normal(size=(n, 1)), dice.normal(size=(n, 30))
    reward = 2.0 * tells[:, 0] + 0.1 * dice.normal(size=n)
    common: dict[str, Any] = {"chosen": np.arange(n) % 2, "propensity": np.full(n, 0.5), "target": np.full((n, 2), 0.5)}
    told = cross_fitted_rewards(ChoiceLog(reward=reward, features=tells, **common))
    assert np.std(reward - told[:, 0]) < 0.2
    noise = dice.normal(size=n)
    untold = cross_fitted_rewards(ChoiceLog(reward=noise, features=silent, **common))
    assert np.std(noise - untold[:, 0]) < 1.03 * np.std(noise)


def test_doubly_robust_needs_no_features_and_survives_an_action_that_was_hardly_taken() -> None:
    chosen = np.zeros(300, dtype=int)
    chosen[:3] = 1
    log = ChoiceLog(
        chosen=chosen,
        propensity=np.where(chosen == 1, 0.01, 0.99),
        reward=np.linspace(0, 1, 300),
        target=np.tile([0.99, 0.01], (300, 1)),
        features=np.random.default_rng(0).normal(size=(300, 3)),
    )
    assert doubly_robust(log).value == pytest.approx(0.5, abs=0.02)
    assert 0.9 < doubly_robust(evenly()).value <= 1.0


@pytest.mark.parametrize("method", METHODS)
def test_too_thin_a_support_is_refused_in_one_sentence_with_a_way_out(method: Method) -> None:
    with pytest.raises(TooLittleSupportError, match=r"worth 90 of the strategy's own, and 100 are needed") as caught:
        method(evenly(180))
    assert str(caught.value).count(".") == 1
    assert "Record more items" in caught.value.hint
    assert method(evenly(200)).effective_items == pytest.approx(100)
    assert method(evenly(180), least_effective_items=90).items == 180


@pytest.mark.parametrize("method", METHODS)
def test_choices_that_the_log_could_never_have_made_are_refused(method: Method) -> None:
    n = 1000
    log = ChoiceLog(
        chosen=np.arange(n) % 2,
        propensity=np.full(n, 0.5),
        reward=np.ones(n),
        target=np.tile([0.3, 0.3, 0.4], (n, 1)),
    )
    with pytest.raises(TooLittleSupportError, match="About 40% of what the strategy would have chosen"):
        method(log)
    told = ChoiceLog(
        chosen=np.arange(n) % 2,
        propensity=np.full(n, 0.5),
        reward=np.ones(n),
        target=np.tile([0.49, 0.49, 0.02], (n, 1)),
        possible=np.tile([True, True, False], (n, 1)),
    )
    with pytest.raises(TooLittleSupportError, match="About 2%"):
        method(told)


def test_perfect_records_are_no_certainty() -> None:
    estimate = snips(evenly(400))
    assert estimate.value == 1.0
    assert 0.97 < estimate.low < 0.99


def test_an_estimate_is_told_in_a_sentence() -> None:
    assert snips(evenly(400)).sentence.startswith("About 1, between 0.98")
    assert "400 logged items, worth 200 of the strategy's own" in snips(evenly(400)).sentence


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"propensity": np.zeros(4)}, "propensity"),
        ({"propensity": np.ones(3)}, "another shape"),
        ({"chosen": np.array([0, 1, 2, 0])}, "none of the target's 2"),
        ({"reward": np.array([0.0, np.nan, 1, 1])}, "no number"),
        ({"target": np.full((4, 2), 0.4)}, "add up to 1"),
        ({"reward": np.array([])}, "no items"),
    ],
)
def test_a_log_that_cannot_be_read_says_what_is_wrong(wrong: dict[str, Any], says: str) -> None:
    right: dict[str, Any] = {
        "chosen": np.array([0, 1, 1, 0]),
        "propensity": np.full(4, 0.5),
        "reward": np.ones(4),
        "target": np.full((4, 2), 0.5),
    }
    with pytest.raises(UsageError, match=says):
        ChoiceLog(**{**right, **wrong})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "items"), [(World(), 400), (World(), 1500), (World(base=(2.0, 2.5, 3.0, 3.5)), 1500)]
)
def test_intervals_keep_their_promise_over_a_thousand_logs(world: World, items: int) -> None:
    truth = float(np.mean([world.draw(200_000, seed=10_000 + n)[1] for n in range(10)]))
    logs = [world.draw(items, seed)[0] for seed in range(1000)]
    errors = {}
    for method in METHODS:
        estimates = [method(log) for log in logs]
        values = np.array([one.value for one in estimates])
        covered = np.mean([one.low <= truth <= one.high for one in estimates])
        honesty = np.median([one.standard_error for one in estimates]) / values.std()
        errors[method] = float(np.sqrt(np.mean((values - truth) ** 2)))
        print(f"{items} {method.__name__}: covered {covered:.3f}, error {errors[method]:.4f}, SE/SD {honesty:.3f}")
        if method is not ips:
            assert 0.925 <= covered <= 0.975
            assert 0.85 <= honesty <= 1.15
    assert errors[doubly_robust] <= errors[ips]
