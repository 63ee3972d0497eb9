"""A question taken apart: what must agree to the letter, and the words that may be put differently.

Rules of English. In other languages they see less: names and numbers still count, and nouns with capitals count as
names, so that fewer questions are taken for the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from orchestration_nb.cost.words import ASKED_FOR, DIRECTIONS, HARMLESS, LIMITS, MEASURED, NEGATORS, SPELT, stem

_LONGEST_QUOTE: Final = 12
_NUMBER = re.compile(r"([$€£]?)(\d+(?:[.,:/-]\d+)*)(%?)([^\W\d_]*)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_POSSESSIVE = re.compile(r"['’]s$")
_PART = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_CONTRACTED = re.compile(r"(?i)(n['’]t|['’](?:s|re|ve|ll|d|m)|s['’])$")


@dataclass(frozen=True, slots=True, eq=False)
class Wording:
    """A text, taken apart once."""

    words: tuple[str, ...]
    """Stems in their order, the harmless ones left out."""
    plain: frozenset[str]
    """All words as they are written, in lower case."""
    exact: frozenset[str]
    """What must stand in the other text too: names, numbers, codes, what is quoted."""
    named: frozenset[str]
    """The stems of these."""
    numbers: tuple[str, ...]
    """The numbers in their order."""
    negated: tuple[str, ...]
    """The word after each negation."""
    directed: dict[str, str]
    """The word after each direction."""
    asked_for: frozenset[str]
    limits: frozenset[str]


def take_apart(text: str) -> Wording:
    """The wording of a text."""
    tokens = list(_tokens(text))
    plain = [word for word, _ in tokens]
    exact = frozenset(word for word, is_exact in tokens if is_exact)
    words = [
        stem(word)
        for word, after in zip(plain, [*plain[1:], ""], strict=False)
        if word in exact or not (word in HARMLESS or (word == "how" and after in MEASURED))
    ]
    negated, directed = _followers(plain, exact)
    return Wording(
        words=tuple(words),
        plain=frozenset(plain),
        exact=exact,
        named=frozenset(map(stem, exact)),
        numbers=tuple(word for word, is_exact in tokens if is_exact and word[0].isdigit()),
        negated=negated,
        directed=directed,
        asked_for=frozenset(_asked_for(plain)),
        limits=frozenset(LIMITS[word] for word in plain if word in LIMITS),
    )


def _asked_for(plain: Sequence[str]) -> Iterator[str]:
    for word, after in zip(plain, [*plain[1:], ""], strict=False):
        if word in ASKED_FOR:
            yield ASKED_FOR[word]
        elif word == "how" and after in MEASURED:
            yield after


def _tokens(text: str) -> Iterator[tuple[str, bool]]:
    """Each word in lower case, and whether it must agree to the letter."""
    shouted = text.isupper()
    for line in text.splitlines():
        begins, quoted = True, 0
        for chunk in line.split():
            bare = chunk.strip("\"'“”‘’«»„`.,;:!?()[]{}<>*…")
            if quoted == 0 and chunk[0] in "\"'“‘«„`" and line.count(chunk[0]) + line.count("”") + line.count("’") > 1:
                quoted = _LONGEST_QUOTE
            if bare:
                yield from _chunk(bare, names=not begins and not shouted, quoted=quoted > 0)
            quoted = 0 if quoted and chunk.rstrip(".,;:!?")[-1:] in "\"'”’»`" else max(0, quoted - 1)
            begins = chunk[-1] in ".!?:"


def _chunk(bare: str, *, names: bool, quoted: bool) -> Iterator[tuple[str, bool]]:
    bare = _POSSESSIVE.sub("", bare)
    number = _NUMBER.fullmatch(bare)
    if number is not None:
        sign, digits, percent, unit = number.groups()
        yield _THOUSANDS.sub("", digits), True
        yield from ((word, False) for word in (sign, percent and "percent", unit.lower()) if word)
        return
    parts = re.split(r"[-–—/]", bare)
    if not all(_PART.fullmatch(part) for part in parts):
        yield bare.lower(), True  # an address, a code, a formula
        return
    for part in parts:
        yield from _word(part, names=names, quoted=quoted)


def _word(part: str, *, names: bool, quoted: bool) -> Iterator[tuple[str, bool]]:
    lower = part.lower()
    contracted = _CONTRACTED.search(lower)
    if contracted is not None:
        lower = lower[: contracted.start()] + ("s" if contracted[0][0] == "s" else "")
        lower = {"ca": "can", "wo": "will", "sha": "shall"}.get(lower, lower)
    if lower in SPELT:
        yield SPELT[lower], True
    elif lower:
        is_name = names and lower not in HARMLESS and any(letter.isupper() for letter in part)
        yield lower, quoted or is_name
    if contracted is not None and contracted[0].startswith("n"):
        yield "not", False


def _followers(plain: Sequence[str], exact: frozenset[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The word that follows each negation and each direction, harmless ones skipped."""
    negated: list[str] = []
    directed: dict[str, str] = {}
    follower = ""
    for word in reversed(plain):
        if word in NEGATORS:
            negated.append(follower)
        elif word in DIRECTIONS:
            directed[word] = follower
        elif word in exact or word not in HARMLESS:
            follower = stem(word)
    return tuple(negated), directed
