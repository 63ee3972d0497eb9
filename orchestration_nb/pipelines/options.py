"""What a headless run of a notebook may be told."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from orchestration_nb.errors import UsageError

_TAG: Final = re.compile(r"[A-Za-z_][\w.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a notebook is run; all may be left out.

    Raises:
        UsageError: If a value means nothing.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Name to value: what JSON can say, or a :class:`~orchestration_nb.pipelines.parameters.Typed` text."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Name of a variable of the environment to where its value is: ``env:TOKEN``, ``file:/run/secrets/token``."""
    budget_usd: float | None = None
    """The most that all runs of the notebook, retries and resumptions included, may spend together in US dollars."""
    timeout_s: float | None = None
    """The most seconds for the whole, retries included."""
    cell_timeout_s: float | None = None
    """The most seconds for one cell."""
    retries: int = 0
    """How many times a run that failed is begun anew."""
    out: Path | None = None
    """Folder of the executed copy; otherwise ``.orchestrate/runs`` of the notebook's workspace."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Kept with the notebook's run, and with every run in it."""
    models: Literal["sim"] | None = None
    """``sim``: every model is simulated, and nothing is paid."""
    resumes: str | None = None
    """A pipeline run to go on with: its id, the beginning or the end of it, or ``last``."""
    even_if_done: bool = False
    """Whether a pipeline run that is done is gone on with, too: for the rows of a flow that failed in it."""
    schedule: str | None = None
    """Name of the schedule that starts it."""
    due_at: datetime | None = None
    """The time for which the schedule starts it (naive UTC)."""
    dag: str | None = None
    """The graph of notebooks that it is a part of, and the run of that graph."""

    def __post_init__(self) -> None:
        _refuse_no_amount("A budget", self.budget_usd, unit="US dollars", least=0.0)
        _refuse_no_amount("A timeout", self.timeout_s, unit="seconds")
        _refuse_no_amount("A timeout of a cell", self.cell_timeout_s, unit="seconds")
        if isinstance(self.retries, bool) or not isinstance(self.retries, int) or self.retries < 0:
            raise UsageError(f"{self.retries!r} retries are not possible.", hint="Write a whole number from 0.")
        if self.models not in {None, "sim"}:
            raise UsageError(f"models={self.models!r} means nothing.", hint="Write sim, or leave it out.")
        odd = next((name for name in self.tags if not _TAG.fullmatch(name)), None)
        if odd is not None:
            raise UsageError(f"{odd!r} cannot be the name of a tag.", hint="Write a word, such as team=support.")


def _refuse_no_amount(what: str, amount: object, *, unit: str, least: float | None = None) -> None:
    if amount is None:
        return
    fits = isinstance(amount, numbers.Real) and not isinstance(amount, bool) and float(amount) < math.inf
    if not fits or not (float(amount) >= least if least is not None else float(amount) > 0):  # type: ignore[arg-type]
        bound = "from 0" if least is not None else "above 0"
        raise UsageError(f"{what} of {amount!r} {unit} is none.", hint=f"Write a number {bound}.")
