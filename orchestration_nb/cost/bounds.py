"""The most that a call can cost, known before it is sent."""

from __future__ import annotations

from typing import Final

import orjson

from orchestration_nb.calls import Request
from orchestration_nb.catalog import Model
from orchestration_nb.messages import Image, Text, ToolCall

MESSAGE_TOKENS: Final = 16
"""More than any provider adds around one message."""
IMAGE_TOKENS: Final = 6_000
"""More than the providers' documents name for the largest picture they take."""
SYSTEM_TOKENS: Final = 500
"""More than the providers add where tools or a schema are given."""


def most_output_tokens(request: Request, model: Model) -> int:
    """The most tokens that the model may write; this number is sent on the wire."""
    return min(request.max_tokens, model.max_output_tokens or request.max_tokens)


def most_input_tokens(request: Request) -> int:
    """An upper bound of the prompt's tokens, without the model's tokenizer.

    A token of a byte-level tokenizer stands for at least one byte of UTF-8, so that the bytes bound the tokens. The
    bound is about four times the usual count of English text: it decides only when a budget is nearly spent.
    """
    tokens = MESSAGE_TOKENS
    if request.system:
        tokens += len(request.system.encode("utf-8", "replace")) + MESSAGE_TOKENS
    for message in request.messages:
        tokens += MESSAGE_TOKENS
        for part in message.parts:
            if isinstance(part, Text):
                text = part.text
                tokens += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
            elif isinstance(part, Image):
                tokens += IMAGE_TOKENS
            elif isinstance(part, ToolCall):
                tokens += len(orjson.dumps(part.arguments)) + len(part.name) + MESSAGE_TOKENS
            else:
                tokens += len(part.content.encode("utf-8", "replace")) + MESSAGE_TOKENS
    if request.output is not None:
        tokens += len(orjson.dumps(request.output.json_schema)) + SYSTEM_TOKENS
    if request.tools:
        tokens += sum(len(orjson.dumps(tool)) for tool in request.tools) + SYSTEM_TOKENS
    return tokens
