"""What a prompt and its reply would count in tokens, before a model was ever asked: wide, and said to be guesses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from orchestration_nb.calls import OutputSchema
from orchestration_nb.cost.estimates import Estimate

TOKENS_PER_BYTE: Final = Estimate(low=1 / 6, expected=1 / 4, high=1 / 2.2)
"""English is about 4 bytes a token; code, numbers and other languages have fewer."""
PER_REQUEST: Final = Estimate(low=0, expected=8, high=30)
"""Tokens that a provider adds around a prompt."""
FAN_OUT: Final = Estimate(low=0, expected=3, high=10)
"""Requests of a step that asks once for each of several things."""
ASKED: Final = Estimate(low=0, expected=0.6, high=1)
"""Share of the items for which a step asks that asks only on a condition."""
PLAIN_BYTES: Final = Estimate(low=20, expected=300, high=4000)
"""Bytes of the value of a plain step in a prompt."""
LATENCY_S: Final = Estimate(low=0.4, expected=1.3, high=4.0)
"""A call's time: half are quicker than expected, 5 % slower than high."""

_TEXT_SHARE: Final = Estimate(low=0.008, expected=0.175, high=0.75)
"""Of ``max_tokens``, what a free text uses."""
_WORDS: Final = Estimate(low=2, expected=30, high=300)
_ITEMS: Final = Estimate(low=0, expected=3, high=20)
_NUMBER: Final = Estimate(low=1, expected=2, high=8)
_OPEN: Final = Estimate(low=3, expected=5, high=12)
_UNKNOWN: Final = Estimate(low=2, expected=30, high=300)
_DEEPEST: Final = 8


def input_tokens(prompt_bytes: Estimate, schema: OutputSchema | None) -> Estimate:
    """Tokens of a prompt of so many bytes, and of the form that goes with it."""
    form = 0 if schema is None else len(orjson.dumps(schema.json_schema))
    return (prompt_bytes + Estimate(low=0, expected=form, high=form)) * TOKENS_PER_BYTE + PER_REQUEST


def output_tokens(schema: OutputSchema | None, max_tokens: int) -> Estimate:
    """Tokens of a reply: by its form where it has one, else a share of the most that it may have."""
    if schema is None:
        return _TEXT_SHARE.times(max_tokens)
    return _formed(schema.json_schema, 0).at_most(max_tokens)


def _formed(schema: Mapping[str, Any], depth: int) -> Estimate:
    if depth > _DEEPEST:
        return _UNKNOWN
    if "enum" in schema:
        sizes = [len(orjson.dumps(option, default=str)) for option in schema["enum"]]
        return Estimate(low=1, expected=sum(sizes) / len(sizes) / 3, high=max(sizes) / 2 + 1)
    if "anyOf" in schema:
        options = [_formed(option, depth + 1) for option in schema["anyOf"]]
        return Estimate(
            low=min(each.low for each in options),
            expected=sum(each.expected for each in options) / len(options),
            high=max(each.high for each in options),
        )
    return _by_type(schema, depth)


def _by_type(schema: Mapping[str, Any], depth: int) -> Estimate:
    kind = schema.get("type")
    if kind == "object" and schema.get("properties"):
        whole = _OPEN
        for name, each in schema["properties"].items():
            whole += _formed(each, depth + 1) + TOKENS_PER_BYTE.times(len(name) + 4)
        return whole
    if kind in {"object", "array"}:
        each = schema.get("items") or schema.get("additionalProperties")
        return _OPEN + _ITEMS * (_formed(each, depth + 1) if isinstance(each, Mapping) else _UNKNOWN)
    return {"integer": _NUMBER, "number": _NUMBER, "boolean": _NUMBER, "null": _NUMBER}.get(str(kind), _WORDS)
