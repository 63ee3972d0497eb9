"""Evaluating steps: Python's own meaning, tracebacks with the user's line, and awaiting."""

from __future__ import annotations

import inspect
import linecache
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from orchestration_nb.errors import AnnotationError
from orchestration_nb.flow import BoundFlow, Pending, step_scope

Bind = Callable[..., BoundFlow]
Evaluate = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[x * factor for x in xs]", [2, 4]),
        ("[(x, y) for x in xs for y in xs if x < y + offset]", [(1, 1), (1, 2), (2, 1), (2, 2)]),
        ("{x: [y + factor for y in xs] for x in xs}", {1: [3, 4], 2: [3, 4]}),
        ("(lambda n, *, k=factor: n * k + offset)(3)", 16),
        ("sorted(xs, key=lambda x: -x * factor)", [2, 1]),
        ("(n := len(xs)) + n", 4),
        ("[m := x for x in xs] + [m]", [1, 2, 2]),
        ("f'{factor!r:>{offset}}|{xs}'", "         2|[1, 2]"),
        ("max(*xs, key=lambda x: x % factor)", 1),
        ("dict(**{'a': factor})", {"a": 2}),
        ("list(map(lambda x: x + offset, xs))", [11, 12]),
        ("(lambda: (lambda: factor)())()", 2),
        ("[i for i in range(factor)] if xs else offset", [0, 1]),
        ("type(xs).__name__", "list"),
        ("__name__ is not None", True),
    ],
)
def test_an_expression_means_what_it_means_in_python(evaluate: Evaluate, expression: str, value: Any) -> None:
    assert evaluate(f"a = {expression}", {"xs": [1, 2], "factor": 2}, offset=10)["a"] == value


def test_columns_that_shadow_builtins(evaluate: Evaluate) -> None:
    values = evaluate("a = [id for _ in type]\nb = len(type)", {"id": 7, "type": "ab"})
    assert values == {"a": [7, 7], "b": 2}


def test_columns_whose_names_are_no_identifiers(evaluate: Evaluate) -> None:
    assert evaluate('a = item["Order ID"] + item["class"]', {"Order ID": 1, "class": 2})["a"] == 3


def test_a_function_made_by_a_step_keeps_what_it_saw(evaluate: Evaluate) -> None:
    assert evaluate("f = lambda x: x + body\ng = f(1)", {"body": 2})["g"] == 3


def test_decorators_beside_the_step_mark(evaluate: Evaluate) -> None:
    text = "import functools\n@step\n@functools.lru_cache\ndef a(body): return body + limit"
    assert evaluate(text, {"body": 1}, limit=2)["a"] == 3


def test_a_traceback_shows_the_line_of_the_cell(bind: Bind) -> None:
    bound = bind(
        "ok = 1\ndef half(n):\n    return n / 0  # here\n\nbad = [\n    half(n)  # and here\n    for n in body\n]",
        ["body"],
    )
    with pytest.raises(ZeroDivisionError) as caught:
        bound.steps[1].evaluate({"body": [1]})
    shown = "".join(traceback.format_exception(caught.value))
    assert 'File "<flow triage>", line 3, in half\n    return n / 0  # here' in shown
    assert 'File "<flow triage>", line 6, in' in shown
    assert "half(n)  # and here" in shown
    frames = [frame for frame in traceback.extract_tb(caught.value.__traceback__) if frame.filename == "<flow triage>"]
    assert frames[0].name == "bad"


def test_the_newest_text_of_a_flow_is_the_one_that_is_shown(bind: Bind) -> None:
    bind("a = 1")
    bind("a = 2  # new")
    linecache.checkcache()
    assert linecache.getline("<flow triage>", 1) == "a = 2  # new"


def test_the_source_of_a_function_of_the_cell_can_be_read(evaluate: Evaluate) -> None:
    text = "def half(n):\n    return n / 2\nf = half"
    assert inspect.getsource(evaluate(text)["f"]) == "def half(n):\n    return n / 2\n"


def test_what_a_step_raises_comes_out_as_it_is(bind: Bind) -> None:
    class Odd(BaseException):
        pass

    def fail() -> None:
        raise Odd

    with pytest.raises(Odd):
        bind("a = fail()", fail=fail).steps[0].evaluate({})


