"""Anthropic's messages.

Follows https://docs.anthropic.com/en/api/messages. Structured output is asked for in one of three ways, because no one
way works with every model: models from 4.5 on have ``output_config.format`` (and some of them refuse a forced tool);
older ones are made to call a tool whose input is the answer; and where the schema fits neither, it is told in words.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Literal

import orjson

from orchestration_nb.calls import FinishReason, RawReply, Request, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.errors import TruncatedReplyError
from orchestration_nb.messages import Image, Message, Part, Text, ToolCall, ToolResult
from orchestration_nb.providers.failures import Complaint, read_json
from orchestration_nb.providers.formats import Gathering, dump, most_tokens, system_text
from orchestration_nb.providers.reading import arguments_of, broken, count, parse, table, unless_refused, words
from orchestration_nb.providers.schemas import ANTHROPIC_UNSUPPORTED, strict_form
from orchestration_nb.providers.sse import Event

VERSION = "2023-06-01"
"""The version of the API, sent with every request."""
ANSWER_TOOL = "answer_in_this_form"
"""The tool that an older model is made to call with its answer."""
_BEFORE_OUTPUT_CONFIG = re.compile(r"claude-(?:v?[12]\b|instant|3|(?:opus|sonnet)-4(?:-[01]\b|-20|@|$))")
_FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class AnthropicMessages:
    """The format."""

    def path(self, model: Model, *, stream: bool) -> str:  # noqa: ARG002 - the form of a format
        """Path below ``base_url``."""
        return "/v1/messages"

    def headers(self, key: str) -> list[tuple[bytes, bytes]]:
        """The header that carries the key."""
        return [(b"x-api-key", key.encode("ascii"))]

    def encode(self, model: Model, request: Request, *, stream: bool) -> bytes:
        """The body of a request."""
        way = _structured_way(model, request)
        body: dict[str, Any] = {
            "model": model.wire_name,
            "max_tokens": most_tokens(model, request),
            "messages": _messages(request.messages),
        }
        system = system_text(request, request.output if way == "words" else None)
        if system:
            body["system"] = system
        if request.temperature is not None:
            body["temperature"] = request.temperature
        tools: list[dict[str, Any]] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in request.tools
        ]
        if request.output is not None and way == "format":
            body["output_config"] = {"format": {"type": "json_schema", "schema": _strict(request.output.json_schema)}}
        if request.output is not None and way == "tool":
            schema = request.output.json_schema
            tools.append({"name": ANSWER_TOOL, "description": "Call this with your answer.", "input_schema": schema})
            body["tool_choice"] = {"type": "any"} if request.tools else {"type": "tool", "name": ANSWER_TOOL}
        if tools:
            body["tools"] = tools
        if stream:
            body["stream"] = True
        return dump(body)

    def decode(self, model: Model, body: bytes) -> RawReply:
        """Reads a whole reply."""
        answer = parse(model, body)
        usage = _usage(table(answer.get("usage")))
        if not isinstance(answer.get("content"), list):
            raise broken(model, answer, _complaint(answer), "holds no content", usage)
        blocks = [table(block) for block in answer["content"]]
        calls = [(words(block.get("id")), words(block.get("name")), block.get("input")) for block in _tool_uses(blocks)]
        return _reply(
            model,
            text="".join(words(block.get("text")) or "" for block in blocks if block.get("type") == "text"),
            calls=calls,
            usage=usage,
            stop_reason=words(answer.get("stop_reason")) or "",
            about=answer,
        )

    def embedding(self) -> None:
        """Anthropic has no models that embed."""

    def gather(self, model: Model) -> Gathering:
        """Starts to read a streamed reply."""
        return _Blocks(model)

    def complaint(self, body: bytes) -> Complaint:
        """Reads the body of an error."""
        return _complaint(read_json(body))


def _structured_way(model: Model, request: Request) -> Literal["none", "format", "tool", "words"]:
    if request.output is None:
        return "none"
    if "structured" not in model.abilities:
        return "words"
    if _BEFORE_OUTPUT_CONFIG.search(model.wire_name):
        return "tool"
    return "format" if _strict(request.output.json_schema) is not None else "words"


def _strict(schema: Mapping[str, Any]) -> orjson.Fragment | None:
    return strict_form(schema, unsupported=ANTHROPIC_UNSUPPORTED, recursive=False)


def _messages(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """The turns; what tools said is a user's turn, and turns of one role that follow each other are one."""
    sent: list[dict[str, Any]] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        content = [_part(part) for part in message.parts]
        if sent and sent[-1]["role"] == role:
            sent[-1]["content"].extend(content)
        else:
            sent.append({"role": role, "content": content})
    return sent


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Image():
            return {"type": "image", "source": _image_source(part)}
        case ToolCall():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": part.arguments}
        case ToolResult():
            return {"type": "tool_result", "tool_use_id": part.call_id, "content": part.content}


