"""Rollouts from end to end: a candidate goes shadow, canary, promoted, or is rolled back by itself."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.calls import RawReply, Request, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.errors import OverloadedError, UnknownStrategyError, UsageError
from orchestration_nb.flows import Flow
from orchestration_nb.rollouts import promote, roll_back, rollouts, start_rollout
from orchestration_nb.testing import FakeProvider, fake_workspace
from orchestration_nb.tuning.promotion import RolloutSettings
from orchestration_nb.tuning.standing import Standing

REPO = Path(__file__).resolve().parent.parent
SCORE = "reply=exact:gold"
MakeFlow = Callable[..., Flow]
STRAIGHT = RolloutSettings(shadow_least_items=0, shadow_most_items=0)


def number_of(request: Request) -> int:
    return int("".join(filter(str.isdigit, request.prompt)))


class Sized(FakeProvider):
    """Answers rightly in so many of ten items, by the size of the model."""

    def __init__(self, right: dict[str, int], *, dear: str = "large") -> None:
        super().__init__(lambda request: "")
        self.right = right
        self.dear = dear
        self.asked: Counter[str] = Counter()
        self.broken: set[str] = set()

    async def send(self, model: Model, request: Request, *, timeouts: Any) -> RawReply:
        self.asked[model.wire_name] += 1
        await asyncio.sleep(0.005)  # a model that takes no time at all is ahead of whatever scores it
        if model.wire_name in self.broken:
            raise OverloadedError("busy", billing="no")
        number = number_of(request)
        # Which items are right is as good as random, and neither model's are the other's.
        right = (number * 7919 + 13 * len(model.wire_name)) % 97 % 10 < self.right[model.wire_name]
        tokens = 100 if model.wire_name == self.dear else 10
        return RawReply(text="yes" if right else "no", usage=Usage(input_tokens=tokens, output_tokens=tokens // 2))


def words(count: int, begin: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"word": [f"w{number}" for number in range(begin, begin + count)], "gold": "yes"})


@pytest.fixture
def make_flow(tmp_path: Path) -> MakeFlow:
    def make(provider: FakeProvider, text: str = "reply = llm(f'{word}')", **namespace: Any) -> Flow:
        workspace = fake_workspace(tmp_path, provider)
        workspace.services.retry = workspace.services.retry.__class__(attempts=1)
        return Flow.from_source(text, name="quiz", namespace=namespace, workspace=workspace)

    return make


def newest(flow: Flow) -> Standing:
    return rollouts(flow.workspace)[-1]


def rows_of(flow: Flow) -> pd.DataFrame:
    return flow.workspace.ledger.sql("select * from rollouts order by changed_at, items")


def test_a_candidate_that_is_worse_is_rolled_back_by_itself_in_the_shadow(make_flow: MakeFlow) -> None:
    provider = Sized({"small": 5, "large": 9})
    flow = make_flow(provider)
    start_rollout(flow, "fast", over="strong", score=SCORE)
    run = flow.map(words(400), strategy="rollout(quiz)", concurrency=8)
    standing = newest(flow)
    assert standing.stage == "rolled_back"
    assert "quality is lower" in standing.reason
    assert provider.asked["large"] == 400  # the incumbent answered every item
    assert 50 <= provider.asked["small"] < 350  # and the candidate was asked no more once it was rolled back
    assert run.results["_score"].mean() > 0.8
    stages = rows_of(flow)["stage"].tolist()
    assert stages[0] == "shadow"
    assert stages[-1] == "rolled_back"
    assert set(rows_of(flow)["decided_by"]) == {"rule"}


def test_a_drop_in_the_canary_is_rolled_back_in_the_middle_of_a_run(make_flow: MakeFlow) -> None:
    provider = Sized({"small": 4, "large": 9})
    flow = make_flow(provider)
    start_rollout(flow, "fast", over="strong", score=SCORE, settings=STRAIGHT)
    flow.map(words(1200), strategy="rollout(quiz)", concurrency=8)
    assert newest(flow).stage == "rolled_back"
    assert rows_of(flow)["items"].max() < 150
    assert 50 <= provider.asked["small"] < 200  # of 240 that it would have answered
    assert provider.asked["small"] + provider.asked["large"] == 1200  # each item was answered by one of them
    drawn = flow.workspace.ledger.sql("select * from requests where propensity is not null order by started_at")
    candidates = drawn[drawn["model"] == "fake/small"]
    assert set(candidates["propensity"].round(6)) == {0.2}
    assert set(drawn[drawn["model"] == "fake/large"]["propensity"].round(6)) == {0.8}
    assert drawn["reason"].str.contains("canary of rollout").all()
    scores = flow.workspace.ledger.sql("select strategy, count(*) as n from scores group by all")
    assert dict(zip(scores["strategy"], scores["n"], strict=True)) == {
        "fast": provider.asked["small"],
        "strong": provider.asked["large"],
    }


def test_a_candidate_that_is_better_is_promoted_over_several_runs(make_flow: MakeFlow) -> None:
    provider = Sized({"small": 5, "large": 10}, dear="none")
    flow = make_flow(provider)
    start_rollout(flow, "strong", over="fast", score=SCORE)
    stages = []
    for begin in range(0, 1600, 200):  # a daily run, with new items each time
        flow.map(words(200, begin), strategy="rollout(quiz)", concurrency=8)
        stages.append(newest(flow).stage)
        if stages[-1] == "promoted":
            break
    assert stages[0] == "canary"
    assert stages[-1] == "promoted"
    assert "quality is higher" in newest(flow).reason
    seen = rows_of(flow)
    assert list(dict.fromkeys(seen["stage"])) == ["shadow", "canary", "promoted"]
    assert seen["share"].iloc[-1] == 1.0
    before = provider.asked["small"]
    run = flow.map(words(50, 5000), strategy="rollout(quiz)")
    assert provider.asked["small"] == before  # from now on the candidate answers
    assert "_score" not in run.results.columns  # and nothing is scored for the rollout any more


def test_one_that_is_as_good_and_cheaper_is_promoted_for_its_cost(make_flow: MakeFlow) -> None:
    provider = Sized({"small": 10, "large": 10})
    flow = make_flow(provider)
    start_rollout(flow, "fast", over="strong", score=SCORE, settings=RolloutSettings(canary_share=0.5, margin=0.1))
    run = flow.map(words(1500), strategy="rollout(quiz)", concurrency=8)
    assert newest(flow).stage == "promoted"
    assert "cheaper" in newest(flow).reason
    assert any(line.startswith("Rollout of fast: Promoted") for line in run.score_lines)


def test_the_shadow_is_paid_by_the_rollout_and_told(make_flow: MakeFlow) -> None:
    provider = Sized({"small": 9, "large": 9})
    flow = make_flow(provider)
    start_rollout(flow, "fast", over="strong", score=SCORE)
    flow.map(words(60), strategy="rollout(quiz)")
    assert newest(flow).shadow_usd == pytest.approx(60 * (10 * 1.0 + 5 * 2.0) / 1e6)
    reasons = flow.workspace.ledger.sql("select reason, model from requests")
    assert reasons["reason"].str.contains("the candidate, fast, was asked beside it for \\$0.000020").all()
    assert set(reasons["model"]) == {"fake/large"}


def test_a_candidate_that_fails_in_the_shadow_fails_no_item_and_counts_as_wrong(make_flow: MakeFlow) -> None:
    provider = Sized({"small": 10, "large": 10})
    provider.broken.add("small")
    flow = make_flow(provider)
    start_rollout(flow, "fast", over="strong", score=SCORE)
    run = flow.map(words(300), strategy="rollout(quiz)", concurrency=4)
    assert set(run.results["_status"]) == {"ok"}
    assert newest(flow).stage == "rolled_back"


def test_the_same_items_count_once(make_flow: MakeFlow) -> None:
    flow = make_flow(Sized({"small": 9, "large": 9}))
    start_rollout(flow, "fast", over="strong", score=SCORE)
    flow.map(words(60), strategy="rollout(quiz)")
    again = flow.map(words(60).iloc[::-1], strategy="rollout(quiz)")
    assert newest(flow).look.candidate_items == 60
    assert "60 of the items had counted before and say nothing new." in again.score_lines


def test_a_flow_of_two_steps_is_drawn_item_by_item(make_flow: MakeFlow) -> None:
    provider = Sized({"small": 9, "large": 9})
    flow = make_flow(provider, "first = llm(f'a {word}')\nreply = llm(f'b {word}')")
    with pytest.raises(UsageError, match="In the shadow only"):
        start_rollout(flow, "fast", over="strong", score=SCORE)
    start_rollout(flow, "fast", over="strong", score=SCORE, settings=STRAIGHT)
    flow.map(words(80), strategy="rollout(quiz)")
    models = flow.workspace.ledger.sql("select item, count(distinct model) as n from requests group by item")
    assert set(models["n"]) == {1}
    assert min(provider.asked.values()) >= 4


def test_a_person_may_promote_and_roll_back(make_flow: MakeFlow) -> None:
    provider = Sized({"small": 9, "large": 9})
    flow = make_flow(provider)
    started = start_rollout(flow, "fast", over="strong", score=SCORE)
    promote(started.id, workspace=flow.workspace)
    flow.map(words(20), strategy="rollout(quiz)")
    assert provider.asked == {"small": 20}
    roll_back("quiz", workspace=flow.workspace)
    flow.map(words(20, 100), strategy="rollout(quiz)")
    assert provider.asked == {"small": 20, "large": 20}
    seen = rows_of(flow)
    assert seen["stage"].tolist() == ["shadow", "promoted", "rolled_back"]
    assert seen["decided_by"].tolist() == ["rule", "person", "person"]


def test_what_cannot_be_rolled_out_is_refused(make_flow: MakeFlow) -> None:
    flow = make_flow(Sized({"small": 9, "large": 9}))
    with pytest.raises(UsageError, match="has no rollout"):
        flow.map(words(5), strategy="rollout(quiz)")
    with pytest.raises(UnknownStrategyError):
        start_rollout(flow, "fasst", over="strong", score=SCORE)
    with pytest.raises(UsageError, match="names no step"):
        start_rollout(flow, "fast", over="strong", score="answer=exact:gold")
    with pytest.raises(UsageError, match="are both"):
        start_rollout(flow, "fast", over="fast", score=SCORE)
    start_rollout(flow, "fast", over="strong", score=SCORE)
    with pytest.raises(UsageError, match="has a rollout already"):
        start_rollout(flow, "strong", over="fast", score=SCORE)
    with pytest.raises(UsageError, match="cannot answer for quiz"):
        flow.map(words(5), strategy="rollout(other)")
    with pytest.raises(UsageError, match="scores 'reply'"):
        flow.map(words(5), strategy="rollout(quiz)", score="reply=includes:gold")


_PROCESS = """
import sys
import pandas as pd
from orchestration_nb.flows import Flow
from orchestration_nb.testing import fake_workspace
from tests.test_rollouts import Sized, words

