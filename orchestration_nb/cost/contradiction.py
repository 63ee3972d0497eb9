"""Whether two questions ask for different things, however like they sound.

Two questions that share nearly all their words may differ in a number, a name, a negation, a direction or a word's
opposite; each is looked for by rule. What is let through is compared by weight of words
(:mod:`orchestration_nb.cost.similarity`).
"""

from __future__ import annotations

from typing import Final

from orchestration_nb.cost.wording import Wording
from orchestration_nb.cost.words import CALENDAR, OPPOSITE, PREFIXES, degree, stem

_CALENDAR: Final = frozenset(map(stem, CALENDAR))


def contradict(left: Wording, right: Wording) -> bool:
    """Whether the two surely or probably ask for different things, however like they sound."""
    return (
        not left.exact <= right.plain
        or not right.exact <= left.plain
        or left.limits != right.limits
        or len(left.negated) != len(right.negated)
        or (left.asked_for != right.asked_for and bool(left.asked_for) and bool(right.asked_for))
        or _order(left, right) != _order(right, left)
        or _turned(left, right)
        or _opposed(left, right)
    )


def _order(one: Wording, other: Wording) -> tuple[tuple[str, ...], list[str], list[str]]:
    """The numbers in their order, the names in theirs, and the names of the calendar, which may stand anywhere."""
    named = [word for word in one.words if (word in one.named or word in other.named) and not word[0].isdigit()]
    dated = sorted(word for word in named if word in _CALENDAR)
    return one.numbers, [word for word in named if word not in _CALENDAR], dated


def _turned(left: Wording, right: Wording) -> bool:
    """Whether a negation or a direction points to another word that both texts have."""
    pairs = list(zip(left.negated, right.negated, strict=True))
    pairs += [(left.directed[word], right.directed[word]) for word in left.directed.keys() & right.directed.keys()]
    return any(one != other and (one in right.words or other in left.words) for one, other in pairs)


def _opposed(left: Wording, right: Wording) -> bool:
    """Whether a word of one text has its opposite in the other."""
    ours = _kinds(left.plain - right.plain)
    theirs = _kinds(right.plain - left.plain)
    if any(not (theirs - ours).isdisjoint(OPPOSITE.get(word, ())) for word in ours - theirs):
        return True
    return _prefixed(ours, right) or _prefixed(theirs, left)


def _kinds(words: frozenset[str]) -> set[str]:
    return {stem(word) for word in words} | {degree(word) for word in words}


def _prefixed(words: set[str], other: Wording) -> bool:
    """Whether the other text has one of the words without its ``un-``."""
    bare = {word.removeprefix(prefix) for word in words for prefix in PREFIXES if word.startswith(prefix)}
    return any(len(word) >= 3 and word in other.words for word in bare)
