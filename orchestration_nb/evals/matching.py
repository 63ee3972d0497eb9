"""Whether what a step gave is what was expected: as data, as numbers, or as words."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from orchestration_nb.routing.answers import stated_answer
from orchestration_nb.routing.values import NO_DATA, Number, data_of, last_number, number_of, numbers_in, plain_words

_ROUNDING: Final = 1e-9
"""Relative difference of two numbers that are the same but for the way they were computed."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far a number may be from the expected one; the wider of the two counts."""

    absolute: float = 0.0
    relative: float = 0.0

    def allows(self, got: Number, wanted: Number) -> bool:
        """Whether ``got`` is near enough; where only one of them says per cent, 12 % is both 12 and 0.12."""
        return any(self._near(ours, theirs) for ours, theirs in _readings(got, wanted))

    def _near(self, ours: float, theirs: float) -> bool:
        return math.isclose(ours, theirs, rel_tol=_ROUNDING) or (
            abs(ours - theirs) <= max(self.absolute, self.relative * abs(theirs)) * (1 + _ROUNDING)
        )


def _readings(got: Number, wanted: Number) -> list[tuple[float, float]]:
    readings = [(got.value, wanted.value)]
    if got.percent and not wanted.percent:
        readings.append((got.value / 100, wanted.value))
    if wanted.percent and not got.percent:
        readings.append((got.value, wanted.value / 100))
    return readings


EXACTLY: Final = Tolerance()


def text_of(value: Any) -> str:
    """A value of a step as text: a str as it is, ``None`` as nothing, data as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(plain_data(value), ensure_ascii=False, default=str)


def plain_data(value: Any) -> Any:
    """Models, dataclasses, tuples and sets as the dicts and lists that JSON knows; all else as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, BaseModel):
        value = value.model_dump()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif isinstance(value, set | frozenset):
        value = sorted(value, key=repr)
    elif type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain_data(each) for key, each in value.items()}
    return [plain_data(each) for each in value] if isinstance(value, list | tuple) else value


def number_from(value: Any) -> Number | None:
    """The number that a value is or that a reply states; ``None`` where it states none, or several.

    What a reply states as its answer counts; where it states nothing, the last number of its text does.
    """
    value = plain_data(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return Number(value=float(value)) if math.isfinite(value) else None
    text = text_of(value)
    stated = stated_answer(text)
    words = text if stated is None else stated
    whole = number_of(words)
    if whole is not None or stated is None:
        return whole or last_number(words)
    bare = words.rsplit("=", 1)[-1].split("(", 1)[0]  # what is computed, without a remark
    found = {number.value: number for number in numbers_in(bare)}
    return number_of(bare) or (next(iter(found.values())) if len(found) == 1 else None)


def same_answer(value: Any, gold: Any, *, case: bool = False) -> bool:
    """Whether a value, the whole of a reply or the answer that it states is what was expected.

    Data compare as data, numbers as numbers (``1,200`` is ``1200.0``), words without outer quotes, full stops and
    surplus white space; a gold text that stands in quotes is taken to the letter.

    Args:
        value: What the step gave.
        gold: What was expected: a text, a number, or data.
        case: Whether capital letters matter.
    """
    if not isinstance(value, str):
        return _same(text_of(value), text_of(gold), case=case)
    stated = stated_answer(value)
    readings = [value] if stated is None else [stated, value]
    return any(_same(words, text_of(gold), case=case) for words in readings)


def _same(left: str, right: str, *, case: bool) -> bool:
    ours, theirs = data_of(left), data_of(right)
    if isinstance(theirs, str):  # in quotes, as code has it: taken to the letter
        return ours == theirs if isinstance(ours, str) else left.strip() == theirs.strip()
    if isinstance(ours, str):
        left = ours
    elif ours is not NO_DATA and theirs is not NO_DATA:
        return same_data(ours, theirs, case=case)
    mine, wanted = number_of(left), number_of(right)
    if mine is not None and wanted is not None:
        return EXACTLY.allows(mine, wanted)
    return plain_words(left, case=case) == plain_words(right, case=case)


def same_data(ours: Any, theirs: Any, *, case: bool = False, tolerance: Tolerance = EXACTLY) -> bool:
    """Whether two values are the same: lists in order, dicts by key, numbers by the tolerance, texts as words."""
    ours, theirs = plain_data(ours), plain_data(theirs)
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(
            same_data(ours[key], theirs[key], case=case, tolerance=tolerance) for key in ours
        )
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(
            same_data(left, right, case=case, tolerance=tolerance) for left, right in zip(ours, theirs, strict=True)
        )
    return _same_leaf(ours, theirs, case=case, tolerance=tolerance)


def _same_leaf(ours: Any, theirs: Any, *, case: bool, tolerance: Tolerance) -> bool:
    if isinstance(ours, bool | dict | list | None) or isinstance(theirs, bool | dict | list | None):
        return type(ours) is type(theirs) and bool(ours == theirs)
    left, right = _number_leaf(ours), _number_leaf(theirs)
    if left is not None and right is not None:
        return tolerance.allows(left, right)
    return plain_words(str(ours), case=case) == plain_words(str(theirs), case=case)


def _number_leaf(leaf: Any) -> Number | None:
    if isinstance(leaf, int | float):
        return Number(value=float(leaf)) if math.isfinite(leaf) else None
    return number_of(str(leaf))
