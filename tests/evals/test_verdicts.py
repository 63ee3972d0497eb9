"""Verdicts: what a reader is told, when nothing is told yet, and what several strategies at once cost in certainty."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.curves import halves
from orchestration_nb.evals.sentences import sentences
from orchestration_nb.evals.significance import holm, mcnemar
from orchestration_nb.evals.verdicts import Rules, best_single_reference, verdicts

Floats = NDArray[np.float64]
QUICK = Rules(draws=400)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    strategy: str
    quality: Floats
    cost_usd: Floats
    latency_ms: Floats


def made(strategy: str, quality: Floats, *, cost: float = 0.002, latency: float = 900, seed: int = 0) -> Made:
    dice = np.random.default_rng(seed)
    n = len(quality)
    return Made(
        strategy=strategy,
        quality=np.asarray(quality, dtype=np.float64),
        cost_usd=cost * dice.lognormal(0, 0.7, n),
        latency_ms=latency * dice.lognormal(0, 0.5, n),
    )


def pair(n: int, wins: int, losses: int) -> tuple[Made, Made]:
    """A strategy that wins and loses so many items against the reference, at a third of its cost, and slower."""
    ours, theirs = np.ones(n), np.ones(n)
    theirs[:wins] = 0
    ours[wins : wins + losses] = 0
    return made("cascade", ours, cost=0.001, latency=1200, seed=1), made("strong", theirs, cost=0.003, seed=2)


def test_a_shown_difference_is_told_with_its_figures() -> None:
    ours, theirs = pair(600, wins=70, losses=20)
    (verdict,) = verdicts([ours], theirs, planned=600)
    assert verdict.word == "better"
    assert verdict.quality.p_value == mcnemar(ours.quality, theirs.quality) == verdict.quality.p_holm
    assert (verdict.cost_usd.finding, verdict.latency_ms.finding) == ("lower", "higher")
    assert verdict.noninferior
    told = sentences(verdict)
    assert told[0].startswith("cascade is better than strong in quality: +8.3 points (95% interval +5.")
    assert told[0].endswith("McNemar p < .001; 70 won, 510 tied, 20 lost.")
    assert told[1] == "It is non-inferior: not worse than strong by 2 points or more."
    assert told[2].startswith("It costs less: cost −$0.002")
    assert told[3].startswith("It is slower: latency +")
    assert "latency (modelled)" in sentences(verdict, latency_is_modelled=True)[3]


def test_what_cannot_be_told_apart_is_said_in_words_with_the_items_it_would_take() -> None:
    ours, theirs = pair(600, wins=29, losses=31)
    (verdict,) = verdicts([ours], theirs, planned=600)
    assert verdict.word == "no difference shown"
    told = sentences(verdict)[0]
    assert told.startswith("These items cannot tell cascade and strong apart in quality: −0.3 points")
    assert f"About {verdict.items_needed:,} items would show a difference of 2 points in 80% of comparisons." in told
    assert sentences(verdict)[1] == "It is not shown to be non-inferior by a margin of 2 points."


def test_items_needed_follow_the_discordance_and_never_the_observed_difference() -> None:
    needed = {
        verdicts([a], b, planned=600, rules=QUICK)[0].items_needed for a, b in (pair(600, 30, 30), pair(600, 60, 0))
    }
    assert len(needed) == 1
    (more,) = verdicts([pair(600, 60, 60)[0]], pair(600, 60, 60)[1], planned=600, rules=QUICK)
    assert more.items_needed > 1.8 * needed.pop()


def test_a_margin_that_is_wide_enough_shows_non_inferiority_beside_no_difference() -> None:
    ours, theirs = pair(600, wins=20, losses=24)
    for margin, expected in ((0.02, False), (0.05, True)):
        (verdict,) = verdicts([ours], theirs, planned=600, rules=replace(QUICK, margin=margin))
        assert verdict.word == "no difference shown"
        assert verdict.noninferior is expected
        assert verdict.quality.interval is not None
        assert (verdict.quality.interval.low > -margin) is expected


def test_before_the_planned_number_there_are_intervals_and_no_verdict() -> None:
    ours, theirs = pair(300, wins=90, losses=10)
    (verdict,) = verdicts([ours], theirs, planned=600, rules=QUICK)
    assert verdict.is_live
    assert verdict.word is None
    assert verdict.noninferior is None
    assert {verdict.quality.finding, verdict.cost_usd.finding, verdict.latency_ms.finding} == {None}
    assert verdict.quality.interval is not None
    told = " ".join(sentences(verdict))
    assert "300 of 600 items so far, no verdict before the last." in told
    assert not [word for word in ("better", "non-inferior", "p =", "p <", "costs less") if word in told]


def test_more_items_than_planned_or_other_items_are_refused() -> None:
    ours, theirs = pair(300, wins=9, losses=5)
    with pytest.raises(UsageError, match="more than the 200 planned"):
        verdicts([ours], theirs, planned=200)
    with pytest.raises(UsageError, match="same items"):
        verdicts([ours], pair(200, 9, 5)[1], planned=300)
    with pytest.raises(UsageError, match="at least 4 items"):
        verdicts([pair(3, 1, 0)[0]], pair(3, 1, 0)[1], planned=3)


def test_holm_goes_over_all_strategies_shown() -> None:
    theirs = pair(600, 40, 20)[1]
    many = [pair(600, wins, 20)[0] for wins in (40, 38, 22, 20)]
    theirs = made("strong", np.where(np.arange(600) < 40, 0.0, 1.0))
    found = verdicts(many, theirs, planned=600, rules=QUICK)
    raw = [mcnemar(one.quality, theirs.quality) for one in many]
    assert [one.quality.p_value for one in found] == raw
    assert [one.quality.p_holm for one in found] == holm(raw)
    assert "after Holm's correction over 4 strategies" in sentences(found[0])[0]
    alone = verdicts(many[:1], theirs, planned=600, rules=QUICK)[0]
    assert found[0].items_needed > alone.items_needed


def test_a_missing_answer_is_a_wrong_answer() -> None:
    ours, theirs = pair(400, wins=20, losses=20)
    unanswered = replace(ours, quality=np.where(ours.quality == 0, np.nan, ours.quality))
    same, missing = (verdicts([one], theirs, planned=400, rules=QUICK)[0] for one in (ours, unanswered))
    assert missing.quality == same.quality
    assert missing.counts == same.counts
    assert missing.n == 400


def test_unknown_costs_and_latencies_are_said_to_be_unknown() -> None:
    ours, theirs = pair(400, wins=20, losses=20)
    free = replace(ours, cost_usd=np.full(400, np.nan))
    half = np.where(np.arange(400) < 150, np.nan, ours.latency_ms)
    (verdict,) = verdicts([replace(free, latency_ms=half)], theirs, planned=400, rules=QUICK)
    assert verdict.cost_usd.interval is None
    assert verdict.cost_usd.finding is None
    assert "Its cost cannot be compared: it is known on too few items." in sentences(verdict)
    assert verdict.latency_ms.interval is not None
    assert verdict.latency_ms.interval.n == 250


def test_graded_scores_are_compared_by_the_bootstrap() -> None:
    dice = np.random.default_rng(4)
    base = dice.beta(4, 2, 500)
    ours = made("rubric", np.clip(base + dice.normal(0.04, 0.1, 500), 0, 1))
    (verdict,) = verdicts([ours], made("strong", base), planned=500)
    assert verdict.word == "better"
    assert not verdict.yes_no
    assert "bootstrap p < .001" in sentences(verdict)[0]
    (same,) = verdicts([made("again", base)], made("strong", base), planned=500, rules=QUICK)
    assert same.word == "no difference shown"
    assert same.noninferior


def test_a_mean_that_hangs_on_few_extreme_items_is_said_to() -> None:
    ours, theirs = pair(100, wins=10, losses=5)
    (calm,) = verdicts([ours], theirs, planned=100, rules=QUICK)
    assert calm.cost_usd.spread_items > 5
    assert "extreme" not in " ".join(sentences(calm))
    flood = np.where(np.arange(100) == 7, 1.0, ours.cost_usd)
    (found,) = verdicts([replace(ours, cost_usd=flood)], theirs, planned=100, rules=QUICK)
    assert found.cost_usd.spread_items == pytest.approx(1.0, abs=0.05)
    told = sentences(found)[2]
    assert told.endswith(
        "That hangs on few extreme items (its spread is that of 1 of 100), so the interval may be too narrow: "
        "more items would tell."
    )


def test_a_percentile_with_fewer_than_ten_items_beyond_is_left_out() -> None:
    for n, p50, p95 in ((19, False, False), (20, True, False), (199, True, False), (200, True, True)):
        (verdict,) = verdicts([pair(n, 3, 2)[0]], pair(n, 3, 2)[1], planned=n, rules=QUICK)
        assert (verdict.latency_p50_ms is not None, verdict.latency_p95_ms is not None) == (p50, p95)


def test_the_best_single_model_is_chosen_on_the_other_half() -> None:
    first = halves(200, seed=3)
    left = made("left", np.where(first, 1.0, 0.4), seed=1)
    right = made("right", np.where(first, 0.5, 0.9), seed=2)
    reference = best_single_reference([left, right], first_half=first)
    assert reference.quality.tolist() == np.where(first, 0.5, 0.4).tolist()
    assert reference.cost_usd.tolist() == np.where(first, right.cost_usd, left.cost_usd).tolist()
    assert "left" in reference.strategy
    assert "right" in reference.strategy


def test_ten_strategies_over_1800_items_take_less_than_a_second() -> None:
    dice = np.random.default_rng(0)
    ours = [made(f"s{place}", (dice.random(1800) < 0.8).astype(float), seed=place) for place in range(10)]
    theirs = made("strong", (dice.random(1800) < 0.83).astype(float), seed=99)
    took = []
    for _ in range(3):
        start = time.process_time()
        found = verdicts(ours, theirs, planned=1800)
        took.append(time.process_time() - start)
    assert len(found) == 10
    assert min(took) < 1.0
