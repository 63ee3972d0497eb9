"""Reading replies: JSON plain, in fences or within a sentence; never a guess."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from orchestration_nb.errors import SchemaNotMetError
from orchestration_nb.flow.schema import output_schema

QUEUE = Literal["billing", "bug"]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    tags: set[str]
    day: date


@dataclass
class Person:
    name: str
    age: int


class Holder(BaseModel):
    value: int


def read(annotation: Any, text: str) -> Any:
    schema = output_schema(annotation, name="step")
    assert schema is not None
    return schema.parse(text)


def test_a_strict_type_reads_what_json_has_for_it() -> None:
    assert read(Strict, '{"tags": ["a"], "day": "2026-01-31"}') == Strict(tags={"a"}, day=date(2026, 1, 31))
    with pytest.raises(SchemaNotMetError, match="tags"):
        read(Strict, '{"tags": "a", "day": "2026-01-31"}')


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (QUEUE, '{"value": "bug"}', "bug"),
        (QUEUE, ' {"value":"bug"}\n', "bug"),
        (QUEUE, '```json\n{"value": "bug"}\n```', "bug"),
        (QUEUE, 'Here you are:\n```\n{"value": "bug"}\n```\nAnything else?', "bug"),
        (QUEUE, 'The answer is {"value": "bug"}, I think.', "bug"),
        (QUEUE, '"bug"', "bug"),
        (QUEUE, "bug", "bug"),
        (QUEUE, " `bug`.\n", "bug"),
        (QUEUE, "**bug**", "bug"),
        (QUEUE, 'Not {"value": "other"} but {"value": "bug"}.', "bug"),
        (QUEUE, '{"value": "bug"} and again {"value": "bug"}', "bug"),
        (QUEUE, '{"note": {"value": "billing"}} {"value": "bug"}', "bug"),
        (bool, '{"value": true}', True),
        (bool, "yes", True),
        (int, '{"value": "7"}', 7),
        (int, "7", 7),
        (int, "{oops} [1,] {'value': 3} {\"value\": 7}", 7),
        (float, '{"value": 2}', 2.0),
        (float | None, '{"value": null}', None),
        (list[str], '{"value": ["a", "b"]}', ["a", "b"]),
        (list[str], '["a", "b"]', ["a", "b"]),
        (list[str], 'As a list: ["a", "b"]', ["a", "b"]),
        (list[str], '{"value": ["line\nbreak"]}', ["line\nbreak"]),
        (dict[str, int], '{"value": {"a": 1}}', {"a": 1}),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Person, '{"name": "Ada", "age": 36}', Person("Ada", 36)),
        (Person, '```json\n{"name": "Ada {the} first", "age": "36"}\n```', Person("Ada {the} first", 36)),
        (Holder, '{"value": 3}', Holder(value=3)),
        (list[Person], '{"value": [{"name": "Ada", "age": 36}]}', [Person("Ada", 36)]),
    ],
)
def test_the_value_is_found(annotation: Any, text: str, value: Any) -> None:
    assert read(annotation, text) == value


@pytest.mark.parametrize(
    ("annotation", "text", "complaint"),
    [
        (QUEUE, '{"value": "payments"}', "input should be 'billing' or 'bug', got 'payments'"),
        (QUEUE, "payments", "input should be 'billing' or 'bug', got 'payments'"),
        (QUEUE, "", "no JSON value"),
        (QUEUE, '{"value": "bug"} or {"value": "billing"}', "several values that differ"),
        (QUEUE, '```\n{"value": "bug"}\n```\n```\n{"value": "billing"}\n```', "several values that differ"),
        (Person, "I cannot say.", "no JSON value"),
        (Person, '{"name": "Ada"}', "age: field required"),
        (Person, '{"name": "Ada", "age": "old"}', "age: input should be a valid integer"),
        (Person, '{"name": "Ada", "age": 36', "no JSON value"),
        (list[Person], '{"value": [{"name": "Ada"}, {}, {}, {}]}', "0.age: field required; 1.name: field required"),
        (list[Person], '{"value": [{"name": "Ada"}, {}, {}, {}]}', "and 2 more"),
        (float, '{"value": NaN}', "got 'value\": NaN}'"),
        (float, '{"value": 1e999}', "inf is no finite number"),
        (float, '{"value": "nan"}', "nan is no finite number"),
        (list[float], '{"value": [1, "-inf"]}', "-inf is no finite number"),
        (int, '{"value": 1.5}', "input should be a valid integer"),
        (int, "1" * 5000, "input"),
    ],
)
def test_what_does_not_fit_is_said_so_that_a_model_can_mend_it(annotation: Any, text: str, complaint: str) -> None:
    with pytest.raises(SchemaNotMetError) as caught:
        read(annotation, text)
    if "NaN" not in text:
        assert complaint in str(caught.value)
    assert caught.value.reply == text
    assert len(str(caught.value)) < 700
    assert caught.value.billing == "yes"
    assert caught.value.hint


@given(st.text(max_size=80))
def test_any_text_has_a_value_or_a_complaint(text: str) -> None:
    try:
        assert isinstance(read(Person, text), Person)
    except SchemaNotMetError as error:
        assert error.reply == text  # noqa: PT017


@given(
    st.text(max_size=20).filter(lambda text: not set("{}[]`") & set(text)),
    st.builds(Person, st.text(max_size=8), st.integers(-9, 9)),
    st.text(max_size=20).filter(lambda text: not set("{}[]`") & set(text)),
)
def test_a_value_within_any_sentence_is_found(before: str, person: Person, after: str) -> None:
    assert read(Person, before + json.dumps(vars(person)) + after) == person


@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 100_000, '{"a":' * 100_000, "```\n" * 20_000, '"' * 100_000])
def test_hostile_replies_are_read_quickly(text: str) -> None:
    with pytest.raises(SchemaNotMetError):
        read(Person, text)
