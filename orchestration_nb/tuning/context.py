"""What a strategy that learns while it answers sees of a request: a short row of numbers, the same in every language.

Nothing is fitted and nothing is remembered, so the row of a request is the same in every process and on every day.
"""

from __future__ import annotations

import math
import re
import zlib

import numpy as np
from numpy.typing import NDArray

from orchestration_nb.calls import Request

CONTEXT_VERSION = 1
"""Goes up when the meaning of a place changes: what was learned on another version cannot be used."""

WORD_PLACES = 16
STEP_PLACES = 8
CONTEXT_SIZE = 7 + STEP_PLACES + WORD_PLACES
"""Numbers in a row."""

_READ_CHARACTERS = 4000
"""Words are read from so much of the prompt; a book's first pages say what is asked."""
_WORDS_WEIGHT = 0.5
"""Length of the words' places: one word says less of which model suits than the step or the form does."""

_CJK = "぀-ヿ㐀-鿿"  # written without spaces: each sign is taken for a word
_WORD = re.compile(rf"[{_CJK}]|[^\W\d_{_CJK}]+")
_NUMBER = re.compile(r"\d+")


def context_of(request: Request) -> NDArray[np.float64]:
    """The row of one request.

    Places: 1, length, share of digits, of signs, of capitals, lines, numbers, the step (hashed), the words (hashed
    with a sign, as in Weinberger et al. 2009, and scaled to one length).

    Args:
        request: Of it, the last user message and the name of the step are read.

    Returns:
        Shape ``(CONTEXT_SIZE,)``; every place is about as large as 1 or smaller.
    """
    text = request.prompt
    row = np.zeros(CONTEXT_SIZE)
    row[:7] = _signs(text)
    row[7 + zlib.crc32(request.origin.step.encode()) % STEP_PLACES] = 1.0
    row[7 + STEP_PLACES :] = _words(text[:_READ_CHARACTERS])
    return row


def _signs(text: str) -> tuple[float, ...]:
    read = text[:_READ_CHARACTERS]
    characters = len(read) or 1
    digits = sum(map(str.isdigit, read))
    marks = characters - sum(map(str.isalnum, read)) - sum(map(str.isspace, read))
    return (
        1.0,
        math.log2(len(text) + 1) / 10 - 0.8,  # 0 at 255 characters
        4 * digits / characters,
        4 * marks / characters,
        4 * sum(map(str.isupper, read)) / characters,
        math.log2(1 + read.count("\n")) / 10,
        math.log2(1 + len(_NUMBER.findall(read))) / 5,
    )


def _words(text: str) -> NDArray[np.float64]:
    places = np.zeros(WORD_PLACES)
    for word in set(_WORD.findall(text.casefold())):
        code = zlib.crc32(word.encode("utf-8", "replace"))
        places[code % WORD_PLACES] += 1.0 if code >> 31 else -1.0
    length = float(np.linalg.norm(places))
    return places * (_WORDS_WEIGHT / length) if length else places
