"""Loads a batch into the ledger: all of its rows and how far each segment was read, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from orchestration_nb.ledger.batch import Batch
from orchestration_nb.ledger.database import quoted
from orchestration_nb.ledger.repricing import reprice
from orchestration_nb.ledger.schema import LOADS, Load

if TYPE_CHECKING:
    import duckdb


def load(batch: Batch, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Makes rows of the lines of a batch: all of them, or none.

    Args:
        batch: What was read. Lines whose values do not fit their columns are counted as bad.
        connection: Writes the ledger.
        folder: Where the lines stand while they are loaded.

    Raises:
        duckdb.Error: If the ledger cannot be written.
    """
    for kind in list(batch.staged):
        _stage(batch, kind, connection, folder)
    if "bad" in batch.staged:  # again: the misfits of the others are among them now
        _stage(batch, "bad", connection, folder)
    batch.note_progress()
    _stage(batch, "segment", connection, folder)
    statements = [statement for kind, load in LOADS.items() if kind in batch.staged for statement in load.into]
    connection.execute("begin")
    try:
        for statement in statements:
            connection.execute(statement)
        reprice(connection, batch.staged)
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise


def _stage(batch: Batch, kind: str, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Fills the temporary table ``staged_<kind>``; ``ignore_errors`` would keep a misfit as a row of NULLs."""
    plan = LOADS[kind]
    empty = ", ".join(f'cast(null as {sql_type}) as "{name}"' for name, sql_type in plan.columns.items())
    connection.execute(f"create or replace temp table staged_{kind} as select {empty} where false")
    for line, why in _insert(batch.staged[kind], kind, plan, connection, folder):
        row = orjson.loads(line)
        progress = batch.progress[row["segment"]]
        progress.lines -= 1
        batch.lines -= 1
        batch.set_aside(progress, row["at_byte"], why, line)


def _insert(
    lines: list[bytes], kind: str, plan: Load, connection: duckdb.DuckDBPyConnection, folder: Path
) -> Iterator[tuple[bytes, str]]:
    """Inserts lines, and yields those that do not fit: a refused lot is tried again by halves."""
    import duckdb  # noqa: PLC0415

    path = folder / f"{kind}.jsonl"
    path.write_bytes(b"".join(lines))
    columns = ", ".join(f"\"{name}\": '{sql_type}'" for name, sql_type in plan.columns.items())
    longest = max(map(len, lines)) + 1024
    query = (
        f"insert into staged_{kind} select * from read_json({quoted(path)}, "  # noqa: S608
        f"format = 'newline_delimited', columns = {{{columns}}}, ignore_errors = false, "
        f"maximum_object_size = {max(longest, 2**20)})"
    )
    try:
        connection.execute(query)
    except (duckdb.InvalidInputException, duckdb.DataError) as error:
        if len(lines) == 1:
            yield lines[0], f"A value does not fit its column: {str(error).splitlines()[0]}"
            return
        middle = len(lines) // 2
        yield from _insert(lines[:middle], kind, plan, connection, folder)
        yield from _insert(lines[middle:], kind, plan, connection, folder)
