"""What two questions put differently: what is left when all that they share by form is taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestration_nb.cost.wording import Wording
from orchestration_nb.cost.words import ASKED_FOR, DIRECTIONS, LIMITS, MEASURED, NEGATORS, stem

_RUN: Final = 8
"""So many words in a row that two texts share are a template or a quotation, and say nothing about either."""
_BY_RULE: Final = frozenset(map(stem, (*NEGATORS, *LIMITS, *DIRECTIONS, *ASKED_FOR, *MEASURED, "how", "number")))
"""Words that rules look at; beside that they weigh nothing."""


def residue(left: Wording, right: Wording) -> tuple[list[str], list[str]]:
    """What is left of both when what they share at both ends, and in long runs, is taken away.

    A template that was filled in twice is thereby compared by what was filled in.
    """
    ours, theirs = list(left.words), list(right.words)
    start = _shared(ours, theirs)
    ours, theirs = ours[start:], theirs[start:]
    end = _shared(ours[::-1], theirs[::-1])
    if end:
        ours, theirs = ours[:-end], theirs[:-end]
    if min(len(ours), len(theirs)) > _RUN:
        runs = _runs(ours) & _runs(theirs)
        if runs:
            ours, theirs = _outside(ours, runs), _outside(theirs, runs)
    return ours, theirs


def subject(left: Wording, right: Wording) -> set[str]:
    """The words that say what both are about: names and numbers, and the words that follow them in both.

    Two questions about the ``Wren heat pump`` share three words and may ask anything of it.
    """
    named = set(left.named | right.named | _BY_RULE)
    followed = _followed(left) & _followed(right)
    while more := {after for word, after in followed if word in named and after not in named}:
        named |= more
    return named


def _followed(wording: Wording) -> set[tuple[str, str]]:
    return set(zip(wording.words, wording.words[1:], strict=False))


def _shared(ours: Sequence[str], theirs: Sequence[str]) -> int:
    count = 0
    for one, other in zip(ours, theirs, strict=False):
        if one != other:
            break
        count += 1
    return count


def _runs(words: Sequence[str]) -> set[tuple[str, ...]]:
    return set(zip(*(words[start:] for start in range(_RUN)), strict=False))


def _outside(words: Sequence[str], runs: set[tuple[str, ...]]) -> list[str]:
    """The words that stand in none of the runs."""
    inside: set[int] = set()
    for start, run in enumerate(zip(*(words[start:] for start in range(_RUN)), strict=False)):
        if run in runs:
            inside.update(range(start, start + _RUN))
    return [word for position, word in enumerate(words) if position not in inside]
