"""Whatever a host answers, a call ends in a reply or in an error of ours."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration_nb.calls import RawReply
from orchestration_nb.catalog import Model
from orchestration_nb.errors import CallError
from orchestration_nb.providers.anthropic_messages import AnthropicMessages
from orchestration_nb.providers.failures import failure
from orchestration_nb.providers.formats import Format
from orchestration_nb.providers.gemini_content import GeminiContent
from orchestration_nb.providers.openai_chat import OpenAIChat
from orchestration_nb.providers.sse import Event
from orchestration_nb.providers.wire import Answer

MODEL = Model(provider="house", wire_name="m")
FORMATS: Mapping[str, Format] = {"openai": OpenAIChat(), "anthropic": AnthropicMessages(), "gemini": GeminiContent()}
TOOL_CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
WHOLE: Mapping[str, Any] = {
    "openai": {
        "id": "x",
        "model": "m",
        "choices": [{"message": {"content": "a", "refusal": None, "tool_calls": [TOOL_CALL]}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}},
    },
    "anthropic": {
        "id": "x",
        "model": "m",
        "content": [{"type": "text", "text": "a"}, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 1}},
    },
    "gemini": {
        "candidates": [
            {
                "content": {"parts": [{"text": "a"}, {"functionCall": {"name": "f", "args": {"a": 1}}}]},
                "finishReason": "STOP",
            }
        ],
        "promptFeedback": {"blockReason": None},
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "thoughtsTokenCount": 3},
    },
}
STREAMED: Mapping[str, list[Any]] = {
    "openai": [
        {"choices": [{"delta": {"content": "a", "tool_calls": [TOOL_CALL]}}], "error": None},
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    ],
    "anthropic": [
        {"type": "message_start", "message": {"id": "x", "model": "m", "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "t", "name": "f"}},
        {"type": "content_block_delta", "index": 0, "delta": {"text": "a", "partial_json": '{"a": 1}'}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ],
    "gemini": [WHOLE["gemini"], WHOLE["gemini"]],
}
ERROR = {
    "error": {
        "message": "m",
        "type": "t",
        "code": "c",
        "status": "s",
        "innererror": {"code": "c"},
        "details": [{"reason": "r", "retryDelay": "1s"}],
    },
    "detail": "d",
}

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def broken(draw: st.DrawFn, whole: Any) -> Any:
    """``whole`` with any part of it exchanged for anything."""
    if draw(st.integers(0, 3)) == 0 or not isinstance(whole, dict | list) or not whole:
        return draw(values)
    copy: Any = dict(whole) if isinstance(whole, dict) else list(whole)
    places = list(copy) if isinstance(copy, dict) else list(range(len(copy)))
    for place in draw(st.lists(st.sampled_from(places), min_size=1, max_size=2)):
        copy[place] = draw(broken(copy[place]))
    return copy


def check(reply: RawReply) -> None:
    assert isinstance(reply.text, str)
    assert all(isinstance(call.name, str) and isinstance(call.arguments, dict) for call in reply.tool_calls)
    assert reply.usage.input_tokens >= 0
    assert reply.usage.output_tokens >= 0
    assert isinstance(reply.model_version, str | None)


@pytest.mark.parametrize("kind", list(FORMATS))
@given(data=st.data())
@settings(deadline=None)
def test_a_broken_reply(kind: str, data: st.DataObject) -> None:
    body = data.draw(broken(WHOLE[kind]))
    with suppress(CallError):
        check(FORMATS[kind].decode(MODEL, orjson.dumps(body)))


@pytest.mark.parametrize("kind", list(FORMATS))
@given(data=st.data())
@settings(deadline=None)
def test_a_broken_stream(kind: str, data: st.DataObject) -> None:
    gathering = FORMATS[kind].gather(MODEL)
    events = data.draw(broken(STREAMED[kind]).filter(lambda value: isinstance(value, list)))
    with suppress(CallError):
        for event in events:
            gathering.feed(Event(orjson.dumps(event)))
        check(gathering.reply())


@pytest.mark.parametrize("kind", list(FORMATS))
@given(data=st.data(), status=st.integers(100, 999))
@settings(deadline=None)
def test_a_broken_error(kind: str, data: st.DataObject, status: int) -> None:
    body = orjson.dumps(data.draw(broken(ERROR)))
    answer = Answer(status=status, headers=[(b"retry-after", data.draw(st.binary(max_size=12)))], body=body)
    error = failure(answer, FORMATS[kind].complaint(body), who="house", model=MODEL.name)
    assert isinstance(error, CallError)
    assert str(error).isprintable()
    assert len(str(error)) < 500


@pytest.mark.parametrize("kind", list(FORMATS))
@given(body=st.binary(max_size=60))
def test_any_bytes(kind: str, body: bytes) -> None:
    with pytest.raises(CallError):
        FORMATS[kind].decode(MODEL, body)
    FORMATS[kind].complaint(body)


@pytest.mark.parametrize("kind", list(FORMATS))
def test_the_replies_that_are_broken_here_are_good_when_whole(kind: str) -> None:
    reply = FORMATS[kind].decode(MODEL, orjson.dumps(WHOLE[kind]))
    gathering = FORMATS[kind].gather(MODEL)
    for event in STREAMED[kind]:
        gathering.feed(Event(orjson.dumps(event)))
    for whole in (reply, gathering.reply()):
        assert whole.text.startswith("a")
        assert whole.tool_calls[0].arguments == {"a": 1}
        assert whole.usage.output_tokens >= 2
