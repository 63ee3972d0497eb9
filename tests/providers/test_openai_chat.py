"""OpenAI's chat completions: what is written on the wire and what is read from it."""

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
    RateLimitedError,
    ServerFailedError,
    TruncatedReplyError,
)
from orchestration_nb.messages import Image, Message, Text, Tool, ToolCall, ToolResult, user
from orchestration_nb.providers.openai_chat import OpenAIChat
from orchestration_nb.providers.sse import Event
from tests.providers.conftest import ask, chat_reply

MODEL = Model(provider="house", wire_name="m")
COLOUR = {"type": "object", "properties": {"value": {"enum": ["red", "blue"]}}, "required": ["value"]}


def encoded(request: Any, *, model: Model = MODEL, stream: bool = False, chat: OpenAIChat | None = None) -> Any:
    return orjson.loads((chat or OpenAIChat()).encode(model, request, stream=stream))


def decoded(body: Any) -> RawReply:
    return OpenAIChat().decode(MODEL, orjson.dumps(body))


def test_braces_in_a_prompt_are_sent_as_they_are() -> None:
    body = encoded(ask('{"a": 1} and {{x}}'))
    assert body["messages"] == [{"role": "user", "content": '{"a": 1} and {{x}}'}]


@pytest.mark.parametrize(
    ("chat", "wire_name", "field"),
    [
        (OpenAIChat(), "llama3.2", "max_tokens"),
        (OpenAIChat(), "gpt-4.1-mini", "max_tokens"),
        (OpenAIChat(), "openai/gpt-5-mini", "max_completion_tokens"),
        (OpenAIChat(), "gpt-6-luna", "max_completion_tokens"),
        (OpenAIChat(), "o4-mini", "max_completion_tokens"),
        (OpenAIChat(), "olmo-2", "max_tokens"),
        (OpenAIChat(limit="max_completion_tokens"), "gpt-4.1-mini", "max_completion_tokens"),
        (OpenAIChat(limit="max_tokens"), "openai/gpt-5-mini", "max_tokens"),
    ],
)
def test_the_limit_is_always_sent_under_the_name_that_the_model_takes(
    chat: OpenAIChat, wire_name: str, field: str
) -> None:
    body = encoded(ask(max_tokens=50), model=Model(provider="house", wire_name=wire_name), chat=chat)
    assert body[field] == 50
    assert len({"max_tokens", "max_completion_tokens"} & body.keys()) == 1


def test_the_limit_never_passes_what_the_model_can_write() -> None:
    model = Model(provider="house", wire_name="m", max_output_tokens=20)
    assert encoded(ask(max_tokens=50), model=model)["max_tokens"] == 20


def test_images_go_as_bytes_or_by_their_address() -> None:
    images = (Image(data=b"\x89PNG", media_type="image/png"), Image(url="https://example.com/a.jpg"))
    body = encoded(ask(messages=(user("What is it?", images),)))
    assert body["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg"}},
        {"type": "text", "text": "What is it?"},
    ]


def test_a_schema_is_asked_for_in_strict_form_where_it_has_one() -> None:
    output = OutputSchema(name="queue", json_schema=COLOUR, parse=str)
    assert encoded(ask(output=output))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "queue", "strict": True, "schema": {**COLOUR, "additionalProperties": False}},
    }
    free = {"type": "object", "additionalProperties": {"type": "integer"}}
    sent = encoded(ask(output=OutputSchema(name="counts", json_schema=free, parse=str)))["response_format"]
    assert sent["json_schema"] == {"name": "counts", "strict": False, "schema": free}


def test_a_model_without_structured_output_is_told_the_schema_in_words() -> None:
    model = Model(provider="house", wire_name="m", abilities=frozenset())
    output = OutputSchema(name="queue", json_schema=COLOUR, parse=str)
    body = encoded(ask(system="Be brief.", output=output), model=model)
    assert "response_format" not in body
    system = body["messages"][0]["content"]
    assert system.startswith("Be brief.\n\n")
    assert orjson.dumps(COLOUR).decode() in system


