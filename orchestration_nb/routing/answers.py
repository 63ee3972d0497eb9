"""Where in its words a reply states its answer: a field of JSON, a box, the last ``Answer: ...``.

It gives the words as they stand; what they mean (a number, a label, a value of Python) is for the reader of them.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_KEYS: Final = ("final_answer", "answer", "result", "value")
_FIELD: Final = re.compile(r'"(?:final[_ ]?answer|answer|result|value)"\s*:\s*', re.IGNORECASE)
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE: Final = re.compile(r"[^\n}]*")
_BOX: Final = re.compile(r"\\(?:boxed|fbox)\s*\{")
_HASHES: Final = re.compile(r"^####[ \t]*(\S[^\n]*)", re.MULTILINE)
_SAID: Final = re.compile(r"\b(?:answer|result)\b[*_`\s]*(?:is|are|:|=)[\s:*_`=]*(?=\S)", re.IGNORECASE)
_NEXT_SENTENCE: Final = re.compile(r"(?:(?<=\d)|(?<=[a-z]{4})|(?<=[%)\"'*]))\.\**\s+(?=[A-Z])")
_FENCE: Final = re.compile(r"^[ \t]*```[\w-]*[ \t]*$", re.MULTILINE)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "/": "/"}
_LONGEST: Final = 100_000
"""Characters that are read, from the end: an answer stands there, and a reply may be a flood."""


def stated_answer(text: str) -> str | None:
    r"""The words in which a reply states its answer, or ``None`` where it states none.

    In this order: the field ``answer`` (``final_answer``, ``result``, ``value``) of JSON, also of JSON that is broken
    or stands in a sentence or a fence; the last ``\boxed{...}``; the last line ``#### ...``; what follows the last
    ``answer is``, ``Answer:`` or ``Result =``, to the end of its line.

    Args:
        text: The whole reply.
    """
    text = text[-_LONGEST:]
    for read in (_whole_json, _field, _boxed, _hashes, _said):
        if (found := read(text)) is not None:
            return found.strip()
    return None


def _whole_json(text: str) -> str | None:
    try:
        value = json.loads(_FENCE.sub("", text), strict=False)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    by_name = {str(key).casefold().replace(" ", "_"): each for key, each in value.items()}
    return next((_written(by_name[key]) for key in _KEYS if key in by_name), None)


def _field(text: str) -> str | None:
    """The answer in JSON that does not parse as a whole: text around it, LaTeX, quotes within quotes."""
    opened = list(_FIELD.finditer(text))
    if not opened:
        return None
    rest = text[opened[-1].end() :]
    if quoted := _QUOTED.match(rest):
        return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[0]), quoted[1])
    try:
        return _written(json.JSONDecoder(strict=False).raw_decode(rest)[0])
    except (ValueError, RecursionError):
        bare = _BARE.match(rest)
        return bare[0].strip().rstrip(",") if bare else None


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _boxed(text: str) -> str | None:
    opened = list(_BOX.finditer(text))
    if not opened:
        return None
    start, depth = opened[-1].end(), 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place]
    return None


def _hashes(text: str) -> str | None:
    found = _HASHES.findall(text)
    return found[-1] if found else None


def _said(text: str) -> str | None:
    places = [match.end() for match in _SAID.finditer(text)]
    if not places:
        return None
    line = text[places[-1] :].partition("\n")[0]
    return _NEXT_SENTENCE.split(line)[0].strip("*_` ")
