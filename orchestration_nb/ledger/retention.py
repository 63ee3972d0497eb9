"""Forgetting by age: the rows of old runs, the files of the journal that hold nothing younger, and the room they took.

A run goes as a whole, when it ended (or, where it has no end, began) before the cutoff. A file of the journal goes when
its last line was written before it; so a file may keep lines of runs that are gone for as long as a younger line stands
in it (a new file is begun once a day), and a ledger that is made anew shows those runs until the next pruning.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration_nb.ledger import database
from orchestration_nb.ledger.segments import merged_segments

if TYPE_CHECKING:
    import duckdb

_TIME = {
    "items": "finished_at", "steps": "finished_at", "requests": "started_at", "calls": "started_at",
    "scores": "scored_at",
}  # fmt: skip


def prune(path: Path, before: datetime, *, limit_s: float) -> dict[str, int]:
    """Deletes what is older than ``before`` (naive UTC), and writes the ledger anew without it.

    Call it with the lock held alone and all of the journal merged.

    Args:
        path: The ledger.
        before: The cutoff.
        limit_s: The most seconds to wait for a program that holds the ledger open.

    Returns:
        How many rows of each table went, and under ``segments`` how many files of the journal.

    Raises:
        WorkspaceError: If the ledger cannot be written.
        OSError: If a file of the journal or of an artifact cannot be deleted.
    """
    old = [one for one in merged_segments(path.parent / "journal") if _last_write(one) < before]
    with database.writing(path, limit_s=limit_s) as connection:
        gone = _delete_rows(connection, before, [segment.name for segment in old])
        artifacts = {row[0] for row in connection.execute("select path from artifacts").fetchall()}
    if any(gone.values()):
        database.rewrite(path, limit_s=limit_s)  # else what was deleted still stands in the file
    for segment in old:
        segment.unlink()
    for file in (path.parent / "artifacts").glob("*/*"):
        if str(file.relative_to(path.parent)) not in artifacts and _last_write(file) < before:
            file.unlink()
    return gone | {"segments": len(old)}


def _delete_rows(connection: duckdb.DuckDBPyConnection, before: datetime, segments: list[str]) -> dict[str, int]:
    connection.execute("begin")
    try:
        connection.execute(
            """create or replace temp table doomed as select run_id from runs
               where status <> 'running' and coalesce(finished_at, started_at) < ?""",
            [before],
        )
        texts = f"delete from texts where call_id in (select call_id from calls {_gone('calls')})"  # noqa: S608 - our own names
        gone = {"texts": _count(connection, texts, before)}
        for table in _TIME:
            gone[table] = _count(connection, f"delete from {table} {_gone(table)}", before)  # noqa: S608
        connection.execute("delete from as_recorded where call_id not in (select call_id from calls)")
        gone["runs"] = _count(connection, "delete from runs where run_id in (from doomed)")
        gone |= _delete_comparisons(connection, before)
        gone |= _delete_pipelines(connection, before)
        connection.execute("delete from segments where name in (select unnest(?::varchar[]))", [segments])
        connection.execute("delete from bad_lines where segment in (select unnest(?::varchar[]))", [segments])
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise
    return gone


def _delete_comparisons(connection: duckdb.DuckDBPyConnection, before: datetime) -> dict[str, int]:
    """Comparisons with what each strategy came to."""
    old = "delete from comparisons where status <> 'running' and coalesce(finished_at, started_at) < ?"
    gone = {"comparisons": _count(connection, old, before)}
    connection.execute("delete from compared where comparison_id not in (select comparison_id from comparisons)")
    return gone


def _delete_pipelines(connection: duckdb.DuckDBPyConnection, before: datetime) -> dict[str, int]:
    """Headless runs with their cells; of artifacts, the newest of a name stays, as it can still be loaded."""
    old = "delete from pipelines where status <> 'running' and coalesce(finished_at, started_at) < ?"
    gone = {"pipelines": _count(connection, old, before)}
    connection.execute("delete from cells where pipeline_id not in (select pipeline_id from pipelines)")
    connection.execute(
        """delete from artifacts where saved_at < ? and (name, saved_at) not in (
               select (name, max(saved_at)) from artifacts group by name)""",
        [before],
    )
    connection.execute("delete from pipeline_alerts where raised_at < ?", [before])
    return gone


def _gone(table: str) -> str:
    """Rows of doomed runs, and old rows whose run nobody knows."""
    return f"where run_id in (from doomed) or ({_TIME[table]} < ? and run_id not in (select run_id from runs))"  # noqa: S608


def _count(connection: duckdb.DuckDBPyConnection, statement: str, *values: datetime) -> int:
    return int(connection.execute(statement, list(values)).fetchall()[0][0])


def _last_write(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None)
