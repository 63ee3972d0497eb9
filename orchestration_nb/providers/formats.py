"""What a wire format must know; each of the three is a module of pure functions behind this seam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from orchestration_nb.calls import OutputSchema, RawReply, Request, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.errors import BadRequestError
from orchestration_nb.providers.failures import Complaint
from orchestration_nb.providers.sse import Event


class EmbeddingFormat(Protocol):
    """How one kind of provider is asked for vectors."""

    def path(self, model: Model) -> str:
        """Path below ``base_url``."""

    def encode(self, model: Model, texts: Sequence[str]) -> bytes:
        """The body of a request."""

    def decode(self, model: Model, body: bytes, texts: Sequence[str]) -> Embedded:
        """Reads a reply.

        Raises:
            BadReplyError: If it does not hold one vector of numbers for each text, all of one length.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """What texts were turned into."""

    vectors: list[list[float]]
    """One for each text, in their order."""
    usage: Usage
    """What was read; it is billed like any other input."""


class Gathering(Protocol):
    """A streamed reply as it comes in."""

    ended: bool
    """Whether the last event has come."""

    def feed(self, event: Event) -> bool:
        """Takes an event; whether it brought something that the model wrote.

        Raises:
            CallError: If the event is an error, or is not what the format says.
        """

    def reply(self) -> RawReply:
        """The whole reply.

        Raises:
            BadReplyError: If it is not whole.
        """


class Format(Protocol):
    """How one kind of provider is spoken to."""

    def path(self, model: Model, *, stream: bool) -> str:
        """Path below ``base_url``."""

    def encode(self, model: Model, request: Request, *, stream: bool) -> bytes:
        """The body."""

    def headers(self, key: str) -> list[tuple[bytes, bytes]]:
        """The headers that carry the key."""

    def decode(self, model: Model, body: bytes) -> RawReply:
        """Reads a whole reply.

        Raises:
            BadReplyError: If it cannot be used.
            ContentRefusedError: If the model refused.
        """

    def gather(self, model: Model) -> Gathering:
        """Starts to read a streamed reply."""

    def complaint(self, body: bytes) -> Complaint:
        """Reads the body of an error."""

    def embedding(self) -> EmbeddingFormat | None:
        """How its models are asked for vectors, or ``None`` where none makes them."""


def dump(body: Mapping[str, Any]) -> bytes:
    """The JSON of a body.

    Raises:
        BadRequestError: If JSON cannot carry something in it.
    """
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise BadRequestError(
            f"The request cannot be written as JSON: {error}.",
            hint="Half a character (a lone surrogate) comes from text that was decoded wrongly.",
        ) from None


def most_tokens(model: Model, request: Request) -> int:
    """The bound that is sent: what the request allows, within what the model can write."""
    return min(request.max_tokens, model.max_output_tokens or request.max_tokens)


def system_text(request: Request, schema_in_words: OutputSchema | None = None) -> str:
    """The system prompt, with the schema told in words for a model that has no structured output of its own."""
    parts = [request.system or ""]
    if schema_in_words is not None:
        schema = orjson.dumps(schema_in_words.json_schema).decode()
        parts.append(f"Answer with one JSON object and nothing else. It must fit this JSON schema:\n{schema}")
    return "\n\n".join(part for part in parts if part)


def reckoned_usage(request: Request, reply: RawReply) -> Usage:
    """Usage for a host that tells none: a token for every three bytes, more than most texts have.

    So a host that forgets to count is not free, and a budget holds. Images are not reckoned.
    """
    read = len((request.system or "").encode()) + sum(len(message.text.encode()) for message in request.messages)
    written = len(reply.text.encode()) + sum(len(dump(call.arguments)) for call in reply.tool_calls)
    return Usage(input_tokens=-(-read // 3), output_tokens=-(-written // 3))
