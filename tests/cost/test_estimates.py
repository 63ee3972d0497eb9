"""Sums with intervals: as wide as they must be, and no wider."""

from __future__ import annotations

import random
from statistics import NormalDist

import pytest

from orchestration_nb.cost.estimates import (
    COVERAGE,
    Estimate,
    Unit,
    distinct,
    overlap,
    student,
    together,
    total,
)


def units(values: list[float], sizes: list[float] | None = None, prefix: str = "") -> list[Unit]:
    known: list[float | None] = [*sizes] if sizes else [None] * len(values)
    return [
        Unit(name=f"{prefix}{place}", size=size, value=value)
        for place, (value, size) in enumerate(zip(values, known, strict=True))
    ]


@pytest.mark.parametrize(("freedoms", "expected"), [(3, 5.841), (10, 3.169), (49, 2.680), (1000, 2.581)])
def test_quantiles_are_those_of_the_tables(freedoms: float, expected: float) -> None:
    assert COVERAGE == 0.99
    assert student(freedoms) == pytest.approx(expected, rel=0.04)


def test_an_endless_sample_is_normal() -> None:
    assert student(float("inf")) == pytest.approx(NormalDist().inv_cdf(0.995))


@pytest.mark.parametrize("past", [8, 50, 300])
def test_the_interval_holds_as_often_as_it_says(past: int, dice: random.Random) -> None:
    """Of skewed values, as costs are; 400 samples miss 4 times on average, and 14 times once in 10,000."""
    held = 0
    for _ in range(400):
        drawn = [dice.lognormvariate(0, 0.6) for _ in range(past + 400)]
        estimate = total(units(drawn[:past]), 400).estimate
        held += estimate.low <= sum(drawn[past:]) <= estimate.high
    assert held >= 386


def test_a_known_size_that_explains_the_values_narrows_the_interval(dice: random.Random) -> None:
    sizes = [dice.uniform(100, 1000) for _ in range(50)]
    values = [0.01 * size + dice.gauss(0, 0.2) for size in sizes]
    plain, informed = total(units(values, sizes), 500), total(units(values, sizes), 500, size=700.0)
    assert informed.variance < plain.variance / 4
    assert informed.expected == pytest.approx(500 * 7.0, rel=0.03)


def test_a_size_beyond_the_sample_is_not_followed() -> None:
    sizes = [float(size) for size in range(100, 200)]
    values = [size * 2 for size in sizes]
    assert total(units(values, sizes), 10, size=5000.0).expected == total(units(values), 10).expected


def test_a_size_that_explains_nothing_is_not_followed(dice: random.Random) -> None:
    values = [5.0 + (place % 2) for place in range(40)]
    sizes = [100.0 + place // 2 for place in range(40)]
    assert total(units(values, sizes), 10, size=105.0).expected == pytest.approx(55.0)


def test_few_units_give_a_wide_interval_even_if_they_agree() -> None:
    few, many = total(units([2.0, 2.0]), 100).estimate, total(units([2.0] * 200), 100).estimate
    assert few.high / few.low > 3
    assert many.high / many.low < 1.05


def test_steps_that_are_dear_in_the_same_items_add_up_wider_than_others() -> None:
    rising, falling = [1.0 + place / 50 for place in range(50)], [2.0 - place / 50 for place in range(50)]
    same = together([total(units(rising), 100), total(units(rising), 100)])
    opposite = together([total(units(rising), 100), total(units(falling), 100)])
    assert same.high - same.low > 5 * (opposite.high - opposite.low)
    assert same.expected == pytest.approx(opposite.expected, rel=0.02)


def test_nothing_to_come_costs_nothing() -> None:
    assert total(units([3.0]), 0).estimate == Estimate.exactly(0.0)
    assert together([]) == Estimate.exactly(0.0)


def test_numbers_that_are_not_known_add_and_multiply_end_by_end() -> None:
    one, two = Estimate(low=1, expected=2, high=4), Estimate(low=0, expected=1, high=3)
    assert one + two == Estimate(low=1, expected=3, high=7)
    assert one * two == Estimate(low=0, expected=2, high=12)
    assert one.widened(2.0) == Estimate(low=0.5, expected=2, high=8)
    assert one.at_most(3) == Estimate(low=1, expected=2, high=3)


def test_kinds_that_two_samples_share_are_estimated_from_one(dice: random.Random) -> None:
    weights = [dice.paretovariate(1.2) for _ in range(300)]
    errors = []
    for _ in range(60):
        kinds = dice.choices(range(300), weights, k=450)
        earlier, later = set(kinds[:50]), kinds[50:]
        counts = [later.count(kind) for kind in set(later)]
        errors.append(overlap(counts, 50) - len(earlier & set(later)))
    assert abs(sum(errors) / len(errors)) < 2


def test_kinds_all_different_share_nothing() -> None:
    assert overlap([1] * 400, 50) == 0
    assert distinct([2] * 10, 20) == 10
    assert distinct([2] * 10, 1000) == 10
    assert distinct([], 5) == 0
