"""What strategies read of how models are doing."""

from __future__ import annotations

import pytest

from orchestration_nb.catalog import Model, Price
from orchestration_nb.engine.traffic import LATELY_S, MOST_CALLS, Traffic
from orchestration_nb.testing import ManualClock

MODEL = Model(provider="sim", wire_name="small", price=Price(input_usd_per_mtok=1.0, output_usd_per_mtok=2.0))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def traffic(clock: ManualClock) -> Traffic:
    return Traffic(lambda name: MODEL, clock)


def test_a_model_that_nobody_asked_has_its_price_alone(traffic: Traffic) -> None:
    stats = traffic.stats("fast")
    assert (stats.model, stats.in_flight, stats.calls, stats.failure_rate) == ("sim/small", 0, 0, 0.0)
    assert stats.latency_ms is stats.p95_latency_ms is stats.cost_usd is None
    assert (stats.input_usd_per_mtok, stats.output_usd_per_mtok) == (1.0, 2.0)


def test_calls_are_counted_while_they_last_and_when_they_end(traffic: Traffic) -> None:
    for latency_ms in range(1, 101):
        traffic.began("sim/small")
        traffic.answered("sim/small", latency_ms=latency_ms, cost_usd=0.5, tokens=10)
        traffic.ended("sim/small")
    traffic.began("sim/small")
    traffic.failed("sim/small")
    stats = traffic.stats("sim/small")
    assert stats.in_flight == 1
    assert stats.calls == 101
    assert stats.failure_rate == pytest.approx(1 / 101)
    assert stats.latency_ms == pytest.approx(50.5)
    assert stats.p95_latency_ms == pytest.approx(96)
    assert stats.cost_usd == pytest.approx(0.5)
    assert stats.tokens_per_minute == 1000


async def test_what_is_long_ago_is_forgotten_and_so_is_what_is_too_much(traffic: Traffic, clock: ManualClock) -> None:
    for _ in range(2 * MOST_CALLS):
        traffic.answered("sim/small", latency_ms=1, cost_usd=0, tokens=1)
    assert traffic.stats("sim/small").calls == MOST_CALLS
    await clock.advance(61)
    assert traffic.stats("sim/small").tokens_per_minute == 0
    assert traffic.stats("sim/small").calls == MOST_CALLS
    await clock.advance(LATELY_S)
    assert traffic.stats("sim/small").calls == 0
