"""SQL over the ledger that can do nothing but answer.

Three walls, each enough by itself for most of it: one statement, and only one that selects or explains; a read-only
connection; no file system, no external access and a configuration that is locked.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from orchestration_nb.errors import QueryError

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

Parameters = Sequence[Any] | Mapping[str, Any]
"""Values for ``?`` and ``$1``, or by name for ``$name``."""

_NO_TABLE = re.compile(r"Table with name (\S+) does not exist")
_NO_COLUMN = re.compile(r'Referenced column "([^"]+)"|does not have a column named "([^"]+)"')
_ZONED = "TIMESTAMP WITH TIME ZONE"
_KIND_OF_ERROR = re.compile(r"^[A-Z][A-Za-z /]* Error: ")


def answer(connection: duckdb.DuckDBPyConnection, text: str, parameters: Parameters) -> pd.DataFrame:
    """Runs one query.

    Args:
        connection: A hardened, read-only connection.
        text: One statement of SQL: ``select``, ``with``, ``from``, ``describe``, ``show``, ``explain``.
        parameters: Values to bind; they are never part of the text.

    Returns:
        The rows. Times are naive UTC.

    Raises:
        QueryError: If the text is refused or not understood.
        duckdb.Error: If the ledger's file cannot be read.
    """
    import duckdb  # noqa: PLC0415

    try:
        _refuse_all_but_one_query(connection.extract_statements(text))
        bound = parameters if isinstance(parameters, Mapping) else list(parameters)
        return _interruptibly(connection, lambda: as_frame(connection.sql(text, params=bound or None)))
    except duckdb.Error as error:
        if _is_about_the_file(error):
            raise
        raise _as_query_error(error, text, connection) from error


def columns_by_table(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """The tables and views, each with its columns, in their order."""
    tables: dict[str, list[str]] = {}
    for table, column in connection.execute(
        "select table_name, column_name from information_schema.columns order by table_name, ordinal_position"
    ).fetchall():
        tables.setdefault(table, []).append(column)
    return tables


def _interruptibly(connection: duckdb.DuckDBPyConnection, ask: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Waits in another thread than DuckDB works in: it would not see an interrupt (SIGINT) before the query's end."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        answering = thread.submit(ask)
        try:
            return answering.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def _refuse_all_but_one_query(statements: list[duckdb.Statement]) -> None:
    import duckdb  # noqa: PLC0415

    if not statements:
        raise QueryError("There is no SQL to run.", hint="Try `select * from runs`.")
    if len(statements) > 1:
        raise QueryError(f"One statement at a time, not {len(statements)}.", hint="Run them one after the other.")
    kinds = duckdb.StatementType
    if statements[0].type not in {kinds.SELECT, kinds.EXPLAIN, kinds.MULTI}:  # a pivot is MULTI
        name = statements[0].type.name.replace("_", " ")
        raise QueryError(
            f"The ledger answers questions only, and {name} is none.",
            hint="Begin with select, with, from, describe, show or explain.",
        )


def as_frame(relation: duckdb.DuckDBPyRelation) -> pd.DataFrame:
    """The rows of a relation: times as naive UTC, sums of integers as integers."""
    kinds = [str(kind) for kind in relation.types]
    if _ZONED in kinds:
        names = ['"' + name.replace('"', '""') + '"' for name in relation.columns]
        columns = (f"cast(#{n} as timestamp)" if kind == _ZONED else f"#{n}" for n, kind in enumerate(kinds, start=1))
        relation = relation.project(", ".join(f"{one} as {name}" for one, name in zip(columns, names, strict=True)))
    frame: pd.DataFrame = relation.df()
    for name, kind in zip(frame.columns, kinds, strict=True):
        # A sum of integers is a HUGEINT, which DuckDB hands to pandas as floats.
        if kind == "HUGEINT" and frame[name].notna().all() and (frame[name].abs() < 2**53).all():
            frame[name] = frame[name].astype("int64")
    return frame


def _is_about_the_file(error: duckdb.Error) -> bool:
    import duckdb  # noqa: PLC0415

    unreadable = (duckdb.IOException, duckdb.SerializationException, duckdb.FatalException)
    return type(error) is duckdb.Error or isinstance(error, unreadable)


def _as_query_error(error: duckdb.Error, text: str, connection: duckdb.DuckDBPyConnection) -> QueryError:
    message = str(error)
    table, column = _NO_TABLE.search(message), _NO_COLUMN.search(message)
    tables = columns_by_table(connection)
    if table:
        return QueryError(f"The ledger has no table {table[1]!r}.", hint=_nearest(table[1], tables))
    if column:
        name = column[1] or column[2]
        asked = [one for one in tables if re.search(rf"\b{one}\b", text)]
        columns = dict.fromkeys(column for one in asked or tables for column in tables[one])
        return QueryError(f"{' and '.join(asked) or 'The query'} has no column {name!r}.", hint=_nearest(name, columns))
    if "file system operations are disabled" in message or "has been disabled" in message:
        return QueryError("A query over the ledger cannot reach files.", hint="Read the file with pandas.")
    sentence = _KIND_OF_ERROR.sub("", message.splitlines()[0]).rstrip(".!")
    return QueryError(f"The query cannot be answered: {sentence}.")


def _nearest(name: str, names: Collection[str]) -> str:
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(names)}."
