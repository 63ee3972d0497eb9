"""Types as analysts write them, and values checked against them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NewType

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, ConfigDict

from orchestration_nb.errors import UsageError
from orchestration_nb.flow.adapters import adapter, checked, shortened, type_name
from orchestration_nb.flow.elements import element_type


class Strange:
    pass


@dataclass
class WithFrame:
    frame: pd.DataFrame


class Settled(BaseModel):
    model_config = ConfigDict(frozen=True)
    share: float


FRAME = pd.DataFrame({"a": [1]})


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (pd.DataFrame, FRAME),
        (Strange, Strange()),
        (list[pd.DataFrame], [FRAME]),
        (pd.DataFrame | None, FRAME),
        (dict[str, Strange] | None, None),
        (WithFrame, WithFrame(FRAME)),
        (Callable[[int], str], str),
        (type[Strange], Strange),
        (Settled, Settled(share=0.5)),
        (NewType("Id", int), 3),
        (np.ndarray, np.array([1])),
        (Literal[1, "a"] | None, None),
        (None, None),
    ],
)
def test_values_of_any_class_are_left_as_they_are(annotation: Any, value: Any) -> None:
    kept = checked(adapter(annotation), value)
    assert kept is value or isinstance(value, list)


@pytest.mark.parametrize(
    ("annotation", "value"), [(pd.DataFrame, 3), (Strange, None), (WithFrame, {}), (np.ndarray, [1])]
)
def test_another_class_does_not_fit(annotation: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="instance of"):
        checked(adapter(annotation), value)


@pytest.mark.parametrize(
    ("annotation", "value", "kept"),
    [
        (int, np.int64(3), 3),
        (float, np.float32(0.5), 0.5),
        (bool, np.bool_(True), True),
        (list[int], np.array([1, 2]), [1, 2]),
        (list[int], (1, 2), [1, 2]),
        (int, "3", 3),
        (float, 3, 3.0),
    ],
)
def test_lax_mode_takes_what_means_the_same(annotation: Any, value: Any, kept: Any) -> None:
    fitting = checked(adapter(annotation), value)
    assert fitting == kept
    assert type(fitting) is type(kept)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Settled, Settled(share=float("inf"))),
        (Settled, {"share": "nan"}),
        (list[WithFrame] | float, float("nan")),
        (Mapping[str, Any], {"a": [{"b": float("nan")}]}),
        (Any, np.float64("nan")),
    ],
)
def test_nan_is_found_wherever_it_hides(annotation: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="no finite number"):
        checked(adapter(annotation), value)


def test_a_value_within_itself() -> None:
    value: list[Any] = [1.0]
    value.append(value)
    assert checked(adapter(Any), value) is value


LIST: Any = list
NOT_TYPES = [3, [int], LIST[3], LIST["Nowhere"], "Nowhere", {"a": int}]


@pytest.mark.parametrize("annotation", NOT_TYPES)
def test_what_is_no_type(annotation: Any) -> None:
    with pytest.raises(UsageError, match="no type"):
        adapter(annotation)


def test_types_and_values_in_a_sentence() -> None:
    long: Any = Literal.__getitem__(tuple(str(number) for number in range(500)))
    assert type_name(list[int] | None) == "list[int] | None"
    assert type_name(pd.DataFrame) == "DataFrame"
    assert len(type_name(long)) == 80
    assert shortened("x" * 81) == "x" * 79 + "…"


@pytest.mark.parametrize(
    ("annotation", "depth", "element"),
    [
        (list[int], 1, int),
        (list[list[int]], 1, list[int]),
        (list[list[int]], 2, int),
        (dict[str, list[bool]], 2, bool),
        (Mapping[str, int], 1, int),
        (tuple[int, ...], 1, int),
        (tuple[int, int], 1, int),
        (tuple[int, str], 1, Any),
        (set[int] | None, 1, int),
        (list[int] | dict[str, int], 1, Any),
        (Annotated[list[int], "x"], 1, int),
        (list, 1, Any),
        (int, 1, Any),
        (list[int], 0, list[int]),
    ],
)
def test_elements(annotation: Any, depth: int, element: Any) -> None:
    assert element_type(annotation, depth) == element
