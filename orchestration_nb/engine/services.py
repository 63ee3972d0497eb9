"""What the engine works with, handed to it by the workspace."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from orchestration_nb.calls import RawReply, Request, Strategy, Timeouts
from orchestration_nb.catalog import Catalog, Model
from orchestration_nb.clock import Clock
from orchestration_nb.cost.budget import Budgets, RunBudget
from orchestration_nb.cost.cache import CachedReply, Rider
from orchestration_nb.cost.semantic import SemanticCache
from orchestration_nb.engine.batching import BatchSender
from orchestration_nb.engine.progress import Progress
from orchestration_nb.engine.traffic import Traffic
from orchestration_nb.errors import CallError, OverBudgetError, RateLimit, RunPaused
from orchestration_nb.events import Event, Journal, Listener
from orchestration_nb.ids import CallId, RunId
from orchestration_nb.resilience import RetryPolicy

_log = logging.getLogger(__name__)


class Sender(Protocol):
    """The part of a provider that the engine uses."""

    async def send(self, model: Model, request: Request, *, timeouts: Timeouts) -> RawReply:
        """Makes one attempt.

        Raises:
            CallError: If no reply came.
        """


class ReplyCache(Protocol):
    """Replies by the digest of their question."""

    def get(self, key: str) -> CachedReply | None:
        """The reply if it is in memory."""

    async def answered(self, keys: Sequence[str]) -> set[str]:
        """Of these questions, those that it can answer."""

    async def claim(self, key: str, rider: Rider | None = None) -> CachedReply | None:
        """The reply from the store; ``None``: nobody has it, and of all processes this one asks.

        ``rider`` goes along with the claim, in its transaction.
        """

    def put(self, key: str, reply: CachedReply) -> None:
        """Keeps a reply, which ends the claim."""

    def release(self, key: str) -> None:
        """Ends a claim, however it went."""

    async def flush(self) -> None:
        """Returns when everything outlives the process."""


class Place(NamedTuple):
    """Where in a pipeline what is asked."""

    flow: str
    step: str
    item: int
    key: str
    """The digest of the question."""


class EarlierReply(NamedTuple):
    """What an earlier pipeline run got at a place."""

    call_id: CallId
    reply: CachedReply
    similarity: float | None
    """Where it was the answer to a question that means the same: how like that was."""


class EarlierReplies(Protocol):
    """What the pipeline runs got that this one goes on with."""

    @property
    def is_read(self) -> bool:
        """Whether :meth:`read` has ended."""

    async def read(self) -> None:
        """Returns when the others can answer.

        Raises:
            WorkspaceError: If the journal cannot be read: nothing may be sent then.
        """

    def take(self, place: Place) -> EarlierReply | None:
        """The next reply that was given at that place."""

    def newest(self, key: str) -> CachedReply | None:
        """The newest reply to that question, wherever it was asked."""

    def lost(self, place: Place) -> CallId | None:
        """The next call that was in flight there when its process died."""


class Permit(Protocol):
    """That a model may be asked now; ended exactly once."""

    @property
    def valid(self) -> bool:
        """Whether the circuit has not changed since."""

    def succeeded(self) -> None:
        """A reply came."""

    def failed(self, error: BaseException) -> None:
        """None came; the kind of error says whether it speaks against the model."""

    def abandoned(self) -> None:
        """The attempt was not made, or cancelled; does nothing on a permit that has ended."""


class Circuits(Protocol):
    """The circuit breakers of all models."""

    def is_closed(self, model: str) -> bool:
        """Whether the model may be asked freely."""

    def permit_now(self, model: str) -> Permit | None:
        """A permit, or ``None`` while the circuit is open or another call probes the model."""

    async def permit(self, model: str, *, wait: bool, deadline_s: float, instead: Collection[str]) -> Permit:
        """A permit, at the latest when monotonic time is ``deadline_s``.

        Raises:
            ModelUnavailableError: If the circuit is open and ``wait`` is false, or one of ``instead`` may be asked.
            AllModelsUnavailableError: If it stays open until the deadline.
        """


class Turn(Protocol):
    """An attempt's leave to go out; ended exactly once."""

    def ended(
        self, error: BaseException | None = None, *, rate_limit: RateLimit | None = None, tokens: int = 0
    ) -> None:
        """The attempt is over: what it failed with, what the headers said, and the tokens that it took."""

    def unused(self) -> None:
        """Nothing was sent."""


class TurnAhead(Protocol):
    """A turn that is taken in somebody else's transaction, where it is to be had at once."""

    def take(self, connection: sqlite3.Connection) -> None:
        """Takes it, within the transaction."""

    def committed(self) -> None:
        """The transaction has ended well."""

    def turn(self) -> Turn | None:
        """The turn, to be had once."""


