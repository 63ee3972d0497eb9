"""The text of a reply -> the value that was asked for, however the model wrapped its JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from pydantic import TypeAdapter

from orchestration_nb.errors import SchemaNotMetError
from orchestration_nb.flow.adapters import checked_json, shortened

_FENCE: Final = re.compile(r"```[\w-]*[ \t]*\n(.*?)```", re.DOTALL)
_OPENING: Final = re.compile(r"[{\[]")
_MOST_STARTS: Final = 64
_TRIMMINGS: Final = " \t\r\n\"'`*."


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER: Final = json.JSONDecoder(strict=False, parse_constant=_no_constant)


class ReplyReader:
    """Reads replies of one type.

    Takes the whole reply as JSON, else what stands between fences, else the JSON within a sentence. Where these hold
    several values that fit and differ, none is taken.

    Args:
        checker: What the value must fit.
        wrapper: The key under which a value that is no object was asked for.
    """

    def __init__(self, checker: TypeAdapter[Any], *, wrapper: str | None) -> None:
        self._checker = checker
        self._wrapper = wrapper

    def read(self, text: str) -> Any:
        """The value of a reply.

        Raises:
            SchemaNotMetError: No value in it fits; the sentence can be sent back to the model.
        """
        complaint = ""
        for candidates in self._readings(text):
            fitting, refused = self._fitting(candidates)
            if len(fitting) == 1:
                return fitting[0]
            if len(fitting) > 1:
                raise _unfit(text, "it holds several values that differ; answer with one JSON value only")
            complaint = complaint or refused
        raise _unfit(text, complaint or "it holds no JSON value; answer with the JSON value only")

    def _readings(self, text: str) -> Iterator[list[Any]]:
        yield _decoded(text)
        yield [value for block in _FENCE.findall(text) for value in _decoded(block)]
        yield list(_embedded(text))
        if self._wrapper is not None:
            yield [bare] if (bare := text.strip(_TRIMMINGS)) else []

    def _fitting(self, candidates: list[Any]) -> tuple[list[Any], str]:
        fitting: list[Any] = []
        complaint = ""
        for candidate in candidates:
            try:
                value = self._value(candidate)
            except ValueError as error:
                complaint = complaint or str(error)
                continue
            if value not in fitting:
                fitting.append(value)
        return fitting, complaint

    def _value(self, candidate: Any) -> Any:
        if self._wrapper is not None and isinstance(candidate, dict) and candidate.keys() == {self._wrapper}:
            return checked_json(self._checker, candidate[self._wrapper])
        return checked_json(self._checker, candidate)


def _decoded(text: str) -> list[Any]:
    try:
        return [_DECODER.decode(text.strip())]
    except (ValueError, RecursionError):
        return []


def _embedded(text: str) -> Iterator[Any]:
    """The JSON objects and lists that stand in a text, those inside others left out."""
    place, starts = 0, 0
    while (opening := _OPENING.search(text, place)) and starts < _MOST_STARTS:
        starts += 1
        try:
            value, place = _DECODER.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            place = opening.end()
        else:
            yield value


def _unfit(text: str, complaint: str) -> SchemaNotMetError:
    return SchemaNotMetError(
        f"The reply {shortened(repr(text))} does not fit what was asked for: {complaint}.",
        reply=text,
        hint="Say the form in the prompt, choose a stronger model, or give llm(..., default=...).",
    )
