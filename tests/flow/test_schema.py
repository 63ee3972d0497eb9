"""The JSON schema that a model is asked to answer in: only what OpenAI, Anthropic and Gemini all take."""

from __future__ import annotations

import datetime as dt
import enum
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired

import pandas as pd
import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from orchestration_nb.calls import OutputSchema
from orchestration_nb.errors import UsageError
from orchestration_nb.flow.schema import output_schema

TAKEN = {
    "type",
    "enum",
    "description",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "anyOf",
    "$ref",
    "$defs",
}


@dataclass
class Part:
    """One part."""

    n: int
    note: str = "none"


class Verdict(BaseModel):
    """What was decided."""

    kind: Literal["a", "b"] = "a"
    share: Annotated[float, Field(ge=0, le=1, description="How much.")]
    parts: list[Part] = []
    code: Annotated[str, Field(pattern="^[a-z]+$", max_length=9)] | None = None


class Row(TypedDict):
    day: dt.date
    note: NotRequired[str]


class Node(BaseModel):
    name: str
    children: list[Node] = []


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


def schema(annotation: Any) -> OutputSchema:
    made = output_schema(annotation, name="step")
    assert made is not None
    return made


def value_schema(annotation: Any) -> Any:
    whole = schema(annotation).json_schema
    assert (whole["type"], whole["required"], whole["additionalProperties"]) == ("object", ["value"], False)
    return whole["properties"]["value"]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (bool, {"type": "boolean"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a"], {"type": "string", "enum": ["a"]}),
        (Literal[1, 2], {"type": "integer", "enum": [1, 2]}),
        (Colour, {"type": "string", "enum": ["red", "blue"]}),
        (list[str], {"type": "array", "items": {"type": "string"}}),
        (list, {"type": "array", "items": {}}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (int | Literal["none"], {"anyOf": [{"type": "integer"}, {"type": "string", "enum": ["none"]}]}),
        (set[int], {"type": "array", "items": {"type": "integer"}, "description": "unique items: True"}),
        (tuple[int, int], {"type": "array", "items": {"type": "integer"}, "description": "max items: 2; min items: 2"}),
        (
            tuple[int, str],
            {
                "type": "array",
                "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                "description": "max items: 2; min items: 2",
            },
        ),
        (Annotated[int, Field(ge=1, lt=6)], {"type": "integer", "description": "exclusive maximum: 6; minimum: 1"}),
        (dt.date, {"type": "string", "description": "format: date"}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
    ],
)
def test_what_is_no_object_is_wrapped(annotation: Any, expected: Any) -> None:
    assert value_schema(annotation) == expected


def test_objects_have_all_properties_required_and_no_others() -> None:
    part = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "note": {"type": "string"}},
        "required": ["n", "note"],
        "additionalProperties": False,
    }
    assert {key: value for key, value in schema(Part).json_schema.items() if key != "description"} == part
    verdict = schema(Verdict).json_schema
    assert verdict["required"] == ["kind", "share", "parts", "code"]
    assert verdict["properties"]["kind"] == {"type": "string", "enum": ["a", "b"]}
    assert verdict["properties"]["share"] == {"type": "number", "description": "How much. (maximum: 1; minimum: 0)"}
    assert verdict["properties"]["parts"]["items"]["properties"] == part["properties"]
    row = schema(Row).json_schema
    assert row["required"] == ["day", "note"]


def test_a_type_within_itself_keeps_its_name() -> None:
    node = schema(Node).json_schema
    assert node["required"] == ["value"]
    assert node["properties"]["value"] == {"$ref": "#/$defs/Node"}
    assert node["$defs"]["Node"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert schema(Node).parse('{"value": {"name": "a", "children": [{"name": "b"}]}}').children[0].name == "b"


def test_kinds_told_apart_by_a_field() -> None:
    told = value_schema(Annotated[Cat | Dog, Field(discriminator="kind")])
    assert [option["properties"]["kind"]["enum"] for option in told["anyOf"]] == [["cat"], ["dog"]]


def keywords(node: Any, *, names: bool = False) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if not names:
                yield key
            yield from keywords(value, names=key in {"properties", "$defs"} and not names)
    elif isinstance(node, list):
        for each in node:
            yield from keywords(each)


@pytest.mark.parametrize("annotation", [Verdict, Node, Row, list[Verdict], Part | None, Cat | Dog, dict[str, Part]])
def test_only_what_all_providers_take_is_sent(annotation: Any) -> None:
    sent = schema(annotation).json_schema
    assert set(keywords(sent)) <= TAKEN
    assert json.loads(json.dumps(sent)) == sent


@pytest.mark.parametrize("annotation", [str, Any, object, None, type(None)])
def test_text_has_no_schema(annotation: Any) -> None:
    assert output_schema(annotation, name="step") is None


@pytest.mark.parametrize("annotation", [pd.DataFrame, list[pd.DataFrame], type(lambda: 0), complex])
def test_what_has_no_form_in_json(annotation: Any) -> None:
    if annotation is complex:  # pydantic writes one as text
        assert value_schema(annotation)
        return
    with pytest.raises(UsageError, match="has no form in JSON") as caught:
        output_schema(annotation, name="step")
    assert "Literal" in caught.value.hint


@pytest.mark.parametrize(("name", "wire"), [("queue", "queue"), ("größe", "gr__e"), ("a" * 80, "a" * 64)])
def test_names_are_such_as_providers_accept(name: str, wire: str) -> None:
    made = output_schema(int, name=name)
    assert made is not None
    assert made.name == wire


def test_a_type_that_cannot_be_hashed() -> None:
    assert value_schema(Annotated[int, ["a", "list"]]) == {"type": "integer"}


def test_the_same_type_is_read_once() -> None:
    assert output_schema(list[Part], name="a") is output_schema(list[Part], name="a")
