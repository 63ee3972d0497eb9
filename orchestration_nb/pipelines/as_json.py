"""A headless run for programs: what ``orchestrate run --json`` prints."""

from __future__ import annotations

from typing import Any

from orchestration_nb.pipelines.outcome import CellEnded, NotebookRun, Spent


def run_as_json(done: NotebookRun) -> dict[str, Any]:
    """A notebook that was run, as plain values; times are UTC."""
    return {
        "pipeline_id": done.pipeline_id,
        "root": done.root,
        "status": done.status,
        "exit_code": done.exit_code,
        "error_type": done.error_type or None,
        "error": done.error or None,
        "notebook": str(done.notebook),
        "copy": str(done.copy),
        "report": None if done.report is None else str(done.report),
        "attempts": done.attempts,
        **_spent(done.spent),
        "started_at": done.started_at,
        "finished_at": done.finished_at,
        "cells": [_cell(cell) for cell in done.cells],
    }


def _cell(cell: CellEnded) -> dict[str, Any]:
    return {
        "cell": cell.number,
        "title": cell.title,
        "status": cell.status,
        "seconds": round(cell.seconds, 3),
        **_spent(cell.spent),
        "error_type": cell.error_type or None,
        "error": cell.error or None,
    }


def _spent(spent: Spent) -> dict[str, Any]:
    return {
        "calls": spent.calls,
        "cost_usd": spent.cost_usd,
        "billed_usd": spent.billed_usd,
        "simulated": spent.simulated,
    }
