"""Reading what a provider answered without trusting it: any value may be missing or of another type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from orchestration_nb.calls import RawReply, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.errors import CallError, ContentRefusedError, MalformedReplyError, TruncatedReplyError
from orchestration_nb.providers.failures import Complaint, failure_within, quote

_NO_USAGE = Usage()


def parse(model: Model, body: bytes) -> Mapping[str, Any]:
    """The JSON object of a reply.

    Raises:
        MalformedReplyError: If it is none.
    """
    if not body.strip():
        raise MalformedReplyError(f"The reply of {model.name} is empty.", billing="yes")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = quote(body[:2048].decode("utf-8", "replace"))
        raise MalformedReplyError(f"The reply of {model.name} is not JSON: {said}", billing="yes") from None
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value and isinstance(value[0], dict) and "error" in value[0]:
        return value[0]
    raise MalformedReplyError(f"The reply of {model.name} is no JSON object.", billing="yes")


def table(value: Any) -> Mapping[str, Any]:
    """``value`` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def rows(value: Any) -> Sequence[Any]:
    """``value`` if it is a list, else an empty one."""
    return value if isinstance(value, list) else ()


def first(value: Any) -> Mapping[str, Any]:
    """The first object of a list, or an empty one."""
    return table(value[0]) if isinstance(value, list) and value else {}


def words(value: Any) -> str | None:
    """``value`` if it is text, else ``None``."""
    return value if isinstance(value, str) else None


def count(value: Any) -> int:
    """``value`` if it is a number of tokens, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def counted(usage: Usage | None) -> Usage | None:
    """What a reply says that it took, for the error that comes of it; ``None`` where its server does not count."""
    return None if usage == _NO_USAGE else usage


def arguments_of(model: Model, value: Any, usage: Usage | None = None) -> Mapping[str, Any]:
    """The arguments of a tool call, which come as an object or as JSON text.

    Args:
        model: The model that wrote them.
        value: The arguments.
        usage: What the whole reply took, where that is known by now.

    Raises:
        MalformedReplyError: If they are neither.
    """
    if isinstance(value, str) and value.strip():
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise MalformedReplyError(
                f"{model.name} wrote arguments of a tool call that are not JSON: {quote(value)}",
                billing="yes",
                usage=counted(usage),
            ) from None
    if not value:
        return {}
    if not isinstance(value, dict):
        message = f"{model.name} wrote a tool call without named arguments."
        raise MalformedReplyError(message, billing="yes", usage=counted(usage))
    return value


def broken(
    model: Model, answer: Mapping[str, Any], complaint: Complaint, what: str, usage: Usage | None = None
) -> CallError:
    """The error for a body or event that came with status 200 and is no reply."""
    if complaint.message or complaint.codes:
        return failure_within(complaint, model=model.name)
    said = quote(orjson.dumps(answer)[:2048].decode("utf-8", "replace"))
    return MalformedReplyError(f"The reply of {model.name} {what}: {said}", billing="yes", usage=counted(usage))


def unless_refused(model: Model, reply: RawReply, refusal: str | None = None) -> RawReply:
    """The reply, unless it is a refusal or nothing at all.

    A model that stopped by itself without a word has answered: "say nothing where nothing is wrong" is a fair wish.

    Raises:
        ContentRefusedError: If it is a refusal.
        TruncatedReplyError: If the allowance of tokens ended before the first word, as where a model only thought.
        MalformedReplyError: If it is empty and does not say why.
    """
    if reply.text or reply.tool_calls:
        return reply
    usage = counted(reply.usage)
    if refusal:
        raise ContentRefusedError(f"{model.name} refused: {quote(refusal)}", billing="yes", usage=usage)
    if reply.finish_reason == "content_filter":
        message = f"{model.name} wrote nothing: its content filter stopped it."
        raise ContentRefusedError(message, billing="yes", usage=usage)
    if reply.finish_reason == "length":
        cut = TruncatedReplyError(
            f"{model.name} used up all the tokens it may write before its first word.",
            hint="Raise max_tokens in llm(...): models that think count their thoughts.",
            billing="yes",
            usage=usage,
        )
        cut.retryable = False  # it would be cut again, and paid again
        raise cut
    if reply.finish_reason == "other":
        message = f"{model.name} wrote nothing, and does not say why it stopped."
        raise MalformedReplyError(message, billing="yes", usage=usage)
    return reply
