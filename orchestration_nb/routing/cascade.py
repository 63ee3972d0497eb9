"""Cheap models first, a better one where their replies will not do."""

from __future__ import annotations

import inspect

from orchestration_nb.calls import Ask, Reply, Request, Strategy
from orchestration_nb.errors import CallError, UsageError
from orchestration_nb.routing.agreement import agreement
from orchestration_nb.routing.doubts import doubt_about
from orchestration_nb.routing.fallback import Accept
from orchestration_nb.routing.making import checked_models, made
from orchestration_nb.routing.registry import STRATEGIES

_EXAMPLE = 'cascade("fast", "strong")'


def cascade(*models: str, accept: Accept | None = None) -> Strategy:
    """Models from the cheapest to the best, each asked where the reply before will not do.

    ::

        cascade("fast", "strong")
        cascade("fast", "medium", "strong", accept=lambda reply: reply.value in QUEUES)

    Without models: fast and medium are asked at once, and strong where they disagree. The last model's reply is taken
    as it is. Where a model cannot answer, the next one is asked; where the last one cannot, the last reply that came is
    given, and the reason says so.

    Args:
        models: Models or aliases.
        accept: Takes a reply; whether it will do. May be async. ``None``: one that is not empty, not cut off, not
            filtered, and does not say that it is not sure.

    Raises:
        UsageError: If one model is named, or ``accept`` cannot be called.
    """
    if not (accept is None or callable(accept)):
        raise UsageError(f"accept={accept!r} cannot be called.", hint="Write accept=lambda reply: ...")
    if not models:
        if accept is not None:
            raise UsageError("cascade(accept=...) names no models.", hint=f"Write {_EXAMPLE}.")
        usual = agreement("fast", "medium", "strong")
        return made(usual, "cascade", ("fast", "medium", "strong"))
    names = checked_models("cascade", models, least=2, example=_EXAMPLE)

    async def up_the_cascade(request: Request, ask: Ask) -> Reply:
        """Asks one model after the other until a reply will do."""
        request.decision.candidates.extend(names)
        came: Reply | None = None
        told: list[str] = []
        for name in names:
            last = name == names[-1]
            try:
                reply = await ask(name, sample=request.sample, wait=last)
            except CallError as error:
                if came is None and (last or error.falls_back is None):
                    raise
                told.append(f"{name} failed ({type(error).__name__})")
            else:
                doubt = None if last else _graded(request, await _doubt(reply, accept), name, names[-1])
                told.append(f"{name} answers" if doubt is None else f"the reply of {name} {doubt}")
                came = reply
                if doubt is None:
                    break
            finally:
                request.decision.reason = "; ".join(told)
        assert came is not None
        return came

    return made(up_the_cascade, f"cascade({', '.join(names)})", names)


def _graded(request: Request, doubt: str | None, name: str, strong: str) -> str | None:
    """The doubt, told as the score by which the cascade decides."""
    request.graded(float(doubt is not None), kept=name, strong=strong, after_reply=True)
    return doubt


async def _doubt(reply: Reply, accept: Accept | None) -> str | None:
    if accept is None:
        return doubt_about(reply)
    accepted = accept(reply)
    if inspect.isawaitable(accepted):
        accepted = await accepted
    return None if accepted else "is not accepted"


STRATEGIES.add_maker(cascade, in_python=("accept",))
STRATEGIES.add(cascade())
