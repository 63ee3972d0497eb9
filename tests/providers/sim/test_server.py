"""The server of simulated models, spoken to by a client that nobody here wrote."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.providers.sim import Fault, Faults, Outage, SimPrompt, SimServer, answer, shipped_bank
from orchestration_nb.providers.sim.faults import KINDS, FaultDraw

PROMPT = shipped_bank().questions[11].prompt


def body(text: str = PROMPT, **more: Any) -> dict[str, Any]:
    return {"model": "small", "messages": [{"role": "user", "content": text}], **more}


@pytest.fixture
async def server() -> AsyncIterator[SimServer]:
    started = await SimServer.start(latency_scale=0)
    yield started
    await started.close()


@pytest.fixture
async def client(server: SimServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.base_url, timeout=30, trust_env=False) as opened:
        yield opened


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - the server has no event for what a test wants to know
            await asyncio.sleep(0.001)


async def faulty(faults: Faults, attempts: int, **more: Any) -> list[httpx.Response | Exception]:
    """What a client sees that sends the same request again and again."""
    server = await SimServer.start(latency_scale=0, seed=5, faults=faults)
    seen: list[httpx.Response | Exception] = []
    timeout = 0.2 if faults.hang else 30.0
    async with httpx.AsyncClient(base_url=server.base_url, timeout=timeout, trust_env=False) as client:
        for _ in range(attempts):
            try:
                seen.append(await client.post("/chat/completions", json=body(**more)))
            except httpx.HTTPError as error:
                seen.append(error)
    await server.close()
    return seen


async def test_a_plain_reply_has_the_form_of_the_wire(client: httpx.AsyncClient) -> None:
    response = await client.post("/chat/completions", json=body(max_tokens=1024))
    expected = answer(SimPrompt(model="small", texts=(("user", PROMPT),), max_tokens=1024))
    reply = response.json()
    assert response.status_code == 200
    assert response.headers["x-request-id"]
    assert reply["object"] == "chat.completion"
    assert reply["model"] == "small"
    assert reply["system_fingerprint"] == "simulated"
    choice = reply["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": expected.text, "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert reply["usage"]["prompt_tokens"] == expected.input_tokens
    assert reply["usage"]["completion_tokens"] == expected.output_tokens
    assert reply["usage"]["total_tokens"] == expected.input_tokens + expected.output_tokens


async def test_a_stream_carries_the_same_reply_in_pieces(client: httpx.AsyncClient) -> None:
    plain = (await client.post("/chat/completions", json=body())).json()
    asked = body(stream=True, stream_options={"include_usage": True})
    async with client.stream("POST", "/chat/completions", json=asked) as response:
        assert response.headers["content-type"] == "text/event-stream"
        lines = [line.removeprefix("data: ") async for line in response.aiter_lines() if line]
    assert lines.pop() == "[DONE]"
    events = [json.loads(line) for line in lines]
    deltas = [choice["delta"].get("content", "") for event in events for choice in event["choices"]]
    assert "".join(deltas) == plain["choices"][0]["message"]["content"]
    assert len(deltas) > 5
    assert events[-1]["usage"] == plain["usage"]
    assert events[-1]["choices"] == []
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert {event["system_fingerprint"] for event in events} == {"simulated"}


async def test_a_stream_has_no_usage_unless_it_is_asked_for(client: httpx.AsyncClient) -> None:
    text = (await client.post("/chat/completions", json=body(stream=True))).text
    assert "usage" not in text
    assert text.rstrip().endswith("[DONE]")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_the_limit_of_tokens_is_kept(client: httpx.AsyncClient, name: str) -> None:
    reply = (await client.post("/chat/completions", json={**body(), name: 7})).json()
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 7


async def test_structured_output_and_json_object(client: httpx.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"value": {"type": "boolean"}}, "required": ["value"]}
    form = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True}}
    reply = (await client.post("/chat/completions", json=body("Is it late?", response_format=form))).json()
    assert json.loads(reply["choices"][0]["message"]["content"]) in ({"value": True}, {"value": False})
    loose = body("Give JSON", response_format={"type": "json_object"})
    reply = (await client.post("/chat/completions", json=loose)).json()
    assert isinstance(json.loads(reply["choices"][0]["message"]["content"]), dict)


async def test_images_are_accepted(client: httpx.AsyncClient) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    ]
    asked = {"model": "sim/large", "messages": [{"role": "user", "content": parts}]}
    reply = (await client.post("/chat/completions", json=asked)).json()
    assert "1 image was sent along" in reply["choices"][0]["message"]["content"]


async def test_a_seed_asks_for_another_sample(client: httpx.AsyncClient) -> None:
    texts = set()
    for seed in range(6):
        reply = (await client.post("/chat/completions", json=body(seed=seed))).json()
        texts.add(reply["choices"][0]["message"]["content"])
    assert len(texts) > 1


async def test_models_are_listed(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/models")).json()
    assert [model["id"] for model in listed["data"]] == ["small", "medium", "large"]


@pytest.mark.parametrize(
    ("asked", "status", "param"),
    [
        (b"{", 400, None),
        (b"[]", 400, None),
        (b"{}", 400, "model"),
        (b'{"model": "huge", "messages": [{"role": "user", "content": "x"}]}', 404, "model"),
        (b'{"model": "small"}', 400, "messages"),
        (b'{"model": "small", "messages": ["x"]}', 400, "messages.[0].role"),
        (b'{"model": "small", "messages": [{"role": "user", "content": 5}]}', 400, "messages.[0].content"),
        (b'{"model": "small", "messages": [{"role": "user", "content": "x"}], "n": 2}', 400, "n"),
        (b'{"model": "small", "messages": [{"role": "user", "content": "x"}], "max_tokens": 0}', 400, "max_tokens"),
        (
            b'{"model": "small", "messages": [{"role": "user", "content": "x"}], "response_format": {"type": "x"}}',
            400,
            "response_format",
        ),
    ],
)
async def test_bad_requests_get_an_error_of_the_wire(
    client: httpx.AsyncClient, asked: bytes, status: int, param: str | None
) -> None:
    response = await client.post("/chat/completions", content=asked)
    assert response.status_code == status
    assert response.json()["error"]["param"] == param
    assert response.json()["error"]["message"]
    assert (await client.get("/models")).status_code == 200, "the connection goes on"


@pytest.mark.parametrize("schema", [{"enum": 5}, {"properties": []}, {"allOf": [{"$ref": "#"}]}])
async def test_a_schema_that_is_none_is_refused_and_the_connection_goes_on(
    client: httpx.AsyncClient, schema: dict[str, Any]
) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
    response = await client.post("/chat/completions", json=body("Hello", response_format=form))
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "response_format"
    assert (await client.get("/models")).status_code == 200


async def test_unknown_paths_and_methods(client: httpx.AsyncClient) -> None:
    assert (await client.get("/nothing")).status_code == 404
    assert (await client.get("/chat/completions")).status_code == 405


async def connect(server: SimServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = server.base_url.removeprefix("http://").removesuffix("/v1").partition(":")
    return await asyncio.open_connection(host, int(port))


async def speak(server: SimServer, *sent: bytes) -> bytes:
    """Bytes in, bytes out, until the server ends the connection."""
    reader, writer = await connect(server)
    for part in sent:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        received = await reader.read()
    writer.close()
    await writer.wait_closed()
    return received


async def test_requests_in_pieces_in_chunks_and_in_a_row(server: SimServer) -> None:
    asked = json.dumps(body("Hello you there")).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
    chunked = head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n3;a=b\r\n   \r\n0\r\n\r\n" % (len(asked), asked)
    plain = head + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(asked) + asked
    received = await speak(server, chunked[:30], chunked[30:90], chunked[90:] + plain)
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.count(b'"system_fingerprint":"simulated"') == 2
    assert server.requests == 2


async def test_a_client_that_waits_for_leave_to_send_gets_it(server: SimServer) -> None:
    asked = json.dumps(body("Hello you there")).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(asked)
    reader, writer = await connect(server)
    writer.write(head)
    async with asyncio.timeout(5):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(asked)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"GET /v1/models SPDY/3\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: many\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", 501),
        (b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", 413),
        (b"x" * 70_000, 431),
    ],
)
async def test_bytes_that_are_no_request_end_the_connection(server: SimServer, sent: bytes, status: int) -> None:
    assert (await speak(server, sent)).startswith(b"HTTP/1.1 %d " % status)


async def test_latency_is_waited_for_and_scaled() -> None:
    expected = answer(SimPrompt(model="small", texts=(("user", PROMPT),)))
    server = await SimServer.start(latency_scale=0.05)
    loop = asyncio.get_running_loop()
    async with httpx.AsyncClient(base_url=server.base_url, trust_env=False) as client:
        started = loop.time()
        await client.post("/chat/completions", json=body())
        took_ms = (loop.time() - started) * 1000
        assert took_ms > expected.latency_ms * 0.05 - 1
        started = loop.time()
        async with client.stream("POST", "/chat/completions", json=body(stream=True)) as response:
            async for _ in response.aiter_bytes():
                first_ms = (loop.time() - started) * 1000
                break
        assert expected.ttft_ms * 0.05 - 1 < first_ms < took_ms
    await server.close()


async def test_each_fault_looks_as_it_does_on_a_real_wire() -> None:
    limited = (await faulty(Faults(rate_limited=1, retry_after_s=0.5), 1))[0]
    assert isinstance(limited, httpx.Response)
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "0.5")
    assert limited.json()["error"]["code"] == "rate_limit_exceeded"
    overloaded = (await faulty(Faults(overloaded=1, retry_after_s=None), 1))[0]
    assert isinstance(overloaded, httpx.Response)
    assert overloaded.status_code == 503
    assert "retry-after" not in overloaded.headers
    failed = (await faulty(Faults(failed=1), 1))[0]
    assert isinstance(failed, httpx.Response)
    assert (failed.status_code, failed.json()["error"]["type"]) == (500, "server_error")
    assert "retry-after" not in failed.headers
    assert isinstance((await faulty(Faults(reset=1), 1))[0], httpx.ReadError)
    assert isinstance((await faulty(Faults(hang=1), 1))[0], httpx.ReadTimeout)
    malformed = (await faulty(Faults(malformed=1), 1))[0]
    assert isinstance(malformed, httpx.Response)
    with pytest.raises(json.JSONDecodeError):
        malformed.json()
    assert isinstance((await faulty(Faults(truncated=1), 1))[0], httpx.RemoteProtocolError)
    empty = (await faulty(Faults(empty=1), 1))[0]
    assert isinstance(empty, httpx.Response)
    assert (empty.status_code, empty.content) == (200, b"")


async def test_faults_of_streams() -> None:
    assert isinstance((await faulty(Faults(truncated=1), 1, stream=True))[0], httpx.RemoteProtocolError)
    malformed = (await faulty(Faults(malformed=1), 1, stream=True))[0]
    assert isinstance(malformed, httpx.Response)
    datas = [line.removeprefix("data: ") for line in malformed.text.splitlines() if line]
    with pytest.raises(json.JSONDecodeError):
        [json.loads(data) for data in datas[:-1]]


async def test_a_request_that_failed_can_succeed_and_the_story_is_the_same_each_time() -> None:
    faults = Faults(rate_limited=0.3, overloaded=0.2)

    async def statuses() -> list[int]:
        seen = await faulty(faults, 12)
        return [one.status_code for one in seen if isinstance(one, httpx.Response)]

    first = await statuses()
    assert set(first) == {200, 429, 503}
    assert await statuses() == first


async def test_an_outage_lasts_from_one_request_to_another() -> None:
    seen = await faulty(Faults(outages=(Outage(model="small", after=2, until=5),)), 7)
    assert [one.status_code for one in seen if isinstance(one, httpx.Response)] == [200, 200, 503, 503, 503, 200, 200]
    other = await faulty(Faults(outages=(Outage(model="small"),)), 2, model="large")
    assert [one.status_code for one in other if isinstance(one, httpx.Response)] == [200, 200]


async def test_an_outage_can_be_of_any_kind() -> None:
    seen = await faulty(Faults(outages=(Outage(model="small", until=2, fault="reset"),)), 3)
    assert [type(one) for one in seen] == [httpx.ReadError, httpx.ReadError, httpx.Response]


async def test_an_outage_begins_and_ends_when_somebody_says_so(server: SimServer, client: httpx.AsyncClient) -> None:
    async def status() -> int:
        return (await client.post("/chat/completions", json=body())).status_code

    assert await status() == 200
    server.draw.down["small"] = "failed"
    assert [await status() for _ in range(3)] == [500] * 3
    del server.draw.down["small"]
    assert await status() == 200


@pytest.mark.parametrize("kind", KINDS)
async def test_a_share_of_a_fault_is_that_share(kind: Fault) -> None:
    draw = FaultDraw(Faults(**{kind: 0.2}), seed=1)  # type: ignore[arg-type]
    drawn = Counter(draw.next("small", b"%d" % number) for number in range(5000))
    assert set(drawn) == {kind, None}
    assert 900 < drawn[kind] < 1100


def test_shares_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError):
        Faults(reset=0.7, hang=0.7)
    with pytest.raises(UsageError):
        Faults(reset=-0.1)


async def test_closing_ends_what_is_under_way() -> None:
    server = await SimServer.start(latency_scale=100)
    async with httpx.AsyncClient(base_url=server.base_url, timeout=30, trust_env=False) as client:
        asked = [
            asyncio.create_task(client.post("/chat/completions", json=body(stream=number % 2 == 0)))
            for number in range(6)
        ]
        await until(lambda: server.requests == 6)
        async with asyncio.timeout(10):
            await server.close()
        ended = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(end, httpx.HTTPError) for end in ended)
    await server.close()


async def test_a_client_that_goes_away_is_forgotten() -> None:
    server = await SimServer.start(latency_scale=100)
    timeout = httpx.Timeout(30.0, read=0.05)
    async with httpx.AsyncClient(base_url=server.base_url, timeout=timeout, trust_env=False) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/chat/completions", json=body())
    await until(lambda: not server.connections)
    await server.close()


async def test_many_at_once(server: SimServer, client: httpx.AsyncClient) -> None:
    questions = shipped_bank().questions[:60]
    replies = await asyncio.gather(*(client.post("/chat/completions", json=body(q.prompt)) for q in questions))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.headers["x-request-id"] for reply in replies}) == server.requests == 60