def _image_source(image: Image) -> dict[str, Any]:
    if image.data is None:
        return {"type": "url", "url": image.url}
    return {"type": "base64", "media_type": image.media_type, "data": base64.b64encode(image.data).decode()}


def _tool_uses(blocks: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [block for block in blocks if block.get("type") == "tool_use"]


def _usage(usage: Mapping[str, Any]) -> Usage:
    """Anthropic's ``input_tokens`` leaves out what its cache read and wrote; ours is all that was read."""
    cached = count(usage.get("cache_read_input_tokens"))
    written = count(usage.get("cache_creation_input_tokens"))
    return Usage(
        input_tokens=count(usage.get("input_tokens")) + cached + written,
        cached_tokens=cached,
        cache_write_tokens=written,
        output_tokens=count(usage.get("output_tokens")),
        reasoning_tokens=count(table(usage.get("output_tokens_details")).get("thinking_tokens")),
    )


def _reply(
    model: Model,
    *,
    text: str,
    calls: list[tuple[str | None, str | None, Any]],
    usage: Usage,
    stop_reason: str,
    about: Mapping[str, Any],
) -> RawReply:
    """Puts a reply together; a call of the answer tool is the text of the reply, and no tool call."""
    answers = [arguments for _, name, arguments in calls if name == ANSWER_TOOL]
    others = tuple(
        ToolCall(id=call_id or "", name=name or "", arguments=arguments_of(model, arguments, usage))
        for call_id, name, arguments in calls
        if name != ANSWER_TOOL
    )
    finish: FinishReason = _FINISH.get(stop_reason, "other")
    if answers:
        arguments = answers[0]
        text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
        finish = "stop" if finish == "tool_calls" and not others else finish
    reply = RawReply(
        text=text,
        usage=usage,
        finish_reason=finish,
        tool_calls=others,
        provider_request_id=words(about.get("id")),
        model_version=words(about.get("model")),
    )
    return unless_refused(model, reply)


def _complaint(body: Any) -> Complaint:
    error = table(body).get("error")
    said = table(error)
    code = words(said.get("type"))
    return Complaint(
        message=words(said.get("message")) or "",
        codes=frozenset({code.lower()}) if code else frozenset(),
        native=isinstance(error, dict),
    )


class _Blocks:
    """A streamed reply: a message begins, its blocks come one after the other in pieces, and it stops."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._about: Mapping[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._stop_reason = ""
        self._text: list[str] = []
        self._calls: dict[int, tuple[str | None, str | None, list[str]]] = {}
        self.ended = False

    def feed(self, event: Event) -> bool:
        """Takes an event; whether it brought something that the model wrote."""
        data = parse(self._model, event.data)
        match data.get("type"):
            case "message_start":
                self._about = table(data.get("message"))
                self._usage.update(table(self._about.get("usage")))
            case "content_block_start":
                return self._start(count(data.get("index")), table(data.get("content_block")))
            case "content_block_delta":
                return self._delta(count(data.get("index")), table(data.get("delta")))
            case "message_delta":
                self._stop_reason = words(table(data.get("delta")).get("stop_reason")) or self._stop_reason
                self._usage.update({name: n for name, n in table(data.get("usage")).items() if n is not None})
            case "message_stop":
                self.ended = True
            case "error":
                raise broken(self._model, data, _complaint(data), "broke off")
        return False

    def _start(self, index: int, block: Mapping[str, Any]) -> bool:
        if block.get("type") == "tool_use":
            self._calls[index] = (words(block.get("id")), words(block.get("name")), [])
        text = words(block.get("text")) or ""
        self._text.append(text)
        return bool(text)

    def _delta(self, index: int, delta: Mapping[str, Any]) -> bool:
        self._text.append(words(delta.get("text")) or "")
        piece = words(delta.get("partial_json")) or ""
        if index in self._calls:
            self._calls[index][2].append(piece)
        return bool(self._text[-1] or piece or delta.get("thinking"))

    def reply(self) -> RawReply:
        """The whole reply."""
        if not self._stop_reason:
            raise TruncatedReplyError(f"The streamed reply of {self._model.name} broke off.", billing="yes")
        return _reply(
            self._model,
            text="".join(self._text),
            calls=[(call_id, name, "".join(pieces) or "{}") for call_id, name, pieces in self._calls.values()],
            usage=_usage(self._usage),
            stop_reason=self._stop_reason,
            about=self._about,
        )
