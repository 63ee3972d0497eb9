"""Fills a JSON schema: options by what fits, numbers and texts by what the prompt holds, always valid."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestration_nb.providers.sim.dice import pick, uniform
from orchestration_nb.providers.sim.knowledge import Knowledge
from orchestration_nb.providers.sim.prose import say
from orchestration_nb.providers.sim.wording import brief
from orchestration_nb.providers.sim.words import best_sentences, content_stems, related, stem

Schema = Mapping[str, Any]

_BOTTOMLESS = 40
_MOST_VALUES = 5_000
_DEEPEST = 4
"""Nesting below which only what a schema requires is filled in."""
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")
_REASON = re.compile(r"reason|explan|rationale|thought|working|steps|because|justif|evidence", re.IGNORECASE)
_ANSWER = re.compile(r"^(value|answer|result|solution|output|final\w*|gold)$", re.IGNORECASE)
_FORMS: Mapping[str, tuple[str, str]] = {
    "email": (r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "nobody@example.com"),
    "phone": (r"\+?\(?\d[\d ()-]{6,}\d", "555-0100"),
    "date": (r"\b\d{4}-\d\d-\d\d\b", "2026-01-01"),
    "date-time": (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?Z?\b", "2026-01-01T00:00:00Z"),
    "time": (r"\b\d\d:\d\d(?::\d\d)?\b", "00:00:00"),
    "order": (r"\b[A-Z]{2,}-\d+\b", ""),
    "amount": (r"[$€£]\s?\d[\d.,]*\d", ""),
    "uri": (r"https?://\S+", "https://example.com"),
    "duration": (r"\bP(?:T?\d+[A-Z])+\b", "P1D"),
    "uuid": (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "00000000-0000-4000-8000-000000000000"),
}
"""What a field of that name or format looks like in a text, and what stands in where there is none."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the value one is: the name of the field, its description, and how deep."""

    name: str
    about: str
    depth: int


def fill(schema: Schema, known: Knowledge) -> Any:
    """A value that fits `schema`, as sensible as `known` allows."""
    return _Filling(schema, known).value(schema, _Place("value", known.task.instruction, 0))


def resolve(schema: Any, root: Schema) -> Schema:
    """The schema behind a `$ref`, with the members of `allOf` merged in; one that says nothing for `true`."""
    found: Schema = schema if isinstance(schema, Mapping) else {}
    for _ in range(20):
        reference = found.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            break
        found = {**_target(reference, root), **{key: value for key, value in found.items() if key != "$ref"}}
    for member in found.get("allOf", ()):
        found = {**found, **resolve(member, root)}
    return found


def _target(reference: str, root: Schema) -> Schema:
    """What a reference such as `#/$defs/Line` points at."""
    target: Any = root
    for step in filter(None, reference.lstrip("#/").split("/")):
        target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
    return target if isinstance(target, Mapping) else {}


