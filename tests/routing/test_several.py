"""Strategies that ask several times: cascades, agreement, votes, judges, hedges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestration_nb.calls import ModelStats
from orchestration_nb.errors import BadRequestError, ServerFailedError, StepError, UsageError
from orchestration_nb.routing import agreement, best_of_n, cascade, hedged, majority_vote, models_of
from tests.routing.replies import says
from tests.routing.test_strategies import reply

DOWN = ServerFailedError("500")
WRONG = BadRequestError("what?")


@pytest.mark.parametrize(
    ("cheap", "why"),
    [
        ("I'm not sure, perhaps 4.", "says that it is not sure"),
        ("It cannot be determined from the text.", "says that it is not sure"),
        ("  ", "is empty"),
        (replace(reply("so the ans"), finish_reason="length"), "was cut off"),
        (replace(reply("no"), finish_reason="content_filter"), "was filtered"),
    ],
)
def test_a_cascade_goes_on_where_the_reply_itself_speaks_against_it(cheap: Any, why: str) -> None:
    came, decision = says(fast=cheap, strong="4").answer(cascade("fast", "strong"))
    assert came.reply is not None
    assert (came.reply.text, came.reply.instead_of) == ("4", None)
    assert decision.reason == f"the reply of fast {why}; strong answers"
    assert decision.candidates == ["fast", "strong"]


def test_a_cascade_stops_at_the_first_reply_that_will_do() -> None:
    replies = says(fast="4", medium="5", strong="6")
    came, decision = replies.answer(cascade("fast", "medium", "strong"))
    assert came.reply is not None
    assert (came.reply.text, decision.reason, replies.models) == ("4", "fast answers", ["fast"])


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_cascade_takes_what_is_accepted(asynchronous: bool) -> None:
    async def later(each: Any) -> bool:
        return bool(each.text == "5")

    replies = says(fast="4", medium="5", strong="6")
    accept: Any = later if asynchronous else lambda each: each.text == "5"
    came, decision = replies.answer(cascade("fast", "medium", "strong", accept=accept))
    assert came.reply is not None
    assert came.reply.text == "5"
    assert decision.reason == "the reply of fast is not accepted; medium answers"


@pytest.mark.parametrize(
    ("said", "text", "reason"),
    [
        ({"fast": DOWN, "strong": "6"}, "6", "fast failed (ServerFailedError); strong answers"),
        ({"fast": "", "strong": DOWN}, "", "the reply of fast is empty; strong failed (ServerFailedError)"),
        ({"fast": "", "strong": WRONG}, "", "the reply of fast is empty; strong failed (BadRequestError)"),
        ({"fast": DOWN, "strong": DOWN}, None, "fast failed (ServerFailedError)"),
        ({"fast": WRONG, "strong": "6"}, None, ""),
    ],
)
def test_a_cascade_when_models_fail(said: Any, text: Any, reason: str) -> None:
    came, decision = says(**said).answer(cascade("fast", "strong"))
    assert (came.reply.text if came.reply else None) == text
    assert decision.reason == reason


@pytest.mark.parametrize(
    ("said", "model", "reason"),
    [
        ({"a": "Answer: 4", "b": "It is 4.0", "c": "5"}, "a", "a and b agree"),
        ({"a": "Answer: 4", "b": "It is 3", "c": "5"}, "c", "a and b disagree: c decides"),
        ({"a": DOWN, "b": "3", "c": "5"}, "c", "a failed (ServerFailedError): c decides"),
        (
            {"a": DOWN, "b": "3", "c": DOWN},
            "b",
            "a failed (ServerFailedError): c decides; c failed (ServerFailedError), the reply of b is given",
        ),
        ({"a": "4", "b": WRONG, "c": "5"}, None, ""),
        ({"a": DOWN, "b": DOWN, "c": DOWN}, None, "a failed (ServerFailedError); b failed (ServerFailedError): c dec"),
    ],
)
def test_two_that_agree_and_one_that_decides(said: Any, model: Any, reason: str) -> None:
    came, decision = says(**said).answer(agreement("a", "b", "c"))
    assert (came.reply.model if came.reply else None) == model
    assert decision.reason.startswith(reason)


def test_the_two_are_asked_at_once_and_the_third_after_them() -> None:
    came, _ = says(a=("1", 300.0), b=("2", 500.0), c=("3", 900.0)).answer(agreement("a", "b", "c"))
    assert came.latency_ms == pytest.approx(1400)
    came, _ = says(fast=("1", 300.0), medium=("1", 500.0), strong="3").answer(cascade())
    assert came.latency_ms == pytest.approx(500)


@pytest.mark.parametrize(
    ("samples", "n", "answer", "asked", "reason"),
    [
        (["4", "4", "4", "9", "9"], 5, "4", 3, "3 of 3 samples of m give this answer; the other 2 could not have"),
        (["4", "9", "4", "4", "9"], 5, "4", 4, "3 of 4 samples of m give this answer; the other 1 could not have"),
        (["4", "9", "4", "9", "9"], 5, "9", 5, "3 of 5 samples of m give this answer"),
        (["1", "2", "3", "4", "5"], 5, "1", 5, "1 of 5 samples"),
        (["1", "2"], 2, "1", 2, "1 of 2 samples"),
        ([DOWN, "2", "2", "2", "3"], 5, "2", 4, "3 of 4 samples of m give this answer, 1 failed; the other 1"),
    ],
)
def test_what_most_samples_say_counts_and_no_more_are_paid_than_can_matter(
    samples: Any, n: int, answer: str, asked: int, reason: str
) -> None:
    replies = says(m=samples)
    came, decision = replies.answer(majority_vote("m", n=n))
    assert came.reply is not None
    assert came.reply.text == answer
    assert [sample for _, sample in replies.asked] == list(range(asked))
    assert decision.reason.startswith(reason)


def test_a_vote_where_every_sample_fails_fails() -> None:
    assert says(m=[DOWN] * 3).answer(majority_vote("m", n=3))[0].error is DOWN
    assert says(m=[WRONG, "1", "1"]).answer(majority_vote("m", n=3))[0].error is WRONG


def test_the_reply_that_the_judge_likes_best_is_taken() -> None:
    async def longest(_request: Any, each: Any) -> float:
        return float(len(each.text))

    replies = says(m=["ab", "abcd", "abc"])
    came, decision = replies.answer(best_of_n("m", n=3, judge=longest))
    assert came.reply is not None
    assert (came.reply.text, decision.reason) == ("abcd", "the judge gives it 4, the others 2, 3")
    assert came.latency_ms == pytest.approx(100)  # all at once
    came, _ = says(m=["ab", DOWN, "abc"]).answer(best_of_n("m", judge=longest))
    assert came.reply is not None
    assert came.reply.text == "abc"
    assert says(m=[DOWN, DOWN]).answer(best_of_n("m", n=2, judge=longest))[0].error is DOWN


def test_a_judge_that_gives_no_number_is_told_so() -> None:
    came, _ = says(m=["a", "b"]).answer(best_of_n("m", n=2, judge=lambda request, each: "good"))
    assert isinstance(came.error, StepError)
    assert "not a number" in str(came.error)
    with pytest.raises(UsageError, match="needs a judge"):
        best_of_n("m", n=2)


@pytest.mark.parametrize(
    ("said", "text", "latency_ms", "asked", "reason"),
    [
        ({"a": ("1", 500.0), "b": ("2", 100.0)}, "1", 500, ["a"], "a answered within 800 ms"),
        (
            {"a": ("1", 5000.0), "b": ("2", 100.0)},
            "2",
            900,
            ["a", "b"],
            "a had not answered within 800 ms: b was asked as well; the second call, b, answered first",
        ),
        (
            {"a": ("1", 1000.0), "b": ("2", 900.0)},
            "1",
            1000,
            ["a", "b"],
            "a had not answered within 800 ms: b was asked as well; a, answered first",
        ),
        ({"a": (DOWN, 300.0), "b": ("2", 100.0)}, "2", 400, ["a", "b"], "a failed (ServerFailedError): b was asked"),
        ({"a": ("1", 2000.0), "b": (DOWN, 100.0)}, "1", 2000, ["a", "b"], "a had not answered within 800 ms"),
    ],
)
def test_a_second_call_goes_out_where_the_first_is_slow(
    said: Any, text: str, latency_ms: float, asked: Any, reason: str
) -> None:
    replies = says(**said)
    came, decision = replies.answer(hedged("a", "b", after_ms=800))
    assert came.reply is not None
    assert (came.reply.text, replies.models) == (text, asked)
    assert came.latency_ms == pytest.approx(latency_ms)
    assert decision.reason.startswith(reason)
    slow = [each for each in came.asked if each.cancelled]
    assert all(each.cost_usd == 1.0 for each in slow)  # the most that it can cost
    assert bool(slow) is (len(asked) == 2 and not any(each[0] is DOWN for each in said.values()))


def test_a_hedge_of_one_model_asks_it_for_another_sample() -> None:
    replies = says(a=[("1", 5000.0), ("2", 100.0)])
    came, _ = replies.answer(hedged("a", after_ms=1000))
    assert came.reply is not None
    assert (came.reply.text, replies.asked) == ("2", [("a", 0), ("a", 1)])


@pytest.mark.parametrize(("p95_ms", "latency_ms"), [(300.0, 400), (None, 2100)])
def test_a_hedge_waits_as_long_as_the_model_usually_takes(p95_ms: Any, latency_ms: float) -> None:
    replies = says(a=("1", 9000.0), b=("2", 100.0))
    replies.stats = {"a": ModelStats(model="a", p95_latency_ms=p95_ms)}
    came, decision = replies.answer(hedged("a", "b"))
    assert came.latency_ms == pytest.approx(latency_ms)
    assert list(decision.seen) == ["a"]


def test_a_hedge_when_both_fail_or_the_request_is_wrong() -> None:
    first = ServerFailedError("first")
    assert says(a=first, b=DOWN).answer(hedged("a", "b"))[0].error is first
    replies = says(a=WRONG, b="2")
    assert replies.answer(hedged("a", "b"))[0].error is WRONG
    assert replies.models == ["a"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: cascade("fast"),
        lambda: cascade("fast", "fast"),
        lambda: cascade("fast", "strong", accept="yes"),  # type: ignore[arg-type]
        lambda: cascade(accept=bool),
        lambda: agreement("fast", "fast", "strong"),
        lambda: majority_vote("fast", n=1),
        lambda: majority_vote("fast", n=True),
        lambda: majority_vote("", n=3),
        lambda: hedged("fast", after_ms=-1),
        lambda: hedged("fast", after_ms="p99"),
        lambda: best_of_n("fast", n=0, judge=lambda request, each: 1),
    ],
)
def test_what_cannot_be_made_is_refused_with_what_to_write(make: Any) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert caught.value.hint


def test_each_says_its_models_and_bears_its_name() -> None:
    for strategy, name, models in (
        (cascade(), "cascade", ("fast", "medium", "strong")),
        (cascade("a", "b"), "cascade(a, b)", ("a", "b")),
        (agreement("a", "b", "c"), "agreement(a, b, c)", ("a", "b", "c")),
        (majority_vote("a", n=3), "majority_vote(a, n=3)", ("a",)),
        (hedged("a", after_ms=800), "hedged(a, after_ms=800)", ("a",)),
    ):
        assert (strategy.__name__, models_of(strategy)) == (name, models)
