"""Curves and baselines on real recorded replies, against figures computed here, another way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.baselines import best_single, oracle, random_mix, slice_gap, slice_prior
from orchestration_nb.evals.curves import Escalation, aiq, apgr, cpt, curve, halves, hull, pareto, saved_at
from tests.evals.zeroeval import FLASH, MINI, SONNET, Floats, Recorded, read_recorded


@pytest.fixture
def recorded(corpus: Path) -> Recorded:
    return read_recorded(corpus)


@pytest.mark.corpus
def test_every_single_model_is_as_recorded(recorded: Recorded, corpus: Path) -> None:
    import duckdb

    prices = json.loads((corpus / "zeroeval" / "models.json").read_text())
    with duckdb.connect() as connection:
        rows = (
            connection.read_parquet(str(corpus / "zeroeval" / "responses.parquet"))
            .aggregate("model, avg(correct::INT), sum(in_tokens), sum(out_tokens)", "model")
            .fetchall()
        )
    assert len(rows) == 7
    for model, accuracy, tokens_in, tokens_out in rows:
        alone = [float(name == model) for name in recorded.models]
        quality, cost = random_mix(recorded.quality, recorded.cost_usd, alone)
        assert quality.mean() == pytest.approx(accuracy, abs=1e-12)
        price = prices[model]
        usd = tokens_in * price["input_usd_per_mtok"] + tokens_out * price["output_usd_per_mtok"]
        assert cost.sum() == pytest.approx(usd / 1e6, rel=1e-9)


def router(recorded: Recorded, scores: Floats) -> Escalation:
    small, strong = recorded.of(FLASH), recorded.of(SONNET)
    return Escalation(
        quality_kept=small[0],
        quality_escalated=strong[0],
        cost_kept=small[1],
        cost_escalated=strong[1],
        scores=scores,
    )


def cascade(recorded: Recorded, scores: Floats) -> Escalation:
    """Flash and mini are asked about everything, sonnet about what is escalated."""
    small, mini, strong = recorded.of(FLASH), recorded.of(MINI), recorded.of(SONNET)
    cheap = small[1] + mini[1]
    return Escalation(
        quality_kept=small[0],
        quality_escalated=strong[0],
        cost_kept=cheap,
        cost_escalated=cheap + strong[1],
        scores=scores,
    )


def disagreement(recorded: Recorded) -> Floats:
    flash, mini = (recorded.extracted[:, recorded.models.index(model)] for model in (FLASH, MINI))
    return np.array([float(one != other) for one, other in zip(flash, mini, strict=True)])


def brute_force(escalation: Escalation) -> tuple[Floats, Floats]:
    """Share and quality at every threshold, one mean at a time."""
    levels = [np.inf, *sorted(set(escalation.scores.tolist()), reverse=True)]
    ups = [escalation.scores >= level for level in levels]
    quality = [np.where(up, escalation.quality_escalated, escalation.quality_kept).mean() for up in ups]
    return np.array([up.mean() for up in ups]), np.array(quality)


@pytest.mark.corpus
def test_the_oracle_is_the_cheapest_right_model_else_the_cheapest(recorded: Recorded) -> None:
    chosen = oracle(recorded.quality, recorded.cost_usd)
    items = np.arange(len(chosen))
    quality, cost = recorded.quality[items, chosen], recorded.cost_usd[items, chosen]
    assert quality.mean() == recorded.quality.any(axis=1).mean()
    by_hand = [
        min(row_cost[row == 1]) if (row == 1).any() else min(row_cost)
        for row, row_cost in zip(recorded.quality, recorded.cost_usd, strict=True)
    ]
    assert cost.tolist() == by_hand


@pytest.mark.corpus
def test_the_hull_and_the_front_hold_every_model_below_them(recorded: Recorded) -> None:
    from scipy.spatial import ConvexHull

    costs, quality = recorded.cost_usd.mean(axis=0), recorded.quality.mean(axis=0)
    front, corners = pareto(costs, quality), hull(costs, quality)
    beaten = [
        any((costs <= costs[i]) & (quality >= quality[i]) & ((costs < costs[i]) | (quality > quality[i])))
        for i in range(len(costs))
    ]
    assert sorted(front.tolist()) == [place for place, is_beaten in enumerate(beaten) if not is_beaten]
    cheapest, best = int(costs.argmin()), int(quality.argmax())
    points = np.column_stack([costs / costs.max(), quality])
    below = np.array([[points[cheapest, 0], -9], [points[best, 0], -9]])  # closes the hull from below
    whole = ConvexHull(np.vstack([points[(costs <= costs[best])], below]))
    kept = np.flatnonzero(costs <= costs[best])
    assert sorted(corners.tolist()) == sorted(kept[v] for v in whole.vertices if v < len(kept))
    assert set(corners.tolist()) <= set(front.tolist())
    assert FLASH in [recorded.models[place] for place in corners]


@pytest.mark.corpus
def test_random_escalation_is_the_line_between_the_models(recorded: Recorded) -> None:
    small, strong = recorded.of(FLASH), recorded.of(SONNET)
    tables = np.column_stack([small[0], strong[0]]), np.column_stack([small[1], strong[1]])
    for share in (0.0, 0.3, 1.0):
        quality, cost = random_mix(*tables, [1 - share, share])
        assert quality.mean() == pytest.approx((1 - share) * small[0].mean() + share * strong[0].mean())
        assert cost.mean() == pytest.approx((1 - share) * small[1].mean() + share * strong[1].mean())
    tossed = np.random.default_rng(0)
    drawn = [apgr(small[0], strong[0], tossed.random(1800)) for _ in range(200)]
    assert np.mean([one for one in drawn if one is not None]) == pytest.approx(0.5, abs=0.01)
    assert apgr(small[0], strong[0], np.zeros(1800)) == 0.5
    assert cpt(small[0], strong[0], np.zeros(1800), 0.8) == pytest.approx(0.8)


@pytest.mark.corpus
def test_apgr_cpt_and_the_curve_are_those_of_brute_force(recorded: Recorded) -> None:
    scores = np.round(recorded.quality.mean(axis=1) + np.random.default_rng(5).random(1800), 1) * -1
    escalation = router(recorded, scores)
    share, quality = brute_force(escalation)
    found = curve(escalation)
    assert found.share == pytest.approx(share)
    assert found.quality == pytest.approx(quality)
    assert found.cost_usd[[0, -1]] == pytest.approx([recorded.of(FLASH)[1].mean(), recorded.of(SONNET)[1].mean()])
    gap = (quality - quality[0]) / (quality[-1] - quality[0])
    area = sum((b - a) * (x + y) / 2 for a, b, x, y in zip(share, share[1:], gap, gap[1:], strict=False))
    qualities = escalation.quality_kept, escalation.quality_escalated
    assert apgr(*qualities, scores) == pytest.approx(area)
    fine = np.linspace(0, 1, 100_001)
    for target in (0.5, 0.8):
        first = fine[np.argmax(np.interp(fine, share, gap) >= target)]
        assert cpt(*qualities, scores, target) == pytest.approx(first, abs=2e-5)


@pytest.mark.corpus
def test_the_dataset_prior_is_what_the_other_half_says(recorded: Recorded) -> None:
    small, strong = recorded.of(FLASH)[0], recorded.of(SONNET)[0]
    found = []
    for seed in range(10):
        first = halves(1800, seed)
        scores = slice_gap(small, strong, recorded.dataset, first_half=first)
        for item in (0, 700, 1799):
            other = (recorded.dataset == recorded.dataset[item]) & (first != first[item])
            assert scores[item] == pytest.approx((strong[other] - small[other]).mean())
        area = apgr(small, strong, scores)
        assert area is not None
        found.append(area)
    assert 0.6 < np.mean(found) < 0.68
    first = halves(1800, 0)
    chosen = slice_prior(recorded.quality, recorded.cost_usd, recorded.dataset, first_half=first)
    for item in (0, 700, 1799):
        other = (recorded.dataset == recorded.dataset[item]) & (first != first[item])
        assert recorded.quality[other].mean(axis=0)[chosen[item]] == recorded.quality[other].mean(axis=0).max()


@pytest.mark.corpus
def test_the_best_single_model_is_sonnet_or_its_equal(recorded: Recorded) -> None:
    first = halves(1800, 1)
    chosen = best_single(recorded.quality, recorded.cost_usd, first_half=first)
    for used in (first, ~first):
        means = recorded.quality[~used].mean(axis=0)
        assert len(set(chosen[used].tolist())) == 1
        assert means[chosen[used][0]] == means.max()


@pytest.mark.corpus
def test_savings_are_measured_where_the_threshold_was_not_chosen(recorded: Recorded) -> None:
    escalation = cascade(recorded, disagreement(recorded) + np.random.default_rng(2).random(1800) / 2)
    strong = recorded.of(SONNET)
    first = halves(1800, 4)
    for target in (0.95, 0.99, 1.0):
        found = saved_at(target, escalation, strong[1], first_half=first)
        quality = cost = 0.0
        for used, threshold in zip((first, ~first), found.thresholds[::-1], strict=True):
            learned = ~used
            options = [np.inf, *sorted(set(escalation.scores[learned].tolist()), reverse=True)]
            goal = target * escalation.quality_escalated[learned].sum() - 1e-9
            kept, up = escalation.quality_kept[learned], escalation.quality_escalated[learned]
            scores = escalation.scores[learned]
            enough = [option for option in options if np.where(scores >= option, up, kept).sum() >= goal]
            assert threshold == max(enough)
            strongly = used & (escalation.scores >= threshold)
            cheaply = used & ~strongly
            quality += escalation.quality_escalated[strongly].sum() + escalation.quality_kept[cheaply].sum()
            cost += escalation.cost_escalated[strongly].sum() + escalation.cost_kept[cheaply].sum()
        assert found.kept == pytest.approx(quality / strong[0].sum())
        assert found.saved == pytest.approx(1 - cost / strong[1].sum())
        assert found.is_met == (quality >= target * strong[0].sum() - 1e-9)


@pytest.mark.corpus
def test_agreement_keeps_sonnets_accuracy_at_less_cost(recorded: Recorded) -> None:
    agreement = cascade(recorded, disagreement(recorded))
    found = curve(agreement)
    assert len(found.share) == 3  # nothing, what is disagreed on, everything
    strong = recorded.of(SONNET)
    assert found.quality[1] / strong[0].mean() >= 0.99
    assert 1 - found.cost_usd[1] / strong[1].mean() >= 0.42
    both = recorded.of(FLASH)[1].mean() + recorded.of(MINI)[1].mean()
    assert found.cost_usd[0] == pytest.approx(both)
    assert found.cost_usd[-1] == pytest.approx(both + strong[1].mean())


@pytest.mark.corpus
def test_aiq_is_the_mean_height_of_the_hull_over_cost(recorded: Recorded) -> None:
    agreement = curve(cascade(recorded, disagreement(recorded)))
    costs = np.append(agreement.cost_usd, [recorded.of(FLASH)[1].mean(), recorded.of(SONNET)[1].mean()])
    quality = np.append(agreement.quality, [recorded.of(FLASH)[0].mean(), recorded.of(SONNET)[0].mean()])
    between = (float(costs.min()), float(recorded.of(SONNET)[1].mean()))
    grid = np.linspace(*between, 20_001)
    best = np.zeros_like(grid)  # the highest point of any line between two points, or of any cheaper point
    for a, b in [(a, b) for a in range(5) for b in range(5) if costs[a] < costs[b]]:
        inside = (grid >= costs[a]) & (grid <= costs[b])
        line = quality[a] + (quality[b] - quality[a]) * (grid - costs[a]) / (costs[b] - costs[a])
        best = np.maximum(best, np.where(inside, line, 0))
    best = np.maximum.accumulate(best)
    assert aiq(costs, quality, between=between) == pytest.approx(best.mean(), abs=1e-4)
    assert aiq(costs[[3, 4]], quality[[3, 4]]) == pytest.approx(quality[[3, 4]].mean())


def test_what_has_no_meaning_is_none() -> None:
    same = np.array([1.0, 0.0, 1.0])
    assert apgr(same, same, np.arange(3)) is None
    assert cpt(same, same * 0, np.arange(3), 0.5) is None
    assert aiq([1.0], [0.5]) is None
    assert aiq([1.0, 3.0], [0.5, 0.4]) == 0.5  # dearer and worse: nobody need pay for it


def test_a_missing_answer_counts_as_wrong() -> None:
    small, strong = np.array([np.nan, 1.0, 0.0, 0.0]), np.ones(4)
    assert apgr(small, strong, np.arange(4)) == apgr(np.nan_to_num(small), strong, np.arange(4))
    quality = np.array([[np.nan, 1.0], [np.nan, np.nan]])
    assert oracle(quality, np.array([[1.0, 2.0], [1.0, 2.0]])).tolist() == [1, 0]


def test_equal_models_go_to_the_cheaper_one_and_unseen_slices_to_the_best() -> None:
    quality = np.array([[1.0, 1.0, 0.0]] * 4)
    cost = np.array([[2.0, 1.0, 0.1]] * 4)
    first = np.array([True, True, False, False])
    assert best_single(quality, cost, first_half=first).tolist() == [1, 1, 1, 1]
    assert slice_prior(quality, cost, ["a", "b", "c", "d"], first_half=first).tolist() == [1, 1, 1, 1]
    gaps = slice_gap(quality[:, 2], quality[:, 0], ["a", "b", "c", "d"], first_half=first)
    assert gaps.tolist() == [1, 1, 1, 1]


def test_a_saving_that_cannot_be_had_escalates_everything() -> None:
    kept, up = np.zeros(10), np.ones(10)
    escalation = Escalation(
        quality_kept=kept, quality_escalated=up, cost_kept=up * 0.2, cost_escalated=up * 1.2, scores=np.arange(10.0)
    )
    found = saved_at(1.0, escalation, up, first_half=halves(10, 0))
    assert found.saved <= 0.2
    assert found.kept is not None
    assert found.kept >= 0.8


def refusals() -> dict[str, Callable[[], object]]:
    ones = np.ones(4)
    good = {"quality_kept": ones * 0, "quality_escalated": ones, "cost_kept": ones, "cost_escalated": ones * 2}
    whole = Escalation(**good, scores=ones)
    unpriced = Escalation(**good | {"cost_kept": ones * np.nan}, scores=ones)
    return {
        "the same items": lambda: curve(Escalation(**good, scores=np.arange(3.0))),
        "the cost and the score": lambda: curve(unpriced),
        "two halves": lambda: saved_at(0.9, whole, ones, first_half=ones > 0),
        "between 0 and 1, not 50": lambda: cpt(ones * 0, ones, ones, 50),
        "one share per model": lambda: random_mix(np.ones((4, 2)), np.ones((4, 2)), [0.5, 0.6]),
        "a row for each item": lambda: oracle(np.ones((4, 2)), np.ones((4, 3))),
        "needs the cost of every item": lambda: oracle(np.ones((4, 2)), np.full((4, 2), np.nan)),
        "needs both halves": lambda: best_single(np.ones((4, 2)), np.ones((4, 2)), first_half=ones > 0),
        "as cheap as the range": lambda: aiq([1.0, 2.0], [0.1, 0.2], between=(0.5, 2.0)),
        "one cost and one quality": lambda: hull([], []),
    }


@pytest.mark.parametrize("said", refusals())
def test_what_cannot_be_used_is_refused(said: str) -> None:
    with pytest.raises(UsageError, match=said):
        refusals()[said]()
