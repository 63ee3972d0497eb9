"""Simulated histories of a notebook that runs once a day: quiet ones, and what a shift of them looks like."""

from __future__ import annotations

import bisect
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from statistics import NormalDist

from orchestration_nb.pipelines.figures import Figures

Draw = Callable[[random.Random, int, float], float]
"""Dice, day and factor of the shift -> the figure of that day."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How quiet runs differ from one another."""

    metric: str
    draw: Draw
    past: int = 30
    """Runs before the first that is looked at."""


def _cost(spread: float, *, weekly: float = 1.0, drift: float = 0.0, base: float = 2.0) -> Draw:
    def draw(dice: random.Random, day: int, factor: float) -> float:
        usual = base * (weekly if day % 7 >= 5 else 1.0) * math.exp(drift * day)
        return factor * usual * math.exp(dice.gauss(0, spread))

    return draw


def _spiky(dice: random.Random, day: int, factor: float) -> float:
    """Of the past runs, one in twenty took several times as long: the provider had a bad day. Those are not quiet."""
    far = 1.2 if day < 30 and dice.random() < 1 / 20 else 0.0
    return factor * 900 * math.exp(dice.gauss(far, 0.15))


def _percentile(calls: int) -> Draw:
    """The 95th percentile of as many log-normal latencies: of uniform ones, it is beta distributed."""
    place, logarithm = math.ceil(0.95 * calls), NormalDist(6.8, 0.5)

    def draw(dice: random.Random, day: int, factor: float) -> float:
        return factor * math.exp(logarithm.inv_cdf(dice.betavariate(place, calls + 1 - place)))

    return draw


@cache
def _binomial(trials: int, chance: float) -> list[float]:
    """For each number of trials but the last, the chance that no more than so many succeed."""
    each = (math.comb(trials, hits) * chance**hits * (1 - chance) ** (trials - hits) for hits in range(trials))
    return list(itertools.accumulate(each))


def _rate(calls: int, rate: float) -> Draw:
    def draw(dice: random.Random, day: int, factor: float) -> float:
        return bisect.bisect(_binomial(calls, min(1.0, rate * factor)), dice.random()) / calls

    return draw


def _quality(items: int, mean: float) -> Draw:
    """The share of right answers; a shift makes the wrong ones as many times more."""

    def draw(dice: random.Random, day: int, factor: float) -> float:
        return 1 - bisect.bisect(_binomial(items, min(1.0, (1 - mean) * factor)), dice.random()) / items

    return draw


CALLS = {"errors, 40 calls": 40, "errors, 200 calls": 200, "errors, 1000 calls": 1000}
SHAPES: Mapping[str, Shape] = {
    "cost, spread 10 %": Shape("cost_usd", _cost(0.1)),
    "cost, spread 20 %": Shape("cost_usd", _cost(0.2)),
    "cost, spread 30 %": Shape("cost_usd", _cost(0.3)),
    "cost, half as much at weekends": Shape("cost_usd", _cost(0.15, weekly=0.5), past=42),
    "cost, twice as much at weekends": Shape("cost_usd", _cost(0.15, weekly=2.0), past=42),
    "cost, grows by a half per cent a day": Shape("cost_usd", _cost(0.15, drift=0.005)),
    "cost, eight past runs": Shape("cost_usd", _cost(0.15), past=8),
    "cost, twelve past runs": Shape("cost_usd", _cost(0.15), past=12),
    "latency, p95 of 40 calls": Shape("p95_latency_ms", _percentile(40)),
    "latency, p95 of 200 calls": Shape("p95_latency_ms", _percentile(200)),
    "latency, bad days in the past": Shape("p95_latency_ms", _spiky),
    "errors, 40 calls": Shape("error_rate", _rate(40, 0.05)),
    "errors, 200 calls": Shape("error_rate", _rate(200, 0.05)),
    "errors, 1000 calls": Shape("error_rate", _rate(1000, 0.02)),
    "quality, 50 items": Shape("quality", _quality(50, 0.85)),
    "quality, 200 items": Shape("quality", _quality(200, 0.85)),
}


def runs(shape: str, dice: random.Random, *, count: int, shifted: int = 0, factor: float = 1.0) -> Iterator[Figures]:
    """A figure a day, for ``count`` days, the last ``shifted`` of them with the factor."""
    held, first = SHAPES[shape], dice.randrange(7)
    for day in range(count):
        value = held.draw(dice, first + day, factor if day >= count - shifted else 1.0)
        run = Figures(weekday=(first + day) % 7, requests=CALLS.get(shape, 0))
        yield replace(run, values={held.metric: value})