def test_tools_go_out_their_calls_come_in_and_their_results_go_back() -> None:
    tool = Tool(name="weather", description="Weather now.", parameters={"type": "object", "properties": {}})
    called = ToolCall(id="c1", name="weather", arguments={"city": "Zürich"})
    messages = (
        user("Weather?"),
        Message(role="assistant", parts=(called,)),
        Message(role="tool", parts=(ToolResult(call_id="c1", name="weather", content="sunny"),)),
        Message(role="assistant", parts=(Text("Sunny."),)),
    )
    body = encoded(ask(messages=messages, tools=(tool,)))
    function = {"name": "weather", "description": "Weather now.", "parameters": tool.parameters}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Zürich"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "assistant", "content": "Sunny."},
    ]
    reply = decoded(
        chat_reply(None, message={"tool_calls": body["messages"][1]["tool_calls"]}, finish_reason="tool_calls")
    )
    assert reply.tool_calls == (called,)
    assert (reply.text, reply.finish_reason) == ("", "tool_calls")


def test_usage_is_read_by_class_of_token() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    expected = Usage(input_tokens=100, cached_tokens=64, output_tokens=50, reasoning_tokens=30)
    assert decoded(chat_reply(usage=usage)).usage == expected


def test_thoughts_that_are_counted_beside_the_reply_are_paid_as_well() -> None:
    """As xAI does; the sum of all tells it from OpenAI, who counts them within."""
    thought = {"completion_tokens_details": {"reasoning_tokens": 300}}
    beside = {"prompt_tokens": 32, "completion_tokens": 400, "total_tokens": 732, **thought}
    assert decoded(chat_reply(usage=beside)).usage == Usage(input_tokens=32, output_tokens=700, reasoning_tokens=300)
    within = {**beside, "total_tokens": 432}
    assert decoded(chat_reply(usage=within)).usage == Usage(input_tokens=32, output_tokens=400, reasoning_tokens=300)


