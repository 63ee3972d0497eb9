"""Strategies by name, and the built-in ones."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration_nb.calls import Decision, Origin, Reply, Request, Usage
from orchestration_nb.errors import UnknownStrategyError, UsageError
from orchestration_nb.ids import CallId, RequestId, RunId
from orchestration_nb.messages import user
from orchestration_nb.routing import Strategies, agrees, cascade
from orchestration_nb.routing.reading import read_answer


def reply(text: str, value: Any = None, model: Any = "fake/small") -> Any:
    return Reply(
        call_id=CallId("1"), model=model, text=text, value=text if value is None else value, usage=Usage(),
        cost_usd=0.0, billed_usd=0.0, latency_ms=1.0,
    )  # fmt: skip


def request(seed: Any = "0") -> Any:
    origin = Origin(run_id=RunId("r"), flow="f", step="s", item=0)
    return Request(id=RequestId("q"), origin=origin, messages=(user("hi"),), decision=Decision(seed=seed))


async def asked(strategy: Any, answers: dict[str, str]) -> Any:
    log = []

    async def ask(model: str, *, sample: Any = 0, wait: Any = True) -> Any:
        log.append(model)
        return reply(answers[model], model=model)

    return await strategy(request(), ask), log


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("2 + 2 makes 4.\nAnswer: 4", "The answer is 4.0", True),
        ("Answer: 1,200", "So we get 1200", True),
        ("Answer: 4", "Answer: 5", False),
        ("Paris", " paris. ", True),
        ("Answer: yes", "Answer: no", False),
        ("Step 7 gives the\nAnswer: Berlin", "Answer: Berlin", True),
        ('{"reasoning": "9 eggs", "answer": "$18.00"}', "The answer is 18.", True),
        (r"So \boxed{\frac{3}{5}}", "Answer: 0.6", True),
        ("Answer: 3/5", "Answer: 2/5", False),
        ("Answer: 2025-05-08", "Answer: 2024-05-08", False),
        ("Answer: 17:02", "Answer: 16:02", False),
        ("Answer: [1, 2, 3]", "Answer: [3,2,3]", False),
        ("Answer: [1, 2, 3]", "Answer: [1,2,3]", True),
        ("Answer: aBc", "Answer: AbC", False),
        ("Answer: PARIS", "Answer: Paris", True),
        ('Answer: "Paris"', "Answer: Paris", True),
        ("Answer: (B)", "The answer is B.", True),
        ("**Answer: B) Berlin**", "Answer: (B) Berlin, the capital", True),
        (r"\boxed{\text{C}}", "The correct answer is **(C)**.", True),
        ("Answer: Option D", "D", True),
        ("Answer: (B)", "Answer: (C)", False),
        ("Answer: A cat", "Answer: A dog", False),
        ("Answer: E. coli", "Answer: E. faecalis", False),
        ("Answer: I", "Answer: 1", False),
        ("[1, 2]", "It prints:\n```python\n[1,2]\n```", True),
        ("[1, 2]", "[3, 2]", False),
        ("The list is\n```\n[1, 2]\n```", "Answer: [1, 2]", True),
        ("{'a': 1}", '{"a": 1}', True),
        ("Answer: 'a  b'", "Answer: 'a b'", False),
        ("Answer: '..magazine..'", "Answer: '.magazine...'", False),
        ("Answer: '001'", "Answer: '1'", False),
        ("Answer: '-5'", "Answer: -5", True),
    ],
)
def test_two_replies_agree_by_what_they_finally_say(left: Any, right: Any, same: bool) -> None:
    assert agrees(reply(left), reply(right)) is same


def test_a_value_with_a_schema_is_its_own_answer() -> None:
    assert read_answer(reply("{}", value={"a": 1})) == {"a": 1}


async def test_a_cascade_takes_the_cheap_reply_when_two_agree() -> None:
    chosen, log = await asked(cascade(), {"fast": "Answer: 4", "medium": "It is 4", "strong": "5"})
    assert chosen.model == "fast"
    assert log == ["fast", "medium"]


async def test_a_cascade_asks_the_strong_model_when_they_differ() -> None:
    chosen, log = await asked(cascade(), {"fast": "Answer: 4", "medium": "It is 3", "strong": "5"})
    assert chosen.model == "strong"
    assert log == ["fast", "medium", "strong"]


def test_an_unknown_strategy_names_the_nearest() -> None:
    strategies = Strategies()
    strategies.add(cascade())
    with pytest.raises(UnknownStrategyError, match="no strategy 'cascad'") as caught:
        strategies.find("cascad")
    assert "'cascade'" in caught.value.hint


@pytest.mark.parametrize("wrong", [lambda request, ask: None, 3])
def test_what_is_no_async_function_is_no_strategy(wrong: Any) -> None:
    with pytest.raises(UsageError, match="is not a strategy"):
        Strategies().add(wrong)


def test_a_random_choice_is_repeatable_and_its_propensity_recorded() -> None:
    chosen = [request(seed=str(item)).choose({"fast": 8, "strong": 2}) for item in range(500)]
    assert chosen == [request(seed=str(item)).choose({"fast": 8, "strong": 2}) for item in range(500)]
    assert 350 < chosen.count("fast") < 450
    made = request()
    name = made.choose({"fast": 8, "strong": 2})
    assert made.decision.propensity == pytest.approx({"fast": 0.8, "strong": 0.2}[name])
    assert made.decision.candidates == ["fast", "strong"]


@pytest.mark.parametrize("shares", [{}, {"fast": 0}, {"fast": 2, "strong": -1}])
def test_weights_that_are_none_are_refused(shares: Any) -> None:
    with pytest.raises(ValueError, match="positive weights"):
        request().choose(shares)
