"""The three wire formats against a server that nobody here wrote, and that the providers' own SDKs pass against.

What it understood is read from its journal, where every request stands in one form.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestration_nb.calls import OutputSchema, RawReply, Request, Timeouts, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.config import Settings
from orchestration_nb.errors import (
    CallError,
    ConnectionLostError,
    MalformedReplyError,
    NotAuthorisedError,
    OverloadedError,
    RateLimitedError,
    ServerFailedError,
    TruncatedReplyError,
)
from orchestration_nb.messages import Image, Message, Tool, ToolResult, user
from orchestration_nb.providers import Provider, build
from orchestration_nb.providers.batches import BatchApi, BatchingProvider, Sighting
from tests.conftest import aimock_path
from tests.providers.conftest import ask

pytestmark = pytest.mark.wire

COUNTED = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15, "input_tokens": 11, "output_tokens": 4}
FIXTURES: list[dict[str, Any]] = [
    {"match": {"userMessage": "be malformed"}, "response": {"content": "x"}, "chaos": {"malformedRate": 1}},
    {"match": {"userMessage": "be dropped"}, "response": {"content": "x"}, "chaos": {"dropRate": 1}},
    {"match": {"userMessage": "be cut off"}, "response": {"content": "x"}, "chaos": {"disconnectRate": 1}},
    *(
        {
            "match": {"userMessage": f"answer {status}"},
            "response": {"error": {"message": "Not now", "type": kind}, "status": status, "retryAfter": 3},
        }
        for status, kind in (
            (401, "authentication_error"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (529, "overloaded_error"),
        )
    ),
    {
        "match": {"userMessage": "weather", "hasToolResult": False},
        "response": {"toolCalls": [{"id": "call_1", "name": "weather", "arguments": {"city": "Bern"}}]},
    },
    {"match": {"userMessage": "weather", "toolResultContains": "sunny"}, "response": {"content": "It is sunny."}},
    {
        "match": {"userMessage": "which queue", "model": "claude-3-5-haiku-latest"},
        "response": {"toolCalls": [{"name": "answer_in_this_form", "arguments": {"value": "billing"}}]},
    },
    {"match": {"userMessage": "which queue"}, "response": {"content": '{"value": "billing"}'}},
    {"match": {"userMessage": '{"a": 1}'}, "response": {"content": "forty-two", "usage": COUNTED}},
]
QUEUE = OutputSchema(
    name="queue",
    json_schema={
        "type": "object",
        "properties": {"value": {"type": "string", "enum": ["billing", "bug"]}},
        "required": ["value"],
    },
    parse=str,
)
WEATHER = Tool(
    name="weather",
    description="The weather now.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
MODELS = {
    "openai": Model(provider="openai-like", wire_name="gpt-4.1-mini"),
    "anthropic": Model(provider="anthropic-like", wire_name="claude-haiku-4-5"),
    "gemini": Model(provider="gemini-like", wire_name="gemini-3.5-flash"),
}


@pytest.fixture(scope="module")
def mock_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running aimock."""
    path = aimock_path()
    assert path is not None
    folder = tmp_path_factory.mktemp("aimock")
    (folder / "fixtures.json").write_text(json.dumps({"fixtures": FIXTURES}))
    config = {"port": 0, "strict": True, "llm": {"fixtures": str(folder / "fixtures.json")}}
    (folder / "aimock.json").write_text(json.dumps(config))
    command = [path, "--config", str(folder / "aimock.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said: list[str] = []
        for line in process.stdout:
            said.append(line)
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                yield found[0]
                break
        else:
            pytest.fail(f"aimock did not start: {''.join(said)}")
        process.terminate()
        process.stdout.read()


@pytest.fixture(params=list(MODELS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["whole", "streamed"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "streamed")


@pytest.fixture
async def provider(mock_url: str, kind: str, stream: bool) -> AsyncIterator[Provider]:
    base_url = f"{mock_url}/v1" if kind == "openai" else mock_url
    name = MODELS[kind].provider
    own = {"kind": kind, "base_url": base_url, "key_env": "MOCK_KEY", "stream": stream}
    settings = Settings.model_validate({"providers": {name: own}})
    provider = build(settings, {"MOCK_KEY": "mock-key"}, trusted=True)[name]
    yield provider
    await provider.close()


async def send(provider: Provider, kind: str, request: Request, model: Model | None = None) -> RawReply:
    return await provider.send(model or MODELS[kind], request, timeouts=Timeouts(total_s=10))


async def understood(mock_url: str, reply: RawReply, kind: str) -> dict[str, Any]:
    """The request behind a reply, as the server understood it."""

    def read() -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{mock_url}/__aimock/journal?limit=1000") as answer:
            return list(json.load(answer))

    path = {"openai": "chat/completions", "anthropic": "/messages", "gemini": "generateContent"}[kind]
    entries = [entry for entry in await asyncio.to_thread(read) if path.lower() in entry["path"].lower()]
    [entry] = [entry for entry in entries if entry["headers"]["x-request-id"] == reply.provider_request_id]
    body: dict[str, Any] = entry["body"]
    return body


def texts(body: dict[str, Any], role: str) -> list[str]:
    found = []
    for message in body["messages"]:
        content = message["content"]
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        if message["role"] == role:
            found.append("".join(part.get("text") or "" for part in parts))
    return found


async def test_a_call(provider: Provider, mock_url: str, kind: str, stream: bool) -> None:
    request = ask('How much is {"a": 1} and {{x}}?', system="Be brief.", temperature=0.25, max_tokens=77)

    reply = await send(provider, kind, request)

    assert (reply.text, reply.finish_reason) == ("forty-two", "stop")
    assert reply.usage == Usage(input_tokens=11, output_tokens=4)
    assert (reply.ttft_ms is not None) == stream
    body = await understood(mock_url, reply, kind)
    assert body["model"] == MODELS[kind].wire_name
    assert texts(body, "user") == ['How much is {"a": 1} and {{x}}?']
    assert texts(body, "system") == ["Be brief."]
    assert body["temperature"] == 0.25
    assert body["max_tokens"] == 77
    assert bool(body.get("stream")) == stream


async def test_a_structured_call(provider: Provider, mock_url: str, kind: str) -> None:
    reply = await send(provider, kind, ask("In which queue? Say which queue.", output=QUEUE))

    assert json.loads(reply.text) == {"value": "billing"}
    assert reply.tool_calls == ()
    body = await understood(mock_url, reply, kind)
    assert "tools" not in body
    if kind == "openai":
        assert body["response_format"]["json_schema"]["strict"] is True


@pytest.mark.parametrize("kind", ["anthropic"], indirect=True)
async def test_a_structured_call_of_an_older_model(provider: Provider, mock_url: str, kind: str) -> None:
    older = Model(provider="anthropic-like", wire_name="claude-3-5-haiku-latest")

    reply = await send(provider, kind, ask("Say which queue.", output=QUEUE), older)

    assert json.loads(reply.text) == {"value": "billing"}
    assert (reply.tool_calls, reply.finish_reason) == ((), "stop")
    body = await understood(mock_url, reply, kind)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["answer_in_this_form"]


async def test_a_tool_is_called_and_its_result_understood(provider: Provider, mock_url: str, kind: str) -> None:
    question = user("How is the weather?")

    asked = await send(provider, kind, ask(messages=(question,), tools=(WEATHER,)))

    [call] = asked.tool_calls
    assert (call.name, call.arguments, asked.finish_reason) == ("weather", {"city": "Bern"}, "tool_calls")
    body = await understood(mock_url, asked, kind)
    [declared] = body["tools"]
    assert declared["function"]["name"] == "weather"
    assert declared["function"]["description"] == "The weather now."
    if kind != "gemini":  # its journal leaves out Gemini's parametersJsonSchema
        assert "city" in declared["function"]["parameters"]["properties"]

    result = ToolResult(call_id=call.id, name=call.name, content="sunny, 21 degrees")
    turns = (question, Message(role="assistant", parts=(call,)), Message(role="tool", parts=(result,)))
    told = await send(provider, kind, ask(messages=turns, tools=(WEATHER,)))

    assert (told.text, told.tool_calls) == ("It is sunny.", ())


async def test_an_image_comes_along(provider: Provider, mock_url: str, kind: str) -> None:
    image = Image(data=b"\x89PNG\r\n", media_type="image/png")
    reply = await send(provider, kind, ask(messages=(user('{"a": 1}', (image,)),)))
    assert reply.text == "forty-two"
    assert texts(await understood(mock_url, reply, kind), "user") == ['{"a": 1}']


@pytest.mark.parametrize(
    ("prompt", "errors", "status"),
    [
        ("answer 401", NotAuthorisedError, 401),
        ("answer 429", RateLimitedError, 429),
        ("answer 500", ServerFailedError, 500),
        ("answer 529", OverloadedError, 529),
        ("be dropped", ServerFailedError, 500),
        ("be malformed", (MalformedReplyError, TruncatedReplyError), 200),
        ("be cut off", (ConnectionLostError, TruncatedReplyError), None),
        ("no fixture knows this", OverloadedError, 503),
    ],
)
async def test_a_failure_ends_in_its_error(
    provider: Provider, kind: str, prompt: str, errors: Any, status: int | None
) -> None:
    with pytest.raises(CallError) as caught:
        await send(provider, kind, ask(prompt))
    assert isinstance(caught.value, errors)
    assert caught.value.http_status in {status, None}
    if status == 429:
        assert caught.value.retry_after_s == 3.0
        assert "Not now" in str(caught.value)


class TestBatches:
    """OpenAI's form alone: aimock speaks no batches of Anthropic's, and answers every line with the same words."""

    @pytest.fixture
    async def batches(self, mock_url: str) -> AsyncIterator[BatchApi]:
        own = {"kind": "openai", "base_url": f"{mock_url}/v1", "key_env": "MOCK_KEY", "batch_price": 0.5}
        settings = Settings.model_validate({"providers": {"openai-like": own}})
        provider = build(settings, {"MOCK_KEY": "mock-key"}, trusted=True)["openai-like"]
        assert isinstance(provider, BatchingProvider)
        yield await provider.batches()
        await provider.close()

    async def test_a_batch_is_uploaded_made_waited_for_and_read(self, batches: BatchApi) -> None:
        model = MODELS["openai"]
        asked = [ask(f"Question {number}") for number in range(3)]
        bodies = [(f"tok-{number}", batches.encode(model, request)) for number, request in enumerate(asked)]
        batch_id = await batches.submit(bodies, "tok")
        assert (
            await batches.find("tok", count=3, since=datetime.now(UTC).replace(tzinfo=None), others=())
        ) == Sighting(batch_id=batch_id)
        assert (await batches.standing(batch_id)).state == "under_way"
        standing = await batches.standing(batch_id)
        lines = {custom_id: line async for custom_id, line in batches.results(standing)}
        assert lines.keys() == {"tok-0", "tok-1", "tok-2"}
        reply = batches.read(model, asked[0], lines["tok-0"])
        assert (reply.text, reply.usage) == ("Mock batch completion", Usage(input_tokens=1, output_tokens=1))
        assert reply.provider_request_id

    async def test_a_batch_that_was_cancelled_answers_nothing_and_costs_nothing(self, batches: BatchApi) -> None:
        model = MODELS["openai"]
        batch_id = await batches.submit([("tok-0", batches.encode(model, ask()))], "tok")
        await batches.cancel(batch_id)
        standing = await batches.standing(batch_id)
        assert [line async for line in batches.results(standing)] == []
        with pytest.raises(CallError, match="cancelled before") as failed:
            batches.read(model, ask(), standing.otherwise)
        assert failed.value.billing == "no"

    async def test_one_that_it_does_not_know(self, batches: BatchApi) -> None:
        with pytest.raises(CallError, match="No such batch") as failed:
            await batches.standing("batch-unknown")
        assert failed.value.http_status == 404
