"""A user who sets no limit gets through a provider that has one, at nearly its rate."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from orchestration_nb.errors import RateLimit
from orchestration_nb.resilience.pacing import Pace
from tests.resilience.rate_servers import Bucket, Dice, FixedWindow, MovingWindow, RetryAfter, Traffic, Unreliable

SAYS: tuple[RetryAfter, ...] = ("none", "exact", "ceil")


class Several:
    """Traffic with some providers of one kind, each with luck of its own; none may have much less than all together."""

    def __init__(self, begin: Callable[[int], Traffic], dice: random.Random, number: int = 3) -> None:
        self.all = [begin(dice.randrange(1_000_000)) for _ in range(number)]

    def rate(self, since_s: float, until_s: float | None = None) -> float:
        """Calls per second that passed at one provider, on average."""
        rates = [traffic.rate(since_s, until_s) for traffic in self.all]
        mean = sum(rates) / len(rates)
        assert min(rates) >= 0.5 * mean, rates
        return mean

    @property
    def refused(self) -> float:
        """Calls that were refused for each that passed."""
        return sum(len(each.refused_s) for each in self.all) / sum(len(each.passed_s) for each in self.all)


@pytest.mark.parametrize("say", SAYS)
@pytest.mark.parametrize("callers", [8, 32, 200])
@pytest.mark.parametrize("latency_s", [(0.005, 0.2), (0.01, 0.01)])
def test_a_window_of_a_second_is_used_to_more_than_85_percent(
    say: RetryAfter, callers: int, latency_s: tuple[float, float], dice: random.Random
) -> None:
    several = Several(lambda seed: Traffic(MovingWindow(50, 1, say), callers, latency_s, seed=seed).run(70), dice)
    assert several.rate(10) >= 0.85 * 50
    for traffic in several.all:
        assert len(traffic.refused_s) <= 2 * callers + 0.03 * len(traffic.passed_s)


@pytest.mark.parametrize("say", SAYS)
def test_replies_that_take_seconds_change_nothing(say: RetryAfter, dice: random.Random) -> None:
    several = Several(lambda seed: Traffic(MovingWindow(50, 1, say), 200, (1.0, 3.0), seed=seed).run(120), dice)
    assert several.rate(30) >= 0.85 * 50


@pytest.mark.parametrize("say", SAYS)
@pytest.mark.parametrize(
    "server", [lambda say: FixedWindow(50, 1, say), lambda say: Bucket(50, 1, say, size=50)], ids=["fixed", "bucket"]
)
def test_other_ways_to_limit_are_used_as_well(server: Any, say: RetryAfter, dice: random.Random) -> None:
    several = Several(lambda seed: Traffic(server(say), seed=seed).run(90), dice)
    assert several.rate(20) >= 0.85 * 50


@pytest.mark.parametrize("say", ["exact", "ceil"])
@pytest.mark.parametrize("size", [1, 500])
def test_a_limit_per_minute_is_used_as_well(size: int, say: RetryAfter) -> None:
    server = Bucket(500, 60, say, size=size) if size == 1 else MovingWindow(500, 60, say)
    traffic = Traffic(server).run(900)
    assert traffic.rate(180) >= 0.85 * 500 / 60


def test_requests_that_arrive_late_and_out_of_order_cost_little(dice: random.Random) -> None:
    def begin(seed: int) -> Traffic:
        return Traffic(MovingWindow(50, 1, "none"), 32, (0.005, 0.01), (0.005, 0.2), seed=seed).run(70)

    assert Several(begin, dice).rate(10) >= 0.8 * 50


@pytest.mark.parametrize("retry_after_s", [None, 0.05])
def test_refusals_at_random_throttle_nothing(retry_after_s: float | None, dice: random.Random) -> None:
    free = 32 / 0.1  # what the callers come to at this latency where nothing is refused
    several = Several(lambda seed: Traffic(Dice(0.2, retry_after_s, seed), latency_s=(0.1, 0.1)).run(60), dice)
    assert several.rate(20) >= 0.35 * free  # most of the rest are the waits of those that were refused
    assert sum(traffic.rate(0, 20) for traffic in several.all) / len(several.all) >= 0.1 * free


def test_a_limit_under_random_refusals_is_found(dice: random.Random) -> None:
    class Both(MovingWindow):
        def ask(self, now: float) -> Any:
            return Dice(0.1, None, dice.randrange(10**9)).ask(now) if dice.random() < 0.5 else super().ask(now)

    traffic = Traffic(Both(50, 1, "none"), seed=dice.randrange(1000)).run(60)
    assert len(traffic.refused_s) < len(traffic.passed_s)
    assert traffic.rate(20) >= 50


@pytest.mark.parametrize("share", [0.005, 0.01, 0.02, 0.05, 0.1])
def test_few_refusals_at_random_wear_no_pace_down(share: float, dice: random.Random) -> None:
    alone = Several(lambda seed: Traffic(Dice(share, None, seed), latency_s=(0.1, 0.1)).run(60), dice, 5)
    assert alone.rate(20) >= 0.6 * 32 / 0.1

    def begin(seed: int) -> Traffic:
        return Traffic(Unreliable(MovingWindow(50, 1, "none"), share, seed), seed=seed).run(120)

    limited = Several(begin, dice, 5)
    assert all(traffic.rate(60) >= 0.5 * 50 for traffic in limited.all)
    assert limited.refused <= 0.15 + 2 * share


@pytest.mark.parametrize("seed", [135, 155])
def test_a_refusal_after_a_pause_says_nothing_of_the_pace(seed: int) -> None:
    """These once ended at a call a minute: nothing had been accepted in the second before a refusal, a pause long."""
    limited = Traffic(Unreliable(MovingWindow(50, 1, "none"), 0.02, seed), seed=seed).run(120)
    assert limited.rate(60) >= 0.5 * 50


def test_a_limit_that_is_raised_is_used_and_one_that_is_lowered_is_kept() -> None:
    server = MovingWindow(50, 1, "exact")

    def change(now: float) -> None:
        server.most = 50 if now < 60 else 150 if now < 240 else 20

    traffic = Traffic(server, 64, (0.05, 0.1)).run(330, at=change)
    assert traffic.rate(20, 60) >= 0.85 * 50
    assert traffic.rate(180, 240) >= 0.85 * 150
    assert traffic.rate(270, 330) >= 0.85 * 20


def test_no_call_goes_before_the_time_that_the_provider_named() -> None:
    pace = Pace()
    call, others = pace.sent(0.0), [pace.sent(0.0) for _ in range(5)]
    pace.ended(call, "refused", 0.1, retry_after_s=20.0)
    assert pace.wait_s(0.1) == 20.0
    for other in others:
        pace.ended(other, "accepted", 0.2)
    assert pace.wait_s(0.2) == pytest.approx(19.9)
    assert pace.wait_s(20.1) == 0.0


def test_a_single_refusal_is_forgiven() -> None:
    pace = Pace()
    for number in range(50):
        pace.ended(pace.sent(number / 100), "refused" if number == 25 else "accepted", number / 100 + 0.005)
    assert pace.rate == math.inf
    assert pace.wait_s(1.0) == 0.0


def test_headers_spare_the_refusals() -> None:
    with_headers = Traffic(MovingWindow(50, 1, "ceil", headers=True), latency_s=(0.02, 0.05)).run(60)
    without = Traffic(MovingWindow(50, 1, "ceil"), latency_s=(0.02, 0.05)).run(60)
    assert len(with_headers.refused_s) < len(without.refused_s)
    assert len(with_headers.refused_s) <= 5
    assert with_headers.rate(5) >= 0.9 * 50


def test_headers_of_tokens_slow_down_too() -> None:
    pace = Pace()
    for number in range(40):
        call = pace.sent(number / 100)
        left = RateLimit(limit_tokens=40_000, remaining_tokens=max(0, 39_000 - 1000 * number), reset_tokens_s=60.0)
        pace.ended(call, "accepted", number / 100 + 0.005, rate_limit=left, tokens=1000)
    assert pace.rate == pytest.approx(40 / 60, rel=0.05)


def test_a_limit_that_was_not_met_for_long_is_forgotten() -> None:
    traffic = Traffic(MovingWindow(5, 1, "exact"), callers=8, latency_s=(0.01, 0.01)).run(20)
    pace = traffic.pace
    assert pace.rate < 6
    now = 20.0
    while now < 420:
        if pace.wait_s(now) == 0:
            pace.ended(pace.sent(now), "accepted", now + 0.01)
        now += 2.0
    assert pace.rate == math.inf


def test_an_idle_provider_whose_window_is_full_is_asked_less_and_less_often() -> None:
    server = MovingWindow(10, 60, "none")
    traffic = Traffic(server, callers=8, latency_s=(0.01, 0.01)).run(55)
    assert len(traffic.refused_s) <= 8 + 30
    assert traffic.run(300).rate(60) >= 0.7 * 10 / 60


def test_a_call_that_was_not_sent_counts_for_nothing() -> None:
    pace = Pace()
    pace.unsent(pace.sent(0.0))
    assert pace.in_flight == 0
    assert pace._accepted_before(0.0) == 0