class _Filling:
    """One schema being filled."""

    def __init__(self, root: Schema, known: Knowledge) -> None:
        self._root = root
        self._known = known
        self._filled = 0

    def value(self, schema: Any, place: _Place) -> Any:
        schema = resolve(schema, self._root)
        self._filled += 1
        if place.depth > _BOTTOMLESS or self._filled > _MOST_VALUES:
            return None  # a schema that contains itself has no end
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._option(schema["enum"], place)
        variants = schema.get("anyOf") or schema.get("oneOf")
        if variants:
            return self._variant(variants, place)
        kind = schema.get("type") or ("object" if "properties" in schema else "string")
        if isinstance(kind, Sequence) and not isinstance(kind, str):
            return self._variant([{**schema, "type": one} for one in kind], place)
        return self._of_kind(kind, schema, place)

    def _of_kind(self, kind: str, schema: Schema, place: _Place) -> Any:
        if kind == "object":
            return self._object(schema, place)
        if kind == "array":
            return self._array(schema, place)
        if kind == "boolean":
            return self._boolean(place)
        if kind in {"integer", "number"}:
            return self._number(schema, place, whole=kind == "integer")
        return None if kind == "null" else self._text(schema, place)

    def _object(self, schema: Schema, place: _Place) -> dict[str, Any]:
        properties = schema.get("properties", {})
        needed = schema.get("required", ())
        return {
            name: self.value(field, _Place(name, self._about(field, place), place.depth + 1))
            for name, field in properties.items()
            if place.depth < _DEEPEST or name in needed
        }

    def _about(self, field: Any, place: _Place) -> str:
        described = resolve(field, self._root).get("description") if isinstance(field, Mapping) else None
        return str(described) if described else place.about

    def _array(self, schema: Schema, place: _Place) -> list[Any]:
        if "prefixItems" in schema:
            return [self.value(item, place) for item in schema["prefixItems"]]
        fewest, most = schema.get("minItems", 0), schema.get("maxItems", 3)
        items = resolve(schema.get("items", {}), self._root)
        if place.depth >= _DEEPEST and not fewest:
            return []
        if items.get("enum"):
            return self._options(items["enum"], max(fewest, 1), most, place)
        count = min(max(fewest, 2), max(most, fewest))
        if items.get("type") == "string" and not {"format", "pattern"} & items.keys():
            found = best_sentences(self._known.task.sentences, place.about, count)
            fitted = [_fitted(text, items) for text in found]
            return fitted + [self._text(items, place) for _ in range(max(fewest, 1) - len(fitted))]
        return [
            self.value(items, _Place(place.name, place.about, place.depth + 1))
            for _ in range(max(fewest, min(1, most)))
        ]

    def _options(self, options: Sequence[Any], fewest: int, most: int, place: _Place) -> list[Any]:
        stems = frozenset(self._known.task.stems)
        first = self._option(options, place)
        others = [option for option in options if option != first and stems & related(str(option))]
        left = [option for option in options if option != first and option not in others]
        return [first, *others, *left][: max(fewest, min(1 + len(others), most))]

    def _option(self, options: Sequence[Any], place: _Place) -> Any:
        by_name = {str(option): option for option in options}
        return by_name[self._known.option(list(by_name), place.name)]

    def _variant(self, variants: Sequence[Any], place: _Place) -> Any:
        resolved = [resolve(variant, self._root) for variant in variants]
        full = [variant for variant in resolved if variant.get("type") != "null"]
        if len(full) < len(resolved) and (not full or self._is_missing(place)):
            return None
        recursive = any(variant.get("type") == "object" for variant in full) and place.depth > 1
        if recursive and len(full) < len(resolved):
            return None
        numeric = self._answer_number() is not None or (
            self._known.solution is None and self._number_near(place) is not None
        )
        suited = [variant for variant in full if (variant.get("type") in {"integer", "number"}) == numeric]
        free = [variant for variant in (*suited, *full) if "pattern" not in variant]
        return self.value((free or full or [{}])[0], place)

    def _is_missing(self, place: _Place) -> bool:
        """Whether the field is one that can be looked for in the text and is not there."""
        form = _form_of(place.name, None)
        return form is not None and re.search(_FORMS[form][0], self._known.task.material) is None

    def _boolean(self, place: _Place) -> bool:
        solution = self._known.solution
        if solution is not None and solution.answer.casefold() in {"yes", "no", "true", "false"}:
            return solution.answer.casefold() in {"yes", "true"}
        hint = place.about if _ANSWER.match(place.name) else place.name
        wanted = related(hint) - frozenset(content_stems("ticket text message customer review question"))
        return not wanted.isdisjoint(self._known.task.stems)

    def _answer_number(self) -> float | None:
        solution = self._known.solution
        try:
            return float(solution.answer) if solution else None
        except ValueError:
            return None

    def _number(self, schema: Schema, place: _Place, *, whole: bool) -> float:
        low, high = _bounds(schema, whole=whole)
        found = None if _REASON.search(place.name) else self._answer_number()
        if found is None:
            found = self._number_near(place)
        if found is None or not low <= found <= high:
            found = self._drawn(low, high, place)
        step = schema.get("multipleOf")
        if step:
            found = round(found / step) * step
            found += step if found < low else 0
        return round(found) if whole else found

    def _drawn(self, low: float, high: float, place: _Place) -> float:
        chance = uniform("number", self._known.digest, place.name, self._known.model, self._known.sample)
        if low == -_ANY:
            return min(0.0, high)
        return low if high == _ANY else round(low + chance * (high - low), 2)

    def _number_near(self, place: _Place) -> float | None:
        """The first number of the material after a word of the field's name, else the first at all."""
        material = self._known.task.material[:20_000]
        wanted = frozenset(content_stems(place.name))
        first: float | None = None
        for match in _NUMBER.finditer(material):
            before = material[max(0, match.start() - 30) : match.start()]
            if wanted & frozenset(content_stems(before)):
                return float(match.group())
            first = float(match.group()) if first is None else first
        return first

    def _text(self, schema: Schema, place: _Place) -> str:
        known = self._known
        if known.solution is not None and _has_form(known.solution.answer, schema.get("format")):
            text = brief(known.solution) if _REASON.search(place.name) else known.solution.answer
            return _fitted(text, schema)
        if "pattern" in schema:
            return self._matching(str(schema["pattern"]))
        form = _form_of(place.name, schema.get("format"))
        if form is not None:
            match = re.search(_FORMS[form][0], known.task.material)
            return match.group() if match else _FORMS[form][1]
        if _ANSWER.match(place.name):
            return _fitted(say(known), schema)
        about = f"{place.name} {place.about}"
        found = best_sentences(known.task.sentences, about, 1)
        return _fitted(
            found[0] if found else pick(known.task.material.split() or ["-"], known.digest, place.name), schema
        )

    def _matching(self, pattern: str) -> str:
        """The part of the material that fits a pattern, or nothing."""
        try:
            match = re.search(pattern.removeprefix("^").removesuffix("$"), self._known.task.material[:_SEARCHED])
        except re.error:
            return ""
        return match.group() if match else ""


_ANY = float("inf")
_SEARCHED = 2_000


def _bounds(schema: Schema, *, whole: bool) -> tuple[float, float]:
    gap = 1 if whole else 1e-6
    low, high = float(schema.get("minimum", -_ANY)), float(schema.get("maximum", _ANY))
    if "exclusiveMinimum" in schema:
        low = max(low, schema["exclusiveMinimum"] + gap)
    if "exclusiveMaximum" in schema:
        high = min(high, schema["exclusiveMaximum"] - gap)
    return low, high


def _has_form(text: str, form: object) -> bool:
    """Whether a text looks as a format wants it; any text does where there is none that is known."""
    return not isinstance(form, str) or form not in _FORMS or re.fullmatch(_FORMS[form][0], text) is not None


def _form_of(name: str, given: object) -> str | None:
    if isinstance(given, str) and given in _FORMS:
        return given
    stems = {stem(word) for word in name.replace("_", " ").split()}
    return next((form for form in _FORMS if stem(form) in stems), None)


def _fitted(text: str, schema: Schema) -> str:
    """`text` cut or filled up to the lengths that the schema allows."""
    longest = schema.get("maxLength")
    if longest is not None and len(text) > longest:
        text = text[:longest]
    return text.ljust(schema.get("minLength", 0), ".")
