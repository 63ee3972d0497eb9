"""What every maker of strategies does with the models that it is given: look at their names, and name the strategy."""

from __future__ import annotations

from typing import Any

from orchestration_nb.calls import Ask, Reply, Request, Strategy
from orchestration_nb.errors import UsageError


def checked_models(maker: str, models: tuple[Any, ...], *, least: int = 1, example: str) -> tuple[str, ...]:
    """The names of models that a maker was given, each once.

    Args:
        maker: Its name.
        models: What it was given.
        least: How many different ones it needs.
        example: How it is written.

    Raises:
        UsageError: If they are no names, or too few.
    """
    named = f"{maker}({', '.join(map(repr, models))})"
    if not models or not all(isinstance(name, str) and name.strip() for name in models):
        raise UsageError(f"{named} names no models.", hint=f"Write {example}.")
    names = tuple(dict.fromkeys(models))
    if len(names) < least:
        raise UsageError(f"{named} does not name {least} models.", hint=f"Write {example}.")
    return names


def checked_count(what: str, count: object, *, least: int, example: str) -> int:
    """A whole number that a maker was given.

    Raises:
        UsageError: If it is none, or too small.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < least:
        raise UsageError(f"{what}={count!r} is no whole number from {least} up.", hint=f"Write {example}.")
    return count


def made(function: Strategy, name: str, models: tuple[str, ...]) -> Strategy:
    """The function with the name of the strategy that it is, and the models that it may ask."""
    function.__name__ = function.__qualname__ = name
    function.models = models  # type: ignore[attr-defined]
    return function


async def asked_of(who: str | Strategy, request: Request, ask: Ask, *, wait: bool = True) -> Reply:
    """The reply of a model, or that which a strategy comes to."""
    if isinstance(who, str):
        return await ask(who, sample=request.sample, wait=wait)
    reply: Reply = await who(request, ask)
    return reply


def name_of(who: str | Strategy) -> str:
    """What a model or strategy is called."""
    return who if isinstance(who, str) else str(getattr(who, "__name__", who))
