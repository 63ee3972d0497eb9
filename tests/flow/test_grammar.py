"""What a cell may hold, and what it is told to write instead."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration_nb.errors import (
    DuplicateStepError,
    FlowError,
    FlowSyntaxError,
    OrchestrationError,
    StepOrderError,
    UsageError,
)
from orchestration_nb.flow import parse

REFUSED = [
    ("x = 1\nfor a in x: pass", 2, "`for`", "comprehension"),
    ("x = 1\nasync def f(): pass\nwhile x: pass", 3, "`while`", "@step"),
    ("x = 1\nif x:\n    y = 2", 2, "`if`", "conditional expression"),
    ("x = 1\nwith x: pass", 2, "`with`", "@step"),
    ("x = 1\ntry:\n    y = 2\nexcept ValueError:\n    y = 3", 2, "`try`", "default=..."),
    ("x = 1\nmatch x:\n    case 1: pass", 2, "`match`", "@step"),
    ("x = 1\nraise x", 2, "`raise`", "@step"),
    ("x = 1\nassert x", 2, "`assert`", "@step"),
    ("x = 1\ndel x", 2, "`del`", "Leave it out"),
    ("x = 1\nreturn x", 2, "`return`", "name"),
    ("x = 1\npass\ny = 2", 2, "`pass`", "Leave it out"),
    ("x = 1\nglobal x", 2, "`global`", "notebook variables"),
    ("x = 1\nx += 1", 2, "in place", "x_2 = x + ..."),
    ("x = 1\ny: int", 2, "no value", "y: int = ..."),
    ("x = 1\na, b = x, 2", 2, "several names", "a = pair[0]"),
    ("x = 1\n[a, *b] = x", 2, "several names", "a = pair[0]"),
    ("x = 1\na = b = x", 2, "`a = b = ...`", "one line for each"),
    ("x = 1\nx.y = 2", 2, "attribute", "name of its own"),
    ("x = 1\nx['y'] = 2", 2, "element", "{**old, key: value}"),
    ("x = 1\ny = (yield x)", 2, "`yield`", "[... for ...]"),
    ("x = 1\ny = [(yield from x)]", 2, "`yield`", "[... for ...]"),
    ("x = 1\ny = (a for a in x)", 2, "generator", "[... for ...]"),
    ("x = 1\nprint(x)\ny = 2", 2, "without a name", "answer = ..."),
    ("x = 1\nprint(x)", 2, "name what to show", "end the cell with the names"),
    ("llm('hello')", 1, "without a name", "answer = ..."),
    ("x = 1\n'a note'\ny = 2", 2, "without a name", "answer = ..."),
    ("x = 1\nitem = 2", 2, "`item` is the row itself", "another name"),
    ("x = 1\nllm = 2", 2, "`llm` asks a model", "another name"),
    ("x = 1\n_status = 2", 2, "results have a column", "another name"),
    ("x = 1\n__all__ = 2", 2, "Python", "another"),
    ("x = 1\ny = llm()", 2, "no prompt", 'llm("...")'),
    ("x = 1\ny = llm('a', x)", 2, "one prompt", "Put it together"),
    ("x = 1\ny = llm('a', temprature=0)", 2, "'temprature'", "Did you mean 'temperature'?"),
    ("x = 1\ny = [llm('a', zzz=0) for _ in 'ab']", 2, "'zzz'", "There are: prompt, model, strategy"),
    ("x = 1\ny = (x := 2)", 2, "hides the step of line 1", "another name"),
    ("x = 1\n@step()\ndef y(x): return x", 3, "no arguments", "@step"),
    ("x = 1\n@step\ndef y(*x): return x", 3, "`*x`", "Name each thing"),
    ("x = 1\n@step\ndef y(**x): return x", 3, "`**x`", "Name each thing"),
    ("x = 1\n@step\ndef y(x, /): return x", 3, "`/`", "Leave"),
    ("x = 1\n@step\ndef y(x): yield x", 3, "yields", "Return a list"),
    ("x = 1\n@step\ndef y(): return x", 3, "uses the step `x` inside", "parameter"),
    ("def f(): return x\nx = 1\ny = f()", 1, "uses the step `x` of line 2", "parameter"),
    ("def f(a=x): return a\nx = 1\ny = f()", 1, "uses the step `x` of line 2", "parameter"),
    ("class A:\n    def f(self): return [x for _ in 'ab']\nx = 1", 1, "class `A` uses the step `x`", "parameter"),
    ("x = 1\ny: 'Literal[' = 2", 2, "not Python", "Write a type"),
    ("x = 1\n!ls", 2, "'!ls' is a command of IPython", "cell of its own"),
    ("x = 1\n%timeit x", 2, "'%timeit x' is a command of IPython", "cell of its own"),
    ("x = 1\nx.strip?", 2, "'x.strip?' is a command of IPython", "cell of its own"),
    ("x = 1\ny = (", 2, "not Python", "A step is a name and an expression"),
    ("x = 1\n  y = 2", 2, "unexpected indent", "A step is a name and an expression"),
    ("x = 1\ny = [a := 1 for a in 'ab']", 2, "not Python", "A step is a name and an expression"),
    ("x = 1\n\n@step\ndef y(a):\n    nonlocal a\n    return a", 5, "not Python", "A step is a name and an expression"),
    ("x = 1\ndef f(a, a): pass", 2, "not Python", "A step is a name and an expression"),
    ("x = 1\n__debug__ = 2", 2, "`__debug__`", "another"),
    ("Dear model, please sort the tickets", 1, "not Python", "A step is a name and an expression"),
    ("", 1, "empty", "answer = llm"),
    ("\n  # nothing\n", 1, "empty", "answer = llm"),
    ('"""Only a description."""', 1, "no step", "answer = llm"),
    ("import json", 1, "no step", "answer = llm"),
]


@pytest.mark.parametrize(("text", "line", "what", "instead"), REFUSED)
def test_what_a_flow_cannot_hold_is_refused_with_its_line_and_what_to_write(
    text: str, line: int, what: str, instead: str
) -> None:
    with pytest.raises(FlowSyntaxError) as caught:
        parse(text, name="t")
    assert caught.value.line == line
    assert what in str(caught.value)
    assert instead in caught.value.hint
    assert str(caught.value).count("\n") == 0


HOPELESS = ["x = 1\x00", "x = '\ud800'", "(" * 300, "x = " + "+".join("1" * 5000), "x=" + "-" * 90000]


@pytest.mark.parametrize("text", HOPELESS)
def test_text_that_python_gives_up_on(text: str) -> None:
    with pytest.raises(FlowSyntaxError):
        parse(text, name="t")


def test_a_flow_is_text() -> None:
    with pytest.raises(UsageError, match="text, not as bytes"):
        parse(b"x = 1", name="t")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a b", "class", "1a", "a-b", "<script>"])
def test_a_flow_has_the_name_of_a_variable(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a flow"):
        parse("x = 1", name=name)


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("x = 1\n\nx = 2", 1, 3),
        ("import x\nx = 2", 1, 2),
        ("import a.b\na = 2", 1, 2),
        ("from a import b as x\nx = 2", 1, 2),
        ("x = 1\ndef x(): pass", 1, 2),
        ("x = 1\n@step\ndef x(): pass", 1, 3),
    ],
)
def test_a_name_is_made_once(text: str, first: int, second: int) -> None:
    with pytest.raises(DuplicateStepError, match=f"on line {first} and on line {second}") as caught:
        parse(text, name="t")
    assert caught.value.line == second


@pytest.mark.parametrize(
    ("text", "line", "names"),
    [
        ("a = b\nb = 1", 1, ["`a`", "`b`", "line 2"]),
        ("a = 1\n\nc = [b for _ in 'x']\nb = 1", 3, ["`c`", "`b`", "line 4"]),
        ("c = (lambda: b)()\nb = 1", 1, ["`c`", "`b`", "line 2"]),
        ("@step\ndef a(b): return b\nb = 1", 2, ["`a`", "`b`", "line 3"]),
        ("@step\ndef a(): return b\nb = 1", 2, ["`a`", "`b`", "line 3"]),
        ("x = 1\na = f(x)\ndef f(x): return x", 2, ["`a`", "`f`", "line 3"]),
        ("x = x.strip()", 1, ["`x`", "its own name"]),
        ("@step\ndef x(n): return x(n - 1)", 2, ["`x`", "its own name"]),
        ("id = id(1)", 1, ["`id`", "its own name"]),
    ],
)
def test_a_cell_reads_top_to_bottom(text: str, line: int, names: list[str]) -> None:
    with pytest.raises(StepOrderError) as caught:
        parse(text, name="t")
    assert caught.value.line == line
    assert all(name in str(caught.value) for name in names)
    assert caught.value.hint


def test_what_a_name_in_a_scope_of_its_own_is_called_does_not_matter() -> None:
    graph = parse(
        "a = [b for b in 'xy']\nd = (lambda b, *, c=1: b + c)\ne = {b: c for b, c in []}\n"
        "f = (g := 1) + g\nb = 1\nc = 2",
        name="t",
    )
    assert all(not step.needs for step in graph.steps)


def test_description_prelude_steps_and_what_to_show() -> None:
    graph = parse(
        '"""\nSorts.\n"""\nfrom __future__ import annotations\nimport json, os.path as path\nclass A: ...\n'
        "def f(a): return a\nasync def g(a): return a\nx = f(1); y: int = 2\n"
        "@step\nasync def z(x) -> str: return x\n[z, y]",
        name="t",
    )
    assert graph.description == "Sorts."
    assert [each.names for each in graph.prelude.definitions] == [
        ("annotations",), ("json", "path"), ("A",), ("f",), ("g",),
    ]  # fmt: skip
    assert [(step.name, step.line) for step in graph.steps] == [("x", 9), ("y", 9), ("z", 11)]
    assert graph.show == ("z", "y")
    assert graph.steps[2].needs == {"x"}
    assert graph.steps[2].is_async


def test_parsing_executes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    parse("import no_such_module\ndef f(a=print('ran')): ...\nx = print('ran')", name="t")
    assert capsys.readouterr().out == ""


def test_a_cell_indented_as_a_whole_is_read() -> None:
    graph = parse("\n    x = 1\n    y = x\n", name="t")
    assert [(step.name, step.line) for step in graph.steps] == [("x", 2), ("y", 3)]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_endings_of_all_systems(newline: str) -> None:
    text = newline.join(["x = 1", "@step", "def y(x):", "    return x", "z = [x,", " y]"])
    assert [(step.name, step.line, step.needs) for step in parse(text, name="t").steps] == [
        ("x", 1, frozenset()), ("y", 3, {"x"}), ("z", 5, {"x", "y"}),
    ]  # fmt: skip


@pytest.mark.parametrize("mark", ["@step", "@orchestration_nb.step", "@onb.step"])
def test_the_step_mark_may_be_written_with_its_module(mark: str) -> None:
    assert parse(f"{mark}\ndef x(): return 1", name="t").steps[0].is_function


def test_kinds_look_through_the_functions_of_the_cell() -> None:
    graph = parse(
        "def ask(t): return llm(t)\ndef twice(t): return [ask(t), ask(t)]\ndef plain(t): return t\n"
        "a = twice('x')\nb = plain('x')\nc = map(llm, 'ab')\n@step\ndef d(): return ask('x')",
        name="t",
    )
    assert {step.name: step.kind for step in graph.steps} == {"a": "llm", "b": "plain", "c": "llm", "d": "llm"}


@given(st.text(max_size=60))
def test_any_text_is_a_flow_or_an_error_of_ours(text: str) -> None:
    with contextlib.suppress(OrchestrationError):
        parse(text, name="t")


CELL = '''"""Sorts."""
from dataclasses import dataclass
def f(a, *, b=1): return [a for _ in range(b)]
x: Literal["a", "b"] = llm(f"Sort {body!r:>10}", model="fast")
@step
async def y(x, n=3) -> list[int]:
    return [await llm(x) for _ in range(n)]
z = (lambda q: {k: v for k, v in q.items()})(y) if x != "a" else None
x, z'''


SLIPS = ["", "(", ")", ":", "=", "\n", " ", "await ", "yield ", "x", '"', "f'{"]


@given(st.integers(0, len(CELL)), st.integers(0, 8), st.sampled_from(SLIPS))
def test_a_cell_with_a_slip_of_the_pen_is_a_flow_or_an_error_with_a_hint(place: int, cut: int, put: str) -> None:
    hint = "none needed"
    try:
        parse(CELL[:place] + put + CELL[place + cut :], name="t")
    except FlowError as error:
        hint = error.hint
    assert hint
