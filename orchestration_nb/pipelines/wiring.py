"""What a headless run has unless it is told otherwise: the parts of this room, put together.

Each part is loaded when it is needed: a notebook that is simply run waits for none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from orchestration_nb.pipelines.leaving import keeping
from orchestration_nb.pipelines.outcome import NotebookRun
from orchestration_nb.pipelines.seams import Resumed, Resumption, Seams


def _restored(resumption: Resumption) -> Resumed:
    from orchestration_nb.pipelines.restoring import restored  # noqa: PLC0415 - loads DuckDB and pandas

    return restored(resumption)


def _again(done: NotebookRun) -> str | None:
    if done.root == done.pipeline_id:
        return None
    from orchestration_nb.pipelines.restoring import again_sentence  # noqa: PLC0415 - loads DuckDB and pandas

    return again_sentence(done)


def _watched(done: NotebookRun) -> str | None:
    from orchestration_nb.config import load_settings  # noqa: PLC0415 - loaded by now

    if "watch" not in load_settings(done.workspace).model_fields_set:
        return None
    from orchestration_nb.pipelines.watch import check  # noqa: PLC0415 - once the run is over

    return check(done)


def _reported(done: NotebookRun) -> NotebookRun:
    from orchestration_nb.pipelines.report import reported  # noqa: PLC0415 - loads plotly and DuckDB

    return reported(done)


def _ahead() -> None:
    for name in ("duckdb", "plotly.offline", "nh3", "markdown_it", "orchestration_nb.pipelines.report"):
        import_module(name)


SEAMS: Final = Seams(restore=_restored, keep=keeping, after_run=(_again, _watched, _reported), ahead=_ahead)
