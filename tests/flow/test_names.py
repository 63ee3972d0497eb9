"""The names that a piece of text reads: the same ones that Python's own compiler looks up."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration_nb.flow import parse
from orchestration_nb.flow.names import AT_HAND, names_of_definition, names_of_expression

NAMES = st.sampled_from(["a", "b", "c", "d"])


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        pair.map(lambda each: f"({each[0]} + {each[1]})"),
        st.tuples(NAMES, inner, inner).map(lambda each: f"[{each[1]} for {each[0]} in {each[2]}]"),
        st.tuples(NAMES, NAMES, inner, inner).map(
            lambda each: f"{{{each[2]}: {each[3]} for {each[0]} in {each[3]} for {each[1]} in {each[0]} if {each[2]}}}"
        ),
        st.tuples(NAMES, inner, inner).map(lambda each: f"(lambda {each[0]}, *args, key={each[1]}: {each[2]})"),
        st.tuples(inner, inner).map(lambda each: f'f"{{{each[0]}:>{{{each[1]}}}}} {{{each[1]}!r}}"'),
        st.tuples(inner, inner, inner).map(lambda each: f"({each[0]} if {each[1]} else {each[2]})"),
        st.tuples(NAMES, pair).map(lambda each: f"{each[0]}.{each[0]}(*{each[1][0]}, **{each[1][1]}, b=1)"),
        st.tuples(NAMES, inner).map(lambda each: f"{each[0]}[{each[1]}:, 1]"),
        inner.map(lambda each: f"(await {each})"),
    )


EXPRESSIONS = st.recursive(NAMES, _compound, max_leaves=8)


def looked_up(code: CodeType) -> Iterator[str]:
    """The globals that compiled code asks for."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"}:
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from looked_up(constant)


def is_python(expression: str) -> bool:
    """Before Python 3.12 an f-string cannot hold its own quotes; a lambda cannot await."""
    try:
        compile(f"async def f(): return {expression}", "x", "exec")
    except SyntaxError:
        return False
    return True


@given(EXPRESSIONS.filter(is_python))
def test_free_names_are_those_that_the_compiler_looks_up(expression: str) -> None:
    code = compile(f"async def f(): return {expression}", "x", "exec")
    function = next(each for each in code.co_consts if isinstance(each, CodeType))
    assert names_of_expression(expression, first_line=1) == set(looked_up(function))


@pytest.mark.parametrize(
    ("expression", "free", "assigned"),
    [
        ("[x for x in xs if (y := f(x))]", {"xs", "f"}, {"y"}),
        ("(n := len(body)) + n", {"len", "body"}, {"n"}),
        ("lambda x, y=z: x + y + w", {"z", "w"}, set()),
        ("sorted(rows, key=lambda row: row.id)", {"sorted", "rows"}, set()),
        ('f"{a!r:>{width}} {{b}}"', {"a", "width"}, set()),
        ("f'''{a\n}'''", {"a"}, set()),
        ("{**left, 'k': [*right]}", {"left", "right"}, set()),
        ("x.y[z].w(v, u=t)", {"x", "z", "v", "t"}, set()),
        ("[[x for x in row] for row in item['rows']]", {"item"}, set()),
        ("id(type)", {"id", "type"}, set()),
        ("__debug__ and __name__", {"__name__"}, set()),
        ("'text'", set(), set()),
        ("(a,\n*b)", {"a", "b"}, set()),
    ],
)
def test_scopes_of_their_own(expression: str, free: set[str], assigned: set[str]) -> None:
    assert names_of_expression(expression, first_line=1) == free
    assert parse(f"step = {expression}", name="t").steps[0].assigned == assigned


@pytest.mark.parametrize(
    ("text", "future", "free"),
    [
        ("def f(a, b=limit) -> kind: return a + c", False, {"limit", "kind", "c"}),
        ("def f(a: Odd) -> kind: return a", True, set()),
        ("@cached\ndef f():\n    import re\n    return re.sub(g)", False, {"cached", "g"}),
        ("def f():\n    global counter\n    counter = 1\n    return counter", False, set()),
        ("def f():\n    def inner(): return outer\n    return inner", False, {"outer"}),
        ("def f(n): return f(n - 1)", False, {"f"}),
        ("class A(Base, metaclass=M):\n    x: int = y\n    z = x\n    def f(self): return w", False,
         {"Base", "M", "int", "y", "w"}),
        ("def f():\n    try: pass\n    except Odd as e: return e", False, {"Odd"}),
        ("def f():\n    with open(p) as q: return q", False, {"open", "p"}),
    ],
)  # fmt: skip
def test_definitions(text: str, future: bool, free: set[str]) -> None:
    assert names_of_definition(text, future=future, first_line=1) == free


def test_a_complaint_counts_lines_in_the_cell() -> None:
    with pytest.raises(SyntaxError) as caught:
        names_of_expression("[a := 1\n for a in b]", first_line=7)
    assert caught.value.lineno == 7
    with pytest.raises(SyntaxError) as caught:
        names_of_definition("def f(a):\n    nonlocal a", future=True, first_line=7)
    assert caught.value.lineno == 8


def test_comments_and_continued_lines_within_an_expression() -> None:
    graph = parse("x = (a  # the first\n     + b)\ny = \\\n    c\nz = d  # the end", name="t")
    assert [[each.name for each in step.inputs] for step in graph.steps] == [["a", "b"], ["c"], ["d"]]


def test_the_names_of_typing_are_at_hand() -> None:
    assert {"Literal", "Any", "Optional", "TypedDict", "NotRequired", "Annotated", "llm", "step"} <= AT_HAND.keys()
