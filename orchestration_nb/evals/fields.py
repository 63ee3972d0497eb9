"""The fields of data, however deep: by paths such as ``order.lines.0.price``."""

from __future__ import annotations

import re
from typing import Any

from orchestration_nb.evals.matching import plain_data
from orchestration_nb.routing.values import NO_DATA, data_of


def data_in(value: Any) -> Any:
    """The object or list that a value is, or that stands in a reply; else :data:`NO_DATA`."""
    plain = plain_data(value)
    if isinstance(plain, str):
        plain = next((data for data in map(data_of, _json_texts(plain)) if isinstance(data, dict | list)), NO_DATA)
    return plain if isinstance(plain, dict | list) else NO_DATA


def _json_texts(text: str) -> list[str]:
    """Where JSON may stand in a reply: the whole, what is fenced, what stands between the outermost brackets."""
    fenced = re.findall(r"```[\w-]*[ \t]*\n(.*?)```", text, re.DOTALL)
    embedded = [text[text.find(left) : text.rfind(right) + 1] for left, right in ("{}", "[]")]
    return [text, *reversed(fenced), *embedded]


def leaves_of(value: Any, path: str = "") -> dict[str, Any]:
    """Every single value by its path: ``order.lines.0.price``; an empty list or object is a value too."""
    if value is NO_DATA:
        return {}
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    leaves = {}
    for key, each in below:
        leaves.update(leaves_of(each, f"{path}.{key}" if path else str(key)))
    return leaves or ({path: value} if path else {})


def value_at(value: Any, path: str) -> Any:
    """What stands at a path, also where a key holds a full stop; else :data:`NO_DATA`."""
    if not path:
        return value
    if isinstance(value, dict):
        keys = [key for key in map(str, value) if path == key or path.startswith(f"{key}.")]
        by_text = {str(key): each for key, each in value.items()}
        found = (value_at(by_text[key], path[len(key) + 1 :]) for key in keys)
        return next((each for each in found if each is not NO_DATA), NO_DATA)
    head, _, rest = path.partition(".")
    if isinstance(value, list) and head.isdecimal() and int(head) < len(value):
        return value_at(value[int(head)], rest)
    return NO_DATA
