"""Request, call, attempt, reply: what is asked, and what came back.

A **request** is what one ``llm(...)`` asked for. To answer it a strategy makes **calls**, each one model asked once;
a call is one or more **attempts** on the wire.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from orchestration_nb.errors import RateLimit
from orchestration_nb.errors import Usage as Usage  # noqa: PLC0414 - an error can tell it, and stands a floor below
from orchestration_nb.ids import CallId, RequestId, RunId, new_id
from orchestration_nb.messages import Message, Tool, ToolCall

Status = Literal["ok", "degraded", "failed", "skipped", "cancelled", "paused"]
"""How an item, a step, a request or a call ended."""

CacheHit = Literal["none", "exact", "semantic"]
"""Where a reply came from."""

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "other"]
"""Why the model stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSchema:
    """The form that a reply must have."""

    name: str
    """A name that providers accept: letters, digits, ``_`` and ``-``."""
    json_schema: Mapping[str, Any]
    """JSON schema of an object, as it is sent."""
    parse: Callable[[str], Any]
    """Text of the reply to the Python value; raises :class:`~orchestration_nb.errors.SchemaNotMetError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where in which run a request was asked."""

    run_id: RunId
    flow: str
    step: str
    item: int
    """Position of the item in the input, from 0; -1 for a step that is evaluated once per run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStats:
    """How a model has been doing of late, as a strategy sees it at the moment it decides.

    Of the calls that ended in this process in the last five minutes, at most 200 of them.
    """

    model: str
    """``provider/name``."""
    in_flight: int = 0
    """Calls under way."""
    calls: int = 0
    """Calls that ended, answered or not; what the cache answered does not count."""
    failure_rate: float = 0.0
    """Share of them that failed."""
    latency_ms: float | None = None
    """Median latency of those that were answered, or ``None`` where there are none."""
    p95_latency_ms: float | None = None
    cost_usd: float | None = None
    """Mean list price of one that was answered, or ``None`` where there are none."""
    tokens_per_minute: float = 0.0
    """Tokens read and written in the last minute."""
    input_usd_per_mtok: float | None = None
    """The list price, or ``None`` where nobody knows it."""
    output_usd_per_mtok: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """How much spoke for the dearer of two ways to answer a request."""

    score: float
    """The higher, the sooner the strong model is asked."""
    kept: str
    """Model or alias whose reply is taken where it is not."""
    strong: str
    """Model or alias that is asked where the score is high enough."""
    after_reply: bool
    """Whether cheap replies were read first: then they are paid either way."""


@dataclass(slots=True, kw_only=True)
class Decision:
    """What a strategy decided for one request; filled while it runs, recorded when it ends."""

    candidates: list[str] = field(default_factory=list)
    propensity: float | None = None
    """Product of the probabilities of the random choices that were made, or ``None`` where none was."""
    reason: str = ""
    """Why, in words, where the strategy says it."""
    graded: Graded | None = None
    """By which score the strategy decided, where it says it."""
    seed: str = ""
    """Run seed, item and step: what makes the random choices repeatable."""
    dice: random.Random | None = None
    """Made from ``seed`` by the first random choice."""
    seen: dict[str, ModelStats] = field(default_factory=dict)
    """What the strategy read of models, by full name, when it first read it."""
    observe: Callable[[str], ModelStats] | None = None
    """Reads how a model, or what an alias stands for, is doing."""
    afterwards: list[Strategy] = field(default_factory=list)
    """What is asked when the answer has been given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What one ``llm(...)`` asked for; strategies read it."""

    id: RequestId
    origin: Origin
    messages: tuple[Message, ...]
    system: str | None = None
    model: str | None = None
    """The model or alias that pins the step, or ``None``: then the strategy decides."""
    strategy: str | None = None
    output: OutputSchema | None = None
    tools: tuple[Tool, ...] = ()
    temperature: float | None = None
    max_tokens: int = 1024
    timeout_s: float | None = None
    """Most seconds for one call, or ``None`` for the setting."""
    cache: bool = True
    sample: int = 0
    """Number of the answer wanted, where a strategy asks one model the same thing more than once."""
    item: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The columns of the item, for strategies to decide by; nothing of it is sent. Empty where there is no table."""
    decision: Decision = field(default_factory=Decision, compare=False, repr=False)

    @property
    def prompt(self) -> str:
        """The words of the last user message."""
        for message in reversed(self.messages):
            if message.role == "user":
                return message.text
        return ""

    def choose(self, shares: Mapping[str, float]) -> str:
        """Chooses a model at random and records the candidates and the propensity.

        Args:
            shares: Model or alias to a positive weight; the weights need not sum to 1.

        Returns:
            One of the keys, the same one for the same run seed, item and step.

        Raises:
            ValueError: If ``shares`` is empty or a weight is negative.
        """
        total = sum(shares.values())
        if not shares or total <= 0 or min(shares.values()) < 0:
            raise ValueError(f"choose() needs positive weights, not {dict(shares)!r}")
        decision = self.decision
        decision.dice = decision.dice or random.Random(decision.seed)  # noqa: S311 - a repeatable choice, no secret
        name = decision.dice.choices(list(shares), weights=list(shares.values()))[0]
        decision.candidates.extend(shares)
        decision.propensity = (decision.propensity or 1.0) * shares[name] / total
        return name

    def graded(self, score: float, *, kept: str, strong: str, after_reply: bool = False) -> None:
        """Says by which score the strategy decides between a cheap model and a strong one.

        A comparison then knows what every other threshold would have come to, and shows the whole curve.

        Args:
            score: The higher, the sooner ``strong`` is asked.
            kept: Model or alias whose reply is taken where ``strong`` is not asked.
            strong: Model or alias.
            after_reply: Whether cheap replies were read before the decision, so that they are paid either way.
        """
        self.decision.graded = Graded(score=score, kept=kept, strong=strong, after_reply=after_reply)

    def stats(self, model: str) -> ModelStats:
        """How a model is doing; what is read is recorded with the decision.

        Args:
            model: Model or alias.

        Returns:
            The snapshot of the first time that this request read it, so that a decision stands on one state.

        Raises:
            UnknownModelError: If there is no such model.
        """
        decision = self.decision
        now = decision.observe(model) if decision.observe is not None else ModelStats(model=model)
        return decision.seen.setdefault(now.model, now)

    def afterwards(self, strategy: Strategy) -> None:
        """Has the same asked again, by another strategy, when this request has been answered.

        The answer does not wait for it, the end of the run does. It is a request of its own in the ledger, of the same
        step and item, and its failure is nobody else's.

        Args:
            strategy: An async function of ``(request, ask)``; its reply is recorded and otherwise dropped.
        """
        self.decision.afterwards.append(strategy)

    def again(self) -> Request:
        """The same question as a new request, about which nothing is decided yet."""
        decision = Decision(seed=f"{self.decision.seed}:again", observe=self.decision.observe)
        return replace(self, id=RequestId(new_id()), model=None, strategy=None, decision=decision)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawReply:
    """What a provider hands back for one attempt, before prices and schemas."""

    text: str
    usage: Usage
    finish_reason: FinishReason = "stop"
    tool_calls: tuple[ToolCall, ...] = ()
    provider_request_id: str | None = None
    model_version: str | None = None
    """The model as the provider names it in its answer."""
    ttft_ms: float | None = None
    """Milliseconds to the first token, where the reply was streamed."""
    latency_ms: float | None = None
    """Set only by a provider that replays: the recorded or modelled latency to show instead of the measured one."""
    cost_usd: float | None = None
    """Set only by a provider that replays: the recorded cost, which counts instead of tokens at the list price."""
    rate_limit: RateLimit | None = None
    """What the headers said about the provider's limits, where they said something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to one call, as a strategy and the analyst see it."""

    call_id: CallId
    model: str
    """``provider/name`` of the model that answered."""
    text: str
    value: Any
    """``text``, or the value that the output schema made of it."""
    usage: Usage
    cost_usd: float
    """What the call costs at list price."""
    billed_usd: float
    """What was spent for it now: 0 on a cache hit."""
    latency_ms: float
    paid_latency_ms: float | None = None
    """On a cache hit: milliseconds that the call took which was paid; ``None`` where this one was."""
    ttft_ms: float | None = None
    cache: CacheHit = "none"
    simulated: bool = False
    """No real money and no real model: ``sim/...`` and ``replay/...``."""
    similarity: float | None = None
    """On a semantic hit: how like the cached question is to this one, from 0 to 1."""
    instead_of: str | None = None
    """The model or alias that was wanted, where this one answered as its fallback."""
    finish_reason: FinishReason = "stop"
    tool_calls: tuple[ToolCall, ...] = ()


