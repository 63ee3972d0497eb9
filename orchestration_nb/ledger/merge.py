"""Merging: what the journals say becomes rows of the ledger, each line once, however often a merge is killed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration_nb.errors import WorkspaceError
from orchestration_nb.ledger import database
from orchestration_nb.ledger.batch import Batch, Progress
from orchestration_nb.ledger.load import load
from orchestration_nb.ledger.segments import Segment, bring_back, open_segments, put_away

if TYPE_CHECKING:
    import duckdb

BATCH_BYTES = 4 * 2**20
"""As much of the journal is in memory at once."""
_TEMPORARY = "merge-"


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeReport:
    """What a merge found."""

    lines: int = 0
    """Lines that became rows."""
    bad_lines: int = 0
    """Lines that could not be used; they stand in the table ``bad_lines``."""
    rebuilt_from: Path | None = None
    """Where the ledger that was damaged is kept, or ``None`` where none was."""


def merge_into(path: Path, *, now: datetime, limit_s: float) -> MergeReport:
    """Merges all that is new in the journal beside the ledger ``path``. Call it with the lock held alone.

    Args:
        path: The ledger; where it is missing it is made, and every file of the journal merged.
        now: The time to note.
        limit_s: The most seconds to wait for a program that holds the ledger open.

    Raises:
        LedgerNewerError: If a newer version wrote the ledger.
        LedgerDamagedError: If it cannot be read.
        WorkspaceError: If the disk is full, or something else stands in the way.
    """
    journal = path.parent / "journal"
    try:
        if not path.exists():
            bring_back(journal)
            database.create(path, limit_s=limit_s)
        with database.writing(path, limit_s=limit_s) as connection:
            return _merge(connection, journal, now)
    except OSError as error:
        raise WorkspaceError(f"The journal cannot be merged into {path}: {error.strerror or error}.") from error


def _merge(connection: duckdb.DuckDBPyConnection, journal: Path, now: datetime) -> MergeReport:
    lines = bad_lines = 0
    with _temporary_folder(journal.parent) as name:
        segments = open_segments(journal)
        for batch in _batches(segments, _known(connection, segments), now):
            load(batch, connection, Path(name))
            lines += batch.lines
            bad_lines += batch.bad_lines
            for progress in batch.progress.values():
                if progress.closed:
                    put_away(journal / progress.name)
    return MergeReport(lines=lines, bad_lines=bad_lines)


def _known(connection: duckdb.DuckDBPyConnection, segments: list[Segment]) -> dict[str, Progress]:
    rows = connection.execute(
        "select name, merged_bytes, lines, bad_lines, closed from segments where name in (select unnest(?::varchar[]))",
        [[segment.name for segment in segments]],
    ).fetchall()
    return {row[0]: Progress(*row) for row in rows}


def _batches(segments: list[Segment], known: dict[str, Progress], now: datetime) -> Iterator[Batch]:
    batch = Batch(now, BATCH_BYTES)
    for segment in segments:
        progress = known.get(segment.name) or Progress(segment.name)
        if progress.closed:  # the merge that closed it was killed before it could put it away
            put_away(segment.path)
            continue
        while batch.read(segment, progress):
            yield batch
            batch = Batch(now, BATCH_BYTES)
    if batch.progress:
        yield batch


def _temporary_folder(parent: Path) -> tempfile.TemporaryDirectory[str]:
    for left_over in parent.glob(f"{_TEMPORARY}*"):  # of a merge that was killed: we hold the lock, so nobody uses it
        shutil.rmtree(left_over, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=parent)
