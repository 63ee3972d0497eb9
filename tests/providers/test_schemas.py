"""JSON schemas in the form that strict structured output wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Optional

import orjson
import pytest
from pydantic import BaseModel, Field

from orchestration_nb.providers.schemas import ANTHROPIC_UNSUPPORTED, strict_form


class Line(BaseModel):
    """One line of an order."""

    article: str = Field(min_length=2, description="Its number.")
    count: int = Field(default=1, ge=1)


class Order(BaseModel):
    """An order."""

    customer: str | None = None
    status: Literal["open", "sent"]
    lines: list[Line]
    first: Optional[Line] = Field(default=None, description="The first one.")  # noqa: UP045 - either form is met


class Tree(BaseModel):
    """Refers to itself."""

    value: int
    children: list[Tree]


def strict(schema: Mapping[str, Any], **more: Any) -> Any:
    form = strict_form(schema, **more)
    return None if form is None else orjson.loads(orjson.dumps(form))


def objects(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for part in node for found in objects(part)]
    if not isinstance(node, dict):
        return []
    own = [node] if node.get("type") == "object" else []
    return own + [found for part in node.values() for found in objects(part)]


def test_every_object_requires_all_and_allows_nothing_more() -> None:
    form = strict(Order.model_json_schema())
    found = objects(form)
    assert len(found) == 2
    for one in found:
        assert one["required"] == list(one["properties"])
        assert one["additionalProperties"] is False
    assert b"default" not in orjson.dumps(form)
    assert form["properties"]["first"]["anyOf"][0] == {"$ref": "#/$defs/Line"}


def test_what_the_grammar_cannot_hold_is_told_in_words() -> None:
    form = strict(Order.model_json_schema())
    assert form["$defs"]["Line"]["properties"]["article"] == {
        "type": "string",
        "description": "Its number. (minLength: 2)",
    }
    assert form["$defs"]["Line"]["properties"]["count"] == {"type": "integer", "minimum": 1}
    narrow = strict(Order.model_json_schema(), unsupported=ANTHROPIC_UNSUPPORTED)
    assert narrow["$defs"]["Line"]["properties"]["count"] == {"type": "integer", "description": "(minimum: 1)"}


def test_a_definition_may_refer_to_itself_where_that_is_allowed() -> None:
    schema = {"type": "object", "properties": {"value": {"$ref": "#/$defs/Tree"}}, **Tree.model_json_schema()}
    schema = {"type": "object", "properties": {"tree": {"$ref": "#/$defs/Tree"}}, "$defs": schema["$defs"]}
    assert strict(schema) is not None
    assert strict(schema, recursive=False) is None


def test_a_property_may_have_the_name_of_a_keyword() -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}, "default": {"type": "string"}}}
    assert list(strict(schema)["properties"]) == ["title", "default"]


@pytest.mark.parametrize(
    "value",
    [
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "object"},
        {"type": "object", "properties": {}, "additionalProperties": True},
        {"type": "array", "prefixItems": [{"type": "string"}]},
        {"type": "array"},
        {"allOf": [{"type": "string"}]},
    ],
)
def test_a_schema_without_strict_form_has_none(value: dict[str, Any]) -> None:
    assert strict({"type": "object", "properties": {"value": value}}) is None
