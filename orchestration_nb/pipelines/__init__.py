"""Notebooks that run without anybody looking; nothing of a run's own logic is here."""

from __future__ import annotations

from orchestration_nb.pipeline_events import NotebookStatus
from orchestration_nb.pipelines.headless import run_notebook
from orchestration_nb.pipelines.options import RunOptions
from orchestration_nb.pipelines.outcome import EXIT_CODES, Begun, CellEnded, NotebookRun, Spent, Unwatched, Watcher
from orchestration_nb.pipelines.resuming import ResumedRun, resumed_run
from orchestration_nb.pipelines.seams import SEAMS, Seams

__all__ = [
    "EXIT_CODES",
    "SEAMS",
    "Begun",
    "CellEnded",
    "NotebookRun",
    "NotebookStatus",
    "ResumedRun",
    "RunOptions",
    "Seams",
    "Spent",
    "Unwatched",
    "Watcher",
    "resumed_run",
    "run_notebook",
]
