"""A second call where the first is slow: it costs a little more and cuts the longest waits.

Source: Dean and Barroso, The Tail at Scale (2013).
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

from orchestration_nb.calls import Ask, Reply, Request, Strategy
from orchestration_nb.errors import CallError, UsageError
from orchestration_nb.routing.making import checked_models, made
from orchestration_nb.routing.registry import STRATEGIES

_UNMEASURED_MS: Final = 2000.0
"""How long to wait for a model whose latency nobody knows yet."""
_EXAMPLE: Final = 'hedged("fast", "medium", after_ms=800)'


def hedged(model: str, other: str | None = None, after_ms: float | str = "p95") -> Strategy:
    """A second call goes out where the first has not answered in time; the first answer counts, the loser is cancelled.

    Where one of the two fails, the other is waited for, and asked at once if it was not. A cancelled call may be
    billed; it counts with the most that it can cost.

    Args:
        model: Model or alias that is asked first.
        other: Who is asked then; ``None``: the same model, for another sample.
        after_ms: Milliseconds to wait for the first; ``p95``: as long as 95 % of its calls took in the last five
            minutes, 2 s where none is known.

    Raises:
        UsageError: If no model is named, or ``after_ms`` is no time.
    """
    second = model if other is None else other
    names = checked_models("hedged", (model, second), example=_EXAMPLE)
    number = isinstance(after_ms, int | float) and not isinstance(after_ms, bool)
    if after_ms != "p95" and not (number and 0 <= float(after_ms) < math.inf):
        raise UsageError(f"after_ms={after_ms!r} is no time.", hint=f"Write {_EXAMPLE}, or after_ms='p95'.")

    async def with_a_hedge(request: Request, ask: Ask) -> Reply:
        """Asks one model, and a second time where it is slow."""
        request.decision.candidates.extend(names)
        wait_ms, why = _patience(request, model, after_ms)
        first = asyncio.ensure_future(ask(model, sample=request.sample))
        await asyncio.wait([first], timeout=wait_ms / 1000)
        if first.done() and _answered(first):
            request.decision.reason = f"{model} answered within {why}"
            return first.result()
        if first.done():
            request.decision.reason = f"{model} failed ({_failure(first)}): {second} was asked"
        else:
            request.decision.reason = f"{model} had not answered within {why}: {second} was asked as well"
        sample = request.sample if second != model else request.sample + 1
        return await _faster(first, asyncio.ensure_future(ask(second, sample=sample)), request, (model, second))

    shown = f"{after_ms:g}" if isinstance(after_ms, int | float) else after_ms
    return made(with_a_hedge, f"hedged({', '.join(names)}, after_ms={shown})", names)


def _patience(request: Request, model: str, after_ms: float | str) -> tuple[float, str]:
    if not isinstance(after_ms, str):
        return float(after_ms), f"{after_ms:g} ms"
    usual_ms = request.stats(model).p95_latency_ms
    if usual_ms is None:
        return _UNMEASURED_MS, f"{_UNMEASURED_MS:g} ms (nothing was measured yet)"
    return usual_ms, f"{usual_ms:,.0f} ms (its p95)"


async def _faster(
    first: asyncio.Future[Reply], hedge: asyncio.Future[Reply], request: Request, named: tuple[str, str]
) -> Reply:
    """The reply that comes first; the other call is cancelled."""
    names, under_way = {first: named[0], hedge: f"the second call, {named[1]}"}, {first, hedge}
    while under_way:
        done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        for call in sorted(done, key=lambda each: each is hedge):
            if _answered(call):
                for loser in under_way:
                    loser.cancel()
                request.decision.reason += f"; {names[call]}, answered first"
                return call.result()
    return first.result()


def _answered(call: asyncio.Future[Reply]) -> bool:
    """Whether a call that ended brought a reply.

    Raises:
        BaseException: What no other call could mend.
    """
    error = call.exception()
    if error is not None and (not isinstance(error, CallError) or error.falls_back is None):
        raise error
    return error is None


def _failure(call: asyncio.Future[Reply]) -> str:
    return type(call.exception()).__name__


STRATEGIES.add_maker(hedged)
