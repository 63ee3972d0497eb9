"""Batch APIs: many requests handed over at once, answered within a day at a lower price.

A batch is sent as the very bodies that single calls send, and each line of its results is read by the same code as the
reply of a single call. What differs between the two forms (files and batches of OpenAI, message batches of Anthropic)
stands behind :class:`BatchApi`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol, runtime_checkable

from orchestration_nb.calls import RawReply, Request
from orchestration_nb.catalog import Model
from orchestration_nb.errors import BadRequestError, CallError, CallTimeoutError, OverloadedError, RateLimitedError
from orchestration_nb.providers.failures import read_json

CLOCKS_DIFFER = timedelta(hours=1)
"""How far a provider's clock may be behind ours where a batch is looked for by its time."""
MOST_PAGES = 50
"""Pages of a list of batches that are looked through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """The most that one batch may hold."""

    requests: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a batch stands."""

    state: Literal["under_way", "ended", "refused"]
    """``refused``: it was looked at as a whole, and nothing of it was run or billed."""
    paths: tuple[str, ...] = ()
    """Where the results of an ended batch can be read, in no order."""
    otherwise: bytes = b"{}"
    """The line that stands for each request without one: an ended batch need not say more than that it expired."""
    error: CallError | None = None
    """Why it was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What a search for a batch found: surely this one, surely none, or one that only its end will tell."""

    batch_id: str | None = None
    unsure: bool = False


class BatchApi(Protocol):
    """How one kind of provider takes batches."""

    limits: BatchLimits
    price_factor: float
    """What a request costs in a batch, as a share of the list price."""

    def encode(self, model: Model, request: Request) -> bytes:
        """The body of one request, as a single call sends it.

        Raises:
            BadRequestError: If JSON cannot carry it.
        """

    async def submit(self, bodies: Sequence[tuple[str, bytes]], token: str) -> str:
        """Hands a batch over.

        Args:
            bodies: Pairs of the id that its result shall bear (``TOKEN-NUMBER``) and the body.
            token: What the batch can be found by.

        Returns:
            The provider's id of it.

        Raises:
            CallError: If it was not taken; with ``billing="unknown"`` it may have been.
        """

    async def find(self, token: str, *, count: int, since: datetime, others: Collection[str]) -> Sighting:
        """Looks for a batch of which nobody knows whether the provider took it.

        Args:
            token: As it was submitted.
            count: How many requests it has.
            since: It was not submitted before (naive UTC).
            others: Ids that belong to other batches of ours.

        Raises:
            CallError: If the provider cannot be asked.
        """

    async def standing(self, batch_id: str) -> Standing:
        """How a batch stands.

        Raises:
            CallError: If the provider cannot be asked; with ``http_status`` 404 it knows no such batch.
        """

    def results(self, standing: Standing) -> AsyncGenerator[tuple[str, bytes], None]:
        """The results of an ended batch: the id that was given and the line as it came, in no order.

        Raises:
            CallError: If they cannot be read to their end.
        """

    def read(self, model: Model, request: Request, line: bytes) -> RawReply:
        """One line of the results, read as the reply of a single call.

        Raises:
            CallError: What the line says went wrong; with ``billing="no"`` unless the model had answered.
        """

    async def cancel(self, batch_id: str) -> None:
        """Asks the provider to run no more of a batch; what has been run is answered and billed.

        Raises:
            CallError: If the provider cannot be asked, or the batch has ended.
        """


@runtime_checkable
class BatchingProvider(Protocol):
    """A provider that may have a batch API."""

    batch_price: float | None
    """What a request costs in a batch, as a share of the list price; ``None``: it has no batch API."""

    async def batches(self) -> BatchApi:
        """Its batch API.

        Raises:
            BadRequestError: If it has none.
        """


def no_batches(provider: str) -> BadRequestError:
    """The error for a provider without a batch API: nothing was sent."""
    return BadRequestError(
        f"{provider} has no batch API that can be used here, so its models cannot run with --batch.",
        hint="Leave --batch away, or use a model of openai, anthropic or sim; another host that speaks one of their "
        f"batch APIs needs batch_price under [providers.{provider}].",
    )


def refused_batch_models(providers: Mapping[str, object], models: Collection[Model]) -> BadRequestError | None:
    """Why a run over these models cannot be a batch, or ``None`` where it can: asked before anything is sent."""
    for model in models:
        provider = providers.get(model.provider)
        if not isinstance(provider, BatchingProvider) or provider.batch_price is None:
            return no_batches(model.provider)
    return None


def expired(model: Model) -> CallError:
    """The error for a request that its batch did not come to in time."""
    error = CallTimeoutError(
        f"The batch expired before {model.name} came to this request.",
        phase="total",
        billing="no",
        hint="Run the cell again: what was answered is kept, and only the rest is sent.",
    )
    error.retryable = False
    return error


def cancelled(model: Model) -> CallError:
    """The error for a request whose batch was cancelled before it was run."""
    error = CallError(
        f"The batch was cancelled before {model.name} came to this request.",
        hint="Run the cell again: what was answered is kept, and only the rest is sent.",
    )
    error.falls_back = None
    return error


def unbilled(error: CallError) -> CallError:
    """An error that is surely not billed: uploads are free, and of a batch only what was answered is billed."""
    error.billing = "no"
    return error


def of_line(error: CallError) -> CallError:
    """The error of a line that the provider says failed.

    A 429 there does not say that we are too fast: the provider chose the pace of the batch, so that it may be tried
    again as often as any other failure and no oftener.
    """
    if isinstance(error, RateLimitedError):
        error = OverloadedError(str(error), http_status=429, provider_request_id=error.provider_request_id)
    return unbilled(error)


def moment(value: object) -> datetime | None:
    """A provider's time (seconds, or text in RFC 3339) as naive UTC, or ``None`` where it is none."""
    try:
        if isinstance(value, str):
            told = datetime.fromisoformat(value)
            return told.astimezone(UTC).replace(tzinfo=None) if told.tzinfo else told
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def custom_id_of(line: bytes) -> str:
    """The id that a line of results bears, or an empty text."""
    said = read_json(line)
    custom_id = said.get("custom_id") if isinstance(said, dict) else None
    return custom_id if isinstance(custom_id, str) else ""
