"""OpenAI's chat completions, which most hosts and local servers speak too.

Follows https://platform.openai.com/docs/api-reference/chat; what differs between hosts is set on :class:`OpenAIChat`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from orchestration_nb.calls import FinishReason, RawReply, Request, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.errors import TruncatedReplyError
from orchestration_nb.messages import Image, Message, Text, ToolCall, ToolResult
from orchestration_nb.providers.embedding import OpenAIEmbeddings
from orchestration_nb.providers.failures import Complaint, read_json
from orchestration_nb.providers.formats import EmbeddingFormat, Gathering, dump, most_tokens, system_text
from orchestration_nb.providers.reading import (
    arguments_of,
    broken,
    count,
    first,
    parse,
    rows,
    table,
    unless_refused,
    words,
)
from orchestration_nb.providers.schemas import strict_form
from orchestration_nb.providers.sse import Event

_NEWER_LIMIT = re.compile(r"(?:^|/)(?:o\d|gpt-(?:[5-9]|\d\d))")
"""Models that take ``max_completion_tokens`` only."""
_FINISH: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",  # servers of open models
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIChat:
    """The format, in the dialect of one host."""

    key_header: Literal["authorization", "api-key"] = "authorization"
    """Azure reads its own header."""
    limit: Literal["max_tokens", "max_completion_tokens"] | None = None
    """The name under which the host takes the most tokens to write; ``None``: ``max_tokens``, except for models that
    are known to refuse it."""
    sends_sample: bool = False
    """Whether the number of the sample goes along as ``seed``: simulated models answer the same otherwise."""

    def path(self, model: Model, *, stream: bool) -> str:  # noqa: ARG002 - the form of a format
        """Path below ``base_url``."""
        return "/chat/completions"

    def headers(self, key: str) -> list[tuple[bytes, bytes]]:
        """The header that carries the key."""
        if self.key_header == "api-key":
            return [(b"api-key", key.encode("latin-1"))]
        return [(b"authorization", b"Bearer " + key.encode("latin-1"))]

    def encode(self, model: Model, request: Request, *, stream: bool) -> bytes:
        """The body of a request."""
        limit = self.limit or ("max_completion_tokens" if _NEWER_LIMIT.search(model.wire_name) else "max_tokens")
        body: dict[str, Any] = {
            "model": model.wire_name,
            "messages": _messages(model, request),
            limit: most_tokens(model, request),
        }
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.output is not None and "structured" in model.abilities:
            schema = strict_form(request.output.json_schema)
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {
                    "name": request.output.name,
                    "strict": schema is not None,
                    "schema": schema or request.output.json_schema,
                },
            }
        if request.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in request.tools
            ]
        if self.sends_sample and request.sample:
            body["seed"] = request.sample
        if stream:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}
        return dump(body)

    def decode(self, model: Model, body: bytes) -> RawReply:
        """Reads a whole reply."""
        answer = parse(model, body)
        choice = first(answer.get("choices"))
        message = table(choice.get("message"))
        usage = _usage(table(answer.get("usage")))
        if not message:
            # Some gateways answer 200 and say in the body that it went wrong.
            raise broken(model, answer, _complaint(answer), "holds no choices", usage)
        reply = RawReply(
            text=_text(message.get("content")),
            usage=usage,
            finish_reason=_FINISH.get(str(choice.get("finish_reason")), "other"),
            tool_calls=tuple(_tool_call(model, table(call), usage) for call in rows(message.get("tool_calls"))),
            provider_request_id=words(answer.get("id")),
            model_version=words(answer.get("model")),
        )
        return unless_refused(model, reply, words(message.get("refusal")))

    def embedding(self) -> EmbeddingFormat:
        """How its models are asked for vectors."""
        return OpenAIEmbeddings()

    def gather(self, model: Model) -> Gathering:
        """Starts to read a streamed reply."""
        return _Chunks(model)

    def complaint(self, body: bytes) -> Complaint:
        """Reads the body of an error."""
        return _complaint(read_json(body))


def _messages(model: Model, request: Request) -> list[dict[str, Any]]:
    in_words = request.output if "structured" not in model.abilities else None
    system = system_text(request, in_words)
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for message in request.messages:
        messages.extend(_message(message))
    return messages


def _message(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [
            {"role": "tool", "tool_call_id": part.call_id, "content": part.content}
            for part in message.parts
            if isinstance(part, ToolResult)
        ]
    calls = [_sent_call(part) for part in message.parts if isinstance(part, ToolCall)]
    images = [_image(part) for part in message.parts if isinstance(part, Image)]
    content: Any = message.text
    if images:
        content = [*images, *({"type": "text", "text": part.text} for part in message.parts if isinstance(part, Text))]
    sent: dict[str, Any] = {"role": message.role, "content": content}
    if calls:
        sent["tool_calls"] = calls
        sent["content"] = content or None
    return [sent]


def _sent_call(call: ToolCall) -> dict[str, Any]:
    arguments = dump(call.arguments).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _image(image: Image) -> dict[str, Any]:
    url = image.url
    if image.data is not None:
        url = f"data:{image.media_type};base64,{base64.b64encode(image.data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def _text(content: Any) -> str:
    """The words of a message, which some hosts send in parts."""
    if isinstance(content, list):
        return "".join(words(table(part).get("text")) or "" for part in content)
    return words(content) or ""


def _usage(usage: Mapping[str, Any]) -> Usage:
    read = table(usage.get("prompt_tokens_details"))
    asked, written = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    thought = count(table(usage.get("completion_tokens_details")).get("reasoning_tokens"))
    if thought and count(usage.get("total_tokens")) == asked + written + thought:
        written += thought  # xAI counts thoughts beside the reply, OpenAI within it
    return Usage(
        input_tokens=asked,
        cached_tokens=count(read.get("cached_tokens")),
        cache_write_tokens=count(read.get("cache_write_tokens")),
        output_tokens=written,
        reasoning_tokens=thought,
    )


def _tool_call(model: Model, call: Mapping[str, Any], usage: Usage) -> ToolCall:
    function = table(call.get("function"))
    arguments = arguments_of(model, function.get("arguments"), usage)
    return ToolCall(id=words(call.get("id")) or "", name=words(function.get("name")) or "", arguments=arguments)


def _complaint(body: Any) -> Complaint:
    error = table(body).get("error")
    if isinstance(error, str):
        return Complaint(message=error, native=True)
    said = table(error or body)
    inner = table(said.get("innererror"))
    codes = (said.get("code"), said.get("type"), inner.get("code"))
    return Complaint(
        message=words(said.get("message")) or words(table(body).get("detail")) or "",
        codes=frozenset(str(code).lower() for code in codes if code is not None),
        native=isinstance(error, dict) or "message" in said,
    )


class _Chunks:
    """A streamed reply: text and tool calls come in pieces, usage in the last chunk."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._usage = Usage()
        self._finish: str | None = None
        self._id: str | None = None
        self._version: str | None = None
        self.ended = False

    def feed(self, event: Event) -> bool:
        """Takes an event; whether it brought something that the model wrote."""
        if event.data.strip() == b"[DONE]":
            self.ended = True
            return False
        chunk = parse(self._model, event.data)
        if chunk.get("error"):
            raise broken(self._model, chunk, _complaint(chunk), "broke off")
        self._id = self._id or words(chunk.get("id"))
        self._version = self._version or words(chunk.get("model"))
        if chunk.get("usage"):
            self._usage = _usage(table(chunk["usage"]))
        choice = first(chunk.get("choices"))
        self._finish = words(choice.get("finish_reason")) or self._finish
        return self._delta(table(choice.get("delta")))

    def _delta(self, delta: Mapping[str, Any]) -> bool:
        text = _text(delta.get("content"))
        self._text.append(text)
        self._refusal.append(words(delta.get("refusal")) or "")
        calls = rows(delta.get("tool_calls"))
        for position, part in enumerate(map(table, calls)):
            index = part.get("index", position)
            call = self._calls.setdefault(count(index), {"id": "", "name": "", "arguments": ""})
            function = table(part.get("function"))
            call["id"] = call["id"] or words(part.get("id")) or ""
            call["name"] += words(function.get("name")) or ""
            call["arguments"] += words(function.get("arguments")) or ""
        return bool(text or calls or self._refusal[-1] or delta.get("reasoning_content") or delta.get("reasoning"))

    def reply(self) -> RawReply:
        """The whole reply."""
        if self._finish is None:
            raise TruncatedReplyError(f"The streamed reply of {self._model.name} broke off.", billing="yes")
        calls = tuple(
            ToolCall(
                id=call["id"], name=call["name"], arguments=arguments_of(self._model, call["arguments"], self._usage)
            )
            for _, call in sorted(self._calls.items())
        )
        reply = RawReply(
            text="".join(self._text),
            usage=self._usage,
            finish_reason=_FINISH.get(self._finish, "other"),
            tool_calls=calls,
            provider_request_id=self._id,
            model_version=self._version,
        )
        return unless_refused(self._model, reply, "".join(self._refusal))
