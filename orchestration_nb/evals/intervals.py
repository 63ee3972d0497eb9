"""How sure a figure is: intervals of paired differences that hold for few items and for skewed costs.

Two strategies answer the same items, so what counts is their difference on each item. For yes/no scores the interval
is Bonett and Price's adjusted Wald interval (2012, J. Educ. Behav. Stat. 37:479), with half an item added to wins and
to losses. For anything else it is the studentised bootstrap (Efron and Tibshirani 1993, ch. 12), each end no nearer
than Student's t puts it: the plain percentile bootstrap covers skewed costs of 100 items in 89-94 %, the studentised
one alone differences of two skewed costs in 91-94 %, the two together in 93-97 %. What no interval can know is a rare
value, thousands of times the usual one, that the items at hand happen not to hold.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orchestration_nb.errors import UsageError

Floats = NDArray[np.float64]
Counts = NDArray[np.uint8]

DRAWS = 2000
"""Resamples of a bootstrap, unless told otherwise."""

FEW_ITEMS = 5.0
"""Below so many items behind the spread, an interval may be far too narrow: measured on recorded costs of 100 items,
intervals that should hold the truth in 95 % held it in 75 to 86 % where this was so in most comparisons."""

LEAST_ITEMS = 4
"""Below this, an interval would say nothing."""

_NORMAL = NormalDist()
_BLOCK = 4_000_000  # numbers held at once while resampling: 32 MB
_LEAST_ERROR = 0.3  # a resample of nearly equal items claims no error below this share of the sample's


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure with its confidence interval."""

    estimate: float
    low: float
    high: float
    level: float
    """Such as .95: the share of comparisons in which such an interval holds the true value."""
    n: int
    """Items that it rests on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeanDifference:
    """A mean paired difference and how it would vary if the items were drawn anew."""

    estimate: float
    n: int
    centre: float
    """Middle of the interval for yes/no scores; else the estimate."""
    error: float
    """Standard error."""
    deviations: Floats | None
    """Studentised deviations of the resamples, ascending; ``None``: the normal distribution is good enough."""
    spread_items: float = math.inf
    """How many items the spread rests on: the square of the sum of squared deviations over the sum of their squares. A
    single extreme item makes it 1, equally large deviations the number of items."""

    def interval(self, level: float = 0.95) -> Interval:
        """The interval whose ends leave half of ``1 - level`` beyond each."""
        tail = (1 - level) / 2
        below = above = _NORMAL.inv_cdf(1 - tail)
        if self.deviations is not None:
            student = student_quantile(1 - tail, self.n - 1)
            below = max(student, float(np.quantile(self.deviations, 1 - tail, method="higher")))
            above = max(student, -float(np.quantile(self.deviations, tail, method="lower")))
        low, high = self.centre - below * self.error, self.centre + above * self.error
        return Interval(estimate=self.estimate, low=low, high=high, level=level, n=self.n)

    def p_above(self, value: float) -> float:
        """How often chance alone would put the estimate so far above ``value`` or further: one-sided."""
        return self._p_beyond(self.centre - value, upward=True)

    def p_value(self, value: float = 0.0) -> float:
        """The two-sided p-value of "the true difference is ``value``"; agrees with the interval."""
        away = self.centre - value
        return min(1.0, 2 * min(self._p_beyond(away, upward=True), self._p_beyond(away, upward=False)))

    def _p_beyond(self, away: float, *, upward: bool) -> float:
        if self.error == 0:
            return 1.0 if away == 0 or (away > 0) != upward else 0.0
        t = away / self.error
        sign = 1.0 if upward else -1.0
        if self.deviations is None:
            return _NORMAL.cdf(-sign * t)
        drawn = self.deviations.size
        at = np.searchsorted(self.deviations, t, side="left" if upward else "right")
        beyond = drawn - int(at) if upward else int(at)
        return max(_NORMAL.cdf(_as_normal(-sign * t, self.n - 1)), (beyond + 1) / (drawn + 1))


def yes_no_difference(ours: ArrayLike, theirs: ArrayLike) -> MeanDifference:
    """The difference of two shares of right answers on the same items (0 or 1 each).

    Args:
        ours: One score per item.
        theirs: The other strategy's, on the same items in the same order.

    Raises:
        UsageError: If the two have different lengths or no items.
    """
    difference = paired(ours, theirs)
    n = difference.size
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    centre = (wins - losses) / (n + 1)
    variance = (wins + losses + 1) / (n + 1) - centre**2
    error = math.sqrt(variance / (n + 1))
    return MeanDifference(estimate=(wins - losses) / n, n=n, centre=centre, error=error, deviations=None)


def mean_differences(columns: Sequence[Floats], *, draws: int = DRAWS, seed: int = 0) -> list[MeanDifference]:
    """The studentised bootstrap of many columns of paired differences at once.

    Columns of the same length are resampled together, so that many strategies cost hardly more than one.

    Args:
        columns: Differences, one per item, without nan; four items at least.
        draws: Resamples.
        seed: Of the resampling: the same seed gives the same intervals.

    Raises:
        UsageError: If a column has fewer than four items.
    """
    if any(column.size < LEAST_ITEMS for column in columns):
        raise UsageError(f"A difference needs at least {LEAST_ITEMS} items.", hint="Compare over more items.")
    found: dict[int, MeanDifference] = {}
    for n in {column.size for column in columns}:
        places = [place for place, column in enumerate(columns) if column.size == n]
        table = np.column_stack([columns[place] for place in places])
        found |= dict(zip(places, _studentised(table, draws, seed), strict=True))
    return [found[place] for place in range(len(columns))]


def paired_bootstrap(difference: ArrayLike, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Interval:
    """The interval of a mean of paired differences, such as of costs in dollars.

    Args:
        difference: One per item.
        level: Share of comparisons in which the interval shall hold the true mean.
        draws: Resamples.
        seed: Of the resampling.

    Raises:
        UsageError: If there are fewer than four items.
    """
    return mean_differences([np.asarray(difference, dtype=np.float64)], draws=draws, seed=seed)[0].interval(level)


def difference(
    ours: ArrayLike, theirs: ArrayLike, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """The interval of ``mean(ours) - mean(theirs)`` on the same items, by the method that suits the values.

    Raises:
        UsageError: If the two have different lengths or fewer than four items.
    """
    if is_yes_no(ours) and is_yes_no(theirs):
        return yes_no_difference(ours, theirs).interval(level)
    return paired_bootstrap(paired(ours, theirs), level=level, draws=draws, seed=seed)


def percentile_differences(
    columns: Sequence[Floats],
    reference: Floats,
    shares: Sequence[float],
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[list[Interval]]:
    """Intervals of differences of percentiles, such as of the latency in ms, by the paired percentile bootstrap.

    Args:
        columns: One column of values per strategy, one value per item, without nan.
        reference: What each is compared with: values on the same items.
        shares: Which percentiles, such as ``[.5, .95]``.
        level: Of the intervals.
        draws: Resamples.
        seed: Of the resampling.

    Returns:
        For each column, one interval per share.

    Raises:
        UsageError: If a column's length is not the reference's, or there are no items.
    """
    for column in columns:
        paired(column, reference)
    table = np.column_stack([*columns, reference])
    drawn = np.concatenate(
        [
            np.stack([_weighted_percentiles(values, weights, shares) for values in table.T])
            for weights in resamples(reference.size, draws, seed)
        ],
        axis=1,
    )  # [strategies, resamples, shares]
    tail = (1 - level) / 2
    ends = np.quantile(drawn[:-1] - drawn[-1:], [tail, 1 - tail], axis=1)
    exact = np.quantile(table, shares, axis=0)
    estimates = (exact[:, :-1] - exact[:, -1:]).T
    return [
        [
            Interval(estimate=at, low=min(low, at), high=max(high, at), level=level, n=reference.size)
            for at, low, high in zip(row, lows, highs, strict=True)
        ]
        for row, lows, highs in zip(estimates.tolist(), ends[0].tolist(), ends[1].tolist(), strict=True)
    ]


def wilson(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """The interval of a share, by Wilson's score (1927): such as of right answers, or of errors.

    Raises:
        UsageError: If there are no items, or more successes than items.
    """
    if not 0 <= successes <= n or n == 0:
        raise UsageError(f"A share of {successes} in {n} items has no interval.")
    z = _NORMAL.inv_cdf((1 + level) / 2)
    share, spread = successes / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return Interval(estimate=share, low=max(0.0, centre - half), high=min(1.0, centre + half), level=level, n=n)


def is_yes_no(values: ArrayLike) -> bool:
    """Whether every value is 0 or 1."""
    found = np.asarray(values, dtype=np.float64)
    return bool(((found == 0) | (found == 1)).all())


def paired(ours: ArrayLike, theirs: ArrayLike) -> Floats:
    """``ours - theirs``, item by item.

    Raises:
        UsageError: If the two have different lengths or no items.
    """
    left, right = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1 or left.size == 0:
        sizes = f"{left.size} and {right.size}"
        raise UsageError(f"Paired values need the same items: got {sizes}.", hint="Score both on the same items.")
    return left - right


def resamples(n: int, draws: int, seed: int) -> Iterator[Floats]:
    """How often each item is drawn, [items, resamples], in blocks that fit in memory; the same for the same seed."""
    for counts in _kept(n, draws, seed) if n * draws <= _BLOCK else _drawn(n, draws, seed):
        yield counts.astype(np.float64)


@functools.lru_cache(maxsize=4)
def _kept(n: int, draws: int, seed: int) -> tuple[Counts, ...]:
    """The resamples of one comparison, which each of its rows and measures is held against: 4 MB at most."""
    return tuple(_drawn(n, draws, seed))


def _drawn(n: int, draws: int, seed: int) -> Iterator[Counts]:
    dice = np.random.default_rng(seed)
    rows = max(1, _BLOCK // n)
    for start in range(0, draws, rows):
        many = min(rows, draws - start)
        picks = dice.integers(n, size=(many, n), dtype=np.int32) * np.int64(many) + np.arange(many)[:, None]
        # no item is drawn so often that its count would not fit into a byte: on average it is drawn once
        yield np.bincount(picks.ravel(), minlength=many * n).reshape(n, many).astype(np.uint8)


def _studentised(table: Floats, draws: int, seed: int) -> list[MeanDifference]:
    n, columns = table.shape
    means = table.mean(axis=0)
    centred = table - means
    errors = centred.std(axis=0, ddof=1) / math.sqrt(n)
    moments = np.hstack([centred, centred**2]).T
    sums = np.concatenate([moments @ weights for weights in resamples(n, draws, seed)], axis=1).T / n
    shift, square = sums[:, :columns], sums[:, columns:]
    spread = np.sqrt(np.maximum(square - shift**2, 0.0) / (n - 1))
    least = np.where(errors > 0, _LEAST_ERROR * errors, 1.0)
    deviations = np.sort(shift / np.maximum(spread, least), axis=0)
    return [
        MeanDifference(
            estimate=float(means[column]),
            n=n,
            centre=float(means[column]),
            error=float(errors[column]),
            deviations=deviations[:, column],
            spread_items=_spread_items(centred[:, column]),
        )
        for column in range(columns)
    ]


def _spread_items(deviations: Floats) -> float:
    largest = float(np.abs(deviations).max())
    if largest == 0:
        return math.inf
    squares = (deviations / largest) ** 2  # of dollars a fourth power would vanish
    return float(squares.sum() ** 2 / (squares**2).sum())


def _weighted_percentiles(values: Floats, weights: Floats, shares: Sequence[float]) -> Floats:
    """Percentiles of each resample, [resamples, shares]; only ranks within five deviations of each are looked at."""
    n = values.size
    order = np.argsort(values, kind="stable")
    found = []
    for q in shares:
        reach = 5 * math.sqrt(n * q * (1 - q)) + 1
        first, last = max(0, int(n * q - reach)), min(n, int(n * q + reach) + 1)
        lower = np.zeros(n)
        lower[order[:first]] = 1.0
        reached = lower @ weights + np.cumsum(weights[order[first:last]], axis=0)
        ranks = (reached < q * n - 1e-9).sum(axis=0)
        found.append(values[order[first + np.minimum(ranks, last - first - 1)]])
    return np.column_stack(found)


def _as_normal(t: float, freedom: int) -> float:
    """The normal deviate with the tail of Student's ``t`` (Hill 1970, Algorithm 395); good from 3 degrees on."""
    a = freedom - 0.5
    b = 48 * a * a
    z = math.sqrt(a * math.log1p(t * t / freedom))
    z += (z**3 + 3 * z) / b - (4 * z**7 + 33 * z**5 + 240 * z**3 + 855 * z) / (10 * b * (b + 0.8 * z**4 + 100))
    return math.copysign(z, t)


@functools.lru_cache(maxsize=256)
def student_quantile(p: float, freedom: int) -> float:
    """Student's quantile for ``p`` above one half, by halving."""
    z = _NORMAL.inv_cdf(p)
    low, high = 0.0, 1.0
    while _as_normal(high, freedom) < z and high < 1e9:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _as_normal(middle, freedom) < z else (low, middle)
    return high
