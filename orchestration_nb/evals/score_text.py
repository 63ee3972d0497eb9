"""``STEP=SCORER:COLUMN[:option=value...]``: a scorer as it is written on a magic or a command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.scorers import exact, includes, json_fields, label, numeric, regex, similarity
from orchestration_nb.evals.scores import Scorer, StepScorer
from orchestration_nb.flow.refusals import misspelt

SCORERS: Final[Mapping[str, Callable[..., Scorer]]] = MappingProxyType(
    {
        maker.__name__: maker
        for maker in (exact, numeric, includes, regex, label, json_fields, similarity)
    }
)  # fmt: skip
"""The scorers that have a name."""

_FORM: Final = "Write STEP=SCORER:COLUMN, for example answer=exact:gold, or STEP=FUNCTION."
_LAST: Final = ("pattern", "sep")
"""Options that take the rest of the text: a pattern may hold colons."""
_SWITCHES: Final = {"true": True, "yes": True, "false": False, "no": False}


def parse_score(text: str, steps: Sequence[str], columns: Sequence[str], namespace: Mapping[str, Any]) -> StepScorer:
    """Reads ``STEP=SCORER:COLUMN[:option=value...]`` or ``STEP=FUNCTION``; nothing of it is evaluated.

    Args:
        text: For example ``answer=numeric:gold:rel=0.01``, ``topic=label:topic``, ``reply=my_function``.
        steps: The steps of the flow.
        columns: The columns of the items.
        namespace: Where a function is looked up by its name.

    Raises:
        UsageError: It cannot be read, or names what there isn't; the hint names the nearest.
    """
    step, equals, rest = (part.strip() for part in text.partition("="))
    if not equals or not step or not rest:
        raise UsageError(f"--score {text!r} is not STEP=SCORER:COLUMN.", hint=_FORM)
    if step not in steps:
        raise UsageError(f"--score {text!r} names no step: there is no {step!r}.", hint=misspelt(step, steps))
    name, _, told = rest.partition(":")
    own = namespace.get(name)
    if name in SCORERS and (own is None or own is SCORERS[name]):
        return StepScorer(step=step, scorer=_named(name, told, text, columns), text=rest)
    if name in SCORERS:
        raise UsageError(
            f"--score {text!r} could mean the scorer {name} or the notebook's own {name}.",
            hint="Give the notebook's function another name.",
        )
    return StepScorer(step=step, scorer=_own(own, name, told, text, namespace), text=rest)


def _own(own: Any, name: str, told: str, text: str, namespace: Mapping[str, Any]) -> Scorer:
    if own is None:
        functions = [each for each, value in namespace.items() if callable(value) and not each.startswith("_")]
        raise UsageError(f"There is no scorer {name!r} (in --score {text!r}).", hint=_nearest(name, functions))
    if not callable(own) or isinstance(own, type) or not _takes_two(own):
        raise UsageError(
            f"{name} is no scorer: it is not a function of (reply, item).",
            hint=f"Write def {name}(reply, item): return ... (a float, a bool or a str).",
        )
    if told:
        raise UsageError(
            f"{name} is a function of (reply, item) and takes no {told!r} (in --score {text!r}).",
            hint="It reads the columns that it needs from the item.",
        )
    scorer: Scorer = own
    return scorer


def _nearest(name: str, functions: Sequence[str]) -> str:
    hint = misspelt(name, [*SCORERS, *functions])
    return hint if hint.startswith("Did") else f"There are {', '.join(SCORERS)}, and any function of (reply, item)."


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None, {})
    except TypeError:
        return False
    except ValueError:  # written in C: it says nothing about itself
        return True
    return True


def _named(name: str, told: str, text: str, columns: Sequence[str]) -> Scorer:
    maker = SCORERS[name]
    parameters = inspect.signature(maker).parameters
    column, rest = _column(told, columns, parameters)
    if column is not None and column not in columns:
        raise UsageError(f"--score {text!r} names no column: there is no {column!r}.", hint=misspelt(column, columns))
    if column is None and parameters["column"].default is inspect.Parameter.empty:
        raise UsageError(
            f"{name} needs the column that holds what is right (in --score {text!r}).",
            hint=f"Write {name}:COLUMN; the columns are {', '.join(columns)}.",
        )
    options = _options(rest, name, {each: of for each, of in parameters.items() if each != "column"})
    return maker(**options) if column is None else maker(column, **options)


def _column(told: str, columns: Sequence[str], parameters: Mapping[str, Any]) -> tuple[str | None, str]:
    """The column and the rest; a column's name may hold colons and equals signs itself."""
    known = [each for each in columns if told == each or told.startswith(f"{each}:")]
    if known:
        column = max(known, key=len)
        return column, told[len(column) + 1 :]
    head, _, rest = told.partition(":")
    if not head or head.partition("=")[0].strip() in parameters:
        return None, told
    return head, rest


def _options(text: str, name: str, known: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    while text:
        option, equals, rest = text.partition("=")
        option = option.strip()
        if option not in known:
            raise UsageError(f"{name} has no option {option!r}.", hint=misspelt(option, known))
        value, _, text = (rest, "", "") if option in _LAST else rest.partition(":")
        if not equals or not value:
            raise UsageError(f"The option {option} of {name} has no value.", hint=f"Write {option}=VALUE.")
        options[option] = _option_value(option, value, known[option].default)
    return options


def _option_value(option: str, value: str, default: Any) -> Any:
    if isinstance(default, bool):
        if value.lower() in _SWITCHES:
            return _SWITCHES[value.lower()]
        raise UsageError(f"{option} is true or false, not {value!r}.")
    if not isinstance(default, float):
        return value
    try:
        return float(value)
    except ValueError:
        raise UsageError(f"{option} is a number, not {value!r}.") from None
