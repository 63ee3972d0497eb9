"""The text of a strategy, such as ``hedged(fast, after_ms=800)``: taken apart, and never evaluated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from orchestration_nb.errors import UsageError

_CALL: Final = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*\((?P<inside>.*)\)\s*", re.DOTALL)
_NAME: Final = r"[\w./:@+~-]+"
_VALUE: Final = re.compile(rf"(?P<quote>['\"]?)(?P<value>{_NAME})(?P=quote)")
_KEYWORD: Final = re.compile(rf"(?P<quote>['\"]?)(?P<key>{_NAME})(?P=quote)\s*=\s*(?P<value>.*)", re.DOTALL)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a text says: a maker and what it is given."""

    maker: str
    given: tuple[str | float, ...]
    named: dict[str, str | float]


def maker_in(text: str) -> str | None:
    """The name before the brackets, or ``None`` where there are none."""
    call = _CALL.fullmatch(text)
    return call["name"] if call else None


def read_text(text: str, *, in_python: tuple[str, ...] = ()) -> Written:
    """Takes ``maker(model, key=value)`` apart.

    Args:
        text: The text; :func:`maker_in` has found a name in it.
        in_python: What can only be given in Python.

    Raises:
        UsageError: If something in the brackets is neither a model name nor a number.
    """
    call = _CALL.fullmatch(text)
    assert call is not None
    maker, given, named = call["name"], list[str | float](), dict[str, str | float]()
    for part in filter(None, map(str.strip, call["inside"].split(","))):
        keyword = _KEYWORD.fullmatch(part)
        if keyword is None:
            given.append(_value(maker, part))
            continue
        key = keyword["key"]
        if key in in_python:
            raise UsageError(
                f"{key}= cannot be written in the text of a strategy.",
                hint=f"Give the strategy itself, in Python: strategy={maker}(..., {key}=...).",
            )
        if key in named:
            raise UsageError(f"{key}= stands twice in {maker}(...).", hint="Leave one of them away.")
        named[key] = _value(maker, keyword["value"].strip())
    return Written(maker=maker, given=tuple(given), named=named)


def _value(maker: str, part: str) -> str | float:
    if _NUMBER.fullmatch(part):
        return int(part) if part.lstrip("+-").isdecimal() else float(part)
    found = _VALUE.fullmatch(part)
    if found is None:
        raise UsageError(
            f"{part!r} is no model name, in {maker}(...).",
            hint=f"Write {maker}(openai/gpt-4.1, anthropic/claude-sonnet-4-5).",
        )
    return found["value"]
