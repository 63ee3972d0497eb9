"""A measured figure, its target, and the table of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

import pandas as pd

from orchestration_nb.terminal import write

Rounds = Mapping[str, Sequence[Mapping[str, float]]]
"""What was measured, by subject, round by round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table at the end."""

    name: str
    unit: str
    bound: Literal["at most", "at least"]
    target: float
    rounds: Sequence[float]
    """The figure of each round."""

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.value <= self.target if self.bound == "at most" else self.value >= self.target

    def as_json(self) -> dict[str, Any]:
        """For the file of results."""
        return {**asdict(self), "value": self.value, "met": self.met}


def column(rounds: Rounds, subject: str, measure: str) -> list[float]:
    """One measure of one subject, round by round."""
    return [measured[measure] for measured in rounds[subject]]


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Round by round, so that what slowed the whole machine slowed both."""
    return [above / below for above, below in zip(over, under, strict=True)]


def verdicts(figures: Sequence[Figure]) -> str:
    """The table of targets."""
    rows = [
        {
            "figure": one.name,
            "target": f"{one.bound} {one.target:g} {one.unit}".strip(),
            "measured": f"{one.value:.3g} {one.unit}".strip(),
            "rounds": f"{min(one.rounds):.3g} to {max(one.rounds):.3g}",
            "": "met" if one.met else "MISSED",
        }
        for one in figures
    ]
    return write(pd.DataFrame(rows), "table")


def side_by_side(title: str, columns: Mapping[str, Mapping[str, float]]) -> str:
    """A table with a line a subject."""
    subjects = next(iter(columns.values()))
    rows = [{title: name, **{head: f"{values[name]:.4g}" for head, values in columns.items()}} for name in subjects]
    return write(pd.DataFrame(rows), "table")


def medians(rounds: Rounds, measure: str) -> dict[str, float]:
    """The median of one measure for each subject."""
    return {subject: median(column(rounds, subject, measure)) for subject in rounds}
