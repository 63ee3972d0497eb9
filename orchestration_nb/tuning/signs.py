"""What can be read off a text without knowing its subject: lengths, digits, code, hedging, a broken end, agreement.

Each function gives numbers in a fixed order, so that a column means the same wherever it is read.
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from orchestration_nb.calls import Reply
from orchestration_nb.routing.reading import read_answer

_TOKEN: Final = re.compile(r"[^\W\d_]+|\d+|[^\w\s]")
_DIGIT: Final = re.compile(r"\d")
_SIGN: Final = re.compile(r"[^\w\s]")
_CAPITAL: Final = re.compile(r"[A-ZÀ-ÖØ-Þ]")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_CODE: Final = re.compile(
    r"```|\b(?:def|class|function|fn|void|SELECT)\s+\w+|\breturn\b|[;{}]\s*$|\bimport \w|=>|==|\bfor \w+ in\b",
    re.MULTILINE,
)
_MATH: Final = re.compile(r"\\[a-zA-Z]+|[$^=<>≤≥√∑∫]")
_SENTENCE_END: Final = re.compile(r"[.!?](?:\s|$)")
_LIST_MARK: Final = re.compile(r"(?:^|\\n)\s*(?:\d+[.)]|[-*•])\s", re.MULTILINE)
_HEDGE: Final = re.compile(
    r"\b(?:maybe|perhaps|possibly|might|likely|probably|approximately|roughly|assum\w*|seems?|appears?|not sure|unsure"
    r"|unclear|uncertain|ambiguous|estimate\w*|guess\w*|depends)\b",
    re.IGNORECASE,
)
_SECOND_THOUGHT: Final = re.compile(
    r"\b(?:however|but|wait|actually|re-?check\w*|re-?evaluat\w*|re-?consider\w*|mistakes?|error|incorrect|correction"
    r"|instead|try again|contradict\w*|hmm|oops|double-check|inconsisten\w*)\b",
    re.IGNORECASE,
)
_REFUSAL: Final = re.compile(
    r"\b(?:cannot|can't|can not|unable|sorry|apologi[sz]e|as an ai|don't know|do not know|not enough information"
    r"|impossible|not possible|no solution|none of the)\b",
    re.IGNORECASE,
)
_STATES: Final = re.compile(r"\banswer\b|\bresult\b|\\boxed|^####", re.IGNORECASE | re.MULTILINE)
_LARGEST = 1e12
_LONGEST_COMPARED = 200
_LONGEST_READ = 50_000
"""Characters of a reply that are read, from its end: an answer stands there, and a reply may be a flood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One reply, as far as features read it."""

    text: str
    answer: object
    """What it finally says, normalised."""
    cut_off: bool = False
    """Whether the model stopped because it had no tokens left."""


def said(reply: Reply) -> Said:
    """The reply of a model, read."""
    plain = replace(reply, value=reply.text)  # what a schema made of it is not in the ledger, which is learned from
    return Said(text=reply.text[-_LONGEST_READ:], answer=read_answer(plain), cut_off=reply.finish_reason == "length")


def words_of(text: str) -> Iterator[str]:
    """Words and signs, then pairs of neighbours, in lower case; of a number only how long it is counts."""
    tokens = _tokens(text)
    yield from tokens
    for left, right in itertools.pairwise(tokens):
        yield f"{left} {right}"


def _tokens(text: str) -> list[str]:
    return ["0" * min(len(each), 4) if each[0].isdigit() else each for each in _TOKEN.findall(text.lower())]


def surface(text: str) -> list[float]:
    """Fourteen numbers that any text has: sizes, and the share of digits, signs, capitals, code and formulas."""
    size, words = len(text) + 1, text.split()
    numbers = _NUMBER.findall(text)
    return [
        math.log(size),
        math.log1p(len(words)),
        math.log1p(text.count("\n")),
        math.log1p(len(numbers)),
        len(_DIGIT.findall(text)) / size,
        len(_SIGN.findall(text)) / size,
        len(_CAPITAL.findall(text)) / size,
        math.log1p(text.count("?")),
        math.log1p(len(_SENTENCE_END.findall(text))),
        math.log1p(len(_CODE.findall(text))),
        math.log1p(len(_MATH.findall(text))),
        len({word.lower() for word in words}) / (len(words) + 1),
        sum(map(len, words)) / (len(words) + 1),
        max((_magnitude(float(each)) for each in numbers), default=0.0),
    ]


def reply_signs(reply: Said, prompt: str) -> list[float]:
    """What a reply shows of how sure it can be of itself: its size, its answer, hedging, second thoughts, its end."""
    text = reply.text
    size, end = len(text) + 1, text.rstrip()[-1:]
    return [
        *surface(text),
        *_answer_signs(reply.answer),
        len(zlib.compress(text.encode(errors="replace"))) / size,
        math.log(size / (len(prompt) + 1)),
        math.log1p(len(_HEDGE.findall(text))),
        math.log1p(len(_SECOND_THOUGHT.findall(text))),
        math.log1p(len(_REFUSAL.findall(text))),
        float(bool(_STATES.search(text))),
        math.log1p(len(_LIST_MARK.findall(text))),
        float(reply.cut_off),
        float(end.isalnum() or end in ",:\\"),
    ]


def _answer_signs(answer: object) -> list[float]:
    if isinstance(answer, float) and math.isfinite(answer):
        return [1.0, float(answer == int(answer)), float(answer < 0), _magnitude(answer), 0.0]
    return [0.0, 0.0, 0.0, 0.0, math.log1p(len(str(answer)))]


def agreement(left: Said, right: Said) -> list[float]:
    """How far two replies say the same: their answers, the numbers and words in them, their sizes."""
    ours, theirs = str(left.answer)[:_LONGEST_COMPARED], str(right.answer)[:_LONGEST_COMPARED]
    same = left.answer == right.answer
    apart = 0.0
    if isinstance(left.answer, float) and isinstance(right.answer, float):
        apart = min(5.0, abs(_magnitude(left.answer) - _magnitude(right.answer)) * math.log(10))
    return [
        float(same),
        1.0 if same else difflib.SequenceMatcher(None, ours, theirs, autojunk=False).ratio(),
        apart,
        float(isinstance(left.answer, float) == isinstance(right.answer, float)),
        _overlap(set(_NUMBER.findall(left.text)), set(_NUMBER.findall(right.text))),
        _overlap(set(_tokens(left.text)), set(_tokens(right.text))),
        abs(math.log((len(left.text) + 1) / (len(right.text) + 1))),
    ]


def _overlap(ours: set[str], theirs: set[str]) -> float:
    return len(ours & theirs) / max(1, len(ours | theirs))


def _magnitude(number: float) -> float:
    return math.log10(1 + min(abs(number), _LARGEST))
