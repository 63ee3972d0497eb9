"""Tables come back as they were kept, or are refused with a sentence."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from orchestration_nb.errors import UsageError, WorkspaceError
from orchestration_nb.parquet import read_frame, same, write_frame

MOMENTS = pd.DatetimeIndex(["2026-01-31 12:00:00.000000000", "1969-07-20 20:17:40.123456789", "NaT"])

COLUMNS: dict[str, Any] = {
    "texts": pd.Series(["a bill", "", None]),
    "texts of pandas": pd.array(["x", None, "Ünïcode\n\0'\""], dtype="string"),
    "objects": pd.Series(["a", None, "b"], dtype="object"),
    "whole": [1, -2, 2**62],
    "whole with gaps": pd.array([2**62 + 1, None, -1], dtype="Int64"),
    "small with gaps": pd.array([1, None, 255], dtype="UInt8"),
    "unsigned": np.array([0, 1, 2**63 + 5], dtype="uint64"),
    "small": np.array([1, -2, 3], dtype="int8"),
    "numbers": [1.5, math.nan, math.inf],
    "single": np.array([0.1, -0.0, math.nan], dtype="float32"),
    "numbers with gaps": pd.array([1.5, None, -0.1], dtype="Float64"),
    "truths": [True, False, True],
    "truths with gaps": pd.array([True, None, False], dtype="boolean"),
    "moments": MOMENTS,
    "microseconds": MOMENTS.astype("datetime64[us]"),
    "seconds": pd.Series(np.array(["2026-01-31", "NaT", "0900-01-01"], dtype="datetime64[s]")),
    "zoned": MOMENTS.tz_localize("UTC").tz_convert("Europe/Berlin"),
    "spans": pd.Series(np.array([3600, "NaT", -5], dtype="timedelta64[s]")),
    "categories": pd.Categorical(["low", None, "high"], categories=["low", "mid", "high"], ordered=True),
    "numbered categories": pd.Categorical([3, 1, None], categories=[1, 2, 3]),
    "lists": [["a", "b"], [], None],
    "nested": [[[1, 2.5], [None]], [], [["x"]]],
    "dictionaries": [{"a": [1], "b": {"c": None}}, {}, None],
    "mixed": pd.Series([1, "one", True], dtype="object"),
    "nothing": pd.Series([None, None, None], dtype="object"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({name: COLUMNS[name]})
    write_frame(frame, tmp_path / "kept.parquet")
    back = read_frame(tmp_path / "kept.parquet")
    pd.testing.assert_frame_equal(back, frame, check_exact=True)
    assert back[name].dtype == frame[name].dtype
    if frame[name].dtype == "object":
        assert all(same(one, other) for one, other in zip(frame[name], back[name], strict=True))


@pytest.mark.parametrize("rows", [slice(0, 0), slice(1, 2)])
def test_no_rows_and_nothing_but_gaps_come_back_as_they_were(tmp_path: Path, rows: slice) -> None:
    frame = pd.DataFrame(COLUMNS).iloc[rows].reset_index(drop=True)
    write_frame(frame, tmp_path / "kept.parquet")
    pd.testing.assert_frame_equal(read_frame(tmp_path / "kept.parquet"), frame, check_exact=True)


def test_a_whole_table_comes_back_in_its_order_and_other_readers_find_plain_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame(COLUMNS)
    write_frame(frame, tmp_path / "kept.parquet")
    pd.testing.assert_frame_equal(read_frame(tmp_path / "kept.parquet"), frame)
    relation = duckdb.sql(f"select moments, whole, texts, lists from '{tmp_path / 'kept.parquet'}'")
    assert relation is not None
    assert relation.fetchall()[0] == (dt.datetime(2026, 1, 31, 12), 1, "a bill", '["a","b"]')  # noqa: DTZ001


def test_many_rows_keep_their_order_and_late_values_their_type(tmp_path: Path) -> None:
    frame = pd.DataFrame({"number": range(200_000), "late": [None] * 199_999 + ["text"]})
    write_frame(frame, tmp_path / "kept.parquet")
    pd.testing.assert_frame_equal(read_frame(tmp_path / "kept.parquet"), frame)


@pytest.mark.parametrize(
    "index",
    [
        pd.Index([5, 3, 9]),
        pd.Index(["a", "b", "c"], name="ticket"),
        pd.RangeIndex(0, 3, name="row"),
        pd.DatetimeIndex(["2026-01-01", "2026-01-02", "2026-01-04"], name="day"),
    ],
)
def test_an_index_comes_back(tmp_path: Path, index: pd.Index[Any]) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3]}, index=index)
    write_frame(frame, tmp_path / "kept.parquet")
    pd.testing.assert_frame_equal(
        read_frame(tmp_path / "kept.parquet"), frame, check_index_type=False, check_freq=False
    )


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame({0: [1]}), "not named by a text"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "stands for two columns"),
        (pd.DataFrame({"Body": [1], "body": [2]}), "stands for two columns"),
        (pd.DataFrame(index=[1, 2]), "has no columns"),
        (pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)])), "index of several levels"),
        (pd.DataFrame({"day": [dt.date(2026, 1, 31)]}), "holds date, which cannot be kept"),
        (pd.DataFrame({"price": [Decimal("1.10")]}), "holds Decimal"),
        (pd.DataFrame({"raw": [b"x"]}), "holds bytes"),
        (pd.DataFrame({"any": [object()]}), "holds object"),
        (pd.DataFrame({"tuple": [(1, 2)]}), r"row 0 is \(1, 2\) \(tuple\), and would be \[1, 2\] \(list\)"),
        (
            pd.DataFrame({"gap": pd.Series([math.nan, "a"], dtype="object")}),
            r"row 0 is nan \(float\), and would be None",
        ),
        (pd.DataFrame({"period": pd.period_range("2026-01", periods=1, freq="M")}), "is of type period"),
        (pd.DataFrame({"number": [1 + 2j]}), "is of type complex128"),
        (pd.DataFrame({"keys": [{1: "a"}]}), "holds dict"),
        (pd.DataFrame({"half": pd.Series(["\ud800"], dtype="object")}), "cannot be kept"),
        (pd.DataFrame({"kinds": pd.Categorical([dt.date(2026, 1, 31)])}), "holds"),
    ],
)
def test_what_would_come_back_different_is_refused_with_a_sentence(
    tmp_path: Path, frame: pd.DataFrame, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        write_frame(frame, tmp_path / "kept.parquet")


def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    duckdb.sql(f"copy (select 1 as a) to '{path}'")
    with pytest.raises(WorkspaceError, match="not a table that was kept here"):
        read_frame(path)
    path.write_bytes(b"PAR1")
    with pytest.raises(WorkspaceError, match="not a table that was kept here"):
        read_frame(path)
