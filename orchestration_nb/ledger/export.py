"""Parquet files of the ledger, for whoever wants to go on elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestration_nb.ledger.database import quoted

if TYPE_CHECKING:
    import duckdb

TABLES = (
    "runs", "items", "steps", "requests", "calls", "texts", "circuits", "alerts", "plans", "repricings", "as_recorded",
    "scores", "comparisons", "compared", "rollouts", "pipelines", "cells", "artifacts", "pipeline_alerts",
)  # fmt: skip
"""What is exported: all that was recorded, without the ledger's own bookkeeping."""


def export(connection: duckdb.DuckDBPyConnection, folder: Path) -> list[Path]:
    """Writes each table to ``folder/<table>.parquet``, whole or not at all; a file of that name is replaced.

    Raises:
        OSError: If the folder cannot be made.
        duckdb.Error: If a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for table in TABLES:
        path = folder / f"{table}.parquet"
        part = path.with_suffix(".parquet.part")
        connection.execute(f"copy (from {table}) to {quoted(part)} (format parquet, compression zstd)")
        paths.append(part.replace(path))
    return paths
