"""One model for every request, as a strategy: what each comparison shows beside the others."""

from __future__ import annotations

from orchestration_nb.calls import Ask, Reply, Request, Strategy
from orchestration_nb.routing.making import checked_models, made
from orchestration_nb.routing.registry import STRATEGIES


def single(model: str) -> Strategy:
    """A strategy that asks one model, whatever the request.

    Args:
        model: Model or alias.

    Raises:
        UsageError: If no model is named.
    """
    checked_models("single", (model,), example='single("fast")')

    async def asks_one(request: Request, ask: Ask) -> Reply:
        """Asks the one model."""
        request.decision.candidates.append(model)
        request.decision.reason = "the one model of the strategy"
        return await ask(model, sample=request.sample)

    return made(asks_one, model, (model,))


STRATEGIES.add_maker(single)
