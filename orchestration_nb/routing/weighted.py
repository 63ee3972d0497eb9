"""Models in turn, and models by lot."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

from orchestration_nb.calls import Ask, Reply, Request, Strategy
from orchestration_nb.errors import UsageError
from orchestration_nb.routing.fallback import answer_in_order
from orchestration_nb.routing.making import checked_models, made
from orchestration_nb.routing.registry import STRATEGIES


def weighted(shares: Mapping[str, float] | None = None, /, **by_name: float) -> Strategy:
    """Each request goes to one model, drawn by weight (a simple shuffle, an A/B split).

    ::

        weighted(fast=0.8, strong=0.2)
        weighted({"openai/gpt-4.1-mini": 8, "anthropic/claude-haiku-4-5": 2})

    The draw is the same for the same run seed, item and step; candidates and propensity are recorded. Where the model
    that was drawn cannot answer, the others do, the likeliest first, and the ledger says so.

    Raises:
        UsageError: If a weight is no number from 0 up, or none is above 0.
    """
    weights = {**(shares or {}), **by_name}
    example = "weighted(fast=0.8, strong=0.2)"
    checked_models("weighted", tuple(weights), example=example)
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise UsageError(f"{weight!r} is no weight of {name}.", hint=f"Write {example}.")
    total = sum(weights.values())
    if total <= 0:
        raise UsageError("All weights are 0.", hint=f"Write {example}.")
    by_weight = sorted(weights, key=lambda name: -weights[name])

    async def drawn(request: Request, ask: Ask) -> Reply:
        """Asks a model that is drawn by weight."""
        name = request.choose(weights)
        request.decision.reason = f"{name} was drawn, with a chance of {weights[name] / total:.0%}"
        others = [other for other in by_weight if other != name and weights[other]]
        return await answer_in_order([name, *others], request, ask)

    named = ", ".join(f"{name}={weight:g}" for name, weight in weights.items())
    return made(drawn, f"weighted({named})", tuple(weights))


def round_robin(*models: str) -> Strategy:
    """Each request goes to the next model in turn.

    The turns are those of this strategy, over all runs that use it. Where the model whose turn it is cannot answer, the
    next ones do.

    Raises:
        UsageError: If fewer than two models are named.
    """
    names = checked_models("round_robin", models, least=2, example='round_robin("fast", "medium")')
    turns = itertools.count()  # its next() is one step of the interpreter, whoever calls it

    async def in_turn(request: Request, ask: Ask) -> Reply:
        """Asks the model whose turn it is."""
        turn = next(turns) % len(names)
        request.decision.candidates.extend(names)
        request.decision.reason = f"it is the turn of {names[turn]}"
        return await answer_in_order([*names[turn:], *names[:turn]], request, ask)

    return made(in_turn, f"round_robin({', '.join(names)})", names)


STRATEGIES.add_maker(weighted)
STRATEGIES.add_maker(round_robin)
