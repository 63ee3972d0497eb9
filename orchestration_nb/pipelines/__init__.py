"""Notebooks that run without anybody looking; nothing of a run's own logic is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestration_nb.loading import names_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestration_nb.pipeline_events import NotebookStatus
    from orchestration_nb.pipelines.headless import run_notebook
    from orchestration_nb.pipelines.options import RunOptions
    from orchestration_nb.pipelines.outcome import EXIT_CODES, Begun, CellEnded, NotebookRun, Spent, Unwatched, Watcher
    from orchestration_nb.pipelines.resuming import ResumedRun, resumed_run
    from orchestration_nb.pipelines.seams import Seams
    from orchestration_nb.pipelines.wiring import SEAMS

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

_HOME: Final[Mapping[str, str]] = {
    "EXIT_CODES": "outcome",
    "SEAMS": "wiring",
    "Begun": "outcome",
    "CellEnded": "outcome",
    "NotebookRun": "outcome",
    "NotebookStatus": "outcome",
    "ResumedRun": "resuming",
    "RunOptions": "options",
    "Seams": "seams",
    "Spent": "outcome",
    "Unwatched": "outcome",
    "Watcher": "outcome",
    "resumed_run": "resuming",
    "run_notebook": "headless",
}

__getattr__ = names_from(__name__, _HOME)
