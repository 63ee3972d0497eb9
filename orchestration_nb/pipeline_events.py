"""What happens to a notebook that is run headlessly: facts for the journal, beside those of :mod:`.events`.

One **pipeline run** is one execution of a notebook from its first cell on; a retry or a resumption is another one, and
names the first of them in ``resumes``. Times are naive UTC. Nothing here may hold a secret: only where it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from orchestration_nb.ids import PipelineId

NotebookStatus = Literal["done", "failed", "over budget", "paused", "cancelled"]
"""Whether every cell ran; else why the first that did not stopped the others."""
CellStatus = Literal["ok", "failed", "cancelled", "restored"]
"""How a cell ended; ``restored``: it was not run, and what it leaves was taken from its artifacts."""
ArtifactFormat = Literal["parquet", "json", "text"]
"""How a value is kept; never as code that reading would run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineStarted:
    """A notebook began to run: one row of ``pipelines``, whose status is ``running``."""

    event: Literal["pipeline_started"] = "pipeline_started"
    pipeline_id: PipelineId
    notebook: str
    """Its path, relative to the workspace where it lies within."""
    digest: str
    """SHA-256 of the sources of its code cells, in hexadecimal digits."""
    cells: int
    """How many code cells it has."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Name to value, as JSON text, of those that were given."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Name to where it comes from: ``env:TOKEN``, ``file:/run/secrets/token``."""
    tags: Mapping[str, str] = field(default_factory=dict)
    budget_usd: float | None = None
    """The most that all runs of the notebook may spend together, in US dollars."""
    attempt: int = 1
    """Which try of the same it is, from 1."""
    resumes: PipelineId | None = None
    """The first of the pipeline runs that this one goes on with."""
    schedule: str | None = None
    """Name of the schedule that started it."""
    due_at: datetime | None = None
    """The time for which the schedule started it."""
    models: Literal["sim"] | None = None
    """``sim``: every model was simulated."""
    dag: str | None = None
    """The graph of notebooks that it is a part of, and the run of that graph: ``nightly:0198...``."""
    copy: str
    """The executed copy, outputs included, relative to the workspace where it lies within."""
    user: str | None = None
    started_at: datetime
    pid: int
    package_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellStarted:
    """A code cell was handed to the kernel: one row of ``cells``, whose status is ``running``."""

    event: Literal["cell_started"] = "cell_started"
    pipeline_id: PipelineId
    cell: int
    """From 1, among the code cells."""
    cell_id: str | None = None
    """The cell's own id in the notebook's file."""
    title: str
    """Its first line."""
    digest: str
    """SHA-256 of its source."""
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFinished:
    """A code cell ended."""

    event: Literal["cell_finished"] = "cell_finished"
    pipeline_id: PipelineId
    cell: int
    status: CellStatus
    error_type: str | None = None
    error: str | None = None
    finished_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineFinished:
    """A notebook ended."""

    event: Literal["pipeline_finished"] = "pipeline_finished"
    pipeline_id: PipelineId
    status: NotebookStatus
    error_type: str | None = None
    """Name of the error that stopped it; of the runner's own: ``CellTimeoutError``, ``DeadKernelError``."""
    error: str | None = None
    cells_done: int
    """Code cells that ended well or were restored."""
    finished_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactSaved:
    """A named value was kept as a file: one row of ``artifacts``; the newest of a name is the one that is loaded."""

    event: Literal["artifact"] = "artifact"
    pipeline_id: PipelineId | None
    """The pipeline run in which it was saved; ``None`` outside any."""
    cell: int | None = None
    """The cell that saved it, where it is to be restored from it."""
    name: str
    format: ArtifactFormat
    path: str
    """The file, relative to ``.orchestrate/``."""
    bytes: int
    digest: str
    """SHA-256 of the file."""
    saved_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineAlert:
    """A pipeline run is not what it should be, or did not come: one row of ``pipeline_alerts``."""

    event: Literal["pipeline_alert"] = "pipeline_alert"
    pipeline_id: PipelineId | None
    """``None`` where a run is missing."""
    notebook: str
    schedule: str | None = None
    metric: str
    """What is watched: ``cost_usd``, ``p95_latency_ms``, ``error_rate``, ``quality``, ``missing``, ``status``."""
    value: float | None
    limit: float | None
    """What it should not have passed."""
    basis: Literal["threshold", "history", "schedule"]
    """Whether that was set, reckoned from past runs, or is a time by which a run was due."""
    message: str
    """One sentence."""
    raised_at: datetime


PipelineEvent = PipelineStarted | CellStarted | CellFinished | PipelineFinished | ArtifactSaved | PipelineAlert
"""All that can happen to a pipeline run."""
