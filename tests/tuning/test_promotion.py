"""A candidate's way from the shadow to promotion or rollback: single steps, and how often the rule errs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from orchestration_nb.errors import UsageError
from orchestration_nb.tuning.looks import Arms
from orchestration_nb.tuning.promotion import (
    OPEN,
    Evidence,
    Rollout,
    RolloutSettings,
    Step,
    Sums,
    advance,
    begin,
)

NO_SHADOW = RolloutSettings(shadow_least_items=0, shadow_most_items=0)
HALF = replace(NO_SHADOW, canary_share=0.5)
LOOK_ITEMS = 50


class Items:
    """Items drawn anew: quality right or wrong, with some agreement of both sides; costs log-normal."""

    def __init__(self, seed: int, *, candidate: float = 0.8, incumbent: float = 0.8, cost_ratio: float = 1.0) -> None:
        self.dice = np.random.default_rng([4, seed])
        self.candidate, self.incumbent, self.cost_ratio = candidate, incumbent, cost_ratio

    def draw(self, n: int) -> tuple[NDArray[np.float64], ...]:
        """Qualities of the candidate and the incumbent, and their costs."""
        dice = self.dice
        hard = dice.random(n)
        theirs = np.where(dice.random(n) < 0.6, hard, dice.random(n))
        size = 0.001 * dice.lognormal(0, 0.8, n)
        return (
            (hard < self.candidate).astype(float),
            (theirs < self.incumbent).astype(float),
            size * self.cost_ratio * dice.lognormal(0, 0.2, n),
            size * dice.lognormal(0, 0.2, n),
        )

    def pairs(self, n: int) -> list[Evidence]:
        """Of the shadow."""
        return [
            Evidence(candidate_quality=a, incumbent_quality=b, candidate_cost_usd=c, incumbent_cost_usd=d)
            for a, b, c, d in zip(*(column.tolist() for column in self.draw(n)), strict=True)
        ]

    def live(self, n: int, share: float) -> list[Evidence]:
        """Of the canary: each answered by one side."""
        mine = self.dice.random(n) < share
        return [
            Evidence(candidate_quality=one.candidate_quality, candidate_cost_usd=one.candidate_cost_usd)
            if ours
            else Evidence(incumbent_quality=one.incumbent_quality, incumbent_cost_usd=one.incumbent_cost_usd)
            for one, ours in zip(self.pairs(n), mine, strict=True)
        ]


def to_the_end(items: Items, settings: RolloutSettings) -> tuple[Rollout, Step]:
    """Whole blocks of items at once, for speed: one look per 50 pairs, or per about 50 of the candidate's items."""
    rollout, step = advance(begin(settings))
    while rollout.stage in OPEN:
        rollout, step = look(rollout, items)
    return rollout, step


def look(rollout: Rollout, items: Items) -> tuple[Rollout, Step]:
    settings, shadow = rollout.settings, rollout.stage == "shadow"
    n = LOOK_ITEMS if shadow else round(LOOK_ITEMS / settings.canary_share)
    quality, other_quality, cost, other_cost = items.draw(n)
    ours = np.ones(n, dtype=bool) if shadow else items.dice.random(n) < settings.canary_share
    theirs = ours if shadow else ~ours
    sums = rollout.shadow if shadow else rollout.canary
    sums = Sums(
        quality=block(sums.quality, quality, other_quality, ours, theirs),
        cost_usd=block(sums.cost_usd, cost, other_cost, ours, theirs),
    )
    return advance(replace(rollout, shadow=sums) if shadow else replace(rollout, canary=sums))


def block(
    arms: Arms, values: NDArray[Any], other_values: NDArray[Any], ours: NDArray[Any], theirs: NDArray[Any]
) -> Arms:
    return Arms(
        candidate=arms.candidate.add(values[ours]),
        incumbent=arms.incumbent.add(other_values[theirs]),
        difference=arms.difference.add((values - other_values)[ours & theirs]),
    )


def test_a_rollout_begins_in_the_shadow_and_goes_to_the_canary_when_pairs_show_no_harm() -> None:
    rollout, step = advance(begin(), Items(1).pairs(40))
    assert (step.stage, step.share, step.changed) == ("shadow", 0.0, False)
    assert "too few to decide" in step.reason
    rollout, step = advance(rollout, Items(2).pairs(80))
    assert (step.stage, step.was, step.share, step.changed) == ("canary", "shadow", 0.2, True)
    assert step.reason.startswith("To the canary: 120 pairs show no harm")