@pytest.mark.parametrize(
    "usage", [None, "many", [], {"prompt_tokens": "7"}, {"prompt_tokens": -1, "completion_tokens": None}]
)
def test_odd_usage_counts_as_none(usage: Any) -> None:
    assert decoded(chat_reply(usage=usage)).usage == Usage()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, MalformedReplyError),
        ({"choices": []}, MalformedReplyError),
        ({"choices": None}, MalformedReplyError),
        ({"choices": [{"message": None}]}, MalformedReplyError),
        ({"choices": ["x"]}, MalformedReplyError),
        ([], MalformedReplyError),
        ("text", MalformedReplyError),
        (chat_reply(None, message={"refusal": "I won't."}), ContentRefusedError),
        (chat_reply("", finish_reason="content_filter"), ContentRefusedError),
        (
            chat_reply(None, message={"tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}),
            MalformedReplyError,
        ),
        (
            chat_reply(None, message={"tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}),
            MalformedReplyError,
        ),
        ({"error": {"message": "Slow down", "code": 429}}, RateLimitedError),
        ({"error": {"message": "Upstream failed", "code": 502}}, ServerFailedError),
    ],
)
def test_a_reply_that_cannot_be_used_is_an_error_of_ours(body: Any, error: type[CallError]) -> None:
    with pytest.raises(error) as caught:
        decoded(body)
    assert caught.value.billing != "no"


@pytest.mark.parametrize(
    "message",
    [
        {"refusal": "I won't."},
        {"tool_calls": [{"function": {"name": "f", "arguments": "{"}}]},
        {"tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]},
        None,
    ],
)
def test_a_reply_that_cannot_be_used_tells_what_it_took(message: Any) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    body = {"choices": [{"finish_reason": "stop", "message": message}], "usage": usage}
    with pytest.raises(CallError) as caught:
        decoded(body)
    assert caught.value.usage == Usage(input_tokens=7, output_tokens=3)
    with pytest.raises(CallError) as caught:
        decoded({**body, "usage": None})
    assert caught.value.usage is None, "nothing was counted"


@pytest.mark.parametrize(
    "delta",
    [{"refusal": "I won't."}, {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{"}}]}],
)
def test_a_stream_that_cannot_be_used_tells_what_it_took(delta: Any) -> None:
    gathering = OpenAIChat().gather(MODEL)
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    for event in (chunk(delta), chunk({}, "stop"), chunk(usage=usage)):
        gathering.feed(event)
    with pytest.raises(CallError) as caught:
        gathering.reply()
    assert caught.value.usage == Usage(input_tokens=7, output_tokens=3)


def test_text_that_the_filter_cut_short_is_kept_and_says_so() -> None:
    reply = decoded(chat_reply("So far", finish_reason="content_filter"))
    assert (reply.text, reply.finish_reason) == ("So far", "content_filter")


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> Event:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return Event(orjson.dumps({"id": "chatcmpl-1", "model": "m-1", "choices": choices, **more}))


def test_a_stream_is_put_together() -> None:
    gathering = OpenAIChat().gather(MODEL)
    brought = [
        gathering.feed(event)
        for event in (
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "for"}),
            chunk({"content": "ty-two"}),
            chunk({}, "stop"),
            chunk(usage={"prompt_tokens": 7, "completion_tokens": 3}),
        )
    ]
    assert brought == [False, True, True, False, False]
    assert not gathering.ended
    gathering.feed(Event(b"[DONE]"))
    assert gathering.ended
    reply = gathering.reply()
    assert (reply.text, reply.finish_reason, reply.model_version) == ("forty-two", "stop", "m-1")
    assert reply.usage == Usage(input_tokens=7, output_tokens=3)


def test_tool_calls_of_a_stream_are_put_together_from_pieces() -> None:
    gathering = OpenAIChat().gather(MODEL)
    for piece in (
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}},
        {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}},
        {"index": 0, "function": {"arguments": '{"x"'}},
        {"index": 0, "function": {"arguments": ":1}"}},
    ):
        assert gathering.feed(chunk({"tool_calls": [piece]}))
    gathering.feed(chunk({}, "tool_calls"))
    assert gathering.reply().tool_calls == (
        ToolCall(id="a", name="f", arguments={"x": 1}),
        ToolCall(id="b", name="g", arguments={}),
    )


def test_a_stream_without_its_end_is_truncated() -> None:
    gathering = OpenAIChat().gather(MODEL)
    gathering.feed(chunk({"content": "for"}))
    with pytest.raises(TruncatedReplyError, match="broke off"):
        gathering.reply()


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (Event(b"{"), MalformedReplyError),
        (Event(b'{"error": {"message": "Server error", "type": "server_error"}}'), ServerFailedError),
        (Event(b'{"error": {"message": "Rate limit", "code": "rate_limit_exceeded"}}'), RateLimitedError),
    ],
)
def test_an_error_inside_a_stream_is_an_error_of_ours(event: Event, error: type[CallError]) -> None:
    with pytest.raises(error):
        OpenAIChat().gather(MODEL).feed(event)


@pytest.mark.parametrize(
    ("finish", "error", "retried"),
    [("length", TruncatedReplyError, False), (None, MalformedReplyError, True), ("odd", MalformedReplyError, True)],
)
def test_a_reply_without_a_word_is_one_only_where_the_model_stopped_by_itself(
    finish: str | None, error: type[CallError], retried: bool
) -> None:
    with pytest.raises(error) as caught:
        decoded(chat_reply("", finish_reason=finish))
    assert caught.value.retryable is retried
    assert caught.value.billing == "yes"
    for stopped in ("stop", "eos"):
        assert decoded(chat_reply("", finish_reason=stopped)).text == ""
