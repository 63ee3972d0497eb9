"""JSON schemas in the strict form that providers' structured outputs want.

Strict means: every object lists its properties, requires all of them and allows no other. What a provider's grammar
cannot hold (a bound, a length) is dropped from the schema and told in the description; the reply is validated against
the step's own schema in any case. A schema that cannot be made strict (a dict of free keys, a tuple) gives ``None``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

OPENAI_UNSUPPORTED = frozenset(
    {"default", "minLength", "maxLength", "uniqueItems", "examples", "title", "discriminator"}
)
"""Keywords that OpenAI's strict mode refuses or ignores."""
ANTHROPIC_UNSUPPORTED = OPENAI_UNSUPPORTED | {
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "pattern",
    "format",
}
"""Keywords that Anthropic's structured outputs refuse."""
_SILENT = {"default", "examples", "title", "discriminator"}
_IMPOSSIBLE = {
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "prefixItems",
    "patternProperties",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedProperties",
    "propertyNames",
    "contains",
}


class _NotStrictError(Exception):
    """The schema says something that the strict form cannot."""


def strict_form(
    schema: Mapping[str, Any], *, unsupported: frozenset[str] = OPENAI_UNSUPPORTED, recursive: bool = True
) -> orjson.Fragment | None:
    """The strict form as JSON, ready to stand in a body, or ``None`` where there is none.

    Args:
        schema: JSON schema of an object.
        unsupported: Keywords to drop and tell in words.
        recursive: Whether a definition may refer to itself.
    """
    return _strict(orjson.dumps(schema), unsupported, recursive)


@lru_cache(maxsize=256)
def _strict(dumped: bytes, unsupported: frozenset[str], recursive: bool) -> orjson.Fragment | None:
    schema = orjson.loads(dumped)
    try:
        if not recursive and _recurs(schema):
            return None
        strict = _node(schema, unsupported)
    except _NotStrictError:
        return None
    return orjson.Fragment(orjson.dumps(strict)) if strict.get("type") == "object" else None


def _node(node: Any, unsupported: frozenset[str]) -> dict[str, Any]:
    if not isinstance(node, dict) or _IMPOSSIBLE & node.keys():
        raise _NotStrictError
    if "$ref" in node:
        strict = {"$ref": node["$ref"]}
    else:
        strict = _told_in_words(node, unsupported)
        _nested(node, strict, unsupported)
        if node.get("type") == "object" or "properties" in node:
            _object(node, strict, unsupported)
    if "$defs" in node:
        strict["$defs"] = {name: _node(part, unsupported) for name, part in node["$defs"].items()}
    return strict


def _told_in_words(node: Mapping[str, Any], unsupported: frozenset[str]) -> dict[str, Any]:
    strict = {word: value for word, value in node.items() if word not in unsupported and word != "$defs"}
    told = [f"{word}: {orjson.dumps(node[word]).decode()}" for word in node if word in unsupported - _SILENT]
    if told:
        strict["description"] = " ".join([node.get("description", ""), f"({', '.join(told)})"]).strip()
    return strict


def _nested(node: Mapping[str, Any], strict: dict[str, Any], unsupported: frozenset[str]) -> None:
    if node.get("type") == "array":
        strict["items"] = _node(node.get("items"), unsupported)
    for word in ("anyOf", "oneOf"):
        if word in node:
            strict.pop(word)
            strict["anyOf"] = [_node(part, unsupported) for part in node[word]]


def _object(node: Mapping[str, Any], strict: dict[str, Any], unsupported: frozenset[str]) -> None:
    properties = node.get("properties")
    if not isinstance(properties, dict) or node.get("additionalProperties", False) is not False:
        raise _NotStrictError
    strict["properties"] = {name: _node(part, unsupported) for name, part in properties.items()}
    strict["required"] = list(properties)
    strict["additionalProperties"] = False


def _recurs(schema: Mapping[str, Any]) -> bool:
    """Whether a definition reaches itself."""
    reaches = {f"#/$defs/{name}": _references(part) for name, part in schema.get("$defs", {}).items()}
    for start, next_ones in reaches.items():
        seen: set[str] = set()
        ahead = list(next_ones)
        while ahead:
            reference = ahead.pop()
            if reference == start:
                return True
            if reference not in seen:
                seen.add(reference)
                ahead.extend(reaches.get(reference, ()))
    return "#" in _references(schema)


def _references(node: Any) -> set[str]:
    if isinstance(node, list):
        return {reference for part in node for reference in _references(part)}
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
    return own | {reference for part in node.values() for reference in _references(part)}
