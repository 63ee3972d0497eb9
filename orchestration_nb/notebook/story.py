"""What a run came through: retries, fallbacks, open circuits, degraded items, alerts, told in a few lines.

The engine tells its events to whoever listens; of what no table of results shows, this keeps the sums.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from orchestration_nb.events import (
    BudgetAlert,
    CallFinished,
    CircuitChanged,
    Event,
    ItemFinished,
    RequestFinished,
    RunFinished,
    RunStarted,
)
from orchestration_nb.ledger import AskedAgain
from orchestration_nb.pages.figures import count, span, usd
from orchestration_nb.workspace import Workspace

MOST_STORIES: Final = 200
"""Runs whose stories are kept; the oldest is forgotten first."""
MOST_ALERTS: Final = 5
_KINDS: Final = {
    "RateLimitedError": "429 (asked to slow down)",
    "OverloadedError": "overloaded",
    "ServerFailedError": "server failed",
    "CallTimeoutError": "timed out",
    "ConnectionLostError": "connection lost",
    "MalformedReplyError": "reply malformed",
    "TruncatedReplyError": "reply broken off",
    "SchemaNotMetError": "reply not of the schema",
}
"""What a failed attempt is called in a line."""


@dataclass(slots=True, eq=False)
class Outage:
    """The circuit of one model, while a run was under way."""

    reason: str = ""
    seconds: float = 0.0
    """How long the model was left alone, all times together."""
    opened_at: datetime | None = None
    """Since when it is; ``None`` where it is asked again."""

    def changed(self, event: CircuitChanged) -> None:
        """Takes a change of the circuit."""
        if event.state == "closed":
            self.closed(event.changed_at)
        elif self.opened_at is None:
            self.opened_at, self.reason = event.changed_at, event.reason

    def closed(self, at: datetime) -> None:
        """Adds the time since it opened."""
        if self.opened_at is not None:
            self.seconds += max(0.0, (at - self.opened_at).total_seconds())
            self.opened_at = None


@dataclass(slots=True, eq=False)
class Story:
    """The sums of one run."""

    failed_attempts: Counter[str] = field(default_factory=Counter)
    """Error to how many attempts ended in it, whatever became of the call."""
    fallbacks: Counter[tuple[str, str]] = field(default_factory=Counter)
    """The model that was wanted, and the one that answered in its place, to how many requests."""
    outages: dict[str, Outage] = field(default_factory=dict)
    still_open: set[str] = field(default_factory=set)
    """Models that were not asked when the run ended."""
    degraded: int = 0
    semantic: int = 0
    least_similarity: float = 1.0
    batch: int = 0
    answered_again: int = 0
    """Calls that were answered from the journal of the pipeline that is resumed."""
    sent_again: int = 0
    """Calls that were in flight when it was killed."""
    unknown: int = 0
    """Calls that may have been billed although no answer came."""
    unknown_usd: float = 0.0
    alerts: dict[tuple[str, str], str] = field(default_factory=dict)
    """Kind and budget to the latest sentence: who reads that all of it is spent need not read that half of it was."""
    ended: bool = False

    def call(self, event: CallFinished) -> None:
        """Takes a call of the run."""
        for attempt in event.attempts:
            if attempt.status == "failed":
                self.failed_attempts[attempt.error_type or "error"] += 1
        if event.cache == "semantic":
            self.semantic += 1
            self.least_similarity = min(self.least_similarity, event.similarity or 1.0)
        self.batch += event.batch
        self.answered_again += event.again_of is not None and event.cache != "none"
        self.sent_again += event.again_of is not None and event.cache == "none"
        if event.bill_unknown:
            self.unknown += 1
            self.unknown_usd += event.billed_usd

    def request(self, event: RequestFinished) -> None:
        """Takes a request of the run."""
        if event.model is not None and event.instead_of is not None:
            self.fallbacks[event.instead_of, event.model] += 1

    def finish(self, at: datetime) -> None:
        """Ends the story."""
        self.ended = True
        for model, outage in self.outages.items():
            if outage.opened_at is not None:
                self.still_open.add(model)
                outage.closed(at)

    def lines(self) -> tuple[str, ...]:
        """The story, a sentence a line; empty for a run without trouble."""
        alerts = list(self.alerts.values())
        return (
            *self._attempts(),
            *self._fallbacks(),
            *(self._outage(model, outage) for model, outage in sorted(self.outages.items())),
            *self._answers(),
            *alerts[:MOST_ALERTS],
            *([count(len(alerts) - MOST_ALERTS, "more alert")] if len(alerts) > MOST_ALERTS else []),
        )

    def _attempts(self) -> list[str]:
        failed = self.failed_attempts
        if not failed:
            return []
        kinds = ", ".join(f"{number:,} {_KINDS.get(kind, kind)}" for kind, number in failed.most_common())
        return [f"{count(failed.total(), 'attempt')} failed: {kinds}"]

    def _fallbacks(self) -> list[str]:
        if not self.fallbacks:
            return []
        models = ", ".join(
            f"{number:,} from {wanted} to {model}" for (wanted, model), number in self.fallbacks.most_common()
        )
        return [f"{count(self.fallbacks.total(), 'request')} fell back: {models}"]

    def _outage(self, model: str, outage: Outage) -> str:
        why = f" ({outage.reason.rstrip('.')})" if outage.reason else ""
        if not self.ended and outage.opened_at is not None:
            return f"the circuit of {model} is open{why}"
        still = ", and still is" if model in self.still_open else ""
        return f"the circuit of {model} was open for {span(outage.seconds)}{still}{why}"

    def _answers(self) -> list[str]:
        lines = []
        if self.degraded:
            lines.append(f"{count(self.degraded, 'item')} degraded: a step without an answer took its default")
        if self.semantic:
            similar = f"at least {self.least_similarity:.2f} alike"
            lines.append(f"{count(self.semantic, 'call')} answered from a question that means the same, {similar}")
        if self.batch:
            lines.append(f"{count(self.batch, 'call')} went by batch, at the batch price")
        lines += AskedAgain(sent=self.sent_again, answered=self.answered_again).sentences()
        if self.unknown:
            lines.append(
                f"{count(self.unknown, 'call')} may have been billed without an answer: {usd(self.unknown_usd)} is "
                "counted for them"
            )
        return lines


class Chronicle:
    """Hears every event of a workspace and keeps the stories of its latest runs."""

    def __init__(self) -> None:
        self._stories: OrderedDict[str, Story] = OrderedDict()

    def listen(self, workspace: Workspace) -> None:
        """Listens to the runs of a workspace that begin from now on; a second time it does nothing."""
        if self not in workspace.listeners:
            workspace.listeners.append(self)

    def of(self, run_id: str) -> Story:
        """The story of a run; an empty one where nobody listened."""
        return self._stories.get(run_id) or Story()

    def __call__(self, event: Event) -> None:
        """Takes one event; on the engine's thread."""
        if isinstance(event, CircuitChanged):
            self._circuit(event)
        elif isinstance(event, RunStarted):
            self._stories[event.run_id] = Story()
            while len(self._stories) > MOST_STORIES:
                self._stories.popitem(last=False)
        elif isinstance(event, BudgetAlert):
            self._alert(event)
        elif isinstance(event, CallFinished | RequestFinished | ItemFinished | RunFinished):
            story = self._stories.get(event.run_id)
            if story is not None:
                _tell(story, event)

    def _circuit(self, event: CircuitChanged) -> None:
        for story in list(self._stories.values()):
            # A change that closes a circuit belongs to those that saw it open.
            if not story.ended and (event.state != "closed" or event.model in story.outages):
                story.outages.setdefault(event.model, Outage()).changed(event)

    def _alert(self, event: BudgetAlert) -> None:
        for run_id, story in list(self._stories.items()):
            if event.run_id == run_id or (event.run_id is None and not story.ended):
                story.alerts[event.kind, event.budget] = event.message


def _tell(story: Story, event: CallFinished | RequestFinished | ItemFinished | RunFinished) -> None:
    if isinstance(event, CallFinished):
        story.call(event)
    elif isinstance(event, RequestFinished):
        story.request(event)
    elif isinstance(event, RunFinished):
        story.finish(event.finished_at)
    elif event.status == "degraded":
        story.degraded += 1


CHRONICLE: Final = Chronicle()
"""The stories of this process: displays are made without knowing which session asked for the run."""
