"""What names mean, and the errors for those that mean nothing or two things: all before anything is asked."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.errors import FlowError, FlowSyntaxError, UnknownNameError, UsageError
from orchestration_nb.flow import BoundFlow, llm, step_scope

Bind = Callable[..., BoundFlow]
COLUMNS = ["body", "id", "type", "Order ID", "class", "résumé"]


def steps(bound: BoundFlow) -> dict[str, Any]:
    return {step.name: step for step in bound.steps}


def test_step_above_then_column_then_variable_then_builtin(evaluate: Callable[..., dict[str, Any]]) -> None:
    values = evaluate("len = 'step'\nout = (len, id, hash, sum([1]))", {"id": "column"}, id="variable", hash="variable")
    assert values["out"] == ("step", "column", "variable", 1)


def test_columns_and_item(bind: Bind) -> None:
    bound = steps(bind("a = body + type\nb = item['Order ID']\nc = a\nd = len('x')", COLUMNS))
    assert bound["a"].columns == {"body", "type"}
    assert (bound["b"].columns, bound["b"].uses_item) == (frozenset(), True)
    assert (bound["c"].columns, bound["c"].needs, bound["c"].uses_item) == (frozenset(), {"a"}, False)


def test_once_is_what_reaches_no_column_and_no_item(bind: Bind) -> None:
    bound = steps(bind("a = limit\nb = llm(f'{a}')\nc = body\nd = c\ne = (b, d)\nf = item\ng = b", COLUMNS, limit=3))
    assert {name for name, step in bound.items() if step.once} == {"a", "b", "g"}


def test_item_is_always_the_row_even_where_a_column_is_called_so(evaluate: Callable[..., dict[str, Any]]) -> None:
    assert evaluate("a = item['item']", {"item": "column"})["a"] == "column"


@pytest.mark.parametrize("text", ["a = f'{item}'", "a = llm(item)", "a = {**item}"])
def test_the_whole_row_is_not_taken_for_a_column_of_that_name(bind: Bind, text: str) -> None:
    with pytest.raises(FlowError, match="the table has a column `item`") as refused:
        bind(text, ["item", "price"])
    assert 'item["item"]' in refused.value.hint
    assert bind(text, ["price"]).steps[0].uses_item
    assert bind("a = (item['item'], item.get('price'))", ["item", "price"]).steps[0].uses_item


def test_llm_is_always_llm(bind: Bind) -> None:
    bound = bind("a = llm('x')", ["llm"], llm="another library's")
    with step_scope(None) as scope:
        bound.steps[0].evaluate({"llm": "column"})
    assert len(scope.pendings) == 1


def test_a_column_name_in_another_unicode_form_is_found(evaluate: Callable[..., dict[str, Any]]) -> None:
    decomposed = "re\u0301sume\u0301"
    assert evaluate("a = r\u00e9sum\u00e9", {decomposed: 7})["a"] == 7


@pytest.mark.parametrize(
    ("text", "line", "name", "hint"),
    [
        ("a = 1\nb = bdoy", 2, "`bdoy`", "Did you mean the column `body`?"),
        ("answer = 1\nb = anwser", 2, "`anwser`", "Did you mean the step `answer`?"),
        ("b = itme", 1, "`itme`", "Did you mean the row `item`?"),
        ("b = order_id", 1, "`order_id`", "Did you mean the column `item['Order ID']`?"),
        ("b = Body", 1, "`Body`", "Did you mean the column `body`?"),
        ("b = limits", 1, "`limits`", "Did you mean `limit`?"),
        ("b = lne(body)", 1, "`lne`", "Did you mean `len`?"),
        ("b = pd.Series([1])", 1, "`pd`", "Write `import pandas as pd` at the top of the cell."),
        ("b = zzzzz", 1, "`zzzzz`", "The columns are: `body`, `id`, `type`, `item['Order ID']`"),
        ("b = [x for x in rowss]", 1, "`rowss`", "The columns are"),
        ("b = f'{bodi}'", 1, "`bodi`", "Did you mean the column `body`?"),
        ("@step\ndef b(bodi): return 1", 2, "`bodi`", "Did you mean the column `body`?"),
        ("@step\ndef b(len): return 1", 2, "`len`", "The columns are"),
        ("@step\ndef b(body): return bodi", 2, "`bodi`", "Did you mean the column `body`?"),
        ("def f(x): return y + lmit\nb = f(1)", 1, "`lmit`", "Did you mean `limit`?"),
        ("class A:\n    f = lmit\nb = A()", 1, "`lmit`", "Did you mean `limit`?"),
        ("b: Litteral['a'] = 1", 1, "`Litteral`", "Did you mean `Literal`?"),
        ("b: list['Litteral[1]'] = 1", 1, "`Litteral`", "Did you mean `Literal`?"),
        ("b = 1\nb, bodi", 2, "`bodi`", "Did you mean the column `body`?"),
    ],
)
def test_an_unknown_name_with_its_line_and_near_miss(bind: Bind, text: str, line: int, name: str, hint: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        bind(text, COLUMNS, limit=3, y=1)
    assert caught.value.line == line
    assert name in str(caught.value)
    assert hint in caught.value.hint


def test_without_a_table_there_is_no_row(bind: Bind) -> None:
    with pytest.raises(UnknownNameError, match="no rows without --over"):
        bind("a = item['x']", item=False)
    with pytest.raises(UnknownNameError) as caught:
        bind("a = zzzzz", item=False)
    assert "--over" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("def f(): return body\na = f()", "function `f` uses the column `body`"),
        ("def f():\n    return [body for _ in 'ab']\na = f()", "function `f` uses the column `body`"),
        ("class A:\n    x = body\na = A", "class `A` uses the column `body`"),
        ("@step\ndef a(): return body", "`a` uses `body` inside"),
        ("@step\ndef a(): return item", "`a` uses `item` inside"),
    ],
)
def test_what_a_function_needs_of_a_row_is_a_parameter(bind: Bind, text: str, what: str) -> None:
    with pytest.raises(FlowSyntaxError, match=what) as caught:
        bind(text, COLUMNS)
    assert "parameter" in caught.value.hint
    assert caught.value.line


def test_a_builtin_that_a_column_hides_has_another_name(bind: Bind) -> None:
    with pytest.raises(FlowSyntaxError, match="function `kind` uses the column `type`") as caught:
        bind("def kind(x): return type(x).__name__\na = kind(body)", COLUMNS)
    assert "`builtins.type`" in caught.value.hint
    bind("import builtins\ndef kind(x): return builtins.type(x).__name__\na = kind(body)", COLUMNS)


def test_a_name_of_the_cell_and_a_column_at_once(bind: Bind) -> None:
    with pytest.raises(FlowSyntaxError, match="`type` is both the import of line 1 and a column") as caught:
        bind("import json as type\na = type", COLUMNS)
    assert 'item["type"]' in caught.value.hint
    bind("import json as type\na = body", COLUMNS)  # nobody asks which is meant


def test_a_name_made_within_an_expression_hides_no_column(bind: Bind) -> None:
    with pytest.raises(FlowSyntaxError, match="hides the column 'body'"):
        bind("a = (body := 1)", COLUMNS)


def test_a_column_named_like_a_step(bind: Bind) -> None:
    with pytest.raises(UsageError, match="`body` is both the step of line 2 and a column") as caught:
        bind("a = 1\nbody = 2", COLUMNS)
    assert "rename" in caught.value.hint


def test_two_columns_of_one_name(bind: Bind) -> None:
    with pytest.raises(UsageError, match="more than one column called 'a'"):
        bind("x = 1", ["a", "b", "a"])


def test_columns_that_are_no_text(bind: Bind) -> None:
    columns: list[Any] = [3, None, ("a", 1), "body"]
    assert bind("x = body", columns).steps[0].columns == {"body"}


def test_parameters_with_a_default(evaluate: Callable[..., dict[str, Any]]) -> None:
    text = "@step\ndef a(body, limit=3, id=None, *, other='x'): return (body, limit, id, other)"
    assert evaluate(text, {"body": "B"})["a"] == ("B", 3, None, "x")
    assert evaluate(text, {"body": "B", "id": 1}, limit=9)["a"] == ("B", 9, 1, "x")


def test_the_notebook_is_not_changed(bind: Bind) -> None:
    namespace = {"x": 1}
    bound = bind("import json\ndef f(): return x\na = f()", **namespace)
    assert namespace == {"x": 1}
    assert bound.steps[0].evaluate({}) == 1


def test_the_prelude_runs_once(bind: Bind, capsys: pytest.CaptureFixture[str]) -> None:
    bound = bind("def f(a=print('made')): return a\nx = f()\ny = f()")
    for step in bound.steps:
        step.evaluate({})
    assert capsys.readouterr().out == "made\n"


def test_functions_of_the_cell_see_each_other_and_the_notebook(evaluate: Callable[..., dict[str, Any]]) -> None:
    text = "def f(n): return 1 if n == 0 else n * g(n - 1)\ndef g(n): return f(n) * unit\na = f(3)"
    assert evaluate(text, unit=1)["a"] == 6


def test_a_star_import(evaluate: Callable[..., dict[str, Any]], bind: Bind) -> None:
    assert evaluate("from math import *\ndef f(x): return floor(x)\na = f(sqrt(17))")["a"] == 4
    with pytest.raises(UnknownNameError, match="`sqrtt`"):
        bind("from math import *\ndef f(): return sqrtt(2)\na = f()")


def test_an_import_that_fails(bind: Bind) -> None:
    with pytest.raises(FlowError, match=r"Line 2: the import failed: No module named 'no_such_module'") as caught:
        bind("import json\nimport no_such_module\na = 1")
    assert caught.value.hint == "Install it here: %pip install no_such_module"
    assert caught.value.line == 2


def test_a_model_is_not_asked_by_the_prelude(bind: Bind) -> None:
    with pytest.raises(FlowSyntaxError, match="was called while"):
        bind("def f(a=llm('x')): return a\nb = f()")


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_classes_of_the_cell_as_annotations(bind: Bind, future: str) -> None:
    text = (
        future + "from dataclasses import dataclass\nfrom pydantic import BaseModel\n"
        "@dataclass\nclass Part:\n    n: Annotated[int, 'whole']\n"
        "class Verdict(BaseModel):\n    kind: Literal['a', 'b']\n    parts: list[Part]\n"
        "class Row(TypedDict):\n    verdict: Optional[Verdict]\n"
        "x: Verdict = llm('x')\ny: 'list[Row]' = llm('y')"
    )
    bound = bind(text)
    verdict = bound.steps[0].schema.parse('{"kind": "a", "parts": [{"n": "3"}]}')  # type: ignore[union-attr]
    assert (verdict.kind, verdict.parts[0].n) == ("a", 3)
    rows = bound.steps[1].schema.parse('{"value": [{"verdict": null}]}')  # type: ignore[union-attr]
    assert rows == [{"verdict": None}]


def test_annotations_name_classes_of_the_notebook(bind: Bind) -> None:
    class Kind:
        pass

    bound = bind("a: Kind = value", Kind=Kind, value=Kind())
    assert bound.steps[0].check(kind := Kind()) is kind


def test_an_annotation_that_names_a_step(bind: Bind) -> None:
    with pytest.raises(FlowSyntaxError, match="names the step `kinds`") as caught:
        bind("kinds = Literal['a']\nb: kinds = llm('x')")
    assert "cell above" in caught.value.hint


@pytest.mark.parametrize(
    "annotation", ["3", "list[3]", "[int]", "int.nothing", "Literal[1](2)", "1 | 2", "'int' | None"]
)
def test_an_annotation_that_is_no_type(bind: Bind, annotation: str) -> None:
    if annotation == "'int' | None":  # names in quotes are read like others
        bind(f"a: {annotation} = 1")
        return
    with pytest.raises(FlowSyntaxError, match="no type") as caught:
        bind(f"a = 1\nb: {annotation} = 1")
    assert caught.value.line == 2
    assert "Literal" in caught.value.hint


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="from Python 3.12 the TypedDict of typing will do")
def test_the_typed_dict_of_typing(bind: Bind) -> None:
    with pytest.raises(FlowSyntaxError, match="Row is made with the TypedDict of typing") as caught:
        bind("import typing\nclass Row(typing.TypedDict):\n    n: int\na: Row = llm('x')")
    assert "typing_extensions" in caught.value.hint


def test_an_annotation_that_no_model_can_be_asked_for(bind: Bind) -> None:
    with pytest.raises(FlowSyntaxError, match="Line 1: A model cannot be asked for DataFrame"):
        bind("a: pd.DataFrame = llm('x')", pd=pd)
    with pytest.raises(FlowSyntaxError, match="Line 1: A model cannot be asked for DataFrame"):
        bind("a: list[pd.DataFrame] = [llm(x) for x in 'ab']", pd=pd)
    plain = bind("a: pd.DataFrame = make(llm)", pd=pd, make=lambda ask: ask).steps[0]
    assert plain.schema is None


def test_schemas_of_one_reply_and_of_several(bind: Bind) -> None:
    text = (
        "a: Literal['x'] = llm('a')\nb: list[int] = llm('b')\nc: list[int] = [llm(x) for x in 'ab']\n"
        "d: dict[str, list[bool]] = {x: [llm(x)] for x in 'ab'}\ne: str = llm('e')\nf = llm('f')\n"
        "g: tuple[int, ...] | None = tuple(llm(x) for x in 'ab')\nh: list[str] = [llm(x) for x in 'ab']\n"
        "i: set[int] = await llm('i')\nj: list[int] = [llm('1')] if a else [llm('2')]"
    )
    bound = steps(bind(text))
    said = {
        name: (
            step.schema and step.schema.json_schema["properties"]["value"].get("type"),
            step.element_schema and step.element_schema.json_schema["properties"]["value"].get("type"),
        )
        for name, step in bound.items()
    }
    assert said == {
        "a": ("string", None), "b": ("array", "integer"), "c": ("array", "integer"), "d": ("object", "boolean"),
        "e": (None, None), "f": (None, None), "g": (None, "integer"), "h": ("array", None), "i": ("array", "integer"),
        "j": ("array", "integer"),
    }  # fmt: skip


def test_kind_looks_through_functions_of_the_notebook(bind: Bind) -> None:
    def ask(text: str) -> Any:
        return llm(text)

    def plain(text: str) -> str:
        return text

    bound = steps(bind("a = ask('x')\nb = plain('x')\nc = [f('x') for f in [ask]]", ask=ask, plain=plain))
    assert {name: step.kind for name, step in bound.items()} == {"a": "llm", "b": "plain", "c": "llm"}


def test_kind_looks_into_modules_classes_and_what_is_wrapped(bind: Bind) -> None:
    class Asker:
        def ask(self) -> Any:
            return llm("x")

        def say(self) -> str:
            return "x"

    helpers = ModuleType("helpers")
    helpers.ask, helpers.llm = Asker.ask, llm  # type: ignore[attr-defined]
    names = {"helpers": helpers, "quick": functools.partial(Asker().ask), "asker": Asker(), "pd": pd}
    text = "a = helpers.ask(1)\nb = helpers.llm('x')\nc = quick()\nd = asker.ask()\ne = asker.say()\nf = pd.concat([])"
    kinds = {name: step.kind for name, step in steps(bind(text, **names)).items()}
    assert kinds == dict.fromkeys("abcd", "llm") | dict.fromkeys("ef", "plain")


def test_what_the_ledger_keeps(bind: Bind) -> None:
    bound = bind("a = body\nb = llm(a)", COLUMNS)
    assert [dict(step.describe()) for step in bound.steps] == [
        {"name": "a", "kind": "plain", "line": 1, "needs": [], "once": False},
        {"name": "b", "kind": "llm", "line": 2, "needs": ["a"], "once": False},
    ]


@pytest.mark.parametrize(
    ("expression", "quick"),
    [
        ("llm(f'{body}')", True),
        ("llm(f'{body:>10} {item[\"Order ID\"]!r}', model='fast')", True),
        ("[llm(f'{x}') for x in body if x != 'a']", True),
        ("{x: llm(x + 'a', output=Literal['b']) for x in (body, words[0])}", True),
        ("llm(body) if id not in words and not type else None", True),
        ("await llm(body)", True),
        ("llm(body.strip())", False),
        ("llm(f'{orders}')", False),
        ("[llm(x) for x in orders.itertuples()]", False),
        ("(lambda: llm(body))()", False),
        ("llm(x := body)", False),
        ("llm(body * 1000000)", False),
        ("float(await llm(body))", False),
        ("ask(body)", False),
    ],
)
def test_what_may_be_evaluated_on_the_event_loop(bind: Bind, expression: str, quick: bool) -> None:
    bound = bind(f"a = {expression}", COLUMNS, words=["a"], orders=pd.DataFrame({"a": [1]}), ask=str)
    assert bound.steps[0].builds_requests is quick
