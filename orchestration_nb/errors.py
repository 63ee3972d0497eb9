"""Everything that can go wrong, as one tree.

::

    OrchestrationError              one clear sentence in str(), the way out in .hint
    ├── UsageError                  an argument, a flag or a table that cannot be used
    │   ├── UnknownModelError
    │   ├── UnknownStrategyError
    │   └── ConfigError             orchestrate.toml, or a workspace that is not trusted
    ├── FlowError                   the cell is not a flow; .line says where
    │   ├── FlowSyntaxError         a statement that a flow cannot hold, or not Python at all
    │   ├── UnknownNameError
    │   ├── StepOrderError
    │   └── DuplicateStepError
    ├── StepError                   a step of one item failed
    │   ├── PendingReplyError       a reply was used before it was there, or never awaited
    │   └── AnnotationError         a value that its step's annotation refuses
    ├── CallError                   a model was asked and no usable reply came     falls back to
    │   ├── RateLimitedError        429                                   retried  error
    │   ├── OverloadedError         503, 529                              retried  error
    │   ├── ServerFailedError       any other 5xx                         retried  error
    │   ├── CallTimeoutError        connect, first token, between tokens, total   retried  error
    │   ├── ConnectionLostError     refused, reset, name not found        retried  error
    │   ├── BadReplyError                                                 retried  error
    │   │   ├── MalformedReplyError
    │   │   ├── TruncatedReplyError
    │   │   └── SchemaNotMetError
    │   ├── ContextTooLongError                                                    context_window
    │   ├── ContentRefusedError                                                    content_policy
    │   ├── BadRequestError         nobody else could read it either: fails at once
    │   ├── NotAuthorisedError      no key, or a key that is refused               error
    │   ├── NoSuchModelError                                                       error
    │   ├── ModelUnavailableError   its circuit is open: nothing was sent          error
    │   ├── AllModelsUnavailableError  every model that may answer is unavailable
    │   └── NoRecordedReplyError    replay/... has no reply for the prompt         error
    ├── CostError
    │   ├── OverBudgetError         what is spent plus the call's maximum passes a budget
    │   │   └── BudgetPausedError   the same, where the budget pauses and nobody is there to ask: exit code 4
    │   ├── OverQuotaError          requests or tokens of a day, a month, a user, a team
    │   └── PriceUnknownError       a budget holds and the model has no price
    ├── TooLittleSupportError       the ledger says too little about a strategy to estimate it
    └── WorkspaceError
        ├── JournalWriteError       the disk is full or read-only: the run stops
        ├── StateError              what processes must agree on cannot be written: the run stops
        ├── LedgerNewerError        written by a newer version: left untouched
        ├── LedgerDamagedError
        └── QueryError              SQL that the ledger refuses

    ControlSignal (BaseException)   not an Exception, so that user code cannot swallow it
    ├── RunCancelled
    └── RunPaused                   nobody raises the budget now: the item ends as paused
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Phase = Literal["connect", "first token", "between tokens", "total"]
"""Which wait of a call ran out."""

Billing = Literal["no", "yes", "unknown"]
"""Whether a failed attempt was billed: surely not, surely, or it may have been."""

FallbackKind = Literal["error", "context_window", "content_policy"]
"""Which fallbacks of a model take over: those for any failure, for a prompt that is too long, for a refused content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """What a provider's headers say about its limits (``x-ratelimit-*``, ``anthropic-ratelimit-*``)."""

    limit_requests: int | None = None
    """Requests that are allowed in a window."""
    remaining_requests: int | None = None
    reset_requests_s: float | None = None
    """Seconds until all of them are allowed again."""
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call, by class."""

    input_tokens: int = 0
    """All that was read, cached and cache-written tokens included."""
    cached_tokens: int = 0
    """Of the input, what the provider read from its cache."""
    cache_write_tokens: int = 0
    """Of the input, what the provider wrote to its cache."""
    output_tokens: int = 0
    """All that was written, reasoning included."""
    reasoning_tokens: int = 0
    """Of the output, what was thought and not said."""

    def whole(self) -> Usage:
        """The same with each part within its whole, which some servers count beside it; sums of such add up."""
        read, written = self.cached_tokens + self.cache_write_tokens, self.reasoning_tokens
        if read <= self.input_tokens and written <= self.output_tokens:
            return self
        return replace(self, input_tokens=max(read, self.input_tokens), output_tokens=max(written, self.output_tokens))

    def plus(self, other: Usage) -> Usage:
        """What two attempts took together."""
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )


class OrchestrationError(Exception):
    """Root of the tree.

    Args:
        message: One sentence: what went wrong, and where.
        hint: How to mend it, or an empty string.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(OrchestrationError):
    """An argument, a flag or a table that cannot be used."""


class UnknownModelError(UsageError):
    """A model name that neither the catalog nor an alias knows."""


class UnknownStrategyError(UsageError):
    """A strategy name that nobody defined."""


class ConfigError(UsageError):
    """``orchestrate.toml`` is wrong, or asks for what only a trusted workspace may."""


