"""What a sum over many calls will come to, with an interval that says how sure that is.

A past sample of ``k`` units (items of a run) gives the total of ``n`` new ones: the mean times ``n``, its spread
that of the mean and of the new units together, by Student's t. Where the size of a prompt is known beforehand and
explains the units, the total follows it by linear regression.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean
from typing import Final

COVERAGE: Final = 0.99
"""Share of the plans whose actual sum is meant to lie within low..high: 1 in 200 is dearer, and 1 in 200 cheaper."""
_Z: Final = NormalDist().inv_cdf((1 + COVERAGE) / 2)
_PRIOR_UNITS: Final = 1.0
_PRIOR_CV: Final = 0.5
_MUCH: Final = 0.5
_FEWEST_FREEDOMS: Final = 3.0
_FEWEST_TO_REGRESS: Final = 12
_TELLING_T: Final = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number that is not known yet."""

    low: float
    expected: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Estimate:
        """A number that is known."""
        return cls(low=value, expected=value, high=value)

    @property
    def is_exact(self) -> bool:
        """Whether low and high are the same."""
        return self.low == self.high

    def __add__(self, other: Estimate) -> Estimate:
        """The sum, as if both were low, or high, at once: never too narrow."""
        return Estimate(low=self.low + other.low, expected=self.expected + other.expected, high=self.high + other.high)

    def __mul__(self, other: Estimate) -> Estimate:
        """The product of two numbers from 0, likewise."""
        return Estimate(low=self.low * other.low, expected=self.expected * other.expected, high=self.high * other.high)

    def times(self, factor: float) -> Estimate:
        """The same, ``factor`` times as large."""
        return Estimate(low=self.low * factor, expected=self.expected * factor, high=self.high * factor)

    def widened(self, factor: float) -> Estimate:
        """The same number with a low that is ``factor`` times lower and a high that is as much higher."""
        return Estimate(low=self.low / factor, expected=self.expected, high=self.high * factor)

    def at_most(self, most: float) -> Estimate:
        """The same, nowhere above ``most``."""
        return Estimate(low=min(self.low, most), expected=min(self.expected, most), high=min(self.high, most))


