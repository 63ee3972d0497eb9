"""Batches that a cancelled run leaves at their providers: told in a sentence, and cancelled there on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestration_nb.errors import UsageError
from orchestration_nb.providers.batches import BatchingProvider, no_batches
from orchestration_nb.state.batches import BatchRow, BatchStore


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
        raise UsageError(f"{'No batch' if not found else 'More than one batch'} begins with {token!r}.")
    (row,) = found
    provider = providers.get(row.provider)
    if row.status != "under_way" or row.provider_id is None:
        raise UsageError(f"The batch {row.token} is not at {row.provider}: it is {row.status.replace('_', ' ')}.")
    if not isinstance(provider, BatchingProvider) or provider.batch_price is None:
        raise no_batches(row.provider)
    await (await provider.batches()).cancel(row.provider_id)
    return row
