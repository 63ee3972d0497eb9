"""Google's generateContent: what is written on the wire and what is read from it."""

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
from orchestration_nb.messages import Image, Message, Tool, ToolCall, ToolResult, user
from orchestration_nb.providers.gemini_content import GeminiContent
from orchestration_nb.providers.sse import Event
from tests.providers.conftest import ask

MODEL = Model(provider="gemini", wire_name="gemini-3.5-flash")
SCHEMA = {"type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"]}
OUTPUT = OutputSchema(name="score", json_schema=SCHEMA, parse=str)


def encoded(request: Any) -> Any:
    return orjson.loads(GeminiContent().encode(MODEL, request, stream=False))


def answer(parts: Any = None, finish: str | None = "STOP", **more: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": parts or [{"text": "42"}]}, "finishReason": finish, "index": 0}
    usage = {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10}
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": "gemini-3.5-flash-001",
        "responseId": "resp_1",
        **more,
    }


def decoded(body: Any) -> RawReply:
    return GeminiContent().decode(MODEL, orjson.dumps(body))


def test_the_model_stands_in_the_address_and_the_key_does_not() -> None:
    assert GeminiContent().path(MODEL, stream=False) == "/v1beta/models/gemini-3.5-flash:generateContent"
    assert GeminiContent().path(MODEL, stream=True).endswith(":streamGenerateContent?alt=sse")
    odd = Model(provider="gemini", wire_name="tunedModels/a b?c")
    assert GeminiContent().path(odd, stream=False) == "/v1beta/tunedModels/a%20b%3Fc:generateContent"
    assert GeminiContent().headers("k") == [(b"x-goog-api-key", b"k")]


def test_a_request() -> None:
    assert encoded(ask("Hello", system="Be brief.", temperature=0.5, max_tokens=9)) == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
        "generationConfig": {"maxOutputTokens": 9, "temperature": 0.5},
    }


def test_images_go_as_bytes_or_by_their_address() -> None:
    images = (Image(data=b"\x89PNG", media_type="image/png"), Image(url="https://example.com/a.jpg"))
    assert encoded(ask(messages=(user("What?", images),)))["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/a.jpg"}},
        {"text": "What?"},
    ]


def test_a_schema_is_asked_for_and_beside_tools_told_in_words() -> None:
    bounds = encoded(ask(output=OUTPUT))["generationConfig"]
    assert (bounds["responseMimeType"], bounds["responseJsonSchema"]) == ("application/json", SCHEMA)
    tool = Tool(name="weather", description="Now.", parameters={"type": "object"})
    body = encoded(ask(output=OUTPUT, tools=(tool,)))
    assert "responseJsonSchema" not in body["generationConfig"]
    assert orjson.dumps(SCHEMA).decode() in body["systemInstruction"]["parts"][0]["text"]


def test_tools_go_out_their_calls_come_in_and_their_results_go_back() -> None:
    tool = Tool(name="weather", description="Now.", parameters={"type": "object"})
    called = ToolCall(id="call_0", name="weather", arguments={"city": "Bern"})
    messages = (
        user("Weather?"),
        Message(role="assistant", parts=(called,)),
        Message(role="tool", parts=(ToolResult(call_id="call_0", name="weather", content="sunny"),)),
    )
    body = encoded(ask(messages=messages, tools=(tool,)))
    declared = {"name": "weather", "description": "Now.", "parametersJsonSchema": {"type": "object"}}
    assert body["tools"] == [{"functionDeclarations": [declared]}]
    use = {"functionCall": {"name": "weather", "args": {"city": "Bern"}}}
    assert body["contents"][1] == {
        "role": "model",
        "parts": [{**use, "thoughtSignature": "skip_thought_signature_validator"}],
    }
    result = {"functionResponse": {"name": "weather", "response": {"result": "sunny"}}}
    assert body["contents"][2] == {"role": "user", "parts": [result]}
    reply = decoded(answer([use]))
    assert (reply.tool_calls, reply.finish_reason, reply.text) == ((called,), "tool_calls", "")