NOTHING: Final = Estimate.exactly(0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One past item: how large its known prompts were, and what came of it."""

    name: str
    """The same for the same item in other samples."""
    size: float | None
    """Bytes of the prompts that are known before a run, or ``None`` where there are none."""
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """A sum that is expected, with its variance and what the sample says of its error."""

    expected: float
    variance: float
    freedoms: float = math.inf
    residuals: Mapping[str, float] = field(default_factory=dict)
    """Unit to what it deviates, for the correlation with other sums over the same units."""

    @property
    def estimate(self) -> Estimate:
        """The interval that holds the sum with a probability of :data:`COVERAGE`."""
        return _interval(self.expected, math.sqrt(self.variance) * student(self.freedoms))


def total(units: Sequence[Unit], count: float, *, size: float | None = None, times: float = 1.0) -> Total:
    """The sum over ``count`` new units, each worth ``times`` a value of the sample.

    Args:
        units: The past ones; at least one.
        count: How many are to come.
        size: The mean size of those to come, where it is known.
        times: For a sample whose values are per call: how many calls a new unit makes.
    """
    if count <= 0:
        return Total(expected=0.0, variance=0.0)
    mean = fmean(unit.value for unit in units)
    residuals: Mapping[str, float] = {unit.name: unit.value - mean for unit in units}
    leverage, parameters = 1 / len(units), 1
    line = _line(units, size)
    if line is not None and size is not None:
        mean, leverage, residuals, parameters = line.at(size), line.leverage(size), line.residuals, 2
    freedoms = len(units) - parameters + _PRIOR_UNITS
    spread = _PRIOR_UNITS * (_PRIOR_CV * mean) ** 2 + sum(each * each for each in residuals.values())
    whole = count * times
    return Total(
        expected=whole * mean,
        variance=spread / freedoms * (whole**2 * leverage + count * times**2),
        freedoms=freedoms,
        residuals=residuals,
    )


def together(totals: Sequence[Total]) -> Estimate:
    """The sum of several sums over the same items, whose errors go together as far as the samples show it."""
    variance = sum(
        _correlation(left.residuals, right.residuals, same=left is right) * math.sqrt(left.variance * right.variance)
        for left in totals
        for right in totals
    )
    freedoms = min((each.freedoms for each in totals if each.variance), default=math.inf)
    return _interval(sum(each.expected for each in totals), math.sqrt(max(variance, 0.0)) * student(freedoms))


def student(freedoms: float) -> float:
    """The quantile of Student's t for :data:`COVERAGE`, by the expansion around the normal one (Fisher 1926)."""
    if math.isinf(freedoms):
        return _Z
    z, v = _Z, max(freedoms, _FEWEST_FREEDOMS)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / v + second / v**2 + third / v**3


def _interval(expected: float, half: float) -> Estimate:
    """``half`` to either side; where that is much of the sum, never below nothing, and further up than down."""
    if expected <= 0:
        return Estimate(low=0.0, expected=0.0, high=max(half, 0.0))
    share = half / expected
    down = 1 - share if share <= _MUCH else (1 - _MUCH) * math.exp((_MUCH - share) / (1 - _MUCH))
    return Estimate(
        low=expected * down,
        expected=expected,
        high=expected * (math.exp(share) if share < 1 else 1 + (math.e - 1) * share),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A straight line through a sample."""

    slope: float
    mean_size: float
    mean_value: float
    spread: float
    count: int
    residuals: Mapping[str, float]

    def at(self, size: float) -> float:
        return max(0.0, self.mean_value + self.slope * (size - self.mean_size))

    def leverage(self, size: float) -> float:
        return 1 / self.count + (size - self.mean_size) ** 2 / self.spread


def _line(units: Sequence[Unit], size: float | None) -> _Line | None:
    """The line where it helps: enough units, a slope that is surely none by chance, and no reach beyond the sample."""
    sizes = [unit.size for unit in units if unit.size is not None]
    if size is None or len(sizes) < max(len(units), _FEWEST_TO_REGRESS) or not min(sizes) <= size <= max(sizes):
        return None
    mean_size, mean_value = fmean(sizes), fmean(unit.value for unit in units)
    spread = sum((each - mean_size) ** 2 for each in sizes)
    if spread <= 0:
        return None
    pairs = list(zip(sizes, units, strict=True))
    slope = sum((each - mean_size) * (unit.value - mean_value) for each, unit in pairs) / spread
    residuals = {unit.name: unit.value - mean_value - slope * (each - mean_size) for each, unit in pairs}
    error = math.sqrt(sum(each**2 for each in residuals.values()) / (len(sizes) - 2) / spread)
    if abs(slope) <= _TELLING_T * error:
        return None
    return _Line(
        slope=slope,
        mean_size=mean_size,
        mean_value=mean_value,
        spread=spread,
        count=len(sizes),
        residuals=residuals,
    )


def _correlation(left: Mapping[str, float], right: Mapping[str, float], *, same: bool) -> float:
    """Of two samples' deviations in the units that both have; 1 where these are too few to say."""
    common = left.keys() & right.keys()
    if same or len(common) < _FEWEST_TO_REGRESS:
        return 1.0
    both = sum(left[name] * right[name] for name in common)
    scale = math.sqrt(sum(left[name] ** 2 for name in common) * sum(right[name] ** 2 for name in common))
    return both / scale if scale > 0 else 0.0


def distinct(counts: Sequence[int], draws: float) -> float:
    """How many different kinds turn up among so many draws from where a sample with these ``counts`` came from.

    Fewer draws than the sample: rarefaction. More: the kinds not yet seen are estimated from those seen once and
    twice (Chao 1984).
    """
    size = sum(counts)
    if draws <= size:
        return sum(1 - (1 - draws / size) ** count for count in counts) if size else 0.0
    once, twice = sum(count == 1 for count in counts), sum(count == 2 for count in counts)
    if not once:
        return float(len(counts))
    if once == size:
        return float(draws)  # nothing came twice: there is no end of kinds in sight
    unseen = once**2 / (2 * twice) if twice else max(once * (once - 1) / 2, 1.0)
    return len(counts) + unseen * -math.expm1(-(draws - size) * once / (size * unseen))


def overlap(counts: Sequence[int], draws: float) -> float:
    """How many of a sample's kinds have turned up among so many earlier draws from the same source."""
    size = sum(counts)
    return min(max(distinct(counts, draws) + len(counts) - distinct(counts, size + draws), 0.0), float(len(counts)))
