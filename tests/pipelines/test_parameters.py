"""Parameters: what a notebook declares, what it may be given, and where that is put. No kernel is needed for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.pipelines.parameters import checked, declared, inject, parameters_in
from orchestration_nb.pipelines.values import Typed, as_python, read_file, read_pairs

CELL = """\
%matplotlib inline
day = "2026-01-31"  # which day
top: int = 5  # how many
share: float = 0.5
queues: list[str] = ["billing"]
mode: Literal["fast", "careful"] = "fast"
limit: int | None = None
title: str | None = None
mixed: Optional[Union[int, str]] = None
strict = False
code = "007"  # kept as a text
older = 3  # type: float a typed comment
anything = None
made = {"a": 1} | {"b": 2}
when: pd.Timestamp = pd.Timestamp("2026-01-01")
needed: str
"""


def notebook(*cells: tuple[str, str]) -> Any:
    made = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    for tag, source in cells:
        metadata = {"tags": [tag]} if tag else {}
        made.cells.append(nbformat.v4.new_code_cell(source, metadata=metadata))  # type: ignore[no-untyped-call]
    return made


def sources(made: Any) -> list[str]:
    return [cell.source for cell in made.cells]


def fit(**given: Any) -> dict[str, Any]:
    return checked(parameters_in(CELL), {"needed": "yes", **given})


def test_names_types_defaults_and_comments_are_read_and_nothing_is_executed() -> None:
    found = {one.name: (one.kind.text, one.default, one.comment) for one in parameters_in(CELL)}
    assert found["day"] == ("str", "'2026-01-31'", "which day")
    assert found["top"] == ("int", "5", "how many")
    assert found["queues"] == ("list[str]", "['billing']", "")
    assert found["older"] == ("float", "3", "a typed comment")
    assert found["anything"] == ("Any", "None", "")
    assert found["made"] == ("Any", "{'a': 1} | {'b': 2}", "")
    assert found["needed"] == ("str", "", "")
    assert parameters_in("import os\nos._exit(1)") == []


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("day", "2026-02-01", "2026-02-01"),
        ("day", "12", "12"),
        ("day", "no", "no"),
        ("code", "008", "008"),
        ("top", "7", 7),
        ("top", "-0x1F", None),
        ("share", "1", 1),
        ("share", "1e-3", 0.001),
        ("share", ".inf", float("inf")),
        ("share", "1.5.0", None),
        ("older", "2.5", 2.5),
        ("top", "7.0", None),
        ("top", "true", None),
        ("top", "seven", None),
        ("top", "010", 10),
        ("strict", "true", True),
        ("strict", "1", None),
        ("strict", "yes", None),
        ("queues", "[a, b]", ["a", "b"]),
        ("queues", "[1]", None),
        ("queues", "a", None),
        ("mode", "careful", "careful"),
        ("mode", "slow", None),
        ("limit", "null", None),
        ("limit", "3", 3),
        ("title", "Fix bug #12", "Fix bug #12"),
        ("title", "Re: offer: urgent", "Re: offer: urgent"),
        ("title", "*.csv", "*.csv"),
        ("title", "@anna", "@anna"),
        ("title", "'quoted'", "'quoted'"),
        ("title", "007", "007"),
        ("title", "[a]", "[a]"),
        ("title", "#12", "#12"),
        ("title", "null", None),
        ("title", "~", None),
        ("mixed", "7", 7),
        ("mixed", "7 # bugs", "7 # bugs"),
        ("mixed", "*.csv", "*.csv"),
        ("mixed", "~", None),
        ("anything", "{a: [1, null]}", {"a": [1, None]}),
        ("anything", "12:30", "12:30"),
        ("anything", "NO", "NO"),
        ("anything", "2026-01-31", "2026-01-31"),
        ("when", "2026-02-01", "2026-02-01"),
    ],
)
def test_what_is_typed_is_read_in_the_light_of_the_parameter(name: str, text: str, value: Any) -> None:
    if value is None and text not in {"null", "~"}:
        with pytest.raises(UsageError, match=f"The parameter '{name}' takes"):
            fit(**{name: Typed(text)})
    else:
        got = fit(**{name: Typed(text)})[name]
        assert got == value
        assert type(got) is type(value)


def test_an_unknown_name_a_missing_one_and_what_is_no_yaml_are_refused() -> None:
    with pytest.raises(UsageError, match="has no parameter 'dai'") as caught:
        fit(dai="x")
    assert caught.value.hint.startswith("Did you mean 'day'?")
    with pytest.raises(UsageError, match="'needed' has no default"):
        checked(parameters_in(CELL), {})
    with pytest.raises(UsageError, match="is not YAML"):
        fit(anything=Typed("[1"))
    with pytest.raises(UsageError, match=r"not Python: line 1"):
        parameters_in("a = = 1")


def test_values_from_python_must_be_what_a_cell_can_hold() -> None:
    assert fit(anything=[1, (2.5, None)])["anything"] == [1, (2.5, None)]
    with pytest.raises(UsageError, match="'anything' cannot be object"):
        fit(anything={"a": object()})


@pytest.mark.parametrize("value", [None, True, -3, 1.5, "it's\n", [1, [2]], {"a": {"b": None}}])
def test_values_are_written_as_python(value: Any) -> None:
    assert eval(as_python(value)) == value


def test_what_no_literal_can_say_is_written_as_well() -> None:
    assert repr(eval(as_python([float("nan"), float("-inf")]))) == "[nan, -inf]"


def test_the_cell_goes_after_the_defaults_at_the_top_or_in_the_place_of_an_earlier_one() -> None:
    made = notebook(("", "import os"), ("parameters", "a = 1"), ("", "a"))
    inject(made, {"a": 2})
    assert sources(made) == ["import os", "a = 1", "# Parameters\na = 2", "a"]
    assert made.cells[2].metadata.tags == ["injected-parameters"]
    nbformat.validate(made)
    inject(made, {"a": 3})
    assert sources(made) == ["import os", "a = 1", "# Parameters\na = 3", "a"]
    bare = notebook(("", "a"))
    inject(bare, {"a": 4})
    assert sources(bare) == ["# Parameters\na = 4", "a"]
    inject(bare, {})
    assert sources(bare) == ["# Parameters\na = 4", "a"]


def test_a_notebook_that_declares_nothing_takes_any_name() -> None:
    assert declared(notebook(("", "a"))) is None
    assert checked(None, {"b": Typed("1")}) == {"b": 1}
    with pytest.raises(UsageError, match="cannot be the name"):
        checked(None, {"b c": 1})


def test_files_are_read_as_yaml_1_2_or_json(tmp_path: Path) -> None:
    path = tmp_path / "day.yaml"
    path.write_text("country: NO\nday: 2026-01-31\nat: 12:30\ntop: 3\nnothing:\n")
    assert read_file(path) == {"country": "NO", "day": "2026-01-31", "at": "12:30", "top": 3, "nothing": None}
    other = tmp_path / "day.json"
    other.write_text(json.dumps({"a": [1, None]}))
    assert read_file(other) == {"a": [1, None]}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "- 1", "holds no parameters"),
        ("a.yaml", "a: [", "is not YAML"),
        ("a.yaml", "a: !!python/object/apply:os.system [ls]", "is not YAML"),
        ("a.json", "{", "is not JSON"),
        ("a.toml", "a = 1", "neither YAML nor JSON"),
    ],
)
def test_files_that_hold_something_else_are_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=said):
        read_file(tmp_path / name)


def test_pairs_may_hold_an_equals_sign_and_need_one() -> None:
    assert read_pairs(["a=b=c", " d =", "a=x"]) == {"a": "x", "d": ""}
    with pytest.raises(UsageError, match="is no name and value"):
        read_pairs(["a"])
