"""Marks that compare two answers to one item, by a person or a judge, and how they become scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.scores import Score
from orchestration_nb.flow.refusals import misspelt

Mark = Literal["better", "worse", "same"]
"""How one answer is against another."""

_VALUES: Final[Mapping[Mark, float]] = MappingProxyType({"better": 1.0, "same": 0.5, "worse": 0.0})
_MIRRORED: Final[Mapping[Mark, Mark]] = MappingProxyType({"better": "worse", "same": "same", "worse": "better"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanMark:
    """What a person said about the answers of two strategies to one item."""

    item: int
    """Position of the item in the input, from 0."""
    strategy: str
    versus: str
    """The strategy that gave the other answer."""
    mark: Mark
    """``strategy`` against ``versus``."""
    note: str = ""

    def __post_init__(self) -> None:
        if self.mark not in _VALUES:
            raise UsageError(f"{self.mark!r} is no mark.", hint=misspelt(self.mark, _VALUES))
        if self.strategy == self.versus:
            raise UsageError(f"{self.strategy} cannot be marked against itself.")

    @property
    def score(self) -> Score:
        """The score of ``strategy``: 1 for better, 0 for worse, one half for the same."""
        return score_of(self.mark, self.note)

    def mirrored(self) -> HumanMark:
        """The same mark, told of the other strategy."""
        return HumanMark(
            item=self.item, strategy=self.versus, versus=self.strategy, mark=_MIRRORED[self.mark], note=self.note
        )


def score_of(mark: Mark, reason: str = "") -> Score:
    """A mark as a score: 1 for better, 0 for worse, one half for the same."""
    return Score(value=_VALUES[mark], label=mark, reason=reason)


def qualities(marks: Iterable[HumanMark]) -> dict[str, dict[int, float]]:
    """What marks say of each strategy on each item: the mean over those that it was held against, from 0 to 1.

    A pair that was marked again counts by its last mark, whichever way round it stood. An item that nobody marked has
    no place here.

    Returns:
        Strategy -> item -> quality.
    """
    last: dict[tuple[int, frozenset[str]], HumanMark] = {}
    for mark in marks:
        last[mark.item, frozenset((mark.strategy, mark.versus))] = mark
    told: dict[str, dict[int, list[float]]] = {}
    for mark in last.values():
        for side in (mark, mark.mirrored()):
            told.setdefault(side.strategy, {}).setdefault(side.item, []).append(_VALUES[side.mark])
    return {
        strategy: {item: sum(values) / len(values) for item, values in by_item.items()}
        for strategy, by_item in told.items()
    }
