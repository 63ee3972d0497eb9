"""Anthropic's Message Batches: one body holds all requests, and one file all results.

Follows https://docs.anthropic.com/en/docs/build-with-claude/batch-processing and
https://docs.anthropic.com/en/api/creating-message-batches. A batch bears no name of ours there: one of which nobody
knows whether it was taken is known by its size and time, and surely only by the ids in its results.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import orjson

from orchestration_nb.calls import RawReply, Request, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.errors import CallError, MalformedReplyError
from orchestration_nb.providers.batch_http import BatchHttp
from orchestration_nb.providers.batches import (
    CLOCKS_DIFFER,
    MOST_PAGES,
    BatchLimits,
    Sighting,
    Standing,
    cancelled,
    custom_id_of,
    expired,
    moment,
)
from orchestration_nb.providers.formats import reckoned_usage
from orchestration_nb.providers.reading import count, parse, rows, table, words

_PATH: Final = "/v1/messages/batches"
_NO_USAGE = Usage()
_STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status that a single call would have been answered with, by the type of the error."""


class AnthropicBatches:
    """See :class:`~orchestration_nb.providers.batches.BatchApi`.

    Args:
        http: The way to the provider.
        price_factor: What a request costs in a batch, as a share of the list price.
    """

    limits = BatchLimits(requests=100_000, bytes=256_000_000)

    def __init__(self, http: BatchHttp, price_factor: float) -> None:
        self._http = http
        self.price_factor = price_factor

    def encode(self, model: Model, request: Request) -> bytes:
        """The body of one request."""
        return self._http.format.encode(model, request, stream=False)

    async def submit(self, bodies: Sequence[tuple[str, bytes]], token: str) -> str:  # noqa: ARG002 - the ids hold it
        """Sends all requests in one body."""
        requests = [b'{"custom_id":"%b","params":%b}' % (name.encode(), body) for name, body in bodies]
        made = await self._http.post(_PATH, b'{"requests":[%b]}' % b",".join(requests))
        batch_id = words(made.get("id"))
        if not batch_id:
            raise MalformedReplyError(f"{self._http.who} took a batch and told no id of it.", billing="unknown")
        return batch_id

    async def find(self, token: str, *, count: int, since: datetime, others: Collection[str]) -> Sighting:
        """Looks at the batches of that size and time; one that is still running may be it."""
        unsure = False
        async with aclosing(self._listed(since)) as listed:
            async for batch in listed:
                batch_id = words(batch.get("id"))
                if not batch_id or batch_id in others or _size(batch) != count:
                    continue
                if batch.get("processing_status") != "ended":
                    unsure = True
                elif await self._is_ours(batch_id, token):
                    return Sighting(batch_id=batch_id)
        return Sighting(unsure=unsure)

    async def _listed(self, since: datetime) -> AsyncGenerator[Mapping[str, Any], None]:
        """The batches that were made since, the newest first."""
        after = ""
        for _ in range(MOST_PAGES):
            page = await self._http.get(f"{_PATH}?limit=100{after}")
            batches = [table(batch) for batch in rows(page.get("data"))]
            for batch in batches:
                made_at = moment(batch.get("created_at"))
                if made_at is not None and made_at < since - CLOCKS_DIFFER:
                    return
                yield batch
            if not page.get("has_more") or not batches:
                return
            after = f"&after_id={words(batches[-1].get('id'))}"

    async def _is_ours(self, batch_id: str, token: str) -> bool:
        async with aclosing(self._http.lines(f"{_PATH}/{batch_id}/results")) as lines:
            async for line in lines:
                return custom_id_of(line).startswith(f"{token}-")
        return False

    async def standing(self, batch_id: str) -> Standing:
        """How a batch stands."""
        batch = await self._http.get(f"{_PATH}/{batch_id}")
        if batch.get("processing_status") != "ended":
            return Standing(state="under_way")
        # The address that it tells is not followed: the key goes to the provider's own host only.
        return Standing(state="ended", paths=(f"{_PATH}/{batch_id}/results",))

    async def results(self, standing: Standing) -> AsyncGenerator[tuple[str, bytes], None]:
        """The lines of the results."""
        for path in standing.paths:
            async with aclosing(self._http.lines(path)) as lines:
                async for line in lines:
                    yield custom_id_of(line), line

    def read(self, model: Model, request: Request, line: bytes) -> RawReply:
        """One line: its ``result`` is a message, an error, or says that it was never run."""
        result = table(parse(model, line).get("result"))
        match result.get("type"):
            case "succeeded":
                reply = self._http.format.decode(model, orjson.dumps(result.get("message")))
                return reply if reply.usage != _NO_USAGE else replace(reply, usage=reckoned_usage(request, reply))
            case "expired":
                raise expired(model)
            case "canceled":
                raise cancelled(model)
            case "errored":
                raise self._errored(model, table(result.get("error")))
        told = f"The batch ended without a line for this request to {model.name}."
        raise MalformedReplyError(told, billing="unknown")

    def _errored(self, model: Model, error: Mapping[str, Any]) -> CallError:
        said = error if isinstance(error.get("error"), dict) else {"type": "error", "error": error}
        status = _STATUSES.get(words(table(said.get("error")).get("type")) or "", 400)
        return self._http.line_failure(model, status=status, body=said, request_id=words(said.get("request_id")))

    async def cancel(self, batch_id: str) -> None:
        """Asks the provider to run no more of a batch."""
        await self._http.post(f"{_PATH}/{batch_id}/cancel", b"")


def _size(batch: Mapping[str, Any]) -> int:
    """How many requests a batch has: the counts by what became of them always add up to it."""
    return sum(count(number) for number in table(batch.get("request_counts")).values())
