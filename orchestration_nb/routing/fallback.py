"""Another model answers where one cannot: the strategy ``fallback(...)``, and the fallbacks in ``orchestrate.toml``.

A model whose circuit is open is passed over at once. Where none is left but such models, the one that can be probed
first is waited for, and whichever comes back first is asked.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from orchestration_nb.calls import Ask, Decision, Reply, Request, Strategy
from orchestration_nb.catalog import Fallbacks, Model
from orchestration_nb.errors import CallError, ModelUnavailableError, UsageError
from orchestration_nb.routing.making import checked_models, made
from orchestration_nb.routing.registry import STRATEGIES

Accept = Callable[[Reply], Any]
"""Takes a reply; whether it will do. May be async."""


def fallback(*models: str, accept: Accept | None = None) -> Strategy:
    """A strategy that asks the first of several models which answers.

    ::

        flow.map(tickets, strategy=fallback("openai/gpt-4.1", "anthropic/claude-sonnet-4-5"))
        flow.map(tickets, strategy=fallback("fast", "strong", accept=lambda reply: "not sure" not in reply.text))

    The next model is asked where one fails for good (after its retries), cannot read so long a prompt, refuses the
    content, or has an open circuit; a request that nobody could read (400) fails at once.

    Args:
        models: Models or aliases, in order; one that is named twice is asked once.
        accept: Whether a reply will do; the next model is asked where it will not. If no reply will do, the last one
            that came is given all the same, and the reason in the ledger says so.

    Raises:
        UsageError: If no model is named, or ``accept`` cannot be called.
    """
    names = checked_models("fallback", models, example='fallback("openai/gpt-4.1", "anthropic/claude-sonnet-4-5")')
    if not (accept is None or callable(accept)):
        raise UsageError(
            f"accept={accept!r} cannot be called.", hint='Write accept=lambda reply: "not sure" not in reply.text.'
        )

    async def first_that_answers(request: Request, ask: Ask) -> Reply:
        """Asks one model after the other until one answers."""
        request.decision.candidates.extend(names)
        chain = _Chain(ask, request.decision, sample=request.sample, wait=True, accept=accept)
        return await chain.answer(names)

    return made(first_that_answers, f"fallback({', '.join(names)})", names)


STRATEGIES.add_maker(fallback, in_python=("accept",))


async def answer_in_order(models: Sequence[str], request: Request, ask: Ask) -> Reply:
    """The reply of the first of these models that answers; the reason tells of those that could not.

    For a strategy that has put its candidates in order, best first, and said why.

    Raises:
        CallError: The failure of the first, where none of them answered.
    """
    return await _Chain(ask, request.decision, sample=request.sample, wait=True).answer(models)


def models_of(strategy: Strategy) -> tuple[str, ...]:
    """The models that a strategy is known to ask, so that a misspelt one is refused before anything is paid."""
    return tuple(getattr(strategy, "models", ()))


def fallbacks_of(model: Model) -> tuple[str, ...]:
    """The models that ``orchestrate.toml`` names for when this one cannot answer, whatever the reason."""
    held = model.fallbacks or Fallbacks()
    return (*held.error, *held.context_window, *held.content_policy)


async def answer_with_fallbacks(
    decision: Decision, ask: Ask, model: str, resolve: Callable[[str], Model], *, sample: int = 0, wait: bool = True
) -> Reply:
    """Asks one model, and those that ``orchestrate.toml`` names for when it cannot answer, by the kind of its failure.

    A fallback's own fallbacks are followed as well; no model is asked twice, so that a circle ends.

    Args:
        decision: Is told what happened, in words.
        ask: Asks one model and nothing else.
        model: Model or alias.
        resolve: Name or alias to the model, with its fallbacks.
        sample: Number of the answer wanted.
        wait: Whether to wait where the circuits of all of them are open.

    Raises:
        CallError: The first failure, where none of them answered.
    """
    if resolve(model).fallbacks is None:
        return await ask(model, sample=sample, wait=wait)
    chain = _Chain(ask, decision, sample=sample, wait=wait, resolve=resolve)
    return await chain.answer((model,))


class _Chain:
    """One answer from several models."""

    def __init__(
        self,
        ask: Ask,
        decision: Decision,
        *,
        sample: int,
        wait: bool,
        accept: Accept | None = None,
        resolve: Callable[[str], Model] | None = None,
    ) -> None:
        self._ask = ask
        self._decision = decision
        self._sample = sample
        self._wait = wait
        self._accept = accept
        self._resolve = resolve
        self._named: set[str] = set()
        self._wanted = ""
        """The model that was wanted most."""
        self._failure: CallError | None = None
        """The first one: that of the model which was wanted most."""
        self._unwanted: Reply | None = None
        self._before = [decision.reason] if decision.reason else []
        self._told: list[str] = []

    async def answer(self, names: Iterable[str]) -> Reply:
        """The first reply that comes and will do."""
        ahead, away = deque(self._new(names)), dict[str, ModelUnavailableError]()
        self._wanted = ahead[0]
        while ahead or (away and self._wait):
            waits = not ahead
            name = self._soonest(away) if waits else ahead.popleft()
            try:
                reply = await self._asked(name, instead=away if waits else None)
            except ModelUnavailableError as error:
                self._say(f"{name} is unavailable")
                away[name] = error
                ahead.extendleft(reversed(self._new(self._instead_of(name, error))))
                if waits:  # another one of them may be asked now
                    ahead.extend(away)
                    away.clear()
            except CallError as error:
                self._failed(name, error)
                ahead.extendleft(reversed(self._new(self._instead_of(name, error))))
            else:
                if name != self._wanted:
                    reply = replace(reply, instead_of=self._wanted)
                if await self._will_do(name, reply):
                    return reply
        return self._last_resort(away)

    async def _asked(self, name: str, *, instead: Iterable[str] | None) -> Reply:
        if instead is None:
            return await self._ask(name, sample=self._sample, wait=False)
        return await self._ask(name, sample=self._sample, wait=True, instead=tuple(instead))

    def _soonest(self, away: dict[str, ModelUnavailableError]) -> str:
        name = min(away, key=lambda each: away[each].retry_after_s or 0.0)
        del away[name]
        return name

    def _new(self, names: Iterable[str]) -> list[str]:
        """Those that were not named before, by whatever alias."""
        new = []
        for name in names:
            full = self._resolve(name).name if self._resolve else name
            if full not in self._named:
                self._named.add(full)
                new.append(name)
        return new

    def _instead_of(self, name: str, error: CallError) -> Sequence[str]:
        held = self._resolve(name).fallbacks if self._resolve else None
        return getattr(held or Fallbacks(), error.falls_back) if error.falls_back else ()

    def _failed(self, name: str, error: CallError) -> None:
        self._failure = self._failure or error
        self._say(f"{name} failed ({type(error).__name__})")
        if error.falls_back is None and self._unwanted is None:
            raise error

    async def _will_do(self, name: str, reply: Reply) -> bool:
        accepted = True if self._accept is None else self._accept(reply)
        if inspect.isawaitable(accepted):
            accepted = await accepted
        if accepted:
            if self._told or (self._resolve is None and not self._before):
                self._say(f"{name} answers")
            return True
        self._unwanted = reply
        self._say(f"the reply of {name} is not accepted")
        return False

    def _last_resort(self, away: dict[str, ModelUnavailableError]) -> Reply:
        if self._unwanted is not None:
            self._say("no other came")
            return self._unwanted
        if self._failure is not None:
            raise self._failure
        raise away[self._soonest(dict(away))]

    def _say(self, what: str) -> None:
        if what not in self._told:
            self._told.append(what)
            self._decision.reason = "; ".join([*self._before, *self._told])