def test_without_a_shadow_it_begins_as_a_canary() -> None:
    assert begin(NO_SHADOW).stage == "canary"


def test_a_bad_candidate_never_gets_out_of_the_shadow() -> None:
    rollout, step = begin(), None
    items = Items(3, candidate=0.4)
    while rollout.stage == "shadow":
        rollout, step = advance(rollout, items.pairs(10))
    assert step is not None
    assert step.stage == "rolled_back"
    assert step.share == 0.0
    assert "the candidate's quality is lower" in step.reason
    assert step.quality.high < 0
    assert step.candidate_items <= 100


def test_a_seemingly_worse_candidate_stays_in_the_shadow_for_longer() -> None:
    lost = [Evidence(candidate_quality=0.0, incumbent_quality=1.0)] * 12
    won = [Evidence(candidate_quality=1.0, incumbent_quality=0.0)] * 4
    same = [Evidence(candidate_quality=1.0, incumbent_quality=1.0)] * 84
    rollout, step = advance(begin(), lost + won + same)
    assert step.stage == "shadow"
    rollout, step = advance(rollout, [*same, *same, *same])
    assert step.stage == "canary"


def test_a_drop_in_the_canary_rolls_back_by_itself() -> None:
    rollout, items = begin(NO_SHADOW), Items(5, candidate=0.6)
    step = None
    while rollout.stage == "canary":
        rollout, step = advance(rollout, items.live(250, 0.2))
    assert step is not None
    assert step.stage == "rolled_back"
    assert step.candidate_items < 400


def test_a_dear_candidate_is_rolled_back_unless_cost_does_not_matter() -> None:
    _, step = advance(begin(), Items(6, cost_ratio=3.0).pairs(100))
    assert step.stage == "rolled_back"
    assert "costs more than 1.25 times as much" in step.reason
    assert step.cost_ratio.low > 1.25
    free = begin(RolloutSettings(cost_limit=None))
    assert advance(free, Items(6, cost_ratio=3.0).pairs(100))[1].stage == "canary"


@pytest.mark.parametrize(
    ("better", "cheaper", "says"), [(0.95, 1.0, "quality is higher"), (0.8, 0.5, "the candidate is cheaper")]
)
def test_a_better_or_a_cheaper_equal_candidate_is_promoted(better: float, cheaper: float, says: str) -> None:
    _, step = to_the_end(Items(7, candidate=better, cost_ratio=cheaper), NO_SHADOW)
    assert (step.stage, step.share) == ("promoted", 1.0)
    assert says in step.reason
    assert step.quality.low > (0 if better > 0.8 else -0.03)


def test_where_nothing_is_shown_the_incumbent_stays_and_late_items_change_nothing() -> None:
    short = RolloutSettings(shadow_least_items=0, shadow_most_items=0, watch_items=100, canary_most_items=200)
    rollout, step = to_the_end(Items(8), short)
    assert (step.stage, step.share) == ("undecided", 0.0)
    assert step.reason.startswith("The incumbent stays")
    later, step = advance(rollout, Items(9, candidate=0.0).live(500, 0.5))
    assert later == rollout
    assert step.reason == "This rollout has ended: undecided."


def test_a_free_incumbent_and_costs_that_nobody_knows_are_no_accident() -> None:
    free = [Evidence(candidate_quality=1.0, incumbent_quality=1.0, candidate_cost_usd=0.0, incumbent_cost_usd=0.0)]
    _, step = advance(begin(), free * 100)
    assert step.stage == "canary"
    assert step.cost_ratio.estimate == 1.0
    paid = replace(free[0], candidate_cost_usd=0.001)
    assert advance(begin(), [paid] * 100)[1].stage == "rolled_back"
    unknown = Evidence(candidate_quality=1.0, incumbent_quality=1.0)
    _, step = advance(begin(), [unknown] * 100)
    assert step.stage == "canary"
    assert step.cost_ratio.high == float("inf")


def test_item_by_item_comes_to_the_same_as_all_at_once() -> None:
    pairs = Items(10).pairs(90)
    one_by_one = begin()
    for pair in pairs:
        one_by_one, _ = advance(one_by_one, [pair])
    at_once, _ = advance(begin(), pairs)
    ours, theirs = one_by_one.shadow.quality.difference, at_once.shadow.quality.difference
    assert ours.n == theirs.n
    assert (ours.mean, ours.squares) == pytest.approx((theirs.mean, theirs.squares))


