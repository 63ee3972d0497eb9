"""A type -> the form that a model is asked to answer in: a JSON schema that OpenAI, Anthropic and Gemini all take.

Their structured outputs agree on a small part of JSON schema: objects whose properties are all required and that allow
no others, lists, enumerations, ``anyOf`` and descriptions. What else a type says (a minimum, a pattern, a format) is
told in the description and checked when the reply is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from pydantic import PydanticUserError, TypeAdapter

from orchestration_nb.calls import OutputSchema
from orchestration_nb.errors import UsageError
from orchestration_nb.flow.adapters import adapter, type_name
from orchestration_nb.flow.replies import ReplyReader

_Json = dict[str, Any]
_AS_TEXT: Final = (str, Any, object, None, type(None))
_KEPT: Final = frozenset(
    {"type", "enum", "description", "properties", "required", "additionalProperties", "items", "anyOf"}
)
_UNSAID: Final = frozenset({"title", "default", "$defs", "discriminator", "examples", "deprecated"})
_WRAPPER: Final = "value"


def output_schema(annotation: Any, *, name: str) -> OutputSchema | None:
    """The form of a reply of this type, or ``None`` where the reply is wanted as text.

    Args:
        annotation: ``Literal[...]``, ``bool``, ``int``, ``float``, ``list[...]``, a dataclass, a TypedDict, a pydantic
            model; or a form that is made already.
        name: What the form is called on the wire; other characters than letters, digits, ``_`` and ``-`` become ``_``.

    Raises:
        UsageError: The type cannot be asked of a model.
    """
    if any(annotation is each for each in _AS_TEXT):
        return None
    if isinstance(annotation, OutputSchema):
        return annotation
    try:
        return _kept(annotation, name)
    except TypeError:  # cannot be hashed
        return _made(annotation, name)


def _made(annotation: Any, name: str) -> OutputSchema:
    checker = adapter(annotation)
    schema = _json_schema(annotation, checker)
    wrapped = schema.get("type") != "object" or not schema.get("properties")
    if wrapped:
        definitions = schema.pop("$defs", None)
        schema = _object({_WRAPPER: schema})
        if definitions:
            schema["$defs"] = definitions
    reader = ReplyReader(checker, wrapper=_WRAPPER if wrapped else None)
    return OutputSchema(name=_wire_name(name), json_schema=schema, parse=reader.read)


_kept = lru_cache(maxsize=512)(_made)


def _wire_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "reply"


def _json_schema(annotation: Any, checker: TypeAdapter[Any]) -> _Json:
    try:
        schema = checker.json_schema()
    except PydanticUserError:
        hint = 'Ask for Literal["a", "b"], bool, int, float, list[...], a dataclass, a TypedDict or a pydantic model.'
        raise UsageError(
            f"A model cannot be asked for {type_name(annotation)}: it has no form in JSON.",
            hint=hint,
        ) from None
    return _Simplifier(schema.get("$defs", {})).whole(schema)


def _object(properties: _Json) -> _Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


class _Simplifier:
    """Rewrites pydantic's JSON schema into the part that all providers take."""

    def __init__(self, definitions: Mapping[str, _Json]) -> None:
        self.definitions = definitions
        self.recursive: dict[str, _Json] = {}
        self._open: list[str] = []

    def whole(self, schema: _Json) -> _Json:
        simple = self.simple(schema)
        if self.recursive:
            simple = {**simple, "$defs": self.recursive}
        return simple

    def simple(self, schema: _Json) -> _Json:
        if "$ref" in schema:
            return self._referred(schema)
        if len(schema.get("allOf", ())) == 1:
            schema = {**schema["allOf"][0], **{key: value for key, value in schema.items() if key != "allOf"}}
            return self.simple(schema)
        if "const" in schema:
            schema = {**schema, "enum": [schema["const"]]}
        simple = {key: value for key, value in schema.items() if key in _KEPT}
        for rewrite in (self._choice, self._object, self._list):
            rewrite(schema, simple)
        self._tell(schema, simple)
        return simple

    def _referred(self, schema: _Json) -> _Json:
        name = schema["$ref"].rpartition("/")[2]
        if name in self._open:
            self.recursive.setdefault(name, {})
            return {"$ref": schema["$ref"]}
        self._open.append(name)
        inner = self.simple(self.definitions[name])
        self._open.pop()
        if name in self.recursive:
            self.recursive[name] = inner
            return {"$ref": schema["$ref"]}
        described = {"description": schema["description"]} if "description" in schema else {}
        return {**inner, **described}

    def _choice(self, schema: _Json, simple: _Json) -> None:
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            simple["anyOf"] = [self.simple(option) for option in options]

    def _object(self, schema: _Json, simple: _Json) -> None:
        if schema.get("type") != "object":
            return
        values = schema.get("additionalProperties")
        if "properties" in schema or not isinstance(values, dict):
            simple.update(_object({key: self.simple(each) for key, each in schema.get("properties", {}).items()}))
        else:  # dict[str, T]: keys that nobody knows beforehand
            simple["additionalProperties"] = self.simple(values)

    def _list(self, schema: _Json, simple: _Json) -> None:
        if schema.get("type") != "array":
            return
        places = schema.get("prefixItems")
        if places is None:
            simple["items"] = self.simple(schema.get("items", {}))
            return
        options: list[_Json] = []
        for place in places:
            option = self.simple(place)
            if option not in options:
                options.append(option)
        simple["items"] = options[0] if len(options) == 1 else {"anyOf": options}

    def _tell(self, schema: _Json, simple: _Json) -> None:
        said = {"$ref", "const", "oneOf", "allOf", "prefixItems", *_KEPT, *_UNSAID}
        told = [f"{_words(key)}: {value}" for key, value in schema.items() if key not in said]
        if told:
            sentence = "; ".join(told)
            simple["description"] = f"{simple['description']} ({sentence})" if "description" in simple else sentence


def _words(key: str) -> str:
    return re.sub(r"([A-Z])", lambda match: " " + match[1].lower(), key)
