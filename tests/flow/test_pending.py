"""What llm(...) returns in a flow, what it may be used for, and what it says otherwise."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import operator
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import pandas as pd
import pytest

from orchestration_nb.calls import Origin, OutputSchema
from orchestration_nb.errors import OrchestrationError, PendingReplyError, UsageError
from orchestration_nb.flow import Pending, StepScope, llm, set_outside, step, step_scope
from orchestration_nb.flow import pending as pending_module
from orchestration_nb.flow.schema import output_schema
from orchestration_nb.ids import RequestId, RunId
from orchestration_nb.messages import Image

ORIGIN = Origin(run_id=RunId("run"), flow="triage", step="queue", item=3)


@pytest.fixture
def scope() -> Iterator[StepScope]:
    with step_scope(None) as entered:
        yield entered


@pytest.fixture
def no_outside() -> Iterator[None]:
    before = pending_module._outside
    set_outside(None)
    yield
    set_outside(before)


def request(pending: Pending, schema: OutputSchema | None = None, model: str | None = None) -> Any:
    return pending.request(ORIGIN, schema=schema, id=RequestId("r1"), seed="run:3:queue", model=model)


def test_the_arguments_become_the_request(scope: StepScope) -> None:
    pending = llm(
        "Which queue?", model="fast", system="Be brief.", images=b"GIF89a...", temperature=0, max_tokens=5, cache=False,
        timeout=2.5, default="bug",
    )  # fmt: skip
    made = request(pending)
    assert (made.id, made.origin, made.prompt, made.system) == ("r1", ORIGIN, "Which queue?", "Be brief.")
    assert (made.model, made.strategy, made.temperature, made.max_tokens) == ("fast", None, 0, 5)
    assert (made.cache, made.timeout_s, made.output, made.decision.seed) == (False, 2.5, None, "run:3:queue")
    assert made.messages[0].parts[0] == Image(data=b"GIF89a...", media_type="image/gif")
    assert (pending.has_default, pending.default) == (True, "bug")


def test_what_is_left_out(scope: StepScope) -> None:
    pending = llm("Which queue?")
    made = request(pending)
    assert (made.model, made.strategy, made.system, made.temperature, made.max_tokens, made.cache, made.timeout_s) == (
        None, None, None, None, 1024, True, None,
    )  # fmt: skip
    assert not pending.has_default


def test_none_is_a_default_too(scope: StepScope) -> None:
    assert llm("a", default=None).has_default


def test_the_run_s_model_is_for_steps_that_choose_nothing(scope: StepScope) -> None:
    assert request(llm("a"), model="strong").model == "strong"
    assert request(llm("a", model="fast"), model="strong").model == "fast"
    assert request(llm("a", strategy="cascade"), model="strong").model is None


def test_an_output_of_its_own_wins_over_the_annotation(scope: StepScope) -> None:
    annotation = output_schema(int, name="queue")
    assert request(llm("a"), schema=annotation).output is annotation
    own = request(llm("a", output=Literal["x", "y"]), schema=annotation).output
    assert own.parse('{"value": "y"}') == "y"
    assert request(llm("a", output=str), schema=annotation).output is None


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"prompt": None}, "must be text, not None"),
        ({"prompt": float("nan")}, "must be text, not NaN"),
        ({"prompt": b"bytes"}, "must be text, not bytes"),
        ({"prompt": 3}, "must be text, not int"),
        ({"prompt": pd.Series([1])}, "must be text, not Series"),
        ({"prompt": "a", "model": 3}, "model"),
        ({"prompt": "a", "strategy": len}, "strategy"),
        ({"prompt": "a", "system": b"s"}, "system"),
        ({"prompt": "a", "temperature": 3}, "from 0 to 2"),
        ({"prompt": "a", "temperature": float("nan")}, "from 0 to 2"),
        ({"prompt": "a", "temperature": "hot"}, "from 0 to 2"),
        ({"prompt": "a", "temperature": True}, "from 0 to 2"),
        ({"prompt": "a", "max_tokens": 0}, "at least 1"),
        ({"prompt": "a", "max_tokens": 1.5}, "at least 1"),
        ({"prompt": "a", "max_tokens": True}, "at least 1"),
        ({"prompt": "a", "timeout": 0}, "above 0"),
        ({"prompt": "a", "timeout": float("inf")}, "above 0"),
    ],
)
def test_arguments_that_cannot_be_used(scope: StepScope, arguments: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        llm(**arguments)
    assert scope.pendings == []


def test_numbers_of_numpy_and_texts_of_subclasses_will_do(scope: StepScope) -> None:
    numbers = pd.Series([1, 2])
    pending = llm(type("Text", (str,), {})("a"), max_tokens=numbers.max(), temperature=numbers.min())
    assert (type(pending.prompt), pending.max_tokens, pending.temperature) == (str, 2, 1)


def test_a_type_that_no_model_can_be_asked_for(scope: StepScope) -> None:
    with pytest.raises(UsageError, match="DataFrame"):
        request(llm("a", output=pd.DataFrame))


MISUSES: list[tuple[str, Callable[[Any], Any]]] = [
    ("str", str),
    ("format", lambda p: f"{p}"),
    ("format spec", lambda p: f"{p:>10}"),
    ("percent", lambda p: "%s" % p),  # noqa: UP031
    ("join", "".join),
    ("add", lambda p: p + "a"),
    ("radd", lambda p: "a" + p),
    ("mul", lambda p: p * 2),
    ("len", len),
    ("bool", bool),
    ("not", operator.not_),
    ("eq", lambda p: p == "a"),
    ("ne", lambda p: p != "a"),
    ("lt", lambda p: p < "a"),
    ("sorted", lambda p: sorted([p, p])),
    ("in list", lambda p: "a" in [p]),  # noqa: FURB171
    ("contains", lambda p: "a" in p),
    ("iter", list),
    ("getitem", operator.itemgetter(0)),
    ("attribute", lambda p: p.text),
    ("method", lambda p: p.strip()),
    ("call", lambda p: p()),
    ("int", int),
    ("float", float),
    ("index", lambda p: [1][p]),
    ("round", round),
    ("unpack", lambda p: [*p]),
    ("keywords", lambda p: dict(**p)),
    ("with", lambda p: p.__enter__()),
    ("prompt", llm),
]


@pytest.mark.parametrize(("name", "misuse"), MISUSES, ids=[name for name, _ in MISUSES])
def test_any_other_use_says_what_to_do(scope: StepScope, name: str, misuse: Callable[[Any], Any]) -> None:
    with pytest.raises(PendingReplyError) as caught:
        misuse(llm("Which queue?"))
    assert "'Which queue?'" in str(caught.value)
    assert "a step of its own" in caught.value.hint
    assert "await llm(...)" in caught.value.hint


def test_a_list_of_them_is_not_sent_as_text(scope: StepScope) -> None:
    several = [llm("a"), llm("b")]
    with pytest.raises(PendingReplyError, match="cannot be put into text"):
        llm(f"Summarise: {several}")
    llm("What does <pending reply to 'x'> mean?")


def test_a_reply_that_the_step_awaits_itself_is_text(scope: StepScope) -> None:
    scope.resolve = lambda pending: asyncio.sleep(0, request(pending, schema=output_schema(int, name="queue")))
    made = asyncio.run(_awaited(llm("a")))
    assert made.output is None
    assert asyncio.run(_awaited(llm("a", output=int))).output is not None


async def _awaited(pending: Any) -> Any:
    return await pending


def test_debuggers_sets_and_copies_may_touch_it(scope: StepScope) -> None:
    pending = llm("x" * 100_000)
    assert len(repr(pending)) < 100
    assert len({pending, pending, llm("y")}) == 2
    assert not hasattr(pending, "__array__")
    assert not hasattr(pending, "_repr_html_")
    assert copy.copy(pending).prompt == pending.prompt
    assert pending.prompt


def test_one_that_is_lost_is_noticed(scope: StepScope) -> None:
    kept = llm("kept")
    pd.Series(["a", "b"]).map(lambda text: [llm(text)])
    list(llm(text) for text in "cd")  # noqa: C400
    request(kept)
    assert [pending.prompt for pending in scope.lost()] == ["a", "b", "c", "d"]


async def test_await_asks_through_the_scope() -> None:
    asked: list[str] = []

    async def resolve(pending: Pending) -> str:
        asked.append(pending.prompt)
        await asyncio.sleep(0)
        return pending.prompt.upper()

    async def work() -> list[str]:
        return [await llm("a"), *await asyncio.gather(llm("b"), llm("c"))]

    with step_scope(resolve) as scope:
        assert await work() == ["A", "B", "C"]
    assert asked == ["a", "b", "c"]
    assert scope.lost() == []


async def test_a_coroutine_goes_on_under_the_scope_it_began_with() -> None:
    async def resolve(pending: Pending) -> str:
        return pending.prompt.upper()

    async def work() -> str:
        return str(await llm("a"))

    with step_scope(None) as scope:
        coroutine = work()
    with step_scope(resolve, scope) as again:
        assert again is scope
        assert await coroutine == "A"
    assert len(scope.pendings) == 1


async def test_awaiting_where_nothing_can_be_awaited(scope: StepScope) -> None:
    with pytest.raises(PendingReplyError, match="cannot be awaited here"):
        await llm("a")


def test_scopes_go_along_into_threads_and_stay_apart() -> None:
    with step_scope(None) as outer:
        context = contextvars.copy_context()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(context.run, llm, "in the thread").result()
        with step_scope(None) as inner:
            llm("inner")
        llm("outer")
    assert [pending.prompt for pending in outer.pendings] == ["in the thread", "outer"]
    assert [pending.prompt for pending in inner.pendings] == ["inner"]


def test_outside_a_flow_it_answers_at_once(no_outside: None) -> None:
    with pytest.raises(OrchestrationError, match="outside a flow"):
        llm("a")
    set_outside(lambda pending: pending.prompt.upper())
    assert llm("a") == "A"
    with step_scope(None):
        assert isinstance(llm("a"), Pending)


def test_step_outside_a_cell_changes_nothing() -> None:
    def function() -> int:
        return 1

    assert step(function) is function