class Limits(Protocol):
    """What models, providers and keys allow at the moment."""

    def turn_now(self, model: Model) -> Turn | None:
        """A turn where nothing stands against it."""

    def ahead(self, model: Model, *, tokens: int) -> TurnAhead | None:
        """A turn to be taken in somebody else's transaction; ``None`` where it takes none, or others wait."""

    async def turn(self, model: Model, *, tokens: int, until_s: float) -> Turn:
        """Waits until an attempt may be sent that takes at most so many tokens, read and written.

        Raises:
            RateLimitedError: If the provider asked for a pause that ends after ``until_s`` (monotonic).
        """

    def note(self) -> str:
        """What holds calls up just now, in words; may be called from any thread."""


@dataclass(slots=True, kw_only=True, eq=False)
class Services:
    """Everything that all runs of a workspace share."""

    catalog: Catalog
    providers: Mapping[str, Sender]
    journal: Journal
    cache: ReplyCache
    budgets: Budgets
    semantic: SemanticCache | None = None
    """Answers from questions that mean the same, or ``None``: off."""
    earlier: EarlierReplies | None = None
    """What is answered from the journal of the pipeline that is resumed, or ``None``: nothing is."""
    circuits: Circuits
    limits: Limits
    retry: RetryPolicy
    timeouts: Timeouts
    clock: Clock
    executor: Executor
    traffic: Traffic = field(init=False)
    """How the models have been doing of late."""
    asking: int = 0
    """Calls that are under way, in all runs."""
    paid_in_batches: Callable[[], Mapping[str, bool]] = dict
    """Reads for which questions the ledger has something paid in batches: whether they were answered; blocks."""
    flights: dict[str, asyncio.Future[CachedReply | None]] = field(default_factory=dict)
    """Questions that are being asked right now, by digest: who asks the same waits."""

    def __post_init__(self) -> None:
        self.traffic = Traffic(self.catalog.resolve, self.clock)


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(slots=True, kw_only=True, eq=False)
class RunContext:
    """What the requests of one run share."""

    run_id: RunId
    flow: str
    services: Services
    budget: RunBudget
    turns: asyncio.Semaphore
    """As many as calls may be in flight."""
    strategy: Strategy
    strategy_name: str
    fixed: Strategy
    """The strategy of a request whose model is named."""
    find_strategy: Callable[[str], Strategy]
    model: str | None
    """The model of every step that names none, or ``None``."""
    fresh: bool
    seed: int
    progress: Progress
    listeners: Sequence[Listener] = ()
    unpaused: asyncio.Event = field(default_factory=_set_event)
    """Set while the run may send."""
    cancelled: bool = False
    """Nothing more is begun, whatever becomes of what is under way."""
    unusable: dict[str, CallError] = field(default_factory=dict)
    """Models that this run does not ask again, by name: the key is refused, or there is no such model."""
    degrade: bool = False
    """A step without an answer yields its default, or ``None``, instead of failing."""
    batches: BatchSender | None = None
    """What sends the calls through the providers' batch APIs, or ``None``: each goes out by itself."""
    waits_for: OverBudgetError | None = None
    """The budget that the run waits for."""
    left: bool = False
    """Nobody raises that budget now: what needs it ends as paused."""

    afterwards: set[asyncio.Task[None]] = field(default_factory=set)
    """What goes on after the answers were given, and what of it could not be recorded."""

    _paid_in_batches: asyncio.Future[Mapping[str, bool]] | None = None

    def go_on_with(self, work: Coroutine[Any, Any, None]) -> None:
        """Begins what nobody waits for but the end of the run."""
        task = asyncio.ensure_future(work)
        self.afterwards.add(task)
        task.add_done_callback(self._went_on)

    def _went_on(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            self.afterwards.discard(task)

    async def paid_in_batches(self) -> Mapping[str, bool]:
        """For which questions the ledger has something paid in batches: whether they were answered; read once."""
        if self._paid_in_batches is None:
            loop = asyncio.get_running_loop()
            self._paid_in_batches = loop.run_in_executor(self.services.executor, self.services.paid_in_batches)
        return await asyncio.shield(self._paid_in_batches)

    async def wait_for_budget(self, refusal: OverBudgetError) -> None:
        """Pauses the run until it is resumed.

        Raises:
            RunPaused: If it is left instead.
        """
        if not self.left and self.progress.status in {"running", "paused"}:
            self.waits_for = self.waits_for or refusal
            self.unpaused.clear()
            self.progress.status, self.progress.waits_because = "paused", str(self.waits_for)
            await self.unpaused.wait()
        if self.left:
            raise RunPaused

    def go_on(self) -> None:
        """Ends the pause."""
        self.waits_for = None
        self.progress.status, self.progress.waits_because = "running", ""
        self.unpaused.set()

    def record(self, event: Event) -> None:
        """Journals an event, then tells the listeners. One that raises is logged, and hears no more of this run.

        Raises:
            JournalWriteError: If it could not be written; nobody is told then.
        """
        self.services.journal.write(event)
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - what happened has happened, whatever a listener makes of it
                _log.warning("A listener failed and hears no more of run %s.", self.run_id, exc_info=True)
                self.listeners = [other for other in self.listeners if other is not listener]
