"""Fan-out: every pending reply is found, and every answer comes to its place."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration_nb.errors import StepError
from orchestration_nb.flow import Pending, collect, fill

Point = namedtuple("Point", "x y")  # noqa: PYI024 - what analysts get from itertuples()
LEAVES = st.one_of(st.none(), st.integers(), st.text(max_size=3), st.builds(Pending, st.text(max_size=5)))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=2), inner, max_size=4),
    ),
    max_leaves=12,
)


def answered(value: Any) -> Any:
    """What fill() should make, said the simple way."""
    if isinstance(value, Pending):
        return ("answer", id(value))
    if isinstance(value, list | tuple):
        return type(value)(answered(each) for each in value)
    if isinstance(value, dict):
        return {key: answered(each) for key, each in value.items()}
    return value


def answers(pendings: list[Pending]) -> dict[int, Any]:
    return {id(pending): ("answer", id(pending)) for pending in pendings}


@given(VALUES)
def test_every_answer_comes_to_its_place(value: Any) -> None:
    filled = fill(value, answers(collect(value)))
    assert filled == answered(value)
    assert collect(filled) == []


@given(VALUES)
def test_what_holds_no_pending_reply_is_left_as_it_is(value: Any) -> None:
    if not collect(value):
        assert fill(value, {}) is value


def test_reading_order_and_each_once() -> None:
    a, b, c = Pending("a"), Pending("b"), Pending("c")
    assert [each.prompt for each in collect([b, {"k": (a, [b])}, c, a])] == ["b", "a", "c"]


def test_types_of_containers_are_kept() -> None:
    a = Pending("a")
    value: list[Any] = [Point(a, 1), OrderedDict(k=a), defaultdict(list, {"k": [a]}), {a}, frozenset([a]), (a,)]
    filled = fill(value, {id(a): "A"})
    assert filled == [Point("A", 1), OrderedDict(k="A"), {"k": ["A"]}, {"A"}, frozenset(["A"]), ("A",)]
    assert [type(each) for each in filled] == [Point, OrderedDict, defaultdict, set, frozenset, tuple]
    assert filled[2]["new"] == []
    assert value[0].x is a, "the value that the step made is not changed"


def test_a_container_within_itself() -> None:
    a = Pending("a")
    value: list[Any] = [a]
    value.append((value,))
    filled = fill(value, {id(a): "A"})
    assert filled[0] == "A"
    assert filled[1][0] is filled


def test_the_same_list_twice_stays_the_same_list() -> None:
    shared = [Pending("a")]
    filled = fill([shared, shared], {id(shared[0]): "A"})
    assert filled == [["A"], ["A"]]
    assert filled[0] is filled[1]


def _generated() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("value", [_generated(), [map(str, [1])], {"k": zip([1], [2], strict=True)}, filter(None, [1])])
def test_what_can_be_read_only_once_is_no_value(value: Any) -> None:
    with pytest.raises(StepError, match="read only once") as caught:
        collect(value)
    assert "list" in caught.value.hint


def test_a_very_deep_value() -> None:
    value: Any = Pending("deep")
    for _ in range(5000):
        value = [value]
    assert len(collect(value)) == 1


def test_text_is_not_looked_into() -> None:
    assert collect("text") == []
    assert collect(b"bytes") == []
