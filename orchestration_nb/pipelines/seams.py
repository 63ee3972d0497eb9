"""What a headless run leaves to others: keeping secrets out, restoring cells, and what comes after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from orchestration_nb.ids import PipelineId
from orchestration_nb.pipelines.holding import ChainHold
from orchestration_nb.pipelines.options import RunOptions
from orchestration_nb.pipelines.outcome import NotebookRun
from orchestration_nb.pipelines.scrubbing import Scrubber, scrubber


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredCell:
    """A cell that is not run: what stands for it, and what it had put out."""

    source: str
    """What is executed silently in its place; may be empty."""
    outputs: Sequence[Any] = ()
    """The outputs of the earlier copy."""
    execution_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """What a pipeline run goes on with."""

    root: PipelineId | None = None
    """The first of the chain; ``None``: nothing is resumed."""
    attempt: int = 1
    """Which try of the same this is."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Those of the earlier run; what is given anew goes before them."""
    lost: frozenset[str] = frozenset()
    """Names of its parameters that held a secret, so that their values were not kept."""
    tags: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Where the earlier run's secrets come from; what is given anew goes before them."""
    models: Literal["sim"] | None = None
    """Whether every model was simulated, and will be."""
    budget_usd: float | None = None
    """The earlier run's, which holds unless another one is given."""
    cells: Mapping[int, RestoredCell] = field(default_factory=dict)
    """By number of the code cell, those that are restored and not run."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Further variables of the environment for the kernel."""
    said: Sequence[str] = ()
    """What was done, in sentences."""
    hold: ChainHold | None = None
    """That nobody else runs the chain; whoever has this lets go of it at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """What is resumed, for whoever restores it."""

    workspace: Path
    path: Path
    """The notebook's file."""
    notebook: Any
    """The notebook that will be run, with what is given injected."""
    options: RunOptions
    earlier: Resumed
    """The earlier run's facts, so far without restored cells."""


Scrub = Callable[[Mapping[str, str]], Scrubber]
"""Resolves references (name to ``env:VAR``, ``file:PATH``, ...) and returns what keeps their values out."""
Restore = Callable[[Resumption], Resumed]
"""Says which cells of a resumed notebook are restored, and how."""
Keep = Callable[[int, Any], str]
"""What the kernel executes silently once a code cell (its number, the cell) has ended well; empty: nothing."""
AfterRun = Callable[[NotebookRun], NotebookRun | str | None]
"""Called after a pipeline run's end is journalled. It may return the run with more said of it (its report), or a
sentence to be shown; a failure of it is said and changes nothing else."""


def nothing_restored(resumption: Resumption) -> Resumed:
    """The default: every cell runs again, and what was answered comes from the cache."""
    return resumption.earlier


def nothing_kept(_number: int, _cell: Any) -> str:
    """The default: nothing is kept of a cell but its outputs."""
    return ""


def nothing_ahead() -> None:
    """The default: nothing is loaded ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """What others do for a headless run."""

    scrub: Scrub = scrubber
    restore: Restore = nothing_restored
    keep: Keep = nothing_kept
    after_run: tuple[AfterRun, ...] = ()
    ahead: Callable[[], None] = nothing_ahead
    """Called in a thread of its own while the notebook runs: loads what ``after_run`` will take."""
