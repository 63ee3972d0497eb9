"""Tables in and tables out."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from orchestration_nb.engine.outcome import Outcome
from orchestration_nb.errors import StepError, UsageError
from orchestration_nb.events import ItemFinished, StepFinished
from orchestration_nb.frames import Binary, Missing, results_of, table_of
from orchestration_nb.ids import RunId
from orchestration_nb.testing import EPOCH


def ended(item: int, *, status: str = "ok", error: str | None = None) -> ItemFinished:
    step = StepFinished(step="reply", status="ok", latency_ms=5.0, cost_usd=0.25)
    return ItemFinished(
        run_id=RunId("r"),
        item=item,
        status=status,  # type: ignore[arg-type]
        error_type=None,
        error=error,
        cost_usd=0.25,
        billed_usd=0.25,
        latency_ms=7.0,
        steps=(step,),
        finished_at=EPOCH,
    )


def test_rows_come_as_plain_python_values() -> None:
    frame = pd.DataFrame({"n": np.array([1, 2]), "x": [0.5, 1.5], "s": ["a", "b"], "when": pd.Timestamp("2026-01-01")})
    first, second = table_of(frame).items()
    assert first == {"n": 1, "x": 0.5, "s": "a", "when": pd.Timestamp("2026-01-01")}
    assert type(second["n"]) is int
    assert type(second["x"]) is float


@pytest.mark.parametrize("nothing", [float("nan"), pd.NA, pd.NaT])
def test_a_missing_value_reckons_as_nan_and_refuses_to_become_text(nothing: object) -> None:
    (item,) = table_of(pd.DataFrame({"body": pd.Series([nothing], dtype=object)})).items()
    value = item["body"]
    assert math.isnan(value + 1)
    assert pd.isna(value)
    assert value != value  # noqa: PLR0124 - that is what the hint tells people to write
    for spelling in ("{}", "{:.2f}", "{!s}"):
        with pytest.raises(StepError, match="'body' has no value in this row") as caught:
            spelling.format(value)
        assert "fillna" in caught.value.hint
    assert "nan" in repr(item)


def test_bytes_reckon_as_bytes_and_refuse_to_become_text() -> None:
    (item,) = table_of([{"raw": b"abc"}]).items()
    assert isinstance(item["raw"], Binary)
    assert item["raw"].decode() == "abc"
    with pytest.raises(StepError, match="'raw' holds bytes"):
        f"{item['raw']}"


def test_a_missing_value_is_a_float_for_everything_else() -> None:
    assert isinstance(Missing("x"), float)


@pytest.mark.parametrize(
    ("over", "columns"),
    [
        ([{"a": 1}, {"a": 2, "b": 3}], ("a", "b")),
        (pd.Series(["x", "y"], name="word"), ("word",)),
        (pd.Series(["x", "y"]), ("value",)),
        (pd.DataFrame([[1, 2], [3, 4]]), ("0", "1")),
    ],
)
def test_what_can_be_a_table_is_one(over: object, columns: tuple[str, ...]) -> None:
    table = table_of(over)
    assert table.columns == columns
    assert len(table) == len(list(table.items())) == 2


def test_what_other_libraries_call_a_table_is_one() -> None:
    import duckdb

    with duckdb.connect() as connection:
        assert list(table_of(connection.sql("SELECT 42 AS answer")).items()) == [{"answer": 42}]


@pytest.mark.parametrize("over", [42, "tickets", [1, 2], {"a": 1}, object()])
def test_what_is_no_table_is_refused(over: object) -> None:
    with pytest.raises(UsageError, match="DataFrame") as caught:
        table_of(over)
    assert caught.value.hint


def test_a_sample_keeps_the_order_and_the_index() -> None:
    frame = pd.DataFrame({"n": range(50)}, index=[f"r{n}" for n in range(50)])
    sampled = table_of(frame).sampled(10, seed=3)
    numbers = [item["n"] for item in sampled.items()]
    assert numbers == sorted(numbers)
    assert list(sampled.frame.index) == [f"r{n}" for n in numbers]
    assert len(table_of(frame).sampled(99, seed=3)) == 50


def test_results_stand_in_the_order_of_the_input_and_what_was_not_begun_says_so() -> None:
    table = table_of(pd.DataFrame({"n": [1, 2, 3]}, index=["a", "b", "c"]))
    outcome = Outcome.of(["reply"])
    outcome.put(ended(2), {"reply": "third"})
    outcome.put(ended(0, status="failed", error="no"), {})
    results = results_of(table, outcome, "cancelled")
    assert list(results.index) == ["a", "b", "c"]
    assert list(results["_status"]) == ["failed", "cancelled", "ok"]
    assert results["reply"]["c"] == "third"
    assert list(results["_cost_usd"]) == [0.25, 0.0, 0.25]
    assert math.isnan(results["_latency_ms"]["b"])
    assert results["_error"]["a"] == "no"


def test_the_results_of_an_earlier_run_can_be_the_next_input() -> None:
    frame = pd.DataFrame({"n": [1], "_status": ["ok"], "_error": [None], "_cost_usd": [1.0], "_latency_ms": [2.0]})
    outcome = Outcome.of(["reply"])
    outcome.put(ended(0), {"reply": "x"})
    assert list(results_of(table_of(frame), outcome, "skipped").columns) == [
        "n",
        "reply",
        "_status",
        "_error",
        "_cost_usd",
        "_latency_ms",
    ]