folder, begin = sys.argv[1], int(sys.argv[2])
workspace = fake_workspace(folder, Sized({"small": 9, "large": 9}))
flow = Flow.from_source("reply = llm(f'{word}')", name="quiz", workspace=workspace)
flow.map(words(90, begin), strategy="rollout(quiz)", concurrency=4)
"""


def test_two_processes_feed_one_rollout_and_lose_nothing(make_flow: MakeFlow) -> None:
    flow = make_flow(Sized({"small": 9, "large": 9}))
    settings = RolloutSettings(shadow_least_items=400, shadow_most_items=400)
    start_rollout(flow, "fast", over="strong", score=SCORE, settings=settings)
    command = [sys.executable, "-c", textwrap.dedent(_PROCESS), str(flow.workspace.folder)]
    env = {**os.environ, "PYTHONPATH": str(REPO)}
    begun = [subprocess.Popen([*command, str(begin)], env=env, cwd=REPO) for begin in (0, 1000)]
    assert [process.wait(60) for process in begun] == [0, 0]
    assert newest(flow).look.candidate_items == 180
    assert rows_of(flow)["items"].max() == 180
    flow.map(words(220, 3000), strategy="rollout(quiz)")  # and this one goes on from there
    assert newest(flow).stage in {"canary", "rolled_back"}
