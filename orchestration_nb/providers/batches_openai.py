"""OpenAI's Batch API: a file of requests is uploaded, a batch made of it, and its results are files again.

Follows https://platform.openai.com/docs/guides/batch and https://platform.openai.com/docs/api-reference/batch.
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
from orchestration_nb.errors import CallError, MalformedReplyError, RateLimitedError
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
    of_line,
    unbilled,
)
from orchestration_nb.providers.failures import failure_within, quote
from orchestration_nb.providers.formats import reckoned_usage
from orchestration_nb.providers.reading import first, parse, rows, table, words

OUR_NAME: Final = "orchestration_nb"
"""Under this name a batch bears our token in its metadata."""
QUEUE_IS_FULL: Final = "token_limit_exceeded"
"""The code of a batch that was refused because too many tokens of the model are waiting already."""
_ENDPOINT: Final = "/v1/chat/completions"
_ENDED: Final = {"completed": b"{}", "expired": b'{"error":{"code":"batch_expired"}}'}
_ENDED_CANCELLED: Final = b'{"error":{"code":"batch_cancelled"}}'
_NO_USAGE = Usage()


class OpenAIBatches:
    """See :class:`~orchestration_nb.providers.batches.BatchApi`.

    Args:
        http: The way to the provider.
        price_factor: What a request costs in a batch, as a share of the list price.
    """

    limits = BatchLimits(requests=50_000, bytes=200_000_000)

    def __init__(self, http: BatchHttp, price_factor: float) -> None:
        self._http = http
        self.price_factor = price_factor

    def encode(self, model: Model, request: Request) -> bytes:
        """The body of one request."""
        return self._http.format.encode(model, request, stream=False)

    async def submit(self, bodies: Sequence[tuple[str, bytes]], token: str) -> str:
        """Uploads the requests and makes a batch of them; an upload alone costs nothing."""
        try:
            form, kind = _upload(bodies, token)
            uploaded = await self._http.post("/files", form, kind=kind)
        except CallError as error:
            raise unbilled(error) from None
        body = {
            "input_file_id": uploaded.get("id"),
            "endpoint": _ENDPOINT,
            "completion_window": "24h",
            "metadata": {OUR_NAME: token},
        }
        made = await self._http.post("/batches", orjson.dumps(body))
        batch_id = words(made.get("id"))
        if not batch_id:
            raise MalformedReplyError(f"{self._http.who} took a batch and told no id of it.", billing="unknown")
        return batch_id

    async def find(self, token: str, *, count: int, since: datetime, others: Collection[str]) -> Sighting:  # noqa: ARG002
        """Looks through the newest batches for the one that bears the token."""
        after = ""
        for _ in range(MOST_PAGES):
            page = await self._http.get(f"/batches?limit=100{after}")
            listed = [table(batch) for batch in rows(page.get("data"))]
            for batch in listed:
                if table(batch.get("metadata")).get(OUR_NAME) == token:
                    return Sighting(batch_id=words(batch.get("id")))
            oldest = moment(listed[-1].get("created_at")) if listed else None
            if not page.get("has_more") or oldest is None or oldest < since - CLOCKS_DIFFER:
                break
            after = f"&after={words(listed[-1].get('id'))}"
        return Sighting()

    async def standing(self, batch_id: str) -> Standing:
        """How a batch stands."""
        batch = await self._http.get(f"/batches/{batch_id}")
        status = batch.get("status")
        files = [words(batch.get(name)) for name in ("output_file_id", "error_file_id")]
        paths = tuple(f"/files/{file}/content" for file in files if file)
        if status == "failed" and not paths:
            return Standing(state="refused", error=self._refusal(batch))
        if status in {"completed", "expired", "cancelled", "failed"}:
            return Standing(state="ended", paths=paths, otherwise=_ENDED.get(str(status), _ENDED_CANCELLED))
        return Standing(state="under_way")

    def _refusal(self, batch: Mapping[str, Any]) -> CallError:
        """Why a batch was refused as a whole: the first of the errors that it lists."""
        said = first(table(batch.get("errors")).get("data"))
        code, message = words(said.get("code")), quote(words(said.get("message")) or "")
        if code == QUEUE_IS_FULL:
            return RateLimitedError(
                f"{self._http.who} has too many tokens of this model waiting in batches: {message}",
                hint="Lower most_requests under [batch] in orchestrate.toml, or wait for the other batches.",
            )
        error = self._http.line_failure(
            Model(provider=self._http.who, wire_name=words(batch.get("model")) or "the model"),
            status=400,
            body={"error": {"code": code, "message": f"the batch was refused: {message or code or 'no reason given'}"}},
        )
        error.retryable = False
        return error

    async def results(self, standing: Standing) -> AsyncGenerator[tuple[str, bytes], None]:
        """The lines of the file of results and of the file of errors."""
        for path in standing.paths:
            async with aclosing(self._http.lines(path)) as lines:
                async for line in lines:
                    yield custom_id_of(line), line

    def read(self, model: Model, request: Request, line: bytes) -> RawReply:
        """One line: ``response`` holds the status and body of a single call, ``error`` what kept it from being run."""
        said = parse(model, line)
        response, error = table(said.get("response")), table(said.get("error"))
        status, request_id = response.get("status_code"), words(response.get("request_id"))
        if not isinstance(status, int):
            raise self._unanswered(model, error)
        if not 200 <= status < 300:
            raise self._http.line_failure(model, status=status, body=response.get("body"), request_id=request_id)
        reply = self._http.format.decode(model, orjson.dumps(response.get("body")))
        if reply.usage == _NO_USAGE:
            reply = replace(reply, usage=reckoned_usage(request, reply))
        return replace(reply, provider_request_id=request_id) if request_id else reply

    def _unanswered(self, model: Model, error: Mapping[str, Any]) -> CallError:
        code = words(error.get("code")) or ""
        if code == "batch_expired":
            return expired(model)
        if code == "batch_cancelled":
            return cancelled(model)
        if not error:
            return MalformedReplyError(
                f"The batch ended without a line for this request to {model.name}.", billing="unknown"
            )
        complaint = self._http.format.complaint(orjson.dumps({"error": error}))
        return of_line(failure_within(complaint, model=model.name))

    async def cancel(self, batch_id: str) -> None:
        """Asks the provider to run no more of a batch."""
        await self._http.post(f"/batches/{batch_id}/cancel", b"{}")


def _upload(bodies: Sequence[tuple[str, bytes]], token: str) -> tuple[bytes, bytes]:
    """The form that uploads a file of requests, and its content type."""
    lines = [
        b'{"custom_id":"%b","method":"POST","url":"%b","body":%b}\n' % (name.encode(), _ENDPOINT.encode(), body)
        for name, body in bodies
    ]
    edge = f"orchestration-nb-{token}".encode()
    form = [
        b'--%b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n' % edge,
        b'--%b\r\ncontent-disposition: form-data; name="file"; filename="%b.jsonl"\r\n' % (edge, token.encode()),
        b"content-type: application/jsonl\r\n\r\n",
        *lines,
        b"\r\n--%b--\r\n" % edge,
    ]
    return b"".join(form), b"multipart/form-data; boundary=" + edge
