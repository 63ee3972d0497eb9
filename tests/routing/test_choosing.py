"""Strategies that choose one model: by lot, in turn, by how the models are doing, by how hard the request looks."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from orchestration_nb.calls import ModelStats
from orchestration_nb.errors import BadRequestError, ServerFailedError, UsageError
from orchestration_nb.routing import (
    complexity,
    least_busy,
    lowest_cost,
    lowest_latency,
    models_of,
    read_complexity,
    round_robin,
    single,
    usage_based,
    weighted,
)
from tests.routing.replies import says


def stats(**models: Any) -> dict[str, ModelStats]:
    return {name: ModelStats(model=name, **facts) for name, facts in models.items()}


def test_weights_are_kept_over_many_requests_and_recorded_with_each() -> None:
    chosen = Counter[str]()
    for item in range(400):
        came, decision = says(fast="a", strong="b").answer(weighted(fast=3, strong=1), seed=str(item))
        assert came.reply is not None
        chosen[came.reply.model] += 1
        assert decision.candidates == ["fast", "strong"]
        assert decision.propensity == {"fast": 0.75, "strong": 0.25}[came.reply.model]
    assert 260 < chosen["fast"] < 340


def test_one_that_was_drawn_and_fails_is_stood_in_for() -> None:
    replies = says(fast=ServerFailedError("500"), strong="b")
    came, decision = replies.answer(weighted({"fast": 1, "strong": 1e-9}))
    assert came.reply is not None
    assert (came.reply.model, came.reply.instead_of) == ("strong", "fast")
    assert decision.reason.startswith("fast was drawn, with a chance of 100%; fast failed (ServerFailedError)")


@pytest.mark.parametrize("shares", [{}, {"fast": -1}, {"fast": "x"}, {"fast": 0}, {"": 1}, {"fast": True}])
def test_what_are_no_weights_is_refused(shares: Any) -> None:
    with pytest.raises(UsageError):
        weighted(shares)


def test_each_model_has_its_turn_also_from_many_threads() -> None:
    strategy = round_robin("fast", "medium", "strong")

    def one(_: int) -> str:
        came, _decision = says(fast="a", medium="b", strong="c").answer(strategy)
        assert came.reply is not None
        return came.reply.model

    with ThreadPoolExecutor(8) as threads:
        assert Counter(threads.map(one, range(90))) == {"fast": 30, "medium": 30, "strong": 30}


def test_whose_turn_it_is_and_cannot_is_passed_over() -> None:
    came, decision = says(fast=ServerFailedError("500"), medium="b").answer(round_robin("fast", "medium"))
    assert came.reply is not None
    assert decision.reason == "it is the turn of fast; fast failed (ServerFailedError); medium answers"


@pytest.mark.parametrize(
    ("strategy", "seen", "taken", "why"),
    [
        (least_busy, {"fast": {"in_flight": 3}, "strong": {"in_flight": 1}}, "strong", "strong has 1 in flight"),
        (least_busy, {"fast": {"calls": 9}, "strong": {"calls": 2}}, "strong", "has 0 in flight"),
        (lowest_latency, {"fast": {"latency_ms": 900.0}, "strong": {"latency_ms": 400.0}}, "strong", "took 400 ms"),
        (lowest_latency, {"fast": {"latency_ms": 900.0}, "strong": {}}, "strong", "was not measured yet"),
        (lowest_latency, {"fast": {"latency_ms": 900.0}, "strong": {"in_flight": 2}}, "fast", "took 900 ms"),
        (usage_based, {"fast": {"tokens_per_minute": 9e3}, "strong": {"tokens_per_minute": 20.0}}, "strong", "20 tok"),
        (
            lowest_cost,
            {
                "fast": {"input_usd_per_mtok": 3.0, "output_usd_per_mtok": 9.0},
                "strong": {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0},
            },
            "strong",
            "costs about $0.51",
        ),
        (
            lowest_cost,
            {"fast": {}, "strong": {"input_usd_per_mtok": 9.0, "output_usd_per_mtok": 9.0}},
            "strong",
            "no k",
        ),
        (
            lowest_latency,
            {"fast": {"latency_ms": 9.0, "calls": 8, "failure_rate": 0.75}, "strong": {"latency_ms": 400.0}},
            "strong",
            "fast took 9 ms (fails 75% of its calls)",
        ),
        (
            least_busy,
            {"fast": {"calls": 8, "failure_rate": 1.0}, "strong": {"in_flight": 30}},
            "strong",
            "fails 100% of its calls",
        ),
    ],
)
def test_the_best_placed_answers_and_what_was_read_is_recorded(strategy: Any, seen: Any, taken: str, why: str) -> None:
    replies = says(fast="a", strong="b")
    replies.stats = stats(**seen)
    came, decision = replies.answer(strategy("fast", "strong"))
    assert came.reply is not None
    assert came.reply.model == taken
    assert why in decision.reason
    assert decision.reason.startswith(f"{taken} is best placed: {taken} ")
    assert decision.candidates == ["fast", "strong"]
    assert list(decision.seen) == ["fast", "strong"]


@pytest.mark.parametrize("maker", [least_busy, lowest_latency, lowest_cost, usage_based, round_robin])
def test_the_next_answers_where_the_best_placed_cannot_and_nobody_where_the_request_is_wrong(maker: Any) -> None:
    came, decision = says(fast=ServerFailedError("500"), strong="b").answer(maker("fast", "strong"))
    assert came.reply is not None
    assert came.reply.model == "strong"
    assert "fast failed (ServerFailedError); strong answers" in decision.reason
    replies = says(fast=BadRequestError("what?"), strong="b")
    came, _ = replies.answer(maker("fast", "strong"))
    assert isinstance(came.error, BadRequestError)
    assert replies.models == ["fast"]
    with pytest.raises(UsageError, match="does not name 2 models"):
        maker("fast", "fast")


@pytest.mark.parametrize(
    ("prompt", "tier", "signal"),
    [
        ("Hi!", "SIMPLE", ""),
        ("Which queue does this ticket belong to? billing, bug or refund", "SIMPLE", "plain task"),
        ("Write a friendly reply. " * 30, "SIMPLE", "120 words"),
        ("```\ndef f(x):\n    return x\n```\nWhat does it do?", "MEDIUM", "code"),
        ("Solve the equation 3x + 5 = 20 for x.", "MEDIUM", "mathematics"),
        ("Compare these. " * 450, "MEDIUM", "900 words"),
        ("Who? Where? When? Why? Also:\n- a\n- b\n" + "word " * 260, "COMPLEX", "4 questions"),
        ("Prove step by step that the sum of the first n odd numbers is n^2.", "REASONING", "words of reasoning"),
        ("Explain why this fails, and work out the root cause: `def f(x): return 1`", "REASONING", "root cause"),
    ],
)
def test_how_hard_a_request_looks(prompt: str, tier: str, signal: str) -> None:
    reading = read_complexity(prompt)
    assert (reading.tier, signal in ", ".join(reading.signals)) == (tier, True), reading


def test_the_tier_chooses_the_model_and_the_reason_names_the_signals() -> None:
    strategy = complexity("a", "b", "c", "d")
    for prompt, model in (("Hi!", "a"), ("Solve the equation x = 5 - 2", "b"), ("Prove it step by step: x = 3", "d")):
        came, decision = says(a="1", b="1", c="1", d="1").answer(strategy, prompt)
        assert came.reply is not None
        assert came.reply.model == model
    assert decision.reason == "REASONING: mathematics, words of reasoning (prove, step by step)"
    assert decision.candidates == ["a", "b", "c", "d"]
    came, decision = says(a="1", b=ServerFailedError("1"), c=ServerFailedError("1"), d="2").answer(strategy, "x = 5")
    assert came.reply is not None
    assert (came.reply.model, came.reply.instead_of) == ("d", "b")


def test_a_flood_of_words_is_read_quickly() -> None:
    for flood in ("a b " * 200_000, "((((" * 50_000, "- x\n" * 50_000, "1," * 100_000):
        read_complexity(flood)


def test_one_model_alone() -> None:
    came, decision = says(fast="a").answer(single("fast"))
    assert came.reply is not None
    assert decision.reason == "the one model of the strategy"
    assert models_of(single("fast")) == ("fast",)
