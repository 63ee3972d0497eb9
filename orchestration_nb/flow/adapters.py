"""Types as analysts write them -> values checked by pydantic in its lax mode, NaN and infinity refused."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    InstanceOf,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic_core import ErrorDetails

from orchestration_nb.errors import UsageError

_ANY_CLASS: Final = ConfigDict(arbitrary_types_allowed=True)
_MOST_COMPLAINTS: Final = 5
_MOST_CHARACTERS: Final = 80


def adapter(annotation: Any) -> TypeAdapter[Any]:
    """What checks values against a type; the same one for the same type.

    Raises:
        UsageError: It is no type.
    """
    try:
        return _kept(annotation)
    except TypeError:  # cannot be hashed, such as Annotated[int, {...}]
        return _made(annotation)


def _made(annotation: Any) -> TypeAdapter[Any]:
    if isinstance(annotation, list) or not _holds_types_only(annotation):
        raise _no_type(annotation)
    try:
        return TypeAdapter(annotation)
    except PydanticSchemaGenerationError:  # a class that pydantic does not know
        return _made_of_any_class(annotation)
    except PydanticUserError as error:
        if error.code != "typed-dict-version":
            raise _no_type(annotation) from None
        raise UsageError(
            f"{type_name(annotation)} is made with the TypedDict of typing, which cannot be checked here.",
            hint="Use the TypedDict that is at hand in the cell, or that of typing_extensions.",
        ) from None
    except (PydanticUndefinedAnnotation, TypeError):
        raise _no_type(annotation) from None


def _made_of_any_class(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=_ANY_CLASS)
    except PydanticUserError:  # a dataclass or the like with such a class inside
        if isinstance(annotation, type):
            return TypeAdapter(InstanceOf[annotation])
        raise _no_type(annotation) from None


def _holds_types_only(annotation: Any) -> bool:
    if get_origin(annotation) is Literal:
        return True
    if get_origin(annotation) is Annotated:
        return _holds_types_only(get_args(annotation)[0])
    if isinstance(annotation, list):  # the arguments of a Callable
        return all(_holds_types_only(each) for each in annotation)
    if arguments := get_args(annotation):
        return all(_holds_types_only(each) for each in arguments)
    of_typing = type(annotation).__module__ in {"typing", "typing_extensions"}
    return annotation is None or annotation is ... or isinstance(annotation, type) or of_typing


_kept = lru_cache(maxsize=256)(_made)


def _no_type(annotation: Any) -> UsageError:
    return UsageError(
        f"{type_name(annotation)} is no type that values can be checked against.",
        hint='For example Literal["a", "b"], bool, int, float, list[str], a dataclass or a pydantic model.',
    )


def type_name(annotation: Any) -> str:
    """A type as it would be written."""
    name = annotation.__name__ if isinstance(annotation, type) else repr(annotation).replace("typing.", "")
    return shortened(name)


def shortened(text: str) -> str:
    """``text``, cut where it is too long for a sentence."""
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def checked(annotation: TypeAdapter[Any], value: Any) -> Any:
    """``value`` as the type says it.

    Raises:
        ValueError: It does not fit; the text says where and why. (A ``ValidationError`` of pydantic never comes out.)
    """
    try:
        fitting = annotation.validate_python(value)
    except ValidationError as error:
        raise ValueError(_complaints(error)) from None
    _refuse_unbounded(fitting)
    return fitting


def checked_json(annotation: TypeAdapter[Any], value: Any) -> Any:
    """The same for a value that came as JSON, where a strict type takes a list for a set, and a text for a date.

    Raises:
        ValueError: It does not fit; the text says where and why.
    """
    try:
        fitting = annotation.validate_json(json.dumps(value))
    except ValidationError as error:
        raise ValueError(_complaints(error)) from None
    _refuse_unbounded(fitting)
    return fitting


def _complaints(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_context=False)
    said = [_complaint(detail) for detail in details[:_MOST_COMPLAINTS]]
    more = len(details) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more else "")


def _complaint(detail: ErrorDetails) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    message = detail["msg"][:1].lower() + detail["msg"][1:]
    got = "" if detail["type"] == "missing" else f", got {shortened(repr(detail['input']))}"
    return f"{where}: {message}{got}" if where else f"{message}{got}"


def _refuse_unbounded(value: Any) -> None:
    if isinstance(value, str | int):
        return
    stack = [value]
    seen: set[int] = set()
    while stack:
        each = stack.pop()
        if isinstance(each, float):
            if not math.isfinite(each):
                raise ValueError(f"{each!r} is no finite number")
        elif id(each) not in seen:
            seen.add(id(each))
            stack.extend(_parts(each))


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, str | bytes | int):
        return ()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, BaseModel):
        return vars(value).values()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    return ()