class Ask(Protocol):
    """What a strategy asks models with."""

    async def __call__(self, model: str, *, sample: int = 0, wait: bool = True, instead: Collection[str] = ()) -> Reply:
        """Asks one model: cache, budget, limits, circuit breaker, retries and the ledger included.

        Args:
            model: Model or alias.
            sample: Number of the answer wanted; the same number gets the same answer from the cache.
            wait: Whether to wait, within the deadline, for a model whose circuit is open. ``False`` fails at once
                instead, for a strategy that has others to ask.
            instead: Models that could answer as well: the wait ends with ``ModelUnavailableError`` as soon as one of
                them may be asked.

        Raises:
            CallError: If no usable reply came; ``ModelUnavailableError`` where nothing was sent.
            OverBudgetError: If the call could pass the budget.
        """


Strategy = Callable[[Request, Ask], Any]
"""An async function that decides which models to ask and returns one of their replies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a call on the wire."""

    number: int
    """From 1."""
    status: Status
    error_type: str | None
    error: str | None
    wait_ms: float
    """Waited before this attempt, after the one before."""
    latency_ms: float
    http_status: int | None = None
    provider_request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """The most seconds that each wait of a call may take."""

    connect_s: float = 10.0
    first_token_s: float = 60.0
    between_tokens_s: float = 30.0
    total_s: float = 180.0
