"""Google's generateContent.

Follows https://ai.google.dev/api/generate-content. The key goes in a header, never in the address, where logs would
keep it.
"""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote as quote_path

from orchestration_nb.calls import FinishReason, RawReply, Request, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.errors import ContentRefusedError, TruncatedReplyError
from orchestration_nb.messages import Image, Message, Part, Text, ToolCall, ToolResult
from orchestration_nb.providers.embedding import GeminiEmbeddings
from orchestration_nb.providers.failures import Complaint, read_json
from orchestration_nb.providers.formats import EmbeddingFormat, Gathering, dump, most_tokens, system_text
from orchestration_nb.providers.reading import (
    arguments_of,
    broken,
    count,
    counted,
    first,
    parse,
    rows,
    table,
    unless_refused,
    words,
)
from orchestration_nb.providers.sse import Event

_NO_SIGNATURE = "skip_thought_signature_validator"
"""What Google documents for a tool call whose thought signature was not kept; models from 3 on want one."""
_REFUSALS = {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "LANGUAGE"}
_BROKEN_CALL = {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"}
_ROLES = {"user": "user", "assistant": "model", "tool": "user"}


class GeminiContent:
    """The format."""

    def path(self, model: Model, *, stream: bool) -> str:
        """Path below ``base_url``, where the model is named."""
        name = model.wire_name if "/" in model.wire_name else f"models/{model.wire_name}"
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/{quote_path(name)}:{verb}"

    def headers(self, key: str) -> list[tuple[bytes, bytes]]:
        """The header that carries the key."""
        return [(b"x-goog-api-key", key.encode("ascii"))]

    def encode(self, model: Model, request: Request, *, stream: bool) -> bytes:  # noqa: ARG002 - the path says it
        """The body of a request."""
        bounds: dict[str, Any] = {"maxOutputTokens": most_tokens(model, request)}
        if request.temperature is not None:
            bounds["temperature"] = request.temperature
        in_words = None
        # With tools at hand, most models refuse a response schema.
        if request.output is not None and "structured" in model.abilities and not request.tools:
            bounds["responseMimeType"] = "application/json"
            bounds["responseJsonSchema"] = request.output.json_schema
        elif request.output is not None:
            in_words = request.output
        body: dict[str, Any] = {
            "contents": [_content(message) for message in request.messages],
            "generationConfig": bounds,
        }
        system = system_text(request, in_words)
        if system:
            body["systemInstruction"] = {"parts": [{"text": system}]}
        if request.tools:
            declared = [
                {"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters}
                for tool in request.tools
            ]
            body["tools"] = [{"functionDeclarations": declared}]
        return dump(body)

    def decode(self, model: Model, body: bytes) -> RawReply:
        """Reads a whole reply."""
        answer = parse(model, body)
        gathered = _Candidates(model)
        gathered.take(answer)
        if not answer.get("candidates"):
            raise broken(model, answer, _complaint(answer), "holds no candidates", gathered.usage)
        return gathered.reply()

    def embedding(self) -> EmbeddingFormat:
        """How its models are asked for vectors."""
        return GeminiEmbeddings()

    def gather(self, model: Model) -> Gathering:
        """Starts to read a streamed reply."""
        return _Candidates(model)

    def complaint(self, body: bytes) -> Complaint:
        """Reads the body of an error."""
        return _complaint(read_json(body))


def _content(message: Message) -> dict[str, Any]:
    parts = [_part(part) for part in message.parts]
    calls = [part for part in parts if "functionCall" in part]
    if calls:
        calls[0]["thoughtSignature"] = _NO_SIGNATURE
    return {"role": _ROLES[message.role], "parts": parts}


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"text": text}
        case Image():
            return _image(part)
        case ToolCall():
            return {"functionCall": {"name": part.name, "args": part.arguments}}
        case ToolResult():
            return {"functionResponse": {"name": part.name, "response": {"result": part.content}}}


def _image(image: Image) -> dict[str, Any]:
    if image.data is not None:
        data = base64.b64encode(image.data).decode()
        return {"inlineData": {"mimeType": image.media_type, "data": data}}
    guessed, _ = mimetypes.guess_type(image.url or "")
    return {"fileData": {"mimeType": guessed or image.media_type, "fileUri": image.url}}


def _usage(usage: Mapping[str, Any]) -> Usage:
    """Gemini's ``candidatesTokenCount`` leaves out what was thought; our output is all that was written."""
    thought = count(usage.get("thoughtsTokenCount"))
    return Usage(
        input_tokens=count(usage.get("promptTokenCount")) + count(usage.get("toolUsePromptTokenCount")),
        cached_tokens=count(usage.get("cachedContentTokenCount")),
        output_tokens=count(usage.get("candidatesTokenCount")) + thought,
        reasoning_tokens=thought,
    )


def _finish(reason: str, *, called: bool) -> FinishReason:
    if reason in _REFUSALS:
        return "content_filter"
    if reason == "MAX_TOKENS":
        return "length"
    if called:
        return "tool_calls"
    return "stop" if reason == "STOP" else "other"


def _complaint(body: Any) -> Complaint:
    if isinstance(body, list):
        body = first(body)
    error = table(body).get("error")
    said = table(error)
    details = [table(detail) for detail in rows(said.get("details"))]
    codes = [said.get("status"), *(detail.get("reason") for detail in details)]
    return Complaint(
        message=words(said.get("message")) or "",
        codes=frozenset(code.lower() for code in codes if isinstance(code, str)),
        retry_after_s=next(
            (wait for detail in details if (wait := _seconds(detail.get("retryDelay"))) is not None), None
        ),
        native=isinstance(error, dict),
    )


def _seconds(value: Any) -> float | None:
    """Seconds of a protobuf duration such as ``37.2s``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)s", value) if isinstance(value, str) else None
    return float(found[1]) if found else None


class _Candidates:
    """A reply, whole or streamed: each event is a reply of its own, with more parts and newer usage."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._text: list[str] = []
        self._calls: list[ToolCall] = []
        self.usage = Usage()
        self._finish = ""
        self._id: str | None = None
        self._version: str | None = None
        self.ended = False

    def feed(self, event: Event) -> bool:
        """Takes an event; whether it brought something that the model wrote."""
        answer = parse(self._model, event.data)
        if answer.get("error"):
            raise broken(self._model, answer, _complaint(answer), "broke off")
        return self.take(answer)

    def take(self, answer: Mapping[str, Any]) -> bool:
        """Takes a reply or a piece of one; whether it brought something that the model wrote.

        Raises:
            ContentRefusedError: If the prompt was refused.
        """
        refused = words(table(answer.get("promptFeedback")).get("blockReason"))
        if refused:
            message = f"{self._model.name} refused the prompt: {refused}."
            usage = counted(_usage(table(answer.get("usageMetadata"))))
            raise ContentRefusedError(message, billing="unknown", usage=usage)
        self._id = self._id or words(answer.get("responseId"))
        self._version = words(answer.get("modelVersion")) or self._version
        if "usageMetadata" in answer:
            self.usage = _usage(table(answer["usageMetadata"]))
        candidate = first(answer.get("candidates"))
        self._finish = words(candidate.get("finishReason")) or self._finish
        parts = [table(part) for part in rows(table(candidate.get("content")).get("parts"))]
        for part in parts:
            self._take_part(part)
        return bool(parts)

    def _take_part(self, part: Mapping[str, Any]) -> None:
        if not part.get("thought"):
            self._text.append(words(part.get("text")) or "")
        call = table(part.get("functionCall"))
        if call:
            name = words(call.get("name")) or ""
            call_id = words(call.get("id")) or f"call_{len(self._calls)}"
            # Before its last event, a stream has not counted all that it writes.
            usage = self.usage if self._finish else None
            arguments = arguments_of(self._model, call.get("args"), usage)
            self._calls.append(ToolCall(id=call_id, name=name, arguments=arguments))

    def reply(self) -> RawReply:
        """The whole reply."""
        if not self._finish:
            raise TruncatedReplyError(f"The reply of {self._model.name} broke off.", billing="yes")
        if self._finish in _BROKEN_CALL and not self._calls:
            about = {"finishReason": self._finish}
            raise broken(self._model, about, Complaint(), "holds a broken tool call", self.usage)
        reply = RawReply(
            text="".join(self._text),
            usage=self.usage,
            finish_reason=_finish(self._finish, called=bool(self._calls)),
            tool_calls=tuple(self._calls),
            provider_request_id=self._id,
            model_version=self._version,
        )
        return unless_refused(self._model, reply)
