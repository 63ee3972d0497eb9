"""A DataFrame as a Parquet file and back, the same: what would come back different is refused before it is kept.

DuckDB writes and reads the file. How pandas typed a column stands beside the data, so that whole numbers with gaps,
categories, time zones and lists come back as they were; any other reader of Parquet finds plain columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from orchestration_nb.errors import UsageError, WorkspaceError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_META: Final = "orchestration_nb"
"""Key under which the file says how its columns were typed."""
_INDEX: Final = "__index__"
"""The column that holds the index, where it is not just 0, 1, 2, ..."""


@dataclass(frozen=True, slots=True)
class _Column:
    """How one column is kept."""

    dtype: str
    """As pandas names it."""
    kept: str
    """``plain``, ``json``, ``utc``, ``ticks`` or ``category``."""
    categories: Sequence[Any] = ()
    ordered: bool = False


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Writes a table.

    Args:
        frame: Columns named by texts, each name once; an index of one level.
        path: The file; one that is there is replaced.

    Raises:
        UsageError: If the table would come back different, with the column and the reason.
        WorkspaceError: If the file cannot be written.
    """
    _refuse_odd_labels(frame)
    whole = _with_index(frame)
    columns = {str(name): _how_kept(str(name), series) for name, series in whole.items()}
    plain = {name: _encoded(name, whole[name], column) for name, column in columns.items()}
    meta = {
        "columns": {name: _described(column) for name, column in columns.items()},
        "rows": len(frame),
        "index": [frame.index.name] if _INDEX in whole.columns else None,
    }
    _write(plain, orjson.dumps(meta).decode(), path)
    try:
        back = read_frame(path)
    except (TypeError, ValueError) as error:  # pandas cannot read the name that it gives a type
        raise UsageError(f"The table could not be read again: {error}") from error
    _refuse_different(frame, back)


def read_frame(path: Path) -> pd.DataFrame:
    """The table that was written.

    Raises:
        WorkspaceError: If the file is not one of :func:`write_frame`.
    """
    import duckdb  # noqa: PLC0415 - slow to load
    import pandas as pd  # noqa: PLC0415

    try:
        with duckdb.connect() as connection:
            told = connection.execute("select key, value from parquet_kv_metadata(?)", [str(path)]).fetchall()
            meta = orjson.loads(dict(told)[_META.encode()])
            arrays: dict[str, Any] = dict(connection.execute("from read_parquet(?)", [str(path)]).fetchnumpy())
    except (duckdb.Error, KeyError, orjson.JSONDecodeError) as error:
        raise WorkspaceError(f"{path.name} is not a table that was kept here: {error}") from error
    columns = {name: _Column(**column) for name, column in meta["columns"].items()}
    series = {name: _decoded(arrays[name], column) for name, column in columns.items()}
    frame = pd.DataFrame(series, index=pd.RangeIndex(meta["rows"]), columns=pd.Index(list(series), dtype=_LABELS()))
    if meta["index"] is not None:
        frame = frame.set_index(_INDEX)
        frame.index.name = meta["index"][0]
    return frame


def _LABELS() -> Any:  # noqa: N802 - what pandas makes of texts differs from version to version
    import pandas as pd  # noqa: PLC0415

    return pd.Index(["a"]).dtype


def _refuse_odd_labels(frame: pd.DataFrame) -> None:
    names = list(frame.columns)
    odd = next((name for name in names if not isinstance(name, str)), None)
    if odd is not None:
        raise UsageError(
            f"The column {odd!r} is not named by a text, and would come back so named.",
            hint="frame.columns = frame.columns.map(str)",
        )
    # DuckDB, like SQL, does not tell upper from lower case in names
    folded = [name.casefold() for name in names]
    twice = next((name for name in names if folded.count(name.casefold()) > 1), None)
    if twice is not None or _INDEX in names:
        raise UsageError(
            f"The column {twice or _INDEX!r} cannot be kept: its name stands for two columns.",
            hint="Rename one of them; upper and lower case are the same here.",
        )
    if frame.index.nlevels > 1 or not names:
        what = "has an index of several levels" if names else "has no columns"
        raise UsageError(f"The table {what}, and would come back different.", hint="frame.reset_index() may help.")


