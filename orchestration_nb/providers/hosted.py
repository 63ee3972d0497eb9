"""A provider behind HTTP: a wire format, a wire, and a key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, replace

from orchestration_nb.calls import RawReply, Request, Timeouts, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.errors import BadRequestError, CallError, TruncatedReplyError
from orchestration_nb.providers.batch_http import BatchHttp
from orchestration_nb.providers.batches import BatchApi, no_batches
from orchestration_nb.providers.embedding import MOST_TEXTS
from orchestration_nb.providers.failures import REQUEST_ID_HEADERS, failure, without_key
from orchestration_nb.providers.formats import Embedded, Format, Gathering, reckoned_usage
from orchestration_nb.providers.keys import Key
from orchestration_nb.providers.patience import Patience
from orchestration_nb.providers.provider import Availability
from orchestration_nb.providers.rate_headers import read_rate_limit
from orchestration_nb.providers.sse import Events
from orchestration_nb.providers.wire import Answer, Headers, Stream, Wire, find_header

_AFTER_END_S = 1.0
"""Seconds that a server may take to close a stream whose last event has come."""


_NO_USAGE = Usage()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Sent:
    """One request as it goes out; it has no ``repr``, for it holds the key."""

    model: Model
    path: str
    body: bytes
    headers: Headers
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """What a host's batch API is like."""

    price_factor: float
    """What a request costs in a batch, as a share of the list price."""
    speak: Callable[[BatchHttp, float], BatchApi]
    """Makes the form in which it is spoken to."""


