"""What happened: facts that flow out of the engine once, to the journal and to whoever listens.

Each event is one line of the journal (its fields as JSON), and :mod:`orchestration_nb.ledger` says which rows of which
tables it becomes. Times are naive UTC. Nothing here may hold a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from orchestration_nb.calls import Attempt, CacheHit, ModelStats, Status
from orchestration_nb.ids import CallId, PipelineId, RequestId, RunId
from orchestration_nb.pipeline_events import (
    ArtifactSaved,
    CellFinished,
    CellStarted,
    PipelineAlert,
    PipelineFinished,
    PipelineStarted,
)

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
    pipeline_id: PipelineId | None = None
    """The headless run of a notebook in which it began."""
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
    for_step: str = ""
    """The step that asked."""
    for_item: int = 0
    """The item that it asked for."""
    again_of: CallId | None = None
    """Where a pipeline was resumed: the earlier call whose journalled reply this one got, or that was lost."""
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
    seen: tuple[ModelStats, ...] = ()
    """How models were doing when the strategy read it."""
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
    batch_share: float | None = None
    """What a call through the provider's batch API costs of that; ``None``: half."""
    repriced_at: datetime


ScoredBy = Literal["scorer", "judge", "person"]
"""Who says how good a reply was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A reply was scored: one row of ``scores``. Of ``value``, ``label`` and ``passed`` one is given, or none."""

    event: Literal["score"] = "score"
    run_id: RunId
    item: int
    step: str
    request_id: RequestId | None = None
    comparison_id: str | None = None
    strategy: str | None = None
    """The strategy that answered."""
    versus: str | None = None
    """Of a mark that compares two answers: the strategy that gave the other one."""
    scorer: str
    """Its name: ``exact``, ``judge``, ``mark``."""
    scored_by: ScoredBy
    value: float | None = None
    """A score."""
    label: str | None = None
    """A label."""
    passed: bool | None = None
    """An assertion."""
    quality: float | None
    """The score as a number: what comparisons reckon with; ``None`` where the reply could not be scored."""
    reason: str = ""
    cost_usd: float = 0.0
    """What scoring it cost, at list price."""
    scored_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonStarted:
    """A comparison of strategies began: one row of ``comparisons``."""

    event: Literal["comparison_started"] = "comparison_started"
    comparison_id: str
    kind: Literal["compare", "what_if"]
    """Whether what is missing is asked and paid, or only recorded replies answer."""
    flow: str
    strategies: tuple[str, ...]
    reference: str | None
    """The strategy that the others are compared with; ``None``: the best single model of the other half."""
    step: str
    """The step that is scored."""
    scorer: str
    slice_column: str | None = None
    items: int
    margin: float
    """A strategy whose quality is worse by no more than this is non-inferior."""
    seed: int
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemCompared:
    """What one strategy came to on one item: one row of ``compared``."""

    event: Literal["compared"] = "compared"
    comparison_id: str
    run_id: RunId | None
    strategy: str
    item: int
    status: str
    """How the item ended, or ``missing`` where recorded replies do not tell."""
    quality: float | None
    cost_usd: float
    """What the item would have cost had this strategy run alone, at list price."""
    latency_ms: float
    """What it would have taken alone, on a virtual clock."""
    model: str | None
    """The model whose reply was scored."""
    asked: tuple[str, ...]
    """The models that were asked for the item, in order."""
    reason: str
    error: str | None
    slice_value: str | None = None
    compared_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonFinished:
    """A comparison ended."""

    event: Literal["comparison_finished"] = "comparison_finished"
    comparison_id: str
    status: RunStatus
    error: str | None
    questions: int
    """Distinct questions that were asked: request, model and sample number."""
    cost_usd: float
    """Their list price."""
    billed_usd: float
    finished_at: datetime


RolloutStage = Literal["shadow", "canary", "promoted", "rolled_back", "undecided"]
"""How far a candidate strategy has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutChanged:
    """A candidate strategy was begun, went on or was looked at: one row of ``rollouts``."""

    event: Literal["rollout"] = "rollout"
    rollout_id: str
    flow: str
    candidate: str
    incumbent: str
    stage: RolloutStage
    share: float
    """Share of the items that the candidate answers."""
    items: int
    """Items that speak for or against it so far."""
    quality_difference: float | None
    """Candidate less incumbent, with the bounds of a sequence that holds at every look."""
    low: float | None
    high: float | None
    cost_difference_usd: float | None
    reason: str
    decided_by: Literal["rule", "person"]
    changed_at: datetime


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
    | Scored
    | ComparisonStarted
    | ItemCompared
    | ComparisonFinished
    | RolloutChanged
    | PipelineStarted
    | CellStarted
    | CellFinished
    | PipelineFinished
    | ArtifactSaved
    | PipelineAlert
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
