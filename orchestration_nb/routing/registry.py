"""Strategies by name."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from orchestration_nb.calls import Strategy
from orchestration_nb.errors import UnknownStrategyError, UsageError

S = TypeVar("S", bound=Strategy)


_CALL = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*\((?P<models>.*)\)\s*", re.DOTALL)
_MODEL = re.compile(r"(?P<quote>['\"]?)(?P<model>[\w./:@+~-]+)(?P=quote)")


class Strategies:
    """The strategies that can be named on a magic, in ``llm(strategy=...)`` or in Python."""

    def __init__(self) -> None:
        self._by_name: dict[str, Strategy] = {}
        self._of_models: dict[str, Callable[..., Strategy]] = {}
        self._made: dict[str, Strategy] = {}

    def __iter__(self) -> Iterator[str]:
        """Their names, in order of the alphabet."""
        return iter(sorted(self._by_name))

    def add(self, function: Strategy) -> None:
        """Adds a strategy under its own name; one of the same name is replaced.

        Raises:
            UsageError: If it is not an async function of ``(request, ask)``.
        """
        name = getattr(function, "__name__", "")
        if not inspect.iscoroutinefunction(function) or len(inspect.signature(function).parameters) < 2:
            raise UsageError(
                f"{name or function!r} is not a strategy.",
                hint="Write `async def name(request, ask): return await ask('fast')`.",
            )
        self._by_name[name] = function

    def add_maker(self, maker: Callable[..., Strategy]) -> None:
        """Adds a function that makes a strategy of model names, so that ``maker(a, b)`` can be written as text."""
        self._of_models[maker.__name__] = maker

    def find(self, name: str | Strategy) -> Strategy:
        """The strategy of that name, or of a text such as ``fallback(fast, strong)``; a function is one already.

        Raises:
            UnknownStrategyError: If there is none; the hint names the nearest.
            UsageError: If what stands in the brackets are no model names.
        """
        if callable(name):
            return name
        found = self._by_name.get(name) or self._made.get(name)
        if found is None:
            found = self._made[name] = self._make(name)
        return found

    def _make(self, text: str) -> Strategy:
        """Reads ``maker(model, model)``; it is taken apart and never evaluated."""
        call = _CALL.fullmatch(text)
        if call is None or call["name"] not in self._of_models:
            raise self._unknown(call["name"] if call and call["name"] not in self._by_name else text)
        name, models = call["name"], []
        for part in filter(str.strip, call["models"].split(",")):
            found = _MODEL.fullmatch(part.strip())
            if found is None:
                raise _no_model(name, part.strip())
            models.append(found["model"])
        return self._of_models[name](*models)

    def _unknown(self, name: str) -> UnknownStrategyError:
        known = [*self, *(f"{maker}(...)" for maker in sorted(self._of_models))]
        near = difflib.get_close_matches(name, [each.removesuffix("(...)") for each in known], n=1, cutoff=0.5)
        listing = f"There are: {', '.join(known)}. Write a new one with @strategy."
        if name.count("(") > name.count(")"):
            listing = 'On the line of a magic it stands in quotes: --strategy "fallback(fast, strong)".'
        return UnknownStrategyError(
            f"There is no strategy {name!r}.", hint=f"Did you mean {near[0]!r}? {listing}" if near else listing
        )


def _no_model(name: str, part: str) -> UsageError:
    if "=" in part:
        keyword = part.partition("=")[0].strip()
        return UsageError(
            f"{keyword}= cannot be written in the text of a strategy.",
            hint=f"Give the strategy itself, in Python: strategy={name}(..., {keyword}=...).",
        )
    return UsageError(
        f"{part!r} is no model name, in {name}(...).",
        hint=f"Write {name}(openai/gpt-4.1, anthropic/claude-sonnet-4-5).",
    )


DEFAULT_MODEL = "medium"
"""The alias that answers where neither the step nor the run names a model."""

STRATEGIES = Strategies()
"""Those of this process: the built-in ones, and each function under ``@strategy``."""


def strategy(function: S) -> S:
    """Makes an async function of ``(request, ask)`` a strategy that can be named.

    ::

        @strategy
        async def cascade(request, ask):
            reply = await ask("fast")
            return reply if agrees(reply, await ask("medium")) else await ask("strong")

    Raises:
        UsageError: If it is not such a function.
    """
    STRATEGIES.add(function)
    return function


@strategy
async def fixed(request: Any, ask: Any) -> Any:
    """Asks the step's or the run's model; ``medium`` where none is named."""
    request.decision.reason = "the model named for the step or the run" if request.model else "the default model"
    return await ask(request.model or DEFAULT_MODEL)
