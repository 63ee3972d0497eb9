"""Anthropic's messages: what is written on the wire and what is read from it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from orchestration_nb.calls import OutputSchema, RawReply, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.errors import (
    CallError,
    ContentRefusedError,
    MalformedReplyError,
    OverloadedError,
    TruncatedReplyError,
)
from orchestration_nb.messages import Image, Message, Text, Tool, ToolCall, ToolResult, user
from orchestration_nb.providers.anthropic_messages import ANSWER_TOOL, AnthropicMessages
from orchestration_nb.providers.sse import Event
from tests.providers.conftest import ask

MODEL = Model(provider="anthropic", wire_name="claude-haiku-4-5")
OLD = Model(provider="anthropic", wire_name="claude-3-5-haiku-latest")
SCORE = {
    "type": "object",
    "properties": {"value": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["value"],
}
OUTPUT = OutputSchema(name="score", json_schema=SCORE, parse=str)


def encoded(request: Any, *, model: Model = MODEL) -> Any:
    return orjson.loads(AnthropicMessages().encode(model, request, stream=False))


def decoded(content: Any, **more: Any) -> RawReply:
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5-20251001",
        "content": content,
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 7, "output_tokens": 3},
    }
    return AnthropicMessages().decode(MODEL, orjson.dumps({**body, **more}))


def test_a_request_holds_the_system_prompt_apart_and_always_a_limit() -> None:
    assert encoded(ask("Hello", system="Be brief.", temperature=0.5, max_tokens=9)) == {
        "model": "claude-haiku-4-5",
        "max_tokens": 9,
        "system": "Be brief.",
        "temperature": 0.5,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    }


def test_images_go_as_bytes_or_by_their_address() -> None:
    images = (Image(data=b"\x89PNG", media_type="image/png"), Image(url="https://example.com/a.jpg"))
    content = encoded(ask(messages=(user("What?", images),)))["messages"][0]["content"]
    assert content == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.jpg"}},
        {"type": "text", "text": "What?"},
    ]


def test_a_model_of_today_is_asked_for_its_own_structured_output() -> None:
    body = encoded(ask(output=OUTPUT))
    assert body["output_config"] == {
        "format": {
            "type": "json_schema",
            "schema": {
                "type": "object",
                "properties": {"value": {"type": "integer", "description": "(minimum: 1, maximum: 5)"}},
                "required": ["value"],
                "additionalProperties": False,
            },
        }
    }
    assert "tools" not in body


@pytest.mark.parametrize(
    "name", ["claude-3-5-haiku-latest", "claude-opus-4-1", "claude-sonnet-4-20250514", "claude-sonnet-4-0"]
)
def test_an_older_model_is_made_to_call_a_tool_with_its_answer(name: str) -> None:
    body = encoded(ask(output=OUTPUT), model=Model(provider="anthropic", wire_name=name))
    assert body["tool_choice"] == {"type": "tool", "name": ANSWER_TOOL}
    assert body["tools"][0]["input_schema"] == SCORE
    assert "output_config" not in body


@pytest.mark.parametrize("name", ["claude-sonnet-4-5", "claude-sonnet-4-6", "claude-opus-5-5", "claude-haiku-5-5"])
def test_which_models_count_as_older(name: str) -> None:
    assert "output_config" in encoded(ask(output=OUTPUT), model=Model(provider="anthropic", wire_name=name))


def test_an_older_model_may_call_other_tools_before_it_answers() -> None:
    tool = Tool(name="weather", description="Now.", parameters={"type": "object"})
    body = encoded(ask(output=OUTPUT, tools=(tool,)), model=OLD)
    assert body["tool_choice"] == {"type": "any"}
    assert [tool["name"] for tool in body["tools"]] == ["weather", ANSWER_TOOL]


def test_a_schema_that_has_no_strict_form_is_told_in_words() -> None:
    free = {"type": "object", "additionalProperties": {"type": "integer"}}
    body = encoded(ask(output=OutputSchema(name="counts", json_schema=free, parse=str)))
    assert "output_config" not in body
    assert orjson.dumps(free).decode() in body["system"]


def test_the_answer_tool_is_read_as_the_text_of_the_reply() -> None:
    use = {"type": "tool_use", "id": "t1", "name": ANSWER_TOOL, "input": {"value": 4}}
    reply = decoded([{"type": "text", "text": "Well,"}, use], stop_reason="tool_use")
    assert (reply.text, reply.tool_calls, reply.finish_reason) == ('{"value":4}', (), "stop")


def test_tools_go_out_their_calls_come_in_and_their_results_go_back() -> None:
    called = ToolCall(id="t1", name="weather", arguments={"city": "Bern"})
    messages = (
        user("Weather?"),
        Message(role="assistant", parts=(Text("Let me see."), called)),
        Message(role="tool", parts=(ToolResult(call_id="t1", name="weather", content="sunny"),)),
        Message(role="tool", parts=(ToolResult(call_id="t2", name="weather", content="rain"),)),
    )
    sent = encoded(ask(messages=messages))["messages"]
    use = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Bern"}}
    assert sent[1] == {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, use]}
    assert sent[2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "sunny"},
            {"type": "tool_result", "tool_use_id": "t2", "content": "rain"},
        ],
    }
    reply = decoded([use], stop_reason="tool_use")
    assert (reply.tool_calls, reply.finish_reason) == ((called,), "tool_calls")


def test_input_counts_what_the_cache_read_and_wrote() -> None:
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "output_tokens": 5,
    }
    reply = decoded([{"type": "text", "text": "x"}], usage=usage)
    assert reply.usage == Usage(input_tokens=130, cached_tokens=100, cache_write_tokens=20, output_tokens=5)
    assert (reply.provider_request_id, reply.model_version) == ("msg_1", "claude-haiku-4-5-20251001")


@pytest.mark.parametrize(
    ("stop_reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("refusal", "content_filter"),
        ("pause_turn", "other"),
    ],
)
def test_why_it_stopped(stop_reason: str, finish: str) -> None:
    assert decoded([{"type": "text", "text": "x"}], stop_reason=stop_reason).finish_reason == finish


def test_thoughts_are_no_part_of_the_text() -> None:
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "42"}]
    assert decoded(blocks).text == "42"


@pytest.mark.parametrize(
    ("content", "more", "error"),
    [
        (None, {}, MalformedReplyError),
        ("text", {}, MalformedReplyError),
        ([], {"stop_reason": "refusal"}, ContentRefusedError),
        ([{"type": "tool_use", "id": "t", "name": "f", "input": [1]}], {}, MalformedReplyError),
    ],
)
def test_a_reply_that_cannot_be_used_is_an_error_of_ours(
    content: Any, more: dict[str, Any], error: type[CallError]
) -> None:
    with pytest.raises(error) as caught:
        decoded(content, **more)
    assert caught.value.usage == Usage(input_tokens=7, output_tokens=3)


def test_a_streamed_refusal_tells_what_it_took() -> None:
    gathering = AnthropicMessages().gather(MODEL)
    for one in (START, *stop("refusal")):
        gathering.feed(one)
    with pytest.raises(ContentRefusedError) as caught:
        gathering.reply()
    assert caught.value.usage == Usage(input_tokens=15, cached_tokens=5, output_tokens=9)


def event(kind: str, **data: Any) -> Event:
    return Event(orjson.dumps({"type": kind, **data}), kind.encode())


START = event(
    "message_start",
    message={
        "id": "msg_1",
        "model": "claude-x",
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1},
    },
)


def stop(reason: str) -> tuple[Event, Event]:
    return (
        event("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": 9}),
        event("message_stop"),
    )


def test_a_stream_is_put_together() -> None:
    gathering = AnthropicMessages().gather(MODEL)
    events = (
        START,
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("ping"),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "forty"}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "-two"}),
        event("content_block_stop", index=0),
        event("something_new"),
        *stop("end_turn"),
    )
    assert [gathering.feed(one) for one in events] == [False, False, False, True, True, False, False, False, False]
    assert gathering.ended
    reply = gathering.reply()
    assert (reply.text, reply.finish_reason, reply.model_version) == ("forty-two", "stop", "claude-x")
    assert reply.usage == Usage(input_tokens=15, cached_tokens=5, output_tokens=9)


@pytest.mark.parametrize("name", ["weather", ANSWER_TOOL])
def test_a_streamed_tool_call_is_put_together(name: str) -> None:
    gathering = AnthropicMessages().gather(MODEL)
    block = {"type": "tool_use", "id": "t1", "name": name, "input": {}}
    for one in (
        START,
        event("content_block_start", index=1, content_block=block),
        event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"city":'}),
        event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '"Bern"}'}),
        *stop("tool_use"),
    ):
        gathering.feed(one)
    reply = gathering.reply()
    if name == ANSWER_TOOL:
        assert (reply.text, reply.tool_calls) == ('{"city":"Bern"}', ())
    else:
        assert reply.tool_calls == (ToolCall(id="t1", name="weather", arguments={"city": "Bern"}),)


def test_a_stream_without_its_end_is_truncated() -> None:
    gathering = AnthropicMessages().gather(MODEL)
    gathering.feed(START)
    with pytest.raises(TruncatedReplyError):
        gathering.reply()


def test_an_error_inside_a_stream_is_an_error_of_ours() -> None:
    error = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    with pytest.raises(OverloadedError, match="Overloaded") as caught:
        AnthropicMessages().gather(MODEL).feed(error)
    assert caught.value.billing == "unknown"