def _with_index(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415

    if frame.index.equals(pd.RangeIndex(len(frame))) and frame.index.dtype == "int64" and frame.index.name is None:
        return frame.reset_index(drop=True)
    if frame.index.name is not None and not isinstance(frame.index.name, str):
        raise UsageError(f"The index is named {frame.index.name!r}, which is not a text.", hint="Rename the index.")
    held = frame.copy(deep=False)
    held.insert(0, _INDEX, frame.index)
    return held.reset_index(drop=True)


def _how_kept(name: str, series: pd.Series[Any]) -> _Column:
    import pandas as pd  # noqa: PLC0415

    dtype, kind = series.dtype, str(series.dtype)
    if isinstance(dtype, pd.CategoricalDtype):
        return _Column(kind, "category", list(dtype.categories), bool(dtype.ordered))
    if isinstance(dtype, pd.DatetimeTZDtype):
        return _Column(kind, "utc")
    if kind.startswith("timedelta64"):
        return _Column(kind, "ticks")
    if kind == "object":
        plain = all(value is None or isinstance(value, str) for value in series)
        return _Column(kind, "plain" if plain else "json")
    if isinstance(dtype, pd.StringDtype) or kind.lower() in _SQL or kind.startswith("datetime64["):
        return _Column(kind, "plain")
    raise UsageError(
        f"The column {name!r} is of type {kind}, which cannot be kept.",
        hint=f"Convert it first, e.g. frame[{name!r}].astype('str').",
    )


_SQL: Final = {
    **{f"{sign}int{bits}": "" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float32": "",
    "float64": "",
    "bool": "",
    "boolean": "",
}
"""Numbers and truth values that DuckDB knows by itself, with and without gaps."""


def _described(column: _Column) -> dict[str, Any]:
    return {name: getattr(column, name) for name in ("dtype", "kept", "categories", "ordered")}


def _encoded(name: str, series: pd.Series[Any], column: _Column) -> pd.Series[Any]:
    """The column as DuckDB takes it."""
    import pandas as pd  # noqa: PLC0415

    if column.kept == "json":
        return series.map(lambda value: _json(name, value)).astype("object")
    if column.kept == "category":
        _json(name, list(column.categories))
        return series.map(lambda value: _json(name, value), na_action="ignore").astype("object")
    if column.kept == "utc":
        return series.dt.tz_convert("UTC").dt.tz_localize(None)  # type: ignore[no-any-return]
    if column.kept == "ticks":
        return pd.Series(series.to_numpy().view("int64"))
    return series


def _json(name: str, value: Any) -> str | None:
    if value is None:
        return None
    try:
        return orjson.dumps(value, option=_STRICT).decode()
    except TypeError as error:
        raise UsageError(
            f"The column {name!r} holds {type(value).__name__}, which cannot be kept: {error}.",
            hint=f"Make texts, numbers, lists or dictionaries of it first, e.g. frame[{name!r}].map(str).",
        ) from None


_STRICT: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def _write(columns: Mapping[str, pd.Series[Any]], meta: str, path: Path) -> None:
    import duckdb  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    table = pd.DataFrame(dict(columns))
    texts = {name for name, series in columns.items() if series.dtype == "object" or str(series.dtype) in _TEXTS}
    chosen = ", ".join(
        f"cast({_name(name)} as varchar) as {_name(name)}" if name in texts else _name(name) for name in columns
    )
    target, told = str(path).replace("'", "''"), meta.replace("'", "''")
    try:
        with duckdb.connect(config={"pandas_analyze_sample": 0}) as connection:
            connection.register("kept", table)
            connection.execute(
                f"copy (select {chosen} from kept) to '{target}' "  # noqa: S608 - names and literals are quoted
                f"(format parquet, compression zstd, kv_metadata {{{_META}: '{told}'}})"
            )
    except duckdb.IOException as error:
        raise WorkspaceError(f"{path} cannot be written: {error}") from error
    except (duckdb.Error, UnicodeEncodeError) as error:
        raise UsageError(f"The table cannot be kept: {error}") from error


_TEXTS: Final = frozenset({"str", "string"})


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _decoded(array: np.ndarray[Any, Any], column: _Column) -> pd.Series[Any]:
    """The column as it was."""
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    decode: Mapping[str, Callable[[], pd.Series[Any]]] = {
        "json": lambda: pd.Series(_listed(array, orjson.loads), dtype="object"),
        "category": lambda: pd.Series(
            pd.Categorical(_listed(array, orjson.loads), categories=column.categories, ordered=column.ordered)
        ),
        "utc": lambda: _plain(array, _naive(column.dtype)).dt.tz_localize("UTC").astype(column.dtype),
        "ticks": lambda: pd.Series(np.asarray(array).view(column.dtype)),
        "plain": lambda: _plain(array, column.dtype),
    }
    return decode[column.kept]()


def _naive(dtype: str) -> str:
    """``datetime64[us]`` of ``datetime64[us, Europe/Berlin]``."""
    return dtype.partition(",")[0] + "]"


def _listed(array: np.ndarray[Any, Any], read: Callable[[str], Any]) -> list[Any]:
    return [None if text is None else read(text) for text in _objects(array)]


def _objects(array: np.ndarray[Any, Any]) -> list[Any]:
    import numpy as np  # noqa: PLC0415

    return [None if value is None or value is np.ma.masked else value for value in array.tolist()]


def _plain(array: np.ndarray[Any, Any], dtype: str) -> pd.Series[Any]:
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    if array.dtype == "object":
        return pd.Series(_objects(array), dtype=dtype)
    if not isinstance(array, np.ma.MaskedArray):
        return pd.Series(array).astype(dtype)  # type: ignore[call-overload, no-any-return]
    mask, data = np.ma.getmaskarray(array), np.ma.getdata(array)
    if dtype[0].isupper() or dtype == "boolean":  # the types of pandas that have gaps
        kept = pd.Series(data).astype(dtype)  # type: ignore[call-overload]
        kept[mask] = pd.NA
        return kept  # type: ignore[no-any-return]
    filled = data.copy()
    filled[mask] = np.datetime64("NaT") if data.dtype.kind == "M" else np.nan
    return pd.Series(filled).astype(dtype)  # type: ignore[call-overload, no-any-return]


def _refuse_different(frame: pd.DataFrame, back: pd.DataFrame) -> None:
    if not frame.index.equals(back.index) or frame.index.dtype != back.index.dtype:
        raise UsageError("The index of the table would come back different.", hint="frame.reset_index() may help.")
    for name in frame.columns:
        before, after = frame[name], back[name]
        if before.dtype != after.dtype:
            raise UsageError(f"The column {name!r} is of type {before.dtype}, and would come back as {after.dtype}.")
        if before.dtype == "object":
            _refuse_different_objects(str(name), before, after)
        elif not before.equals(after):
            raise UsageError(f"The column {name!r} would come back with other values.")


def _refuse_different_objects(name: str, before: pd.Series[Any], after: pd.Series[Any]) -> None:
    for row, (one, other) in enumerate(zip(before, after, strict=True)):
        if not same(one, other):
            raise UsageError(
                f"The column {name!r} would come back different: row {row} is {_shown(one)}, and would be "
                f"{_shown(other)}.",
                hint="Make texts, numbers, lists or dictionaries of it first; a missing value is None.",
            )


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same for whoever computes with them: of one type, and equal all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _shown(value: Any) -> str:
    text = f"{value!r} ({type(value).__name__})"
    return text if len(text) <= 60 else f"{text[:57]}..."
