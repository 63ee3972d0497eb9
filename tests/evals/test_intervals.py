"""Intervals of paired differences against scipy's, on few items, on none that differ, and on skewed values."""

from __future__ import annotations

import numpy as np
import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.intervals import (
    difference,
    mean_differences,
    paired_bootstrap,
    percentile_differences,
    wilson,
    yes_no_difference,
)


@pytest.mark.parametrize("n", [5, 20, 300])
def test_on_symmetric_values_the_bootstrap_is_students_interval(n: int) -> None:
    import scipy.stats

    values = scipy.stats.norm.ppf((np.arange(n) + 0.5) / n) + 3
    found = paired_bootstrap(values, draws=4000)
    student = scipy.stats.t.interval(0.95, n - 1, loc=values.mean(), scale=scipy.stats.sem(values))
    assert found.estimate == pytest.approx(values.mean())
    assert found.low <= student[0] + 1e-9
    assert found.high >= student[1] - 1e-9
    if n > 20:
        assert (found.low, found.high) == pytest.approx(student, abs=0.03)


def test_ends_and_p_values_agree() -> None:
    values = np.random.default_rng(8).lognormal(0, 1, 150) - 1
    (found,) = mean_differences([values])
    for level in (0.8, 0.95, 0.99):
        ends = found.interval(level)
        assert found.p_value(ends.low) == pytest.approx(1 - level, abs=0.003)
        assert found.p_value(ends.high) == pytest.approx(1 - level, abs=0.003)
        assert found.p_above(ends.low) == pytest.approx((1 - level) / 2, abs=0.002)
        assert found.p_value(values.mean()) > 0.5
    assert found.p_value(1000) < 0.001


def test_a_skewed_cost_has_the_longer_end_where_its_tail_is() -> None:
    found = paired_bootstrap(np.random.default_rng(1).lognormal(0, 1, 100))
    assert found.high - found.estimate > 1.2 * (found.estimate - found.low)


def test_the_same_seed_gives_the_same_interval_alone_or_among_others() -> None:
    columns = [np.random.default_rng(seed).lognormal(0, 1, n) for seed, n in ((1, 80), (2, 80), (3, 60))]
    together = [one.interval() for one in mean_differences(columns, seed=5)]
    apart = [paired_bootstrap(column, seed=5) for column in columns]
    for one, other in zip(together, apart, strict=True):
        assert (one.low, one.estimate, one.high) == pytest.approx((other.low, other.estimate, other.high))
    assert paired_bootstrap(columns[0], seed=6) != apart[0]


def test_many_items_are_resampled_in_blocks() -> None:
    values = np.random.default_rng(3).normal(1, 2, 30_000)
    found = paired_bootstrap(values, draws=300)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 2 / 30_000**0.5, rel=0.25)
    assert found.low < values.mean() < found.high


def test_yes_no_scores_on_which_nothing_differs_are_not_certain() -> None:
    found = difference([1.0] * 50, [1.0] * 50)
    assert found.estimate == 0
    assert found.low == pytest.approx(-found.high)
    assert 0.02 < found.high < 0.06
    assert yes_no_difference([1.0] * 50, [1.0] * 50).p_value() == 1


def test_the_method_follows_the_scores() -> None:
    yes, no = [1.0, 0.0, 1.0, 1.0] * 20, [1.0, 1.0, 0.0, 0.0] * 20
    assert difference(yes, no) == yes_no_difference(yes, no).interval()
    graded = [value * 0.9 for value in yes]
    assert difference(graded, no, seed=2) == paired_bootstrap(np.array(graded) - np.array(no), seed=2)


def test_equal_differences_have_no_width() -> None:
    found = paired_bootstrap([0.25] * 30)
    assert (found.low, found.estimate, found.high) == (0.25, 0.25, 0.25)
    (same,) = mean_differences([np.zeros(30)])
    assert same.p_value() == 1
    (shifted,) = mean_differences([np.full(30, 0.25)])
    assert shifted.p_value() == 0
    assert shifted.p_above(0.3) == 1


def test_a_cost_that_hardly_any_item_has_keeps_a_finite_interval() -> None:
    rare = np.zeros(100)
    rare[:3] = [1.0, 2.0, 1.5]
    found = paired_bootstrap(rare)
    assert found.low < found.estimate < found.high < 0.5


def test_too_few_items_or_others_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 4 items"):
        paired_bootstrap([1.0, 2.0, 3.0])
    with pytest.raises(UsageError, match="same items: got 2 and 3"):
        difference([1, 0], [1, 0, 1])
    with pytest.raises(UsageError, match="same items"):
        difference([], [])


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (7, 10), (95, 100), (600, 600)])
def test_wilson_is_scipys(successes: int, n: int) -> None:
    import scipy.stats

    expected = scipy.stats.binomtest(successes, n).proportion_ci(method="wilson")
    found = wilson(successes, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    with pytest.raises(UsageError, match="no interval"):
        wilson(3, 2)


def test_percentile_differences_are_the_plain_bootstraps() -> None:
    dice = np.random.default_rng(6)
    theirs = dice.lognormal(6.5, 0.5, 400)
    ours = theirs * 0.8 + dice.lognormal(4, 0.8, 400)
    (found,) = percentile_differences([ours], theirs, [0.5, 0.95], draws=3000)
    picks = np.random.default_rng(7).integers(400, size=(3000, 400))
    for interval, q in zip(found, (0.5, 0.95), strict=True):
        drawn = [np.quantile(array[picks], q, axis=1, method="inverted_cdf") for array in (ours, theirs)]
        low, high = np.quantile(drawn[0] - drawn[1], [0.025, 0.975])
        width = high - low
        assert interval.estimate == pytest.approx(np.quantile(ours, q) - np.quantile(theirs, q))
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.1 * width)