class HostedProvider:
    """Speaks one wire format to one host.

    Args:
        name: Name of the provider.
        format: How its host is spoken to.
        wire: The connections to it.
        key: The key that may be sent to it.
        models: Models to list.
        stream: Whether replies are asked for as streams, which measures the time to the first token.
        batching: Its batch API, or ``None`` where it has none.
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
        batching: Batching | None = None,
    ) -> None:
        self.name = name
        self.batch_price = batching.price_factor if batching else None
        """What a request costs in a batch, as a share of the list price; ``None``: there is no batch API."""
        self._batching = batching
        self._format = format
        self._wire = wire
        self._key = key
        self._models = tuple(models)
        self._stream = stream

    async def send(self, model: Model, request: Request, *, timeouts: Timeouts) -> RawReply:
        """Asks the model once.

        Without a stream no token is seen before the last: only the limits of connecting and of the whole call hold.

        Raises:
            CallError: If no usable reply came.
        """
        stream = self._stream and "streaming" in model.abilities
        secret = self._key.reveal()
        sent = _Sent(
            model=model,
            path=self._format.path(model, stream=stream),
            body=self._format.encode(model, request, stream=stream),
            headers=self._format.headers(secret) if secret else [],
            secret=secret,
        )
        reply = await (self._streamed(sent, timeouts) if stream else self._plain(sent, timeouts))
        return reply if reply.usage != _NO_USAGE else replace(reply, usage=reckoned_usage(request, reply))

    async def embed(self, model: Model, texts: Sequence[str], *, timeouts: Timeouts) -> Embedded:
        """Turns texts into vectors, in as many requests as it takes.

        Raises:
            BadRequestError: If the provider has no models that embed.
            CallError: If no usable vectors came.
        """
        format_ = self._format.embedding()
        if format_ is None:
            raise BadRequestError(
                f"{self.name} has no models that embed.", hint='Leave embed at "tfidf", or ask another.'
            )
        secret = self._key.reveal()
        headers = self._format.headers(secret) if secret else []
        vectors: list[list[float]] = []
        tokens = 0
        for start in range(0, len(texts), MOST_TEXTS):
            some = texts[start : start + MOST_TEXTS]
            sent = _Sent(
                model=model, path=format_.path(model), body=format_.encode(model, some), headers=headers, secret=secret
            )
            answer = await self._wire.post(sent.path, sent.body, sent.headers, timeouts)
            self._refuse_failure(sent, answer)
            with _marked(answer.status, answer.headers, secret):
                embedded = format_.decode(model, answer.body, some)
            vectors += embedded.vectors
            tokens += embedded.usage.input_tokens
        return Embedded(vectors=vectors, usage=Usage(input_tokens=tokens))

    async def _plain(self, sent: _Sent, timeouts: Timeouts) -> RawReply:
        return self._whole(sent, await self._wire.post(sent.path, sent.body, sent.headers, timeouts))

    def _refuse_failure(self, sent: _Sent, answer: Answer) -> None:
        if not 200 <= answer.status < 300:
            complaint = self._format.complaint(answer.body)
            error = failure(answer, complaint, who=self._wire.who, model=sent.model.name, secret=sent.secret)
            error.rate_limit = read_rate_limit(answer.headers)
            raise error

    def _whole(self, sent: _Sent, answer: Answer) -> RawReply:
        self._refuse_failure(sent, answer)
        with _marked(answer.status, answer.headers, sent.secret):
            return _with_headers(self._format.decode(sent.model, answer.body), answer.headers)

    async def _streamed(self, sent: _Sent, timeouts: Timeouts) -> RawReply:
        started_s = asyncio.get_running_loop().time()
        async with (
            Patience(self._wire.who, timeouts) as patience,
            self._wire.stream(sent.path, sent.body, sent.headers, patience) as stream,
        ):
            kind = find_header(stream.headers, "content-type") or ""
            if not 200 <= stream.status < 300 or "event-stream" not in kind:
                return self._whole(sent, Answer(status=stream.status, headers=stream.headers, body=await stream.read()))
            gathering = self._format.gather(sent.model)
            with _marked(stream.status, stream.headers, sent.secret):
                first_at_s = await _gather(gathering, stream, patience)
                reply = gathering.reply()
        ttft_ms = None if first_at_s is None else (first_at_s - started_s) * 1000
        return replace(_with_headers(reply, stream.headers), ttft_ms=ttft_ms)

    async def batches(self) -> BatchApi:
        """The batch API of the host.

        Raises:
            BadRequestError: If it has none.
        """
        if self._batching is None:
            raise no_batches(self.name)
        http = BatchHttp(self._wire, self._format, self._key)
        return self._batching.speak(http, self._batching.price_factor)

    async def close(self) -> None:
        """Closes the idle connections."""
        self._wire.close()
        await asyncio.sleep(0)  # the loop closes the sockets in its next turn

    def availability(self) -> Availability:
        """Whether models can be asked now, and what is missing."""
        if self._key.names and not self._key.is_set:
            return Availability(usable=False, why=f"{self._key.names[0]} is not set", where=self._wire.address.label)
        return Availability(usable=True, why="", where=self._wire.address.label)

    @property
    def key_name(self) -> str | None:
        """The name of the variable that holds the key, or ``None`` where none is needed; never the key."""
        return self._key.name

    def models(self) -> Sequence[Model]:
        """Models to list; others can be asked by name."""
        return self._models


@contextmanager
def _marked(status: int, headers: Headers, secret: str) -> Iterator[None]:
    """Gives the errors of a reply that cannot be used its status, the provider's id and what it says of its limits.

    What the error quotes loses the key: a gateway that complains within a reply may repeat it, as any other.
    """
    try:
        yield
    except CallError as error:
        error.args = (without_key(str(error), secret), *error.args[1:])
        error.http_status = status
        request_id = find_header(headers, *REQUEST_ID_HEADERS)
        error.provider_request_id = without_key(request_id, secret) if request_id else None
        error.rate_limit = read_rate_limit(headers)
        raise


def _with_headers(reply: RawReply, headers: Headers) -> RawReply:
    """The reply with what only the headers say: the provider's id of the request, and how much more it takes."""
    request_id = find_header(headers, *REQUEST_ID_HEADERS) or reply.provider_request_id
    rate_limit = read_rate_limit(headers)
    if rate_limit is None and request_id == reply.provider_request_id:
        return reply
    return replace(reply, provider_request_id=request_id, rate_limit=rate_limit)


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
