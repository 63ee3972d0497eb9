"""One model for every request, as a strategy: what each comparison shows beside the others."""

from __future__ import annotations

from orchestration_nb.calls import Ask, Reply, Request, Strategy
from orchestration_nb.errors import UsageError
from orchestration_nb.routing.registry import STRATEGIES


def single(model: str) -> Strategy:
    """A strategy that asks one model, whatever the request.

    Args:
        model: Model or alias.

    Raises:
        UsageError: If no model is named.
    """
    if not isinstance(model, str) or not model.strip():
        raise UsageError(f"single({model!r}) names no model.", hint='Write single("fast").')

    async def asks_one(request: Request, ask: Ask) -> Reply:
        """Asks the one model."""
        request.decision.candidates.append(model)
        return await ask(model)

    asks_one.__name__ = asks_one.__qualname__ = model
    asks_one.models = (model,)  # type: ignore[attr-defined]
    return asks_one


STRATEGIES.add_maker(single)
