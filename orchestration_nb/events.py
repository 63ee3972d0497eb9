"""What happened: facts that flow out of the engine once, to the journal and to whoever listens.

Each event is one line of the journal (its fields as JSON), and :mod:`orchestration_nb.ledger` says which rows of which
tables it becomes. Times are naive UTC. Nothing here may hold a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from orchestration_nb.calls import Attempt, CacheHit, Status
from orchestration_nb.ids import CallId, RequestId, RunId

RunStatus = Literal["running", "done", "failed", "cancelled", "paused"]
"""How a run stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A run began."""

    event: Literal["run_started"] = "run_started"
    run_id: RunId
    flow: str
    source: str
    """The text of the cell."""
    steps: tuple[Mapping[str, Any], ...]
    """One mapping a step: ``name``, ``kind`` (``llm`` or ``plain``), ``line``, ``needs``, ``once``."""
    strategy: str | None
    model: str | None
    budget_usd: float
    concurrency: int
    seed: int
    sample: int | None
    items: int | None
    """Number of items, or ``None`` where the input does not say."""
    tags: Mapping[str, str] = field(default_factory=dict)
    started_at: datetime
    pid: int
    package_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished:
    """A step of one item ended; part of :class:`ItemFinished`."""

    step: str
    status: Status
    latency_ms: float
    cost_usd: float
    error_type: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFinished:
    """An item ended, with all its steps."""

    event: Literal["item"] = "item"
    run_id: RunId
    item: int
    """Position in the input, from 0; -1 stands for the steps that are evaluated once per run."""
    status: Status
    error_type: str | None
    error: str | None
    cost_usd: float
    billed_usd: float
    latency_ms: float
    steps: tuple[StepFinished, ...]
    finished_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFinished:
    """A call ended: one row of ``calls``, and one of ``texts``."""

    event: Literal["call"] = "call"
    call_id: CallId
    request_id: RequestId
    run_id: RunId
    model: str
    provider: str
    sample: int
    status: Status
    error_type: str | None
    error: str | None
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: float
    billed_usd: float
    bill_unknown: bool
    """The call may have been billed although no answer came; ``billed_usd`` is then the most it can cost."""
    simulated: bool
    input_usd_per_mtok: float | None
    """The price the call was reckoned with, here and below."""
    output_usd_per_mtok: float | None
    cached_usd_per_mtok: float | None
    cache_write_usd_per_mtok: float | None
    latency_ms: float
    ttft_ms: float | None
    finish_reason: str | None
    provider_request_id: str | None
    model_version: str | None
    cache: CacheHit
    cache_key: str
    attempts: tuple[Attempt, ...]
    started_at: datetime
    prompt: str
    """What was sent, as readable text."""
    reply: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFinished:
    """A request ended: one row of ``requests``."""

    event: Literal["request"] = "request"
    request_id: RequestId
    run_id: RunId
    flow: str
    step: str
    item: int
    strategy: str
    model: str | None
    """The model whose reply was taken, or ``None`` where there is none."""
    candidates: tuple[str, ...]
    propensity: float | None
    reason: str
    calls: int
    """How many calls the strategy made."""
    cost_usd: float
    billed_usd: float
    simulated: bool
    latency_ms: float
    status: Status
    error_type: str | None
    error: str | None
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """A run ended."""

    event: Literal["run_finished"] = "run_finished"
    run_id: RunId
    status: RunStatus
    error: str | None
    items_ok: int
    items_failed: int
    cost_usd: float
    billed_usd: float
    finished_at: datetime


Event = RunStarted | ItemFinished | CallFinished | RequestFinished | RunFinished
"""All that can happen."""


class Listener(Protocol):
    """Hears every event, after it was journalled; must be quick and must not raise."""

    def __call__(self, event: Event) -> None:
        """Takes one event; called on the engine's thread."""


class Journal(Protocol):
    """Where events are written before anything comes of them."""

    def write(self, event: Event) -> None:
        """Appends one line.

        Raises:
            JournalWriteError: If the line is not safely with the operating system.
        """
