"""``orchestration_nb.run_notebook``: a headless run, begun from Python."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from orchestration_nb.errors import UsageError
from orchestration_nb.pipelines.headless import run_notebook
from orchestration_nb.pipelines.options import RunOptions
from orchestration_nb.pipelines.outcome import NotebookRun


def run(path: Path | str, how: Mapping[str, Any]) -> NotebookRun:
    """Runs a notebook with options by name.

    Raises:
        UsageError: If there is no such option; and as :func:`~orchestration_nb.pipelines.run_notebook` does.
    """
    known = [field.name for field in fields(RunOptions)]
    for name in how:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            listing = f"There are: {', '.join(known)}."
            hint = f"Did you mean {near[0]!r}? {listing}" if near else listing
            raise UsageError(f"A run of a notebook has no option {name!r}.", hint=hint)
    options = dict(how)
    if options.get("out") is not None:
        options["out"] = Path(options["out"])
    return run_notebook(Path(path), options=RunOptions(**options))