def test_a_rollout_goes_through_json_at_any_moment_and_goes_on_as_if_nothing_was() -> None:
    rollout = begin()
    for number in range(4):
        items = Items(number).pairs(60) if rollout.stage == "shadow" else Items(number).live(60, 0.2)
        again = Rollout.from_json(rollout.to_json())
        assert again == rollout
        assert advance(again, items) == advance(rollout, items)
        rollout, _ = advance(rollout, items)


def test_a_kept_rollout_that_was_tampered_with_is_refused() -> None:
    with pytest.raises(UsageError, match="stage"):
        Rollout.from_json('{"stage": "king"}')
    with pytest.raises(UsageError, match="cannot be read"):
        Rollout.from_json("no json")


def test_what_is_no_quality_no_cost_and_no_setting_is_refused() -> None:
    with pytest.raises(UsageError, match="not between 0 and 1"):
        Evidence(candidate_quality=3.0)
    with pytest.raises(UsageError, match="not between 0 and 1"):
        Evidence(incumbent_quality=float("nan"))
    with pytest.raises(UsageError, match="no cost"):
        Evidence(candidate_cost_usd=-1.0)
    with pytest.raises(UsageError, match=r"canary_share cannot be 0\.9"):
        RolloutSettings(canary_share=0.9)
    with pytest.raises(UsageError, match="watch_items"):
        RolloutSettings(watch_items=5000)


def outcomes(runs: int = 500, settings: RolloutSettings = NO_SHADOW, **world: float) -> tuple[Counter[str], list[int]]:
    """How many runs ended how, and the candidate's items in the canary until then."""
    ends = [to_the_end(Items(seed, **world), settings) for seed in range(runs)]
    taken = [rollout.canary.quality.candidate.n for rollout, _ in ends]
    stages = Counter(str(rollout.stage) for rollout, _ in ends)
    print(f"{world} {dict(stages)}; canary items: median {np.median(taken):.0f}, p90 {np.quantile(taken, 0.9):.0f}")
    return stages, taken


@pytest.mark.slow
@pytest.mark.parametrize("settings", [NO_SHADOW, HALF, RolloutSettings()])
@pytest.mark.parametrize("quality", [0.8, 0.97])
def test_where_nothing_differs_few_runs_are_promoted_or_rolled_back(settings: RolloutSettings, quality: float) -> None:
    stages, _ = outcomes(settings=settings, candidate=quality, incumbent=quality)
    assert stages["promoted"] <= 25
    assert stages["rolled_back"] <= 25


@pytest.mark.slow
def test_a_drop_in_the_midst_of_a_canary_is_rolled_back_too() -> None:
    taken = []
    for seed in range(200):
        rollout, items = begin(NO_SHADOW), Items(seed)
        while rollout.stage == "canary":
            if rollout.canary.quality.candidate.n >= 600:
                items.candidate = 0.7
            rollout, step = look(rollout, items)
        taken.append(rollout.canary.quality.candidate.n if step.stage == "rolled_back" else 9999)
    print(f"after 600 equal items: median {np.median(taken):.0f}, p90 {np.quantile(taken, 0.9):.0f}")
    assert np.mean(np.array(taken) < 9999) >= 0.95
    assert np.median(taken) <= 600 + 700  # slower than one from the start: the equal items before it weigh against it


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(0.8, 0.7), (0.55, 0.45)])
def test_a_drop_of_ten_points_is_rolled_back_within_500_canary_items(before: float, after: float) -> None:
    for settings in (NO_SHADOW, RolloutSettings()):
        stages, taken = outcomes(settings=settings, candidate=after, incumbent=before)
        assert stages["promoted"] == 0
        assert np.mean(np.array(taken) <= 500) >= 0.9


@pytest.mark.slow
def test_good_candidates_are_promoted_in_good_time() -> None:
    worlds: tuple[tuple[dict[str, Any], int, int], ...] = (
        ({"candidate": 0.85}, 475, 700),
        ({"candidate": 0.9}, 490, 300),
        ({"cost_ratio": 0.5}, 400, 1500),
    )
    for world, least, median in worlds:
        stages, taken = outcomes(settings=RolloutSettings(), **world)
        assert stages["promoted"] >= least
        assert np.median(taken) <= median
