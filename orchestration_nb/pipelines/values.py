"""Values for a notebook's parameters: from the command line, from a YAML or JSON file, and as text of a cell."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from orchestration_nb.errors import UsageError


@dataclass(frozen=True, slots=True)
class Typed:
    """A value as somebody typed it; what type it has depends on the parameter."""

    text: str


def read_pairs(pairs: Iterable[str], *, what: str = "-p") -> dict[str, str]:
    """``name=value`` each, as a mapping; of two of one name the last holds.

    Raises:
        UsageError: If one has no ``=``, or no name.
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{what} {pair!r} is no name and value.", hint=f"Write {what} name=value.")
        found[name.strip()] = value
    return found


def read_file(path: Path) -> dict[str, Any]:
    """The parameters in a ``.yaml``, ``.yml`` or ``.json`` file: one mapping from names to values.

    YAML is read by its version 1.2: ``no`` and ``12:30`` are texts, and so is a date.

    Raises:
        UsageError: If there is no such file, or it holds something else.
    """
    if path.suffix not in {".yaml", ".yml", ".json"}:
        raise UsageError(f"{path} is neither YAML nor JSON.", hint="Give a file that ends in .yaml, .yml or .json.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The parameters {path} cannot be read: {error}.") from None
    held = _json(path, text) if path.suffix == ".json" else _yaml(text, str(path))
    held = {} if held is None else held
    if not isinstance(held, dict) or not all(isinstance(name, str) for name in held):
        raise UsageError(f"{path} holds no parameters.", hint="Write name: value, a line each.")
    return held


def value_of(typed: Typed) -> Any:
    """What was typed, as YAML has it.

    Raises:
        UsageError: If it is not YAML.
    """
    return _yaml(typed.text, repr(typed.text))


def as_python(value: Any, *, name: str = "") -> str:
    """A value as Python text.

    Raises:
        UsageError: If no JSON could hold it.
    """
    if value is None or isinstance(value, bool | int | str):
        return repr(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"float('{value}')"
    if isinstance(value, list | tuple):
        return f"[{', '.join(as_python(each, name=name) for each in value)}]"
    if isinstance(value, Mapping):
        pairs = (f"{as_python(key, name=name)}: {as_python(held, name=name)}" for key, held in value.items())
        return f"{{{', '.join(pairs)}}}"
    which = f"The parameter {name!r}" if name else "A parameter"
    raise UsageError(
        f"{which} cannot be {type(value).__name__}.",
        hint="A notebook can be given texts, numbers, true, false, null, and lists and mappings of them.",
    )


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path} is not JSON: {error}.") from None


def _yaml(text: str, where: str) -> Any:
    import yaml  # noqa: PLC0415 - only a run with parameters needs it

    try:
        return yaml.load(text, _loader())  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or "it cannot be read"
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        raise UsageError(f"{where} is not YAML: {problem}{line}.") from None


@cache
def _loader() -> Any:
    """PyYAML's safe loader, with the plain values of YAML 1.2 instead of those of 1.1."""
    import yaml  # noqa: PLC0415

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way

    whole, real = r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    plain = (
        ("null", "null|Null|NULL|~|", lambda _: None),
        ("bool", "true|True|TRUE|false|False|FALSE", lambda said: said.lower() == "true"),
        ("int", whole, _whole),
        (
            "float",
            rf"{real}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
            lambda said: float(said.replace(".", "", _dots(said))),
        ),
    )
    for kind, pattern, read in plain:
        tag = f"tag:yaml.org,2002:{kind}"
        Loader.add_implicit_resolver(tag, re.compile(rf"^(?:{pattern})$"), None)
        Loader.add_constructor(tag, _reading(read))
    return Loader


def _reading(read: Callable[[str], Any]) -> Callable[[Any, Any], Any]:
    return lambda loader, node: read(loader.construct_scalar(node))


def _whole(said: str) -> int:
    return int(said, 0) if said.startswith(("0o", "0x")) else int(said)


def _dots(said: str) -> int:
    """How many dots Python does not write: that of ``.inf`` and ``.nan``."""
    return 1 if said[-1].lower() in {"f", "n"} else 0
