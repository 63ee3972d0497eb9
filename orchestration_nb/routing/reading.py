"""What a reply finally says, so that two replies can be held against each other."""

from __future__ import annotations

import re
from typing import Final

from orchestration_nb.calls import Reply
from orchestration_nb.routing.answers import stated_answer
from orchestration_nb.routing.values import NO_DATA, data_of, last_number, number_of, plain_words

_INNER_CAPITAL: Final = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]")


def read_answer(reply: Reply) -> object:
    """What the reply finally says: its value where it has a schema, else the answer that it states, normalised.

    Numbers compare as numbers however they are written, data as data, all else as plain words, whose capitals count
    only where they stand within a word, as in code. Where nothing is stated as the answer, the last number counts; else
    the whole text.
    """
    if not isinstance(reply.value, str):
        return reply.value
    words = stated_answer(reply.text)
    if words is None:
        number = last_number(reply.text)
        return plain_words(reply.text) if number is None else number.value
    data = data_of(words)
    if isinstance(data, str):
        words = data
    elif data is not NO_DATA:
        return repr(data)
    number = number_of(words)
    return plain_words(words, case=_INNER_CAPITAL.search(words) is not None) if number is None else number.value


def agrees(left: Reply, right: Reply) -> bool:
    """Whether two replies say the same in the end."""
    return read_answer(left) == read_answer(right)
