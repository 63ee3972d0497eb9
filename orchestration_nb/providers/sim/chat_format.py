"""OpenAI's chat completions as the simulated server reads and writes them.

Follows https://platform.openai.com/docs/api-reference/chat, without `n`, tools and log probabilities.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from orchestration_nb.providers.sim.answers import MODELS, SimPrompt, SimReply

CREATED = 1_767_225_600
"""The time in every reply: always the same, as everything about a simulated reply is."""

_MOST_PIECES = 24
_PIECE = re.compile(r"\S+\s*|\s+")


class BadBodyError(Exception):
    """A request that is refused, with the status to answer. Never leaves this room."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What a client asked for."""

    wire_name: str
    """The model as the client wrote it."""
    prompt: SimPrompt
    stream: bool
    usage_in_stream: bool


def read_request(body: bytes, server_seed: int) -> ChatRequest:
    """A request body as values.

    Raises:
        BadBodyError: If it is no chat request, or its model is not one of ours.
    """
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadBodyError(f"The body is not JSON: {error}.") from None
    if not isinstance(asked, dict):
        raise BadBodyError("The body must be a JSON object.")
    name = asked.get("model")
    if not isinstance(name, str):
        raise BadBodyError("You must provide a model parameter.", param="model")
    model = name.removeprefix("sim/")
    if model not in MODELS:
        known = ", ".join(MODELS)
        raise BadBodyError(
            f"The model {name!r} does not exist; there are {known}.", status=404, param="model", code="model_not_found"
        )
    if asked.get("n") not in {None, 1}:
        raise BadBodyError("One reply at a time: n must be 1.", param="n")
    texts, images = _messages(asked.get("messages"))
    schema, json_object = _form(asked.get("response_format"))
    options = asked.get("stream_options")
    return ChatRequest(
        wire_name=name,
        prompt=SimPrompt(
            model=model,
            texts=texts,
            images=images,
            schema=schema,
            json_object=json_object,
            max_tokens=_number(asked, "max_completion_tokens", 1) or _number(asked, "max_tokens", 1),
            sample=f"{server_seed}.{_number(asked, 'seed', None) or 0}",
        ),
        stream=bool(asked.get("stream")),
        usage_in_stream=isinstance(options, dict) and bool(options.get("include_usage")),
    )


def _number(asked: Mapping[str, Any], name: str, least: int | None) -> int | None:
    value = asked.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or (least is not None and value < least):
        raise BadBodyError(f"Invalid {name}: {str(value)[:40]}.", param=name)
    return value


def _messages(messages: Any) -> tuple[tuple[tuple[str, str], ...], int]:
    """Role and text of every message, and how many images came along."""
    if not isinstance(messages, list) or not messages:
        raise BadBodyError("messages must be a list that is not empty.", param="messages")
    texts: list[tuple[str, str]] = []
    images = 0
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadBodyError("A message must be an object with a role.", param=f"messages.[{number}].role")
        content = message.get("content")
        if isinstance(content, list):
            parts = [part for part in content if isinstance(part, dict)]
            images += sum(part.get("type") == "image_url" for part in parts)
            content = "\n".join(str(part["text"]) for part in parts if part.get("type") == "text" and "text" in part)
        elif content is not None and not isinstance(content, str):
            raise BadBodyError("The content must be a text or a list.", param=f"messages.[{number}].content")
        texts.append((message["role"], content or ""))
    return tuple(texts), images


def _form(response_format: Any) -> tuple[Mapping[str, Any] | None, bool]:
    """The schema that the reply must fit, and whether any JSON object will do."""
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if response_format is None or kind == "text":
        return None, False
    if kind == "json_object":
        return None, True
    wrapped = response_format.get("json_schema") if kind == "json_schema" else None
    schema = wrapped.get("schema") if isinstance(wrapped, dict) else None
    if not isinstance(schema, dict):
        raise BadBodyError("Invalid response_format.", param="response_format")
    return schema, False


def usage(reply: SimReply) -> dict[str, Any]:
    """Tokens, in the form of the wire."""
    return {
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.input_tokens + reply.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def completion(asked: ChatRequest, reply: SimReply, request_id: str) -> bytes:
    """The body of a plain reply."""
    return orjson.dumps(
        {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion",
            "created": CREATED,
            "model": asked.wire_name,
            "system_fingerprint": "simulated",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": reply.text, "refusal": None},
                    "logprobs": None,
                    "finish_reason": reply.finish_reason,
                }
            ],
            "usage": usage(reply),
        }
    )


def stream_events(asked: ChatRequest, reply: SimReply, request_id: str) -> Iterator[bytes]:
    """The server-sent events of a streamed reply: the role, the text in pieces, the end, the usage where asked for."""
    shared = {
        "id": f"chatcmpl-{request_id}",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": asked.wire_name,
        "system_fingerprint": "simulated",
    }
    usual = {"usage": None} if asked.usage_in_stream else {}

    def event(delta: Mapping[str, str], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: " + orjson.dumps({**shared, "choices": [choice], **usual}) + b"\n\n"

    yield event({"role": "assistant", "content": ""})
    for piece in _pieces(reply.text):
        yield event({"content": piece})
    yield event({}, reply.finish_reason)
    if asked.usage_in_stream:
        yield b"data: " + orjson.dumps({**shared, "choices": [], "usage": usage(reply)}) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _pieces(text: str) -> Iterator[str]:
    words = _PIECE.findall(text)
    step = max(1, -(-len(words) // _MOST_PIECES))
    for start in range(0, len(words), step):
        yield "".join(words[start : start + step])


def error(message: str, *, kind: str, param: str | None = None, code: str | None = None) -> bytes:
    """The body of a refusal."""
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def model_list() -> bytes:
    """The body of `GET /v1/models`."""
    listed = [{"id": name, "object": "model", "created": CREATED, "owned_by": "simulated"} for name in MODELS]
    return orjson.dumps({"object": "list", "data": listed})
