"""How long a notebook will still take, from how long its cells took before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestration_nb.errors import OrchestrationError
from orchestration_nb.pipelines.order import relative_to
from orchestration_nb.pipelines.outcome import Begun

_QUERY = """
    select cells.cell, median(date_diff('millisecond', cells.started_at, cells.finished_at)) / 1000 as seconds
    from cells join (
        select pipeline_id from pipelines
        where notebook = $notebook and status = 'done' and cells = $cells order by pipeline_id desc limit 5
    ) as past using (pipeline_id)
    where cells.status = 'ok' group by all"""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long each cell usually takes."""

    seconds: Mapping[int, float]
    """By number of the cell: the median of its last five runs that came to their end."""

    def left_s(self, cell: int, so_far_s: float) -> float:
        """How long the rest takes, while a cell has run for so many seconds."""
        after = sum(seconds for number, seconds in self.seconds.items() if number > cell)
        return after + max(0.0, self.seconds.get(cell, 0.0) - so_far_s)


def pace_of(begun: Begun) -> Pace | None:
    """The pace of a notebook, where the ledger has earlier runs of it; loads DuckDB and pandas."""
    from orchestration_nb.ledger import Ledger  # noqa: PLC0415

    notebook = relative_to(begun.notebook, begun.workspace)
    try:
        found = Ledger(begun.workspace).sql(_QUERY, {"notebook": notebook, "cells": begun.cells})
    except OrchestrationError:
        return None  # it runs without an estimate
    return Pace(dict(zip(found["cell"], found["seconds"], strict=True))) if len(found) else None
