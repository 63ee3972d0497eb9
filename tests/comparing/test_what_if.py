"""Strategies against recorded replies: nothing is asked, nothing is paid, and it is said what cannot be told."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestration_nb.calls import Ask, RawReply, Reply, Request, Usage
from orchestration_nb.comparing.compare import compare
from orchestration_nb.comparing.standing import standing_of
from orchestration_nb.comparing.what_if import what_if
from orchestration_nb.errors import UsageError
from orchestration_nb.evals.judges import judge
from orchestration_nb.flows import Flow
from orchestration_nb.routing.weighted import weighted
from orchestration_nb.testing import FakeProvider, fake_workspace
from orchestration_nb.tuning.bandit import bandit

ITEMS = 120
WORDS = pd.DataFrame({"word": [f"w{number}" for number in range(ITEMS)], "gold": "yes"})
Made = tuple[Flow, FakeProvider]


class Telling(FakeProvider):
    """The small model knows some of the answers, the large one most; each takes its time, as it says."""

    async def send(self, model: Any, request: Request, *, timeouts: Any) -> RawReply:
        raw = await super().send(model, request, timeouts=timeouts)
        known = random.Random(f"{model.name} {request.prompt}").random() < (0.6 if model.wire_name == "small" else 0.9)
        latency_ms = 100.0 if model.wire_name == "small" else 700.0
        return RawReply(text="yes" if known else "no", usage=raw.usage, latency_ms=latency_ms)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Made]:
    def made(text: str = "reply = llm(word)", **namespace: Any) -> Made:
        provider = Telling(lambda _: RawReply(text="", usage=Usage(input_tokens=10, output_tokens=5)))
        workspace = fake_workspace(tmp_path, provider)
        return Flow.from_source(text, name="quiz", namespace=namespace, workspace=workspace), provider

    return made


async def doubting(request: Request, ask: Ask) -> Reply:
    """Asks the large model where the small one says no."""
    try:
        reply = await ask("fast")
        return reply if reply.text == "yes" else await ask("strong")
    except Exception:  # noqa: BLE001 - what a missing reply must pass through
        return await ask("strong")


async def often_cheap(request: Request, ask: Ask) -> Reply:
    """Asks the large model for each fifth item only."""
    return await ask("strong" if request.origin.item % 5 == 0 else "fast")


def test_a_single_model_that_cannot_be_told_is_left_out_and_the_rest_is_shown(make: Callable[..., Made]) -> None:
    flow, _ = make()
    flow.map(WORDS, model="fast")
    flow.map(WORDS.iloc[::5], model="strong")
    told = what_if(flow, over=WORDS, strategies=[often_cheap], models=["fast", "strong"], scorer="reply=exact:gold")
    assert told.comparison.names == ("often_cheap", "fast")
    standing = standing_of(told.comparison)
    assert (standing.n, standing.planned, standing.is_live) == (ITEMS, ITEMS, False)
    assert standing.missing == {}


@pytest.mark.parametrize("given", [{"strategies": "cascade"}, {}])
def test_a_what_if_needs_strategies(make: Callable[..., Made], given: dict[str, Any]) -> None:
    options: Any = {"over": WORDS, "scorer": "reply=exact:gold", **given}
    with pytest.raises(UsageError, match="needs strategies"):
        what_if(make()[0], **options)


def test_nothing_is_asked_and_nothing_but_the_comparison_is_recorded(make: Callable[..., Made]) -> None:
    flow, provider = make()
    flow.map(WORDS, model="fast")
    sql = flow.workspace.ledger.sql
    asked, before = len(provider.requests), sql("select (select count(*) from runs) r, (select count(*) from calls) c")
    told = what_if(flow, over=WORDS, strategies=["fast", doubting], scorer="reply=exact:gold")
    assert len(provider.requests) == asked == ITEMS
    after = sql("select (select count(*) from runs) r, (select count(*) from calls) c")
    assert after.equals(before)
    assert sql("select count(*) n from requests").n[0] == ITEMS
    row = sql("from comparisons").iloc[0]
    assert (row.kind, row.status, row.questions, row.billed_usd) == ("what_if", "done", 0, 0.0)
    assert set(sql("select distinct comparison_id from compared").comparison_id) == {told.comparison.id}
    assert len(sql("from scores")) == 0
    assert told.comparison.billed_usd == 0


def test_what_was_recorded_is_told_and_the_rest_is_missing(make: Callable[..., Made]) -> None:
    flow, _ = make()
    run = flow.map(WORDS, model="fast")
    flow.map(WORDS.head(70), model="strong")
    right = (run.results.reply == "yes").to_numpy()
    told = what_if(flow, over=WORDS, strategies=["fast", "strong", doubting], scorer="reply=exact:gold")
    assert {name: each.told for name, each in told.coverage.items()} == {
        "fast": ITEMS,
        "strong": 70,
        "doubting": int(right[:70].size + right[70:].sum()),
    }
    assert told.common == 70
    assert f"{told.coverage['doubting'].told} of 120 items can be told for doubting: quality " in repr(told)
    assert "70 of 120 items can be told for all of them" in repr(told)
    standing = standing_of(told.comparison)
    assert (standing.n, standing.planned) == (70, 70)
    quality = told.coverage["fast"].quality
    assert quality is not None
    assert quality.estimate == pytest.approx(right.mean())


def test_the_figures_are_those_that_a_comparison_gives(make: Callable[..., Made]) -> None:
    flow, _ = make()
    how: dict[str, Any] = {"over": WORDS, "strategies": [doubting, "weighted(fast=0.5, strong=0.5)"]}
    compared = compare(flow, **how, scorer="reply=exact:gold")
    told = what_if(flow, **how, scorer="reply=exact:gold")
    for name in (*compared.names,):
        ours, theirs = told.comparison.outcomes(name), compared.outcomes(name)
        assert ours.quality.tolist() == theirs.quality.tolist()
        assert ours.cost_usd == pytest.approx(theirs.cost_usd)
        assert ours.model == theirs.model
        assert ours.asked == theirs.asked
        assert ours.latency_ms == pytest.approx(theirs.latency_ms)
    escalated = np.array([len(asked) for asked in told.comparison.outcomes("doubting").asked]) == 2
    assert told.comparison.outcomes("doubting").latency_ms == pytest.approx(np.where(escalated, 800.0, 100.0))
    rows = [
        [(row.name, row.quality, row.cost_usd) for row in standing_of(each).rows]
        for each in (compared, told.comparison)
    ]
    assert rows[0] == rows[1]


def test_a_step_that_is_missing_for_all_items_is_missing_and_not_wrong(make: Callable[..., Made]) -> None:
    flow, _ = make("topic = llm('Which topic?')\nreply = llm(f'{topic} {word}')")
    told = what_if(flow, over=WORDS, strategies=["fast"], scorer="reply=exact:gold")
    assert told.coverage["fast"].told == 0
    assert set(told.frame.status) == {"missing"}
    assert "0 of 120 items can be told for fast." in told.told


def test_a_bandit_is_not_taught_by_what_is_only_played_through(make: Callable[..., Made]) -> None:
    flow, _ = make()
    compare(flow, over=WORDS, strategies=["fast", "strong"], scorer="reply=exact:gold")
    learning = bandit("fast", "strong")
    told = what_if(flow, over=WORDS, strategies=[learning], scorer="reply=exact:gold")
    name = told.comparison.setup.strategies[0]
    assert told.coverage[name].told == ITEMS
    reasons = told.frame[told.frame.strategy == name].reason
    assert reasons.str.contains("scores of its own").all()
    again = what_if(flow, over=WORDS.head(1), strategies=[learning], scorer="reply=exact:gold")
    assert "(0 in all)" in again.frame.reason[0]


def test_what_costs_money_is_refused(make: Callable[..., Made]) -> None:
    flow, provider = make()
    asking = judge("Is it good?", model="strong")
    with pytest.raises(UsageError, match="asks a model, which is not free"):
        what_if(flow, over=WORDS, strategies=["fast"], scorer=asking)
    with pytest.raises(UsageError, match="budget= does not go together with a what-if"):
        what_if(flow, over=WORDS, strategies=["fast"], scorer="reply=exact:gold", budget=1.0)
    assert provider.requests == []


def test_a_weighted_choice_is_told_where_it_was_made_before(make: Callable[..., Made]) -> None:
    flow, _ = make()
    drawn = weighted(fast=0.5, strong=0.5)
    run = flow.map(WORDS, strategy=drawn, seed=3)
    told = what_if(flow, over=WORDS, strategies=[drawn, "fast", "strong"], scorer="reply=exact:gold", seed=3)
    name = told.comparison.setup.strategies[0]
    assert told.coverage[name].told == ITEMS
    assert told.coverage["fast"].told + told.coverage["strong"].told == ITEMS
    assert told.comparison.outcomes(name).quality.mean() == (run.results.reply == "yes").mean()
    assert told.common == 0


def test_recorded_scores_serve_where_no_scorer_is_named(make: Callable[..., Made]) -> None:
    flow, provider = make()
    run = flow.map(WORDS, model="fast", score="reply=exact:gold")
    flow.map(WORDS.head(80), model="strong", score="reply=exact:gold")
    flow.map(WORDS, model="strong")
    asked = len(provider.requests)
    told = what_if(flow, over=WORDS.drop(columns="gold"), strategies=["fast", "strong", doubting])
    plain = what_if(flow, over=WORDS, strategies=["fast", "strong", doubting], scorer="reply=exact:gold")
    assert len(provider.requests) == asked
    assert told.comparison.outcomes("fast").quality.tolist() == run.results["_score"].tolist()
    known = told.comparison.outcomes("doubting").ended
    assert 80 <= known.sum() <= ITEMS
    assert told.coverage["doubting"].told == known.sum()
    assert told.comparison.outcomes("doubting").quality[known].tolist() == (
        plain.comparison.outcomes("doubting").quality[known].tolist()
    )
    assert "an item whose reply was never scored so cannot be told (ledger:reply=exact:gold)." in repr(told)
    comments = [answer.comment for answer in told.comparison.answers["fast"].values()]
    assert set(comments) == {"as exact:gold scored it before"}


def test_a_reply_that_nobody_scored_cannot_be_told(make: Callable[..., Made]) -> None:
    flow, _ = make()
    flow.map(WORDS.head(50), model="fast", score="reply=exact:gold")
    flow.map(WORDS, model="fast")
    told = what_if(flow, over=WORDS, strategies=["fast"], scorer="ledger:reply")
    assert told.coverage["fast"].told == 50
    assert set(told.frame["status"][50:]) == {"missing"}


@pytest.mark.parametrize(
    ("scorer", "said"),
    [
        (None, "The ledger holds no scores of quiz"),
        ("ledger:other", "The flow quiz has no step 'other'"),
        ("ledger:reply", "holds no scored replies of step 'reply'"),
    ],
)
def test_scores_that_are_not_there_are_said(make: Callable[..., Made], scorer: str | None, said: str) -> None:
    flow, _ = make()
    flow.map(WORDS.head(5), model="fast")
    with pytest.raises(UsageError, match=said):
        what_if(flow, over=WORDS, strategies=["fast"], scorer=scorer)


def test_a_comparison_needs_a_scorer_for_its_new_replies(make: Callable[..., Made]) -> None:
    flow, provider = make()
    hows: list[dict[str, Any]] = [{}, {"scorer": "ledger:reply"}]
    for how in hows:
        with pytest.raises(UsageError, match="A comparison gets new replies, so it needs a scorer"):
            compare(flow, over=WORDS, strategies=["fast"], **how)
    assert provider.requests == []
