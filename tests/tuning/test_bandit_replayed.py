"""What a bandit comes to on recorded replies, in 20 random orders: its regret falls, and is below epsilon-greedy's.

Regret is against a policy that is named. The oracle picks the best reply of each question with hindsight; what is lost
against it is mostly chance that nobody could have known beforehand, so that it cannot fall much. Judged here is the
usual figure, the regret against the best single model in hindsight: the one of the seven with the highest mean reward
over all 1,800 questions. Both are printed.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pytest
from numpy.typing import NDArray

from orchestration_nb.calls import Decision, Origin, Reply, Request, Usage
from orchestration_nb.ids import CallId, RequestId, RunId
from orchestration_nb.messages import user
from orchestration_nb.tuning.bandit import LearningStrategy, bandit, epsilon_greedy

pytestmark = [pytest.mark.corpus, pytest.mark.slow]

COST_WEIGHT = 0.01
"""Quality per US dollar and thousand requests: the default."""
SEEDS = 20
HALF = 900

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    prompts: list[str]
    models: list[str]
    correct: Array
    cost_usd: Array

    @property
    def reward(self) -> Array:
        return self.correct - COST_WEIGHT * 1000 * self.cost_usd


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    from tests.conftest import corpus_folder

    folder = corpus_folder() / "zeroeval"
    prices = json.loads((folder / "models.json").read_text())
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT q.qid, q.prompt, r.model, r.correct, r.in_tokens, r.out_tokens FROM read_parquet(?) r"
            " JOIN read_parquet(?) q USING (qid) ORDER BY q.qid",
            [str(folder / "responses.parquet"), str(folder / "questions.parquet")],
        ).fetchall()
    models, places = list(prices), {qid: place for place, qid in enumerate(dict.fromkeys(row[0] for row in rows))}
    prompts = [""] * len(places)
    correct, cost_usd = np.zeros((len(places), len(models))), np.zeros((len(places), len(models)))
    for qid, prompt, model, right, read, written in rows:
        at, price = (places[qid], models.index(model)), prices[model]
        prompts[at[0]] = prompt
        correct[at] = float(right)
        cost_usd[at] = (read * price["input_usd_per_mtok"] + written * price["output_usd_per_mtok"]) / 1e6
    return Recorded(prompts=prompts, models=models, correct=correct, cost_usd=cost_usd)


async def play(strategy: LearningStrategy, recorded: Recorded, order: NDArray[Any], seed: int) -> Array:
    """The rewards of a strategy that answers the questions in that order."""
    rewards, worth = [], recorded.reward
    for place in map(int, order):

        async def ask(model: str, place: int = place, **_: Any) -> Reply:
            usd = float(recorded.cost_usd[place, recorded.models.index(model)])
            return Reply(
                call_id=CallId("c"), model=model, text="", value="", usage=Usage(), cost_usd=usd, billed_usd=0.0,
                latency_ms=1.0,
            )  # fmt: skip

        asked = Request(
            id=RequestId(f"{seed}-{place}"),
            origin=Origin(run_id=RunId("r"), flow="f", step="reply", item=place),
            messages=(user(recorded.prompts[place]),),
            decision=Decision(seed=f"{seed} {place}"),
        )
        given = await strategy(asked, ask)
        chosen = recorded.models.index(given.model)
        strategy.learn(asked, given, recorded.correct[place, chosen])
        rewards.append(worth[place, chosen])
    return np.array(rewards)


def regrets(make: Any, recorded: Recorded) -> dict[str, Array]:
    """Sums of regret against each policy, shape ``(seeds, 2)``: questions 1-900 and 901-1,800."""
    best_of_each = recorded.reward.max(axis=1)
    best_single = recorded.reward[:, recorded.reward.mean(axis=0).argmax()]
    found: dict[str, list[list[float]]] = {"oracle": [], "best single": []}
    for seed in range(SEEDS):
        order = np.random.default_rng(seed).permutation(len(recorded.prompts))
        strategy = make(*recorded.models, cost_weight=COST_WEIGHT)
        rewards = asyncio.run(play(strategy, recorded, order, seed))
        for against, reached in (("oracle", best_of_each), ("best single", best_single)):
            lost = reached[order] - rewards
            found[against].append([lost[:HALF].sum(), lost[HALF:].sum()])
    return {against: np.array(sums) for against, sums in found.items()}


def test_regret_falls_and_is_below_that_of_epsilon_greedy(recorded: Recorded) -> None:
    ours, theirs = regrets(bandit, recorded), regrets(epsilon_greedy, recorded)
    for name, found in (("bandit", ours), ("epsilon-greedy", theirs)):
        for against, sums in found.items():
            first, second = sums.mean(axis=0)
            print(f"{name} against {against}: {first:.1f}, then {second:.1f} ({second / first:.2f})")
    difference = (ours["best single"] - theirs["best single"]).sum(axis=1)
    draws = np.random.default_rng(0).choice(difference, (4000, SEEDS)).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    print(f"bandit minus epsilon-greedy: {difference.mean():.1f}, 95 % interval {low:.1f} to {high:.1f}")

    first, second = ours["best single"].mean(axis=0)
    assert first > 0
    assert second <= 0.7 * first
    assert difference.mean() < 0
