"""Notebooks that run without anybody looking; nothing of a run's own logic is here."""

from __future__ import annotations

from orchestration_nb.pipeline_events import NotebookStatus
from orchestration_nb.pipelines.headless import CellEnded, NotebookRun, Watcher, run_notebook
from orchestration_nb.pipelines.outcome import EXIT_CODES
from orchestration_nb.pipelines.resuming import ResumedRun, resumed_run

__all__ = [
    "EXIT_CODES",
    "CellEnded",
    "NotebookRun",
    "NotebookStatus",
    "ResumedRun",
    "Watcher",
    "resumed_run",
    "run_notebook",
]
