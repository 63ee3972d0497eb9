"""How often what a run really costs lies where its plan said, on the shipped ticket flow."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from orchestration_nb.cost.estimates import COVERAGE
from tests.planning.triage import Triage, billed

SEEDS = range(24)


def test_50_past_items_say_what_the_others_cost(fresh: Triage) -> None:
    flow = fresh.flow()
    past, rest = fresh.split(0)
    flow.map(past)
    plan = flow.plan(rest)
    run = flow.map(rest)
    assert plan.cost_usd.low <= run.billed_usd <= plan.cost_usd.high
    assert plan.cost_usd.expected == pytest.approx(run.billed_usd, rel=0.15)
    assert plan.bases == "from the calls of 50 past items"


@pytest.mark.slow
def test_any_50_past_items_say_what_the_others_cost(
    triage: Triage, truth: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> None:
    held, errors = 0, []
    for seed in SEEDS:
        flow = triage.flow(tmp_path_factory.mktemp(f"seed{seed}"))
        past, rest = triage.split(seed)
        flow.map(past)
        cost, actual = flow.plan(rest).cost_usd, billed(truth, past, rest)
        inside = cost.low <= actual <= cost.high
        held += inside
        errors.append(cost.expected / actual - 1)
        print(f"seed {seed:2}: {actual:.5f} in {cost.low:.5f}..{cost.high:.5f} {inside}, expected {errors[-1]:+.1%}")
    print(f"held {held} of {len(SEEDS)} (nominal {COVERAGE:.0%}), largest error {max(map(abs, errors)):.1%}")
    assert held == len(SEEDS)
    assert max(map(abs, errors)) <= 0.15


@pytest.mark.slow
def test_without_any_past_the_interval_is_wide_and_says_so(triage: Triage, truth: pd.DataFrame, tmp_path: Path) -> None:
    flow = triage.flow(tmp_path)
    held = 0
    for seed in SEEDS:
        past, rest = triage.split(seed, 50 + 15 * seed)
        plan, actual = flow.plan(rest), billed(truth, past.iloc[:0], rest)
        held += plan.cost_usd.low <= actual <= plan.cost_usd.high
        assert plan.bases == "from the prompts"
        assert plan.cost_usd.high > 10 * plan.cost_usd.low
    print(f"held {held} of {len(SEEDS)}")
    assert held == len(SEEDS)
