"""Batches at their providers: what a run says that waits for them or leaves them, and how they are cancelled there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from orchestration_nb.cost.sums import dollars
from orchestration_nb.errors import UsageError
from orchestration_nb.providers.batches import BatchingProvider, no_batches
from orchestration_nb.state.batches import BatchRow, BatchStore

SHOWN: Final = 8
"""How many characters of a batch's token are shown; they tell it from all others."""


class Waiting(NamedTuple):
    """A batch that a run waits for."""

    provider: str
    calls: int
    """How many of the run's calls it will answer."""
    since: datetime | None
    """When it was begun (naive UTC), or ``None`` while it is being handed over."""


def what_it_waits_for(waiting: Sequence[Waiting], gathered: int, *, now: datetime) -> str:
    """What a run says while it waits; empty where it waits for no batch.

    Args:
        waiting: The batches that it waits for.
        gathered: How many calls are gathered for the next ones.
        now: Naive UTC.
    """
    told = []
    under_way = [batch for batch in waiting if batch.since is not None]
    if under_way:
        since = min(batch.since for batch in under_way if batch.since is not None)
        at = f"{since:%H:%M}" if since.date() == now.date() else f"{since:%Y-%m-%d %H:%M}"
        one = len(under_way) == 1
        told.append(
            f"{'1 batch' if one else f'{len(under_way):,} batches'} of {_calls(under_way)} {'is' if one else 'are'} "
            f"under way at {_where(under_way)} since {at} UTC; interrupting leaves {'it' if one else 'them'}, the same "
            f"cell joins {'it' if one else 'them'} again"
        )
    begun = [batch for batch in waiting if batch.since is None and batch.calls]
    if begun:
        told.append(f"a batch of {_calls(begun)} is being handed over to {_where(begun)}")
    if gathered:
        told.append(f"{gathered:,} {'call is' if gathered == 1 else 'calls are'} gathered for a batch")
    return "; ".join(told)


def _calls(batches: Sequence[Waiting]) -> str:
    calls = sum(batch.calls for batch in batches)
    return f"{calls:,} {'call' if calls == 1 else 'calls'}"


def _where(batches: Sequence[Waiting]) -> str:
    return ", ".join(sorted({batch.provider for batch in batches}))


def left_under_way(rows: Sequence[BatchRow]) -> str:
    """What a run says that was cancelled and leaves these batches at their providers; empty where there are none."""
    if not rows:
        return ""
    requests = sum(row.waiting for row in rows)
    where = ", ".join(sorted({row.provider for row in rows}))
    batches = "A batch goes" if len(rows) == 1 else f"{len(rows)} batches go"
    return (
        f"{batches} on at {where} with {requests:,} requests of this run; running it again with --batch waits for "
        "their answers and sends nothing twice."
    )


async def cancel_batch(providers: Mapping[str, object], store: BatchStore, token: str) -> BatchRow:
    """Cancels a batch at its provider: what it has answered by then is billed and kept, the rest fails and is free.

    Args:
        providers: All providers by name.
        store: The batches of the workspace.
        token: The batch (:attr:`BatchRow.token`), or how it begins.

    Returns:
        The batch as it stood.

    Raises:
        UsageError: If there is no such batch, or it is not at its provider.
        CallError: If the provider cannot be asked, or has ended it.
    """
    found = [row for row in await store.batches() if row.token.startswith(token)]
    if len(found) != 1:
        raise UsageError(
            f"{'No batch' if not found else 'More than one batch'} of this workspace begins with {token!r}.",
            hint="`%orchestrate batches` lists them, and so does `orchestrate batches`.",
        )
    (row,) = found
    provider = providers.get(row.provider)
    if row.status != "under_way" or row.provider_id is None:
        raise UsageError(f"The batch {row.token} is not at {row.provider}: it is {row.status.replace('_', ' ')}.")
    if not isinstance(provider, BatchingProvider) or provider.batch_price is None:
        raise no_batches(row.provider)
    await (await provider.batches()).cancel(row.provider_id)
    return row


def cancelled(batch: BatchRow, parked_usd: float) -> str:
    """What is said when a provider was asked to cancel a batch.

    Args:
        batch: The batch as it stood.
        parked_usd: What is set aside for its requests, in US dollars.
    """
    requests = f"{batch.waiting:,} {'request' if batch.waiting == 1 else 'requests'}"
    return (
        f"{batch.provider} was asked to cancel the batch {batch.token[:SHOWN]} with {requests}. What it has answered "
        f"by then is billed, {dollars(parked_usd)} at the most, and the rest is free. That much stays set aside in the "
        f"budgets until {f'the cell {batch.flow!r}' if batch.flow else 'its cell'} is run again with --batch, which "
        "takes the answers."
    )
