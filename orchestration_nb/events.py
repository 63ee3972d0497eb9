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
    user: str | None = None
    notebook: str | None = None
    """Path of the notebook or script, relative to the workspace where it lies within; ``None`` where nobody knows."""
    resumes: RunId | None = None
    """The first of the runs that this one goes on with: they share one run budget."""
    batch: bool = False
    """Whether the calls go through the providers' batch APIs."""
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
    """A call ended: one row of ``calls``, and one of ``texts``.

    Only of a call that was sent or answered from the cache. What was refused before it was sent (the budget, an open
    circuit) or cancelled while it waited for its turn is no call: its request says so.
    """

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
    reasoning_usd_per_mtok: float | None = None
    latency_ms: float
    ttft_ms: float | None
    finish_reason: str | None
    provider_request_id: str | None
    model_version: str | None
    cache: CacheHit
    cache_key: str
    similarity: float | None = None
    """On a semantic hit: how like the cached question is, from 0 to 1."""
    batch: bool = False
    """Whether it went through the provider's batch API, at its price."""
    recovered: bool = False
    """Whether the process that made it died and another one settled it, at the most it can cost."""
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
    instead_of: str | None = None
    """The model that was wanted and did not answer, where ``model`` stood in for it as a fallback."""
    calls: int
    """How many calls the strategy made: those that were sent or answered from the cache."""
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


CircuitState = Literal["closed", "open", "half_open"]
"""How a model's circuit stands: asked freely, not asked, or asked once to see whether it is back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitChanged:
    """A model's circuit changed its state: one row of ``circuits``."""

    event: Literal["circuit"] = "circuit"
    model: str
    state: CircuitState
    failure_rate: float
    """Share of the attempts in the window that failed."""
    attempts: int
    """Attempts in the window."""
    reason: str
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetAlert:
    """A budget passed a mark, or will be passed before its period ends: one row of ``alerts``."""

    event: Literal["alert"] = "alert"
    kind: Literal["share", "burn", "reached"]
    """A share of the budget is spent; at this pace it ends early; a call was refused or the run waits."""
    budget: str
    """Its name, and whose it is: ``run``, ``each-user (ada)``."""
    share: float
    """Spent over the limit, from 0."""
    spent_usd: float
    limit_usd: float
    message: str
    """One sentence."""
    run_id: RunId | None
    """The run whose call passed it."""
    raised_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlanned:
    """What was expected of a step before its run: one row of ``plans``."""

    event: Literal["plan"] = "plan"
    plan_id: str
    run_id: RunId | None
    """The run that followed, or ``None`` where nothing was run yet."""
    flow: str
    step: str
    model: str
    calls: float
    cached_calls: float
    input_tokens: float
    output_tokens: float
    low_usd: float
    expected_usd: float
    high_usd: float
    expected_s: float
    actual_calls: int | None
    actual_usd: float | None
    actual_s: float | None
    basis: str
    """What it was reckoned from: ``past calls`` of the step, ``other calls`` of the model, or ``prompts`` alone."""
    planned_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Repriced:
    """A price was wrong: the calls that were reckoned with it are reckoned anew. One row of ``repricings``."""

    event: Literal["repriced"] = "repriced"
    model: str
    since: datetime | None
    """Calls that began at this time or later, or ``None`` for all."""
    until: datetime | None
    """Calls that began before this time; ``None`` stands for the time of the correction."""
    above_tokens: int | None = None
    """Calls whose prompt is longer than this, or ``None`` for all: the longer tiers of a price."""
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_usd_per_mtok: float | None
    cache_write_usd_per_mtok: float | None
    reasoning_usd_per_mtok: float | None
    repriced_at: datetime


Event = (
    RunStarted
    | ItemFinished
    | CallFinished
    | RequestFinished
    | RunFinished
    | CircuitChanged
    | BudgetAlert
    | StepPlanned
    | Repriced
)
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
