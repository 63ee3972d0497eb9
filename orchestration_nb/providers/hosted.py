"""A provider behind HTTP: a wire format, a wire, and a key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import replace

from orchestration_nb.calls import RawReply, Request, Timeouts
from orchestration_nb.catalog import Model
from orchestration_nb.errors import CallError, TruncatedReplyError
from orchestration_nb.providers.failures import REQUEST_ID_HEADERS, failure
from orchestration_nb.providers.formats import Format, Gathering
from orchestration_nb.providers.keys import Key
from orchestration_nb.providers.patience import Patience
from orchestration_nb.providers.provider import Availability
from orchestration_nb.providers.sse import Events
from orchestration_nb.providers.wire import Answer, Headers, Stream, Wire, find_header

_AFTER_END_S = 1.0
"""Seconds that a server may take to close a stream whose last event has come."""


class HostedProvider:
    """Speaks one wire format to one host.

    Args:
        name: Name of the provider.
        format: How its host is spoken to.
        wire: The connections to it.
        key: The key that may be sent to it.
        models: Models to list.
        stream: Whether replies are asked for as streams, which measures the time to the first token.
    """

    def __init__(
        self,
        *,
        name: str,
        format: Format,  # noqa: A002 - the word of the field
        wire: Wire,
        key: Key,
        models: Sequence[Model] = (),
        stream: bool = False,
    ) -> None:
        self.name = name
        self._format = format
        self._wire = wire
        self._key = key
        self._models = tuple(models)
        self._stream = stream

    async def send(self, model: Model, request: Request, *, timeouts: Timeouts) -> RawReply:
        """Asks the model once.

        Raises:
            CallError: If no usable reply came.
        """
        secret = self._key.reveal()
        stream = self._stream and "streaming" in model.abilities
        path = self._format.path(model, stream=stream)
        body = self._format.encode(model, request, stream=stream)
        headers = self._format.headers(secret) if secret else []
        if stream:
            return await self._streamed(model, path, body, headers, timeouts, secret)
        answer = await self._wire.post(path, body, headers, timeouts)
        return self._whole(model, answer, secret)

    def _whole(self, model: Model, answer: Answer, secret: str) -> RawReply:
        if not 200 <= answer.status < 300:
            complaint = self._format.complaint(answer.body)
            raise failure(answer, complaint, who=self._wire.who, model=model.name, secret=secret)
        request_id = answer.header(*REQUEST_ID_HEADERS)
        try:
            reply = self._format.decode(model, answer.body)
        except CallError as error:
            error.http_status = answer.status
            error.provider_request_id = request_id
            raise
        return replace(reply, provider_request_id=request_id) if request_id else reply

    async def _streamed(
        self, model: Model, path: str, body: bytes, headers: Headers, timeouts: Timeouts, secret: str
    ) -> RawReply:
        clock = asyncio.get_running_loop().time
        started_s = clock()
        async with (
            Patience(self._wire.who, timeouts) as patience,
            self._wire.stream(path, body, headers, patience) as stream,
        ):
            kind = find_header(stream.headers, "content-type") or ""
            if not 200 <= stream.status < 300 or "event-stream" not in kind:
                whole = Answer(status=stream.status, headers=stream.headers, body=await stream.read())
                return self._whole(model, whole, secret)
            gathering = self._format.gather(model)
            first_at_s = await _gather(gathering, stream, patience)
            reply = gathering.reply()
        return replace(
            reply,
            ttft_ms=None if first_at_s is None else (first_at_s - started_s) * 1000,
            provider_request_id=find_header(stream.headers, *REQUEST_ID_HEADERS) or reply.provider_request_id,
        )

    async def close(self) -> None:
        """Closes the idle connections."""
        self._wire.close()

    def availability(self) -> Availability:
        """Whether models can be asked now, and what is missing."""
        if self._key.names and not self._key.is_set:
            return Availability(usable=False, why=f"{self._key.names[0]} is not set", where=self._wire.address.label)
        return Availability(usable=True, why="", where=self._wire.address.label)

    def models(self) -> Sequence[Model]:
        """Models to list; others can be asked by name."""
        return self._models


async def _gather(gathering: Gathering, stream: Stream, patience: Patience) -> float | None:
    """Reads a stream to its end; the loop's time at which the first token came."""
    clock = asyncio.get_running_loop().time
    events = Events()
    first_at_s: float | None = None
    async with aclosing(stream.chunks()) as chunks:
        async for chunk in chunks:
            for event in events.feed(chunk):
                if gathering.feed(event):
                    first_at_s = first_at_s or clock()
                    patience.wait_for("between tokens")
            if gathering.ended:
                break
        with suppress(TimeoutError, TruncatedReplyError):
            async with asyncio.timeout(_AFTER_END_S):
                async for _ in chunks:
                    pass
    return first_at_s
