"""Journal, cache and single flight: of those who ask the same at once, one pays.

Where a pipeline is resumed, what it got before it stopped is given again, whatever the cache holds: also to those who
want no cached reply, as often as they asked.

In one process the others wait for its reply; in another process of the workspace they wait until it stands in the
store that both share.
"""

from __future__ import annotations

import asyncio
from typing import Any

from orchestration_nb.calls import Reply, Request
from orchestration_nb.cost.cache import CachedReply
from orchestration_nb.engine import meaning
from orchestration_nb.engine.opening import Opening
from orchestration_nb.engine.payment import Call, NotSent, pay
from orchestration_nb.engine.services import Place
from orchestration_nb.errors import AllModelsUnavailableError, CallError, ModelUnavailableError, SchemaNotMetError

Flights = dict[str, asyncio.Future[CachedReply | None]]


async def find_or_pay(call: Call) -> Reply:
    """The reply to a call: from the cache, from who asks the same right now, or paid.

    Raises:
        CallError: If no usable reply came.
        CostError: If the budget does not cover it.
    """
    while True:
        if not call.run.unpaused.is_set():  # here, so that nobody waits in another run for what a paused one has begun
            await call.wait_while_paused()
        try:
            return await _find_or_pay(call)
        except NotSent as signal:
            if signal.refusal is not None:
                await call.wait_for_budget(signal.refusal)


async def _find_or_pay(call: Call) -> Reply:
    run, key = call.run, call.book.key
    earlier = await _given_before(call)
    if earlier is not None:
        return earlier
    if run.fresh or not call.request.cache or call.book.model.recorded:
        return await _pay(call)
    cache, flights = run.services.cache, run.services.flights
    while True:
        held = cache.get(key) or await _join_flight(flights, key)
        if held is not None:
            value = _value_of_cached(call.request, held)
            if value is not _REFUSED:
                return call.book.answered_from_cache(held, value)
            return await _pay(call)
        if key not in flights:
            return await _lead_flight(call, flights)


async def _given_before(call: Call) -> Reply | None:
    """The reply that the pipeline got here before it was resumed, if it did."""
    earlier = call.run.services.earlier
    if earlier is None:
        return None
    if not earlier.is_read:
        await call.wait_for_earlier(earlier)
    given = earlier.take(_place_of(call))
    value = _REFUSED if given is None else _value_of_cached(call.request, given.reply)
    if given is None or value is _REFUSED:
        return None
    if given.similarity is None:
        _keep(call, given.reply)
    call.book.again_of = given.call_id
    return call.book.answered_from_cache(given.reply, value, given.similarity)


def _place_of(call: Call) -> Place:
    origin = call.request.origin
    return Place(call.run.flow, origin.step, origin.item, call.book.key)


def _keep(call: Call, reply: CachedReply) -> None:
    """Lets the cache hold what it would hold had the pipeline not been stopped."""
    cache, key = call.run.services.cache, call.book.key
    held = cache.get(key)
    if held is None or held.text != reply.text:
        cache.put(key, reply)


async def _claim(call: Call, opening: Opening | None) -> CachedReply | None:
    """The reply from the store, or one that was journalled just before a kill; ``None``: it is ours to ask."""
    held = await call.run.services.cache.claim(call.book.key, opening)
    earlier = call.run.services.earlier
    if held is None and earlier is not None:
        held = earlier.newest(call.book.key)
        if held is not None:
            call.run.services.cache.put(call.book.key, held)
    return held


async def _pay(call: Call) -> Reply:
    """Pays the call; where it was in flight when the pipeline was killed, it is sent again and says so."""
    earlier = call.run.services.earlier
    if earlier is not None and call.book.again_of is None:
        call.book.again_of = earlier.lost(_place_of(call))
    return await pay(call)


async def _join_flight(flights: Flights, key: str) -> CachedReply | None:
    flight = flights.get(key)
    return None if flight is None else await asyncio.shield(flight)


async def _lead_flight(call: Call, flights: Flights) -> Reply:
    key, cache = call.book.key, call.run.services.cache
    flight: asyncio.Future[CachedReply | None] = asyncio.get_running_loop().create_future()
    flights[key] = flight
    call.opening = opening = Opening.of(call)
    try:
        held = await _claim(call, opening)
        value = _REFUSED if held is None else _value_of_cached(call.request, held)
        if held is not None and value is not _REFUSED:
            flight.set_result(held)
            return call.book.answered_from_cache(held, value)
        reply = await _find_alike(call) or await _pay(call)
    except CallError as error:
        if not _is_its_own(error, call):
            # Who asked the same would meet the same: it shares the failure instead of repeating it.
            flight.set_exception(error)
            flight.exception()  # marks it as seen where nobody waits
        raise
    finally:
        if opening is not None:
            opening.close()
        cache.release(key)
        del flights[key]
        if not flight.done():
            # None: cancelled, or over this run's budget; the next in line tries for itself.
            flight.set_result(call.book.kept)
    semantic = call.run.services.semantic
    if semantic is not None and reply.cache == "none":
        call.deadline.rest()  # the answer is there: no time is too late for it
        await meaning.add(call, semantic)
    return reply


async def _find_alike(call: Call) -> Reply | None:
    """The reply to a question that means the same, where the semantic cache is on."""
    semantic = call.run.services.semantic
    hit = None if semantic is None else await meaning.find(call, semantic)
    value = _REFUSED if hit is None else _value_of_cached(call.request, hit.reply)
    if hit is None or value is _REFUSED:
        return None
    return call.book.answered_from_cache(hit.reply, value, hit.similarity)


def _is_its_own(error: CallError, call: Call) -> bool:
    """Whether the failure comes of how this one call was asked, so that others may fare better."""
    # How long a closed circuit is waited for is each call's own affair, and nothing was sent.
    own = isinstance(error, ModelUnavailableError | AllModelsUnavailableError)
    return own or call.request.timeout_s is not None


_REFUSED = object()


def _value_of_cached(request: Request, held: CachedReply) -> Any:
    if request.output is None:
        return held.text
    try:
        return request.output.parse(held.text)
    except SchemaNotMetError:
        return _REFUSED
