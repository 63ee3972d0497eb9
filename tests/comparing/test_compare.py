"""Strategies compared on the same items: each question paid once, each strategy shown as if it were alone."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestration_nb.calls import Ask, Reply, Request
from orchestration_nb.comparing.compare import compare, start_comparison
from orchestration_nb.comparing.standing import standing_of
from orchestration_nb.errors import OverloadedError, UnknownStrategyError, UsageError
from orchestration_nb.flows import Flow
from orchestration_nb.notebook.reasons import reasons
from orchestration_nb.testing import FakeProvider, fake_workspace

MakeFlow = Callable[..., tuple[Flow, FakeProvider]]
WORDS = pd.DataFrame(
    {"word": [f"w{number}" for number in range(40)], "gold": ["yes", "no"] * 20, "kind": ["a", "b"] * 20}
)
PRICE_USD = (10 * 1.0 + 5 * 2.0) / 1e6


def half_right(request: Request) -> str:
    """The small model always says yes; the large one knows."""
    number = int("".join(character for character in request.prompt if character.isdigit()))
    return "yes" if request.decision.reason == "small" or number % 2 == 0 else "no"


@pytest.fixture
def make_flow(tmp_path: Path) -> MakeFlow:
    def make(text: str, respond: Any = half_right, **namespace: Any) -> tuple[Flow, FakeProvider]:
        provider = FakeProvider(respond)
        workspace = fake_workspace(tmp_path, provider)
        return Flow.from_source(text, name="quiz", namespace=namespace, workspace=workspace), provider

    return make


async def careful(request: Request, ask: Ask) -> Reply:
    """Asks the small one, and the large one after it."""
    await ask("fast")
    return await ask("strong")


async def voting(request: Request, ask: Ask) -> Reply:
    replies = await asyncio.gather(*(ask("fast", sample=number) for number in range(3)))
    return replies[0]


async def choosing(request: Request, ask: Ask) -> Reply:
    return await ask(request.choose({"fast": 0.5, "strong": 0.5}))


def test_each_question_is_paid_once_however_many_strategies_ask_it(make_flow: MakeFlow) -> None:
    flow, provider = make_flow("first = llm(f'first {word}')\nreply = llm(f'{first} {word}')")
    compared = compare(
        flow,
        over=WORDS,
        strategies=[careful, voting, choosing, "fallback(fast, strong)"],
        scorer="reply=exact:gold",
        fresh=True,
    )
    asked = flow.workspace.ledger.sql("select model, cache_key, sample from calls where cache = 'none'")
    assert not asked.duplicated().any()
    assert len(asked) == len(provider.requests) == compared.questions
    assert compared.billed_usd == pytest.approx(len(asked) * PRICE_USD)
    assert set(compared.names) == {"careful", "voting", "choosing", "fallback(fast, strong)", "fast", "strong"}
    assert compared.status == "done"


def test_each_strategy_is_shown_as_if_it_were_alone(make_flow: MakeFlow) -> None:
    async def slow_large(request: Request) -> str:
        await asyncio.sleep(0.002)
        return half_right(request)

    flow, _ = make_flow("reply = llm(word)", slow_large)
    compared = compare(flow, over=WORDS, strategies=[careful, voting], scorer="reply=exact:gold", slices="kind")
    alone = {name: compared.outcomes(name) for name in compared.names}
    assert alone["careful"].cost_usd == pytest.approx(np.full(40, 2 * PRICE_USD))
    assert alone["voting"].cost_usd == pytest.approx(np.full(40, 3 * PRICE_USD))
    assert alone["fast"].cost_usd == pytest.approx(np.full(40, PRICE_USD))
    assert alone["careful"].asked[0] == ("fake/small", "fake/large")
    assert set(alone["careful"].model) == {"fake/large"}
    both_ms = alone["fast"].latency_ms + alone["strong"].latency_ms
    assert alone["careful"].latency_ms == pytest.approx(both_ms)
    assert compared.slices == ["a", "b"] * 20
    assert alone["fast"].quality.mean() == 1.0


def test_a_strategy_decides_the_same_at_every_turn(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("reply = llm(word)")
    options: dict[str, Any] = {"over": WORDS, "strategies": [choosing], "scorer": "reply=exact:gold"}
    first, second = (compare(flow, seed=5, **options).outcomes("choosing").model for _ in range(2))
    assert first == second
    assert len(set(first)) == 2


def test_what_cannot_be_answered_counts_nothing_and_says_why(make_flow: MakeFlow) -> None:
    def failing(request: Request) -> str:
        if request.prompt in {"w3", "w4"}:
            raise OverloadedError("Too many.", billing="no")
        return half_right(request)

    flow, _ = make_flow("reply = llm(word, timeout=0.2)", failing)
    compared = compare(flow, over=WORDS.head(6), strategies=["fast"], models=[], scorer="reply=exact:gold")
    outcomes = compared.outcomes("fast")
    assert outcomes.ended.all()
    assert outcomes.quality.tolist() == [1, 1, 1, 0, 0, 1]
    assert "Too many" in str(outcomes.errors[3])
    assert outcomes.errors[0] is None


def test_pinned_steps_are_the_same_for_all(make_flow: MakeFlow) -> None:
    flow, provider = make_flow("topic = llm(f'topic {word}', model='strong', cache=False)\nreply = llm(word)")
    compared = compare(flow, over=WORDS, strategies=[careful], scorer="reply=exact:gold")
    assert Counter(request.prompt.startswith("topic") for request in provider.requests) == {True: 40, False: 80}
    assert compared.outcomes("fast").cost_usd == pytest.approx(np.full(40, 2 * PRICE_USD)), (
        "the pinned step and its own"
    )
    assert compared.outcomes("careful").asked[0] == ("fake/small", "fake/large")


def test_all_of_it_spends_one_budget(make_flow: MakeFlow) -> None:
    flow, provider = make_flow("reply = llm(word, max_tokens=5)")
    budget_usd = 30 * PRICE_USD
    compared = compare(flow, over=WORDS, strategies=[careful], scorer="reply=exact:gold", budget=budget_usd, fresh=True)
    assert compared.billed_usd <= budget_usd
    assert len(provider.requests) <= 30
    assert compared.status == "failed"
    assert "The budget of $0.0006" in str(compared.error)
    assert any("The budget of $0.0006" in str(error) for error in compared.outcomes("careful").errors)


def test_the_ledger_has_the_comparison_its_items_and_their_scores(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("reply = llm(word)")
    compared = compare(
        flow, over=WORDS, strategies=[careful], scorer="reply=exact:gold", reference="fast", slices="kind", margin=0.03
    )
    sql = flow.workspace.ledger.sql
    row = sql("from comparisons").iloc[0]
    assert (row.comparison_id, row.kind, row.flow, row.status) == (compared.id, "compare", "quiz", "done")
    assert (row.reference, row.margin, row["items"], row.questions) == ("fast", 0.03, 40, 80)
    assert list(row.strategies) == ["careful", "fast", "strong"]
    items = sql("select strategy, count(*) as items, avg(quality) as quality from compared group by 1 order by 1")
    assert items["items"].tolist() == [40, 40, 40]
    assert items.quality.tolist() == [compared.outcomes(name).quality.mean() for name in ("careful", "fast", "strong")]
    assert len(sql("from scores where comparison_id = ? and passed is not null", [compared.id])) == 120
    assert flow.last is None


def test_a_strategy_that_learns_is_told_each_score(make_flow: MakeFlow) -> None:
    told: list[tuple[str, str, float]] = []

    async def learning(request: Request, ask: Ask) -> Reply:
        return await ask("fast")

    learning.learn = lambda request, reply, score: told.append((request.prompt, reply.text, score))  # type: ignore[attr-defined]
    flow, _ = make_flow("reply = llm(word)")
    compare(flow, over=WORDS, strategies=[learning], models=[], scorer="reply=exact:gold")
    assert min(told) == ("w0", "yes", 1.0)
    assert len(told) == 40


def test_it_can_be_cancelled_and_keeps_what_was_answered(make_flow: MakeFlow) -> None:
    begun = threading.Event()

    async def hanging(request: Request) -> str:
        if request.prompt == "w9":
            begun.set()
            await asyncio.sleep(600)
        return half_right(request)

    flow, _ = make_flow("reply = llm(word)", hanging)
    comparison = start_comparison(flow, over=WORDS.head(10), strategies=[careful], scorer="reply=exact:gold")
    assert begun.wait(30)
    while comparison.progress["careful"] < 9:
        pass
    comparison.cancel()
    assert comparison.wait().status == "cancelled"
    assert comparison.outcomes("careful").ended.tolist()[:9] == [True] * 9
    assert flow.workspace.ledger.sql("select status from comparisons").status.tolist() == ["cancelled"]


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        ({"strategies": []}, UsageError, "needs strategies"),
        ({"strategies": ["nonsense"]}, UnknownStrategyError, "no strategy 'nonsense'"),
        ({"strategies": [careful, careful]}, UsageError, "Two strategies are called 'careful'"),
        ({"reference": "strnog"}, UsageError, "The reference 'strnog' is not compared"),
        ({"slices": "colour"}, UsageError, "no column 'colour'"),
        ({"scorer": "answer=exact:gold"}, UsageError, "no 'answer'"),
        ({"scorer": "reply=exact:golden"}, UsageError, "golden"),
        ({"scorer": "reply=label"}, UsageError, "tells labels, and not which of them are right"),
        ({"strategies": "cascade"}, UsageError, "needs strategies"),
        ({"strategy": "cascade"}, UsageError, "does not go together"),
        ({"margin": -1}, UsageError, "margin of -1"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_paid(
    make_flow: MakeFlow, given: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    flow, provider = make_flow("reply = llm(word)")
    options: dict[str, Any] = {"over": WORDS, "strategies": [careful], "scorer": "reply=exact:gold", **given}
    with pytest.raises(error, match=sentence):
        compare(flow, **options)
    assert provider.requests == []


def test_a_comparison_without_strategies_is_refused(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("reply = llm(word)")
    options: Any = {"over": WORDS, "scorer": "reply=exact:gold"}
    with pytest.raises(UsageError, match="needs strategies"):
        compare(flow, **options)


def test_a_label_alone_is_an_error_and_no_quality_of_nothing(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("reply = llm(word)")
    compared = compare(flow, over=WORDS, strategies=["fast"], scorer=lambda value, _: f"says {value}")
    errors = compared.outcomes("fast").errors
    assert all("gave a label, 'says " in str(error) for error in errors), errors[0]
    assert standing_of(compared).rows[0].errors == len(WORDS)


@pytest.mark.parametrize("named", [["careful"], ["careful", "strong"], ["careful", "fast", "strong"]])
def test_saved_is_against_the_best_single_model_whoever_named_it(make_flow: MakeFlow, named: list[str]) -> None:
    flow, _ = make_flow("reply = llm(word)")
    strategies = [careful if name == "careful" else name for name in named]
    rows = {row.name: row for row in standing_of(compare(
        flow, over=WORDS, strategies=strategies, models=["fast", "strong"], scorer="reply=exact:gold"
    )).rows}  # fmt: skip
    strong = rows["strong"]
    assert strong.saved == 0
    assert strong.of_strong == 1
    assert rows["careful"].saved == pytest.approx(1 - rows["careful"].cost_usd.estimate / strong.cost_usd.estimate)
    assert rows["careful"].cost_usd.estimate > strong.cost_usd.estimate


def test_a_strategy_that_learns_is_made_anew_for_each_comparison(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("reply = llm(word)")
    find = flow.workspace.strategies.find
    text = "bandit(fast, strong)"
    assert find(text) is find(text)
    live = find(text)
    assert flow.workspace.strategies.anew(text) is not live
    compare(flow, over=WORDS, strategies=[text], models=[], scorer="reply=exact:gold")
    assert find(text) is live


def test_why_tells_who_paid_for_a_reply(make_flow: MakeFlow) -> None:
    flow, _ = make_flow("reply = llm(word)")
    compare(flow, over=WORDS.head(1), strategies=[careful], scorer="reply=exact:gold")
    ids = flow.workspace.ledger.sql("select request_id, calls from requests order by calls")
    told = [reasons(flow.workspace.ledger, request_id)[0] for request_id in ids.request_id]
    assert ids.calls.sum() == 2, "of three strategies, four questions of which two are the same"
    assert sum("another strategy had asked the same" in line for line in told) == (ids.calls == 0).sum() > 0
