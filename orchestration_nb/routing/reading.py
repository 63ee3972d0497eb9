"""What a reply finally says, so that two replies can be held against each other."""

from __future__ import annotations

import re
from typing import Final

from orchestration_nb.calls import Reply
from orchestration_nb.routing.answers import stated_answer
from orchestration_nb.routing.values import NO_DATA, data_of, last_number, number_of, plain_words

_INNER_CAPITAL: Final = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]")
_TO_THE_LETTER: Final = re.compile(r"^[^\w-]|\W\W$|\s{2,}|\s$|^0\d|[\n\t]")
"""What a text in quotes has where it is the output of code: odd edges or spaces, which count then."""
_OPTION: Final = re.compile(
    r"[*_]*(?:\(([A-Ja-j])\)[*_]*(?:[\s.:].*)?|(?:[Oo]ption|[Cc]hoice)\s+\(?([A-Ja-j])\b.*|([A-J])(?:[).:]?|[):]\s.*))[*_.]*",
    re.DOTALL,
)
_WRAPPED: Final = re.compile(r"\$?\\(?:text|mathrm|textbf|mathbf)\s*\{([^{}]*)\}\$?")
_LAST_FENCE: Final = re.compile(r"```[\w-]*[ \t]*\n((?:(?!```).)*)\n?```\s*\Z", re.DOTALL)
_LONGEST: Final = 20_000


def read_answer(reply: Reply) -> object:
    """What the reply finally says: its value where it has a schema, else the answer that it states, normalised.

    Numbers compare as numbers however they are written, data as data, the letter of an option without what stands
    around it, all else as plain words, whose capitals count only where they stand within a word, as in code. A text in
    quotes counts to the letter where its edges or spaces are odd, as those of a program's output. Where nothing is
    stated as the answer, data that are the whole reply or its last block of code count; else the last number; else the
    whole text.
    """
    if not isinstance(reply.value, str):
        return reply.value
    words = stated_answer(reply.text)
    if words is None:
        words = _bare_data(reply.text)
    if words is None:
        number = last_number(reply.text)
        return _option(reply.text) or plain_words(reply.text) if number is None else number.value
    data = data_of(words)
    if isinstance(data, str):
        if _TO_THE_LETTER.search(data):
            return data
        words = data
    elif data is not NO_DATA:
        return repr(data)
    number = number_of(words)
    if number is not None:
        return number.value
    return _option(words) or plain_words(words, case=_INNER_CAPITAL.search(words) is not None)


def _bare_data(text: str) -> str | None:
    """The whole reply, or the block of code at its end, where that is data."""
    fenced = _LAST_FENCE.search(text[-_LONGEST:])
    words = (fenced[1] if fenced else text).strip()
    return words if data_of(words) is not NO_DATA else None


def _option(words: str) -> str | None:
    """The letter of the option that these words name, or ``None``."""
    words = _WRAPPED.sub(r"\1", words[:_LONGEST].strip())
    found = _OPTION.fullmatch(words)
    return None if found is None else next(letter for letter in found.groups() if letter).casefold()


def agrees(left: Reply, right: Reply) -> bool:
    """Whether two replies say the same in the end."""
    return read_answer(left) == read_answer(right)