class FlowError(OrchestrationError):
    """The text of a flow cannot be used.

    Args:
        message: One sentence.
        hint: What to write instead.
        line: The line in the cell, counted from 1, or ``None``.
    """

    def __init__(self, message: str, *, hint: str = "", line: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.line = line


class FlowSyntaxError(FlowError):
    """Not Python, or a statement that a flow cannot hold."""


class UnknownNameError(FlowError):
    """A name that is no step, column, variable or builtin."""


class StepOrderError(FlowError):
    """A step that is used above the line that makes it."""


class DuplicateStepError(FlowError):
    """Two steps of one name."""


class StepError(OrchestrationError):
    """A step of one item failed; the other items go on."""


class PendingReplyError(StepError):
    """A pending reply was used before it was there, or was never awaited."""


class AnnotationError(StepError):
    """A value that does not fit the annotation of its step."""


class CallError(OrchestrationError):
    """A model was asked and no usable reply came.

    Args:
        message: One sentence. Must not hold a key; what the provider said is data and may be long.
        hint: How to mend it.
        billing: Whether the attempt was billed.
        retry_after_s: Seconds the provider asked to wait, or ``None``.
        http_status: The status code of the answer, or ``None`` where none came.
        provider_request_id: The provider's own id of the request, for its support desk.
        usage: The tokens that the attempt took, where what came of it says so: it is paid as they cost then.
    """

    retryable: bool = False
    """Whether the same attempt may go better next time."""
    falls_back: FallbackKind | None = "error"
    """Which fallbacks may answer instead, or ``None`` where another model would fail alike."""
    opens_circuit: bool = False
    """Whether it says that the model is ill, rather than that it is asked too fast or for something it cannot do."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        billing: Billing = "no",
        retry_after_s: float | None = None,
        http_status: int | None = None,
        provider_request_id: str | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.billing: Billing = billing
        self.retry_after_s = retry_after_s
        self.http_status = http_status
        self.provider_request_id = provider_request_id
        self.usage = usage
        self.rate_limit: RateLimit | None = None
        """What the provider's headers said about its limits."""


class RateLimitedError(CallError):
    """The provider asks to slow down (429)."""

    retryable = True


class OverloadedError(CallError):
    """The provider has no room right now (503, 529)."""

    retryable = True
    opens_circuit = True


class ServerFailedError(CallError):
    """The provider failed (any other 5xx)."""

    retryable = True
    opens_circuit = True


class CallTimeoutError(CallError):
    """A wait of the call ran out; ``phase`` says which."""

    retryable = True
    opens_circuit = True

    def __init__(self, message: str, *, phase: Phase, hint: str = "", billing: Billing = "unknown") -> None:
        super().__init__(message, hint=hint, billing=billing)
        self.phase: Phase = phase


class ConnectionLostError(CallError):
    """The connection was refused (nothing sent) or broke (perhaps billed)."""

    retryable = True
    opens_circuit = True


class BadReplyError(CallError):
    """A reply came and cannot be used."""

    retryable = True


class MalformedReplyError(BadReplyError):
    """The reply is not what the wire format says."""

    opens_circuit = True


class TruncatedReplyError(BadReplyError):
    """The reply broke off before its end."""

    opens_circuit = True


class SchemaNotMetError(BadReplyError):
    """The reply does not fit the step's output schema; ``reply`` is the text that came."""

    def __init__(self, message: str, *, reply: str, hint: str = "") -> None:
        super().__init__(message, hint=hint, billing="yes")
        self.reply = reply


class ContextTooLongError(CallError):
    """The prompt is longer than the model can read."""

    falls_back = "context_window"


class ContentRefusedError(CallError):
    """The provider or the model refused the content."""

    falls_back = "content_policy"


class BadRequestError(CallError):
    """The provider cannot read the request (any other 4xx)."""

    falls_back = None


class NotAuthorisedError(CallError):
    """There is no key, or the provider refuses it."""


class NoSuchModelError(CallError):
    """The provider does not know the model."""


class ModelUnavailableError(CallError):
    """The model's circuit is open: it failed too often of late, and nothing was sent.

    ``retry_after_s`` says when it is probed next.
    """


class AllModelsUnavailableError(CallError):
    """Every model that may answer is unavailable, and the deadline of the request leaves no time to wait."""

    falls_back = None


class NoRecordedReplyError(CallError):
    """``replay/...`` holds no reply for the prompt."""


class CostError(OrchestrationError):
    """Money stands in the way."""


class OverBudgetError(CostError):
    """What is spent plus the most that the next call can cost passes the budget.

    Args:
        message: One sentence.
        hint: How to mend it.
        budget: Name of the budget that refuses.
        pauses: Whether the run waits for somebody to raise the budget, instead of failing.
    """

    def __init__(self, message: str, *, hint: str = "", budget: str = "run", pauses: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.budget = budget
        self.pauses = pauses


class BudgetPausedError(OverBudgetError):
    """A run waits for its budget to be raised, and nobody is there to ask: resume it later."""


class OverQuotaError(CostError):
    """A quota of requests or tokens is used up.

    Args:
        message: One sentence.
        hint: How to mend it.
        quota: Name of the quota that refuses.
    """

    def __init__(self, message: str, *, hint: str = "", quota: str = "") -> None:
        super().__init__(message, hint=hint)
        self.quota = quota


class PriceUnknownError(CostError):
    """A budget holds and nobody knows what the model costs."""


class TooLittleSupportError(OrchestrationError):
    """What was recorded says too little about a strategy to estimate what it would have come to."""


class WorkspaceError(OrchestrationError):
    """The workspace's files cannot be used."""


class JournalWriteError(WorkspaceError):
    """The journal cannot be written, so that nothing more may be spent."""


class StateError(WorkspaceError):
    """What processes must agree on at once (money, claims) cannot be written, so that nothing more may be spent."""


class LedgerNewerError(WorkspaceError):
    """The ledger was written by a newer version of the package."""


class LedgerDamagedError(WorkspaceError):
    """The ledger's file cannot be read."""


class QueryError(WorkspaceError):
    """SQL that the ledger refuses or does not understand."""


class ControlSignal(BaseException):
    """Tells the engine what to do; passes through every ``except Exception``."""


class RunCancelled(ControlSignal):
    """The run was cancelled."""


class RunPaused(ControlSignal):
    """The run waits for its budget, and is left until somebody resumes it."""
