"""Several calls at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from orchestration_nb.calls import Reply
from orchestration_nb.errors import CallError


async def all_of(calls: Sequence[Awaitable[Reply]]) -> list[Reply | CallError]:
    """The replies of calls that are made at once, and in its place the failure of one that another model may not have.

    Raises:
        BaseException: What no other model could mend: a request that nobody can read, no money left, a cancellation.
    """
    came: list[Reply | CallError] = []
    for each in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(each, BaseException) and (not isinstance(each, CallError) or each.falls_back is None):
            raise each
        came.append(each)
    return came
