"""What a reply finally says, so that two replies can be held against each other."""

from __future__ import annotations

import re

from orchestration_nb.calls import Reply

_FINAL = re.compile(r"(?:answer|result)\s*(?:is|:|=)+\s*(.+?)\s*$", re.IGNORECASE | re.MULTILINE)
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def read_answer(reply: Reply) -> object:
    """What the reply finally says: its value where it has a schema, else the last stated answer, normalised.

    A line such as ``Answer: 42`` wins; else the last number; else the whole text. Numbers compare as numbers.
    """
    if not isinstance(reply.value, str):
        return reply.value
    stated = _FINAL.findall(reply.text)
    text = stated[-1] if stated else reply.text
    numbers = _NUMBER.findall(text)
    if numbers and (stated or len(reply.text) > len(numbers[-1])):
        return float(numbers[-1].replace(",", ""))
    return " ".join(text.casefold().strip(" .*`'\"$").split())


def agrees(left: Reply, right: Reply) -> bool:
    """Whether two replies say the same in the end."""
    return read_answer(left) == read_answer(right)
