"""What the next run of a notebook may come to, reckoned from its past runs.

A figure is looked at on a scale on which past runs spread evenly (:data:`SCALES`): costs and times as logarithms, rates
by their arcsine. The middle is the median of the last ten, which follows a slow drift, and single runs far
out of line are left aside, so that one bad night moves nothing. Where days of the week differ, each has a middle of its
own. The bound is that of a prediction interval of Student's t: few past runs make it wide.

Two things are looked at: the last run, and the median of the last three, which finds what is too small for one and does
not follow a single one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal, NamedTuple

from orchestration_nb.evals.intervals import student_quantile

FEWEST: Final = 8
"""Past runs without which nothing is reckoned."""
MOST: Final = 60
"""The last so many past runs count: what was long ago says little about tomorrow."""
WINDOWS: Final = (1, 3)
"""The last run alone, and the median of the last three."""
_RECENT: Final = 10
"""The middle is that of so many runs: of older ones only the spread counts."""
_OF_MEDIAN: Final = {1: 1.0, 3: 0.449}
"""Variance of the median of one and of three normal values, over that of one."""
_MEDIAN_LOSS: Final = math.pi / 2
"""How much more a median varies than a mean."""
_OUTLYING: Final = 4.5
_LEFT_ASIDE: Final = 0.1
"""The share of past runs that may be left aside; where more are far out, they belong to the picture."""
_A_DAY: Final = 3
"""Past runs that each day of the week must have before days are told apart."""
_TELLING: Final = 0.75
"""Days are told apart where that makes the spread smaller by this factor."""
_MAD: Final = 1.4826


@dataclass(frozen=True, slots=True)
class Scale:
    """How a figure is looked at."""

    to: Callable[[float], float]
    back: Callable[[float], float]
    least_spread: float
    """Runs that were all alike are taken to spread by this much."""
    least_change: float
    """A smaller change is not worth a word, however sure."""
    worse: Literal[1, -1] = 1
    """Whether more is worse, or less."""


def _angle(rate: float) -> float:
    return math.asin(math.sqrt(min(max(rate, 0.0), 1.0)))


def _share(angle: float) -> float:
    return math.sin(min(max(angle, 0.0), math.pi / 2)) ** 2


SCALES: Final[Mapping[str, Scale]] = {
    "log": Scale(math.log, math.exp, 0.05, math.log(1.3)),
    "rate": Scale(_angle, _share, 0.015, 0.03),
    "share": Scale(lambda right: _angle(1 - right), lambda angle: 1 - _share(angle), 0.02, 0.04),
    "points": Scale(lambda value: value, lambda value: value, 0.02, 0.03, -1),
}


class Seen(NamedTuple):
    """One figure of one run."""

    value: float
    """As it is, not on a scale: above 0 for ``log``, from 0 to 1 for ``rate``."""
    weekday: int
    """0 is Monday."""
    weight: float = math.inf
    """For a rate: of how many it is one."""


class Passed(NamedTuple):
    """A bound that was passed."""

    limit: float
    """What the run should not have passed: the last one, or the median of the last three."""
    usual: float
    runs: int
    """How many runs were looked at together."""
    past: int
    """How many past runs it was reckoned from."""


def passed(past: Sequence[Seen], last: Seen, scale: Scale, *, false_alarms: float) -> Passed | None:
    """Whether the last run, or the middle one of the last three, is worse than past runs let expect.

    Args:
        past: The runs before, the oldest first.
        last: The run that is looked at.
        scale: How the figure is looked at.
        false_alarms: The share of quiet runs that may be taken for worse.
    """
    for window in WINDOWS:
        recent = [*past[len(past) - window + 1 :], last]
        before = past[max(0, len(past) - window + 1 - MOST) : len(past) - window + 1]
        if len(before) < FEWEST:
            continue
        found = _looked_at(before, recent, scale, false_alarms / len(WINDOWS))
        if found is not None:
            return found
    return None


def _looked_at(before: Sequence[Seen], recent: Sequence[Seen], scale: Scale, level: float) -> Passed | None:
    usual = _usual(before, scale)
    spread = max(usual.spread, scale.least_spread, *(0.5 / math.sqrt(seen.weight) for seen in recent))
    room = (
        student_quantile(1 - level, usual.freedom)
        * spread
        * math.sqrt(_OF_MEDIAN[len(recent)] + _MEDIAN_LOSS / usual.runs)
    )
    room = max(room, scale.least_change)
    off = median(scale.to(seen.value) - usual.middle(seen.weekday) for seen in recent)
    if scale.worse * off <= room:
        return None
    middle = usual.middle(recent[-1].weekday)
    return Passed(scale.back(middle + scale.worse * room), scale.back(middle), len(recent), len(before))


class _Usual(NamedTuple):
    """Past runs in short, on a scale."""

    middles: Mapping[int, float]
    """By day of the week; -1 stands for any other day."""
    spread: float
    runs: int
    """How many past runs stand behind a middle, at least."""
    freedom: int

    def middle(self, weekday: int) -> float:
        return self.middles.get(weekday, self.middles[-1])


def _usual(before: Sequence[Seen], scale: Scale) -> _Usual:
    values = [(seen.weekday, scale.to(seen.value)) for seen in before]
    whole = _in_short([(-1, value) for _, value in values], scale)
    days: defaultdict[int, int] = defaultdict(int)
    for weekday, _ in values:
        days[weekday] += 1
    if len(days) < 2 or min(days.values()) < _A_DAY:
        return whole
    daily = _in_short(values, scale)
    if daily.spread >= _TELLING * whole.spread:
        return whole
    return daily._replace(middles={**daily.middles, -1: whole.middles[-1]})


def _in_short(values: Sequence[tuple[int, float]], scale: Scale) -> _Usual:
    groups: defaultdict[int, list[float]] = defaultdict(list)
    for group, value in values:
        groups[group].append(value)
    middles = {group: median(held[-_RECENT:]) for group, held in groups.items()}
    off = sorted((abs(value - middles[group]) for group, value in values), reverse=True)
    far = _OUTLYING * max(_MAD * median(off), scale.least_spread)
    aside = sum(distance > far for distance in off)
    kept = off[aside:] if aside <= _LEFT_ASIDE * len(off) else off
    freedom = len(kept) - len(groups)
    spread = math.sqrt(sum(distance**2 for distance in kept) / freedom)
    return _Usual(middles, spread, min(*map(len, groups.values()), _RECENT), freedom)
