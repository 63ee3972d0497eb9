"""Tests of paired scores against scipy's, Holm's correction, and items and values that are too few."""

from __future__ import annotations

import math

import numpy as np
import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.intervals import Interval
from orchestration_nb.evals.significance import (
    WinTieLoss,
    holm,
    items_needed,
    mcnemar,
    noninferior,
    percentile_or_none,
    win_tie_loss,
)


def scored(wins: int, ties: int, losses: int) -> tuple[list[float], list[float]]:
    return [1.0] * (wins + ties) + [0.0] * losses, [0.0] * wins + [1.0] * (ties + losses)


@pytest.mark.parametrize(
    ("wins", "losses"), [(0, 0), (1, 0), (5, 0), (6, 1), (14, 5), (70, 50), (700, 610), (9000, 9400)]
)
def test_mcnemar_is_the_exact_binomial_test(wins: int, losses: int) -> None:
    from scipy.stats import binomtest

    expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert mcnemar(*scored(wins, 30, losses)) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(*scored(losses, 30, wins)) == pytest.approx(expected, rel=1e-9)


def test_win_tie_loss_counts_items() -> None:
    assert win_tie_loss([1, 0, 0.5, 0.2], [0, 0, 0.25, 0.7]) == WinTieLoss(wins=2, ties=1, losses=1)
    with pytest.raises(UsageError, match="same items"):
        win_tie_loss([1, 0], [1])


def test_holm_steps_down() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_noninferior_asks_the_lower_end() -> None:
    interval = Interval(estimate=-0.005, low=-0.018, high=0.01, level=0.95, n=900)
    assert noninferior(interval, 0.02)
    assert not noninferior(interval, 0.015)
    with pytest.raises(UsageError, match="above 0"):
        noninferior(interval, 0)


@pytest.mark.parametrize(("difference", "discordant"), [(0.02, 0.1), (0.02, 0.2), (0.05, 0.2), (0.03, 0.06)])
def test_so_many_items_show_the_stated_difference_with_the_stated_power(difference: float, discordant: float) -> None:
    from scipy.stats import binom

    n = items_needed(difference, discordant=discordant)
    shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
    drawn = np.random.default_rng(11).multinomial(n, shares, size=20_000)
    p_values = 2 * binom.cdf(drawn[:, :2].min(axis=1), drawn[:, :2].sum(axis=1), 0.5)
    assert (p_values <= 0.05).mean() == pytest.approx(0.8, abs=0.02)


def test_items_needed_grow_with_discordance_and_are_never_none() -> None:
    assert items_needed(discordant=0.1) < items_needed(discordant=0.2) < items_needed(discordant=0.2, power=0.9)
    assert items_needed(discordant=0.0) == items_needed(discordant=0.02)
    assert items_needed(discordant=0.2, alpha=0.005) > items_needed(discordant=0.2)
    for wrong in (0.0, -0.02, 1.5, math.nan):
        with pytest.raises(UsageError, match="No number of items"):
            items_needed(wrong, discordant=0.1)


def test_a_percentile_needs_ten_values_beyond_it() -> None:
    values = np.arange(200.0)
    assert percentile_or_none(values, 0.95) == pytest.approx(np.quantile(values, 0.95))
    assert (values > np.quantile(values, 0.95)).sum() == 10
    assert percentile_or_none(values[:199], 0.95) is None
    assert percentile_or_none(np.append(values[:199], np.nan), 0.95) is None
    assert percentile_or_none(np.arange(999.0), 0.99) is None
    assert percentile_or_none(np.arange(1000.0), 0.99) is not None
    assert percentile_or_none(np.arange(20.0), 0.5) == pytest.approx(9.5)
    assert percentile_or_none(values, 0.04) is None
    with pytest.raises(UsageError, match="between 0 and 1"):
        percentile_or_none(values, 95)
