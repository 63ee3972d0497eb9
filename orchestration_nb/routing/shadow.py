"""One answers; another is asked unseen, to learn whether it would have said the same."""

from __future__ import annotations

from orchestration_nb.calls import Ask, Reply, Request, Strategy
from orchestration_nb.routing.fallback import models_of
from orchestration_nb.routing.making import asked_of, checked_models, made, name_of
from orchestration_nb.routing.reading import agrees
from orchestration_nb.routing.registry import STRATEGIES


def shadow(main: str | Strategy, other: str | Strategy) -> Strategy:
    """One model or strategy answers; another is asked the same afterwards, and whether they agree is recorded.

    The answer does not wait for the other, and what becomes of it changes nothing for the item. In the ledger it is a
    request of its own, of the strategy ``shadow of ...``, whose reason says whether the two agree::

        SELECT reason LIKE 'agrees%' AS agrees, count(*) FROM requests WHERE strategy LIKE 'shadow of %' GROUP BY 1

    Its cost stands there and in the run's, and not in the item's.

    Args:
        main: Model, alias or strategy that answers.
        other: The one that is tried.

    Raises:
        UsageError: If one of them is no name of a model and no strategy.
    """
    example = 'shadow("fast", "strong")'
    names = tuple(
        name
        for who in (main, other)
        for name in (models_of(who) if callable(who) else checked_models("shadow", (who,), example=example))
    )

    async def in_the_light(request: Request, ask: Ask) -> Reply:
        """Answers by the one, and has the other asked afterwards."""
        if isinstance(main, str):
            request.decision.candidates.append(main)
            request.decision.reason = "the one that answers"
        reply = await asked_of(main, request, ask)
        request.decision.reason += f"; {name_of(other)} is asked afterwards, unseen"

        async def in_the_shadow(again: Request, ask: Ask) -> Reply:
            came = await asked_of(other, again, ask)
            same = "agrees" if agrees(reply, came) else "disagrees"
            own = f" ({again.decision.reason})" if again.decision.reason else ""
            again.decision.reason = f"{same} with the answer of {reply.model} to request {request.id}{own}"
            return came

        in_the_shadow.__name__ = f"shadow of {name_of(main)}: {name_of(other)}"
        request.afterwards(in_the_shadow)
        return reply

    return made(in_the_light, f"shadow({name_of(main)}, {name_of(other)})", tuple(dict.fromkeys(names)))


STRATEGIES.add_maker(shadow)
