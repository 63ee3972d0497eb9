"""Two routers on the same items: the interval of their difference, and the sentence it comes to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.baselines import slice_gap
from orchestration_nb.evals.curves import apgr, halves
from orchestration_nb.evals.routers import apgr_difference
from orchestration_nb.evals.sentences import router_sentence
from tests.evals.zeroeval import FLASH, SONNET, Floats, read_recorded


def models(n: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Scores of a small and a strong model, and how hard each item is."""
    dice = np.random.default_rng(seed)
    hard = dice.random(n)
    return (dice.random(n) > hard).astype(float), (dice.random(n) > hard / 4).astype(float), hard


def area(small: Floats, strong: Floats, scores: Floats) -> float:
    found = apgr(small, strong, scores)
    assert found is not None
    return found


def test_the_interval_is_that_of_resampling_by_hand() -> None:
    small, strong, hard = models(300, seed=1)
    groups = np.round(hard * 4)
    noisy = hard + np.random.default_rng(2).normal(0, 0.5, 300)
    found = apgr_difference(small, strong, groups, noisy, draws=1500)
    assert found is not None
    assert found.estimate == pytest.approx(area(small, strong, groups) - area(small, strong, noisy))
    dice = np.random.default_rng(3)
    by_hand = []
    for _ in range(1500):
        items = dice.integers(300, size=300)
        args = small[items], strong[items]
        by_hand.append(area(*args, groups[items]) - area(*args, noisy[items]))
    low, high = np.quantile(by_hand, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_a_router_that_knows_is_better_and_one_that_guesses_is_worse() -> None:
    small, strong, hard = models(800, seed=4)
    guess = np.random.default_rng(5).random(800)
    told = router_sentence("learned", "prior", apgr_difference(small, strong, hard, guess))
    assert told.startswith("learned routes better than prior: APGR +0.")
    told = router_sentence("learned", "prior", apgr_difference(small, strong, guess, hard))
    assert told.startswith("learned routes worse than prior: APGR −0.")


def test_two_that_guess_tie_also_over_several_splits() -> None:
    small, strong, _ = models(500, seed=6)
    dice = np.random.default_rng(7)
    found = apgr_difference(small, strong, dice.random((4, 500)), dice.random((4, 500)), draws=400)
    assert found is not None
    assert found.low < 0 < found.high
    assert router_sentence("learned", "prior", found).startswith("learned ties prior: APGR ")
    assert router_sentence("learned", "prior", found).endswith("holds 0.")


def test_a_strong_model_that_is_not_surely_better_is_said_to_be_so() -> None:
    small, strong, hard = models(60, seed=8)
    assert apgr_difference(strong, small, hard, hard) is None
    barely = small.copy()
    barely[np.flatnonzero(small == 0)[0]] = 1
    told = router_sentence("learned", "prior", apgr_difference(small, barely, hard, -hard))
    assert told == "learned and prior cannot be compared: the strong model is not surely better than the small one."
    with pytest.raises(UsageError, match="same splits"):
        apgr_difference(small, strong, hard, np.stack([hard, hard]))


@pytest.mark.corpus
def test_the_dataset_prior_routes_better_than_chance_on_recorded_replies(corpus: Path) -> None:
    recorded = read_recorded(corpus)
    small, strong = recorded.of(FLASH)[0], recorded.of(SONNET)[0]
    prior = np.stack([slice_gap(small, strong, recorded.dataset, first_half=halves(1800, seed)) for seed in range(3)])
    found = apgr_difference(small, strong, prior, np.zeros((3, 1800)), draws=300)
    assert found is not None
    assert found.low > 0
    assert found.estimate == pytest.approx(0.13, abs=0.03)