def test_output_counts_what_was_thought() -> None:
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 40,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 20,
    }
    reply = decoded(answer(usageMetadata=usage))
    assert reply.usage == Usage(input_tokens=100, cached_tokens=40, output_tokens=25, reasoning_tokens=20)
    assert (reply.provider_request_id, reply.model_version) == ("resp_1", "gemini-3.5-flash-001")


def test_thoughts_are_no_part_of_the_text() -> None:
    assert decoded(answer([{"text": "hm", "thought": True}, {"text": "4"}, {"text": "2"}])).text == "42"


@pytest.mark.parametrize(
    ("finish", "ours"), [("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("OTHER", "other")]
)
def test_why_it_stopped(finish: str, ours: str) -> None:
    assert decoded(answer(finish=finish)).finish_reason == ours


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, MalformedReplyError),
        ({"candidates": []}, MalformedReplyError),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, ContentRefusedError),
        ({"candidates": [{"finishReason": "SAFETY"}]}, ContentRefusedError),
        ({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}, MalformedReplyError),
        (answer(finish=None), TruncatedReplyError),
        ("text", MalformedReplyError),
    ],
)
def test_a_reply_that_cannot_be_used_is_an_error_of_ours(body: Any, error: type[CallError]) -> None:
    with pytest.raises(error):
        decoded(body)


ODD_CALL = {"content": {"parts": [{"functionCall": {"name": "f", "args": [1]}}]}}


@pytest.mark.parametrize(
    "body",
    [
        {"promptFeedback": {"blockReason": "SAFETY"}},
        {"candidates": [{"finishReason": "SAFETY"}]},
        {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]},
        {"candidates": [{"finishReason": "STOP", **ODD_CALL}]},
        {"candidates": []},
    ],
)
def test_a_reply_that_cannot_be_used_tells_what_it_took(body: Any) -> None:
    with pytest.raises(CallError) as caught:
        decoded({**body, "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3}})
    assert caught.value.usage == Usage(input_tokens=7, output_tokens=3)
    with pytest.raises(CallError) as caught:
        decoded(body)
    assert caught.value.usage is None, "nothing was counted"


def test_a_stream_that_is_given_up_before_its_end_does_not_know_what_it_will_have_taken() -> None:
    piece = {"candidates": [ODD_CALL], "usageMetadata": {"promptTokenCount": 7}}
    with pytest.raises(MalformedReplyError) as caught:
        GeminiContent().gather(MODEL).feed(Event(orjson.dumps(piece)))
    assert caught.value.usage is None


def test_a_stream_is_put_together() -> None:
    gathering = GeminiContent().gather(MODEL)
    first = answer([{"text": "forty"}], None, usageMetadata={"promptTokenCount": 7})
    last = answer([{"text": "-two"}])
    assert gathering.feed(Event(orjson.dumps(first)))
    assert gathering.feed(Event(orjson.dumps(last)))
    reply = gathering.reply()
    assert (reply.text, reply.finish_reason) == ("forty-two", "stop")
    assert reply.usage == Usage(input_tokens=7, output_tokens=3)


def test_an_error_inside_a_stream_is_an_error_of_ours() -> None:
    error = {"error": {"code": 503, "status": "UNAVAILABLE", "message": "The model is overloaded."}}
    with pytest.raises(OverloadedError, match="overloaded"):
        GeminiContent().gather(MODEL).feed(Event(orjson.dumps(error)))


def test_a_wait_is_read_from_the_body_of_an_error() -> None:
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure"},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37.5s"},
    ]
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota", "details": details}
    complaint = GeminiContent().complaint(orjson.dumps({"error": error}))
    assert (complaint.retry_after_s, complaint.message, complaint.native) == (37.5, "Quota", True)
    assert GeminiContent().complaint(orjson.dumps([{"error": error}])).retry_after_s == 37.5