def test_the_same_text_bound_twice_does_not_mix(bind: Bind) -> None:
    first, second = bind("def f(): return n\na = f()", n=1), bind("def f(): return n\na = f()", n=2)
    assert (first.steps[0].evaluate({}), second.steps[0].evaluate({})) == (1, 2)


async def _value(bound: BoundFlow, scope: dict[str, Any], name: str) -> Any:
    async def resolve(pending: Pending) -> str:
        return pending.prompt.upper()

    step = next(each for each in bound.steps if each.name == name)
    with step_scope(resolve):
        value = step.evaluate(scope)
        while inspect.isawaitable(value):
            value = await value
    return value


async def test_awaiting_within_an_expression(bind: Bind) -> None:
    bound = bind("a = [await llm(x) for x in body]\nb = (await llm('b')) + '!'\nc = {await llm('k'): 1}", ["body"])
    assert all(step.is_async for step in bound.steps)
    assert await _value(bound, {"body": "xy"}, "a") == ["X", "Y"]
    assert await _value(bound, {}, "b") == "B!"
    assert await _value(bound, {}, "c") == {"K": 1}


async def test_asynchronous_steps_and_functions(bind: Bind) -> None:
    async def fetch(text: str) -> str:
        return f"fetched {text}"

    bound = bind(
        "async def both(x): return await llm(x), await fetch(x)\n"
        "@step\nasync def a(body):\n    if body:\n        first = await llm(body)\n"
        "        return first, await llm('2')\n"
        "b = await fetch(body)\nc = fetch(body)\nd = await both(body)\n"
        "e = [x async for x in stream()]",
        ["body"],
        fetch=fetch,
        stream=_stream,
    )
    assert [step.is_async for step in bound.steps] == [True, True, False, True, True]
    assert await _value(bound, {"body": "x"}, "a") == ("X", "2")
    assert await _value(bound, {"body": "x"}, "b") == "fetched x"
    assert await _value(bound, {"body": "x"}, "c") == "fetched x"
    assert await _value(bound, {"body": "x"}, "d") == ("X", "fetched x")
    assert await _value(bound, {}, "e") == [1, 2]


async def _stream() -> Any:
    yield 1
    yield 2


@pytest.mark.parametrize(
    "text",
    [
        "a: int = await llm('x')",
        "a: int = (await llm('x')) if True else await llm('y')",
        "a: int = llm('y') if False else await llm('x')",
    ],
)
def test_a_last_await_leaves_the_reply_to_the_step(bind: Bind, text: str) -> None:
    step = bind(text).steps[0]
    with step_scope(None):
        assert step.evaluate({}).prompt == "x"
    assert not step.is_async


async def test_a_last_await_in_a_function_too(bind: Bind) -> None:
    text = (
        "@step\nasync def a(n) -> int:\n    if n == 1:\n        return await llm('left')\n    for _ in 'x':\n"
        "        try:\n            return await llm('awaited here')\n        finally:\n            pass"
    )
    step = bind(text, ["n"]).steps[0]
    with step_scope(None):
        assert isinstance(await step.evaluate({"n": 1}), Pending)
    assert await _value(bind(text, ["n"]), {"n": 2}, "a") == "AWAITED HERE"


def test_values_are_checked_against_annotations(bind: Bind) -> None:
    bound = bind("a: int = '3'\nb: list[float] | None = [1]\nc = 3\n@step\ndef d() -> bool: return 'yes'")
    checked = [step.check(step.evaluate({})) for step in bound.steps]
    assert checked == [3, [1.0], 3, True]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("-inf")], {"k": (float("nan"),)}])
def test_nan_and_infinity_are_refused(bind: Bind, value: Any) -> None:
    annotation = {float: "float", list: "list[float]", dict: "dict[str, tuple[float]]"}[type(value)]
    step = bind(f"x = 0\na: {annotation} = value", value=value).steps[1]
    with pytest.raises(AnnotationError, match="Line 2: the value of `a` does not fit") as caught:
        step.check(step.evaluate({}))
    assert caught.value.hint


def test_a_value_that_does_not_fit_says_where(bind: Bind) -> None:
    step = bind("a: dict[str, list[int]] = x", x={"k": [1, "two"]}).steps[0]
    with pytest.raises(AnnotationError, match=r"does not fit `dict\[str, list\[int\]\]`: k.1: .*got 'two'"):
        step.check(step.evaluate({}))
