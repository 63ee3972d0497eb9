"""Strategies by name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from typing import Any, TypeVar

from orchestration_nb.calls import Strategy
from orchestration_nb.errors import UnknownStrategyError, UsageError

S = TypeVar("S", bound=Strategy)


class Strategies:
    """The strategies that can be named on a magic, in ``llm(strategy=...)`` or in Python."""

    def __init__(self) -> None:
        self._by_name: dict[str, Strategy] = {}

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

    def find(self, name: str | Strategy) -> Strategy:
        """The strategy of that name; a function is one already.

        Raises:
            UnknownStrategyError: If there is none; the hint names the nearest.
        """
        if callable(name):
            return name
        found = self._by_name.get(name)
        if found is None:
            near = difflib.get_close_matches(name, self._by_name, n=1, cutoff=0.5)
            listing = f"There are: {', '.join(self)}. Write a new one with @strategy."
            raise UnknownStrategyError(
                f"There is no strategy {name!r}.", hint=f"Did you mean {near[0]!r}? {listing}" if near else listing
            )
        return found


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
