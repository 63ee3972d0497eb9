"""A call over the wire: what is sent, what comes back, and how each bad answer ends."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest

from orchestration_nb.calls import RawReply, Request, Timeouts, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.config import Settings
from orchestration_nb.errors import (
    BadRequestError,
    CallError,
    CallTimeoutError,
    ConnectionLostError,
    ContentRefusedError,
    ContextTooLongError,
    MalformedReplyError,
    NoSuchModelError,
    NotAuthorisedError,
    OverloadedError,
    RateLimitedError,
    ServerFailedError,
    TruncatedReplyError,
)
from orchestration_nb.providers import Provider, build
from tests.providers.conftest import Answer, Connection, Script, ask, chat_reply, http, sse

MODEL = Model(provider="house", wire_name="m")
KEY = "sk-house-1234567890abcdef"


def house(script: Script, **own: Any) -> Provider:
    mine = {"kind": "openai", "base_url": script.url, "key_env": "HOUSE_KEY", **own}
    settings = Settings.model_validate({"providers": {"house": mine}})
    return build(settings, {"HOUSE_KEY": KEY}, trusted=True)["house"]


async def call(
    script: Script, request: Request | None = None, timeouts: Timeouts | None = None, **own: Any
) -> RawReply:
    provider = house(script, **own)
    try:
        return await provider.send(MODEL, request or ask(), timeouts=timeouts or Timeouts(total_s=5))
    finally:
        await provider.close()


async def failing(script: Script, *answers: Answer, **more: Any) -> CallError:
    script.answers = list(answers)
    with pytest.raises(CallError) as caught:
        await call(script, **more)
    error = caught.value
    assert KEY not in f"{error} {error.hint} {error!r}"
    assert error.__cause__ is None
    return error


async def test_a_plain_call_says_what_was_asked_and_returns_what_came(script: Script) -> None:
    script.answers = [http(200, chat_reply(), {"x-request-id": "req_9"})]

    reply = await call(script, ask("How much is {x}?", system="Be brief.", temperature=0.0, max_tokens=9))

    assert reply.text == "42"
    assert reply.usage == Usage(input_tokens=7, output_tokens=3)
    assert (reply.finish_reason, reply.provider_request_id, reply.model_version) == ("stop", "req_9", "m-2026-01-01")
    [sent] = script.received
    assert sent.target == "/v1/chat/completions"
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.headers["host"] == f"127.0.0.1:{script.port}"
    assert sent.json == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How much is {x}?"}],
        "max_tokens": 9,
        "temperature": 0.0,
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_a_host_that_does_not_count_is_not_free(script: Script, stream: bool) -> None:
    script.answers = [sse(piece("a" * 30), LAST, DONE) if stream else http(200, chat_reply("a" * 30, usage=None))]
    reply = await call(script, ask("x" * 300, system="y" * 30), stream=stream)
    assert reply.usage == Usage(input_tokens=110, output_tokens=10)


async def test_a_prompt_of_ten_megabytes_arrives_whole(script: Script) -> None:
    script.answers = [http(200, chat_reply())]
    prompt = "ä1234567" * (10 << 17)
    await call(script, ask(prompt))
    assert script.received[0].json["messages"][0]["content"] == prompt


async def test_own_headers_and_a_query_of_base_url_go_with_every_request(script: Script) -> None:
    script.answers = [http(200, chat_reply())]
    await call(script, base_url=f"{script.url}/?api-version=2026-01-01", headers={"x-team": "ops"})
    assert script.received[0].target == "/v1/chat/completions?api-version=2026-01-01"
    assert script.received[0].headers["x-team"] == "ops"


def said(message: str = "What the provider says", **error: Any) -> Any:
    return {"error": {"message": message, "type": "some_error", "param": None, "code": None, **error}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "billing"),
    [
        (400, said(), BadRequestError, "no"),
        (400, said(code="context_length_exceeded"), ContextTooLongError, "no"),
        (400, said("prompt is too long: 210000 tokens > 200000 maximum"), ContextTooLongError, "no"),
        (400, said("This model's maximum context length is 8192 tokens."), ContextTooLongError, "no"),
        (400, said("too long", type="exceed_context_size_error"), ContextTooLongError, "no"),
        (400, said("The input token count (2) exceeds the maximum number of tokens (1)."), ContextTooLongError, "no"),
        (400, said(code="content_policy_violation"), ContentRefusedError, "no"),
        (400, said("Flagged", code="invalid_prompt"), ContentRefusedError, "no"),
        (400, said(innererror={"code": "ResponsibleAIPolicyViolation"}), ContentRefusedError, "no"),
        (400, said("Your credit balance is too low to access the API."), NotAuthorisedError, "no"),
        (401, said(code="invalid_api_key"), NotAuthorisedError, "no"),
        (401, b"", NotAuthorisedError, "no"),
        (402, said("Insufficient credits"), NotAuthorisedError, "no"),
        (403, said("Country not supported"), NotAuthorisedError, "no"),
        (404, said("The model does not exist", code="model_not_found"), NoSuchModelError, "no"),
        (404, b"<html>no page here</html>", BadRequestError, "no"),
        (404, said("Unknown request URL: POST /chat/completions.", code="unknown_url"), BadRequestError, "no"),
        (405, b"", BadRequestError, "no"),
        (408, said(), CallTimeoutError, "unknown"),
        (409, said(), OverloadedError, "no"),
        (413, said(), ContextTooLongError, "no"),
        (413, b"<html>too large</html>", ContextTooLongError, "no"),
        (422, said(), BadRequestError, "no"),
        (429, said(code="rate_limit_exceeded"), RateLimitedError, "no"),
        (429, said("Request too large for tokens per minute", code="rate_limit_exceeded"), RateLimitedError, "no"),
        (429, b"", RateLimitedError, "no"),
        (429, said(code="insufficient_quota", type="insufficient_quota"), NotAuthorisedError, "no"),
        (451, said(), BadRequestError, "no"),
        (500, said(), ServerFailedError, "unknown"),
        (500, said("too long", type="exceed_context_size_error"), ContextTooLongError, "no"),
        (502, b"<html>bad gateway</html>", ServerFailedError, "unknown"),
        (503, said(), OverloadedError, "no"),
        (503, b"<html>busy</html>", OverloadedError, "unknown"),
        (529, said(type="overloaded_error"), OverloadedError, "no"),
        (301, b"", BadRequestError, "no"),
        (307, b"", BadRequestError, "no"),
        (600, b"", ServerFailedError, "unknown"),
    ],
)  # fmt: skip
async def test_each_status_ends_in_its_error(
    script: Script, status: int, body: Any, kind: type[CallError], billing: str
) -> None:
    error = await failing(script, http(status, body, {"x-request-id": "req_1"}))
    assert type(error) is kind
    assert (error.billing, error.http_status, error.provider_request_id) == (billing, status, "req_1")
    assert str(status) in str(error)
    if isinstance(body, dict):
        assert body["error"]["message"] in str(error)


@pytest.mark.parametrize(
    ("status", "body", "headers", "retried"),
    [
        (500, said(), {}, True),
        (500, said(), {"x-should-retry": "true"}, True),
        (500, said(), {"x-should-retry": "false"}, False),
        (400, said(), {"x-should-retry": "true"}, False),
        (429, said(code="rate_limit_exceeded"), {}, True),
        (429, said("Request too large for m: Limit 9, Requested 10.", code="rate_limit_exceeded"), {}, False),
    ],
)
async def test_what_would_fail_again_is_not_tried_again(
    script: Script, status: int, body: Any, headers: dict[str, str], retried: bool
) -> None:
    assert (await failing(script, http(status, body, headers))).retryable is retried


async def test_no_redirect_is_followed_and_the_key_stays(script: Script) -> None:
    error = await failing(script, http(307, b"", {"location": f"{script.url}/elsewhere"}))
    assert "redirect" in str(error)
    assert len(script.received) == 1


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.05"}, 0.05),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"x-ms-retry-after-ms": "250"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
async def test_the_wait_that_was_asked_for_is_told(
    script: Script, headers: dict[str, str], expected_s: float | None
) -> None:
    error = await failing(script, http(429, said(), headers))
    assert error.retry_after_s == expected_s


async def test_a_wait_may_be_given_as_a_date(script: Script) -> None:
    later = datetime.now(UTC) + timedelta(seconds=90)
    error = await failing(script, http(503, said(), {"retry-after": format_datetime(later, usegmt=True)}))
    assert error.retry_after_s == pytest.approx(90, abs=5)


async def test_a_key_that_the_provider_repeats_is_removed(script: Script) -> None:
    error = await failing(script, http(401, said(f"Incorrect API key provided: {KEY}, or sk-proj-abcdef123456")))
    assert "sk-" not in str(error)
    assert "[key]" in str(error)


async def test_no_log_and_no_attribute_shows_the_key(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    script.answers = [http(200, chat_reply())]
    provider = house(script)
    await provider.send(MODEL, ask(), timeouts=Timeouts())
    logging.getLogger("orchestration_nb").debug("the log is heard")
    assert "the log is heard" in caplog.text
    assert KEY not in caplog.text
    assert KEY not in repr([vars(provider), *map(repr, vars(provider).values())])
    await provider.close()


async def test_long_words_are_shortened_and_control_characters_left_out(script: Script) -> None:
    error = await failing(script, http(400, said("\x1b[31mred\x1b[0m\n" + "x" * 5000)))
    assert len(str(error)) < 400
    assert str(error).isprintable()


async def cut(connection: Connection) -> None:
    connection.send(http(200, chat_reply())[:-40])
    connection.close()


async def reset(connection: Connection) -> None:
    connection.reset()


async def close(connection: Connection) -> None:
    connection.close()


async def hang(connection: Connection) -> None:
    await asyncio.sleep(60)


async def hang_in_the_middle(connection: Connection) -> None:
    connection.send(http(200, chat_reply())[:-40])
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("answer", "kind", "billing"),
    [
        (http(200, b'{"id":"x","choices":[{"mess'), MalformedReplyError, "yes"),
        (http(200, b""), MalformedReplyError, "yes"),
        (http(200, b"<html>hello</html>"), MalformedReplyError, "yes"),
        (http(200, {"choices": []}), MalformedReplyError, "yes"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", MalformedReplyError, "unknown"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", MalformedReplyError, "unknown"),
        (cut, TruncatedReplyError, "yes"),
        (reset, ConnectionLostError, "unknown"),
        (close, ConnectionLostError, "unknown"),
    ],
)
async def test_each_broken_answer_ends_in_its_error(
    script: Script, answer: Answer, kind: type[CallError], billing: str
) -> None:
    error = await failing(script, answer)
    assert type(error) is kind
    assert error.billing == billing
    assert error.retryable


@pytest.mark.parametrize("answer", [hang, hang_in_the_middle])
async def test_a_call_ends_when_its_time_is_over(script: Script, answer: Answer) -> None:
    error = await failing(script, answer, timeouts=Timeouts(total_s=0.05))
    assert isinstance(error, CallTimeoutError)
    assert (error.phase, error.billing) == ("total", "unknown")


async def test_an_endless_reply_is_broken_off(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration_nb.providers.wire.MOST_REPLY_BYTES", 1000)
    error = await failing(script, http(200, b" " * 100_000))
    assert isinstance(error, MalformedReplyError)


async def test_a_refused_connection_says_so_and_cost_nothing(script: Script, unused_tcp_port: int) -> None:
    error = await failing(script, base_url=f"http://127.0.0.1:{unused_tcp_port}/v1")
    assert type(error) is ConnectionLostError
    assert "refused" in str(error)
    assert error.billing == "no"


async def test_a_host_name_with_several_addresses_may_refuse_at_all_of_them(
    script: Script, unused_tcp_port: int
) -> None:
    error = await failing(script, base_url=f"http://localhost:{unused_tcp_port}/v1")
    assert "refused" in str(error)
    assert error.billing == "no"


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EMFILE, "Too many connections"), (errno.ENETUNREACH, "Network is unreachable")]
)
async def test_a_connection_that_the_system_denies_says_why(
    script: Script, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    async def denied(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", denied)
    error = await failing(script)
    assert type(error) is ConnectionLostError
    assert words in str(error)
    assert error.billing == "no"


async def test_a_name_without_address_says_so_and_cost_nothing(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    error = await failing(script, base_url="http://models.example.com/v1")
    assert type(error) is ConnectionLostError
    assert "models.example.com" in str(error)
    assert error.billing == "no"


async def test_a_connection_that_nobody_accepts_runs_out_of_time(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", never)
    error = await failing(script, timeouts=Timeouts(connect_s=0.02))
    assert isinstance(error, CallTimeoutError)
    assert (error.phase, error.billing) == ("connect", "no")


async def test_a_cancelled_call_is_cancelled_and_its_connection_closed(script: Script) -> None:
    asked = asyncio.Event()

    async def hang_audibly(connection: Connection) -> None:
        asked.set()
        await hang(connection)

    script.answers = [hang_audibly, http(200, chat_reply())]
    provider = house(script)
    task = asyncio.create_task(provider.send(MODEL, ask(), timeouts=Timeouts()))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await provider.send(MODEL, ask(), timeouts=Timeouts())).text == "42"
    assert len(script.connections) == 2
    await provider.close()


# Streams


def piece(text: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "c",
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
        **more,
    }


LAST = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
COUNTED = {"id": "c", "model": "m", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
DONE = b"data: [DONE]\n\n"


async def test_a_streamed_call_measures_its_first_token(script: Script) -> None:
    async def slow(connection: Connection) -> None:
        head, body = sse(piece("for"), piece("ty"), LAST, COUNTED, DONE).split(b"\r\n\r\n", 1)
        connection.send(head + b"\r\n\r\n")
        await asyncio.sleep(0.03)
        connection.send(body)

    script.answers = [slow]
    reply = await call(script, stream=True)
    assert script.received[0].json["stream"] is True
    assert (reply.text, reply.usage) == ("forty", Usage(input_tokens=7, output_tokens=3))
    assert reply.ttft_ms is not None
    assert reply.ttft_ms >= 25


async def test_streamed_calls_use_one_connection_after_the_other(script: Script) -> None:
    script.answers = [sse(piece("a"), LAST, DONE)]
    provider = house(script, stream=True)
    for _ in range(3):
        assert (await provider.send(MODEL, ask(), timeouts=Timeouts())).text == "a"
    assert len(script.connections) == 1
    await provider.close()


async def test_a_host_that_does_not_stream_is_understood(script: Script) -> None:
    script.answers = [http(200, chat_reply())]
    reply = await call(script, stream=True)
    assert (reply.text, reply.ttft_ms) == ("42", None)


async def test_a_stream_that_stays_open_after_its_end_is_no_failure(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stay(connection: Connection) -> None:
        connection.send(sse(piece("a"), LAST, DONE, end=False))
        await asyncio.sleep(60)

    monkeypatch.setattr("orchestration_nb.providers.hosted._AFTER_END_S", 0.02)
    script.answers = [stay]
    assert (await call(script, stream=True)).text == "a"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (sse(piece("a"), piece("b")), TruncatedReplyError),
        (sse(piece("a"), DONE), TruncatedReplyError),
        (sse(), TruncatedReplyError),
        (sse(b"data: {nonsense\n\n"), MalformedReplyError),
        (sse(piece("a"), {"error": {"message": "Server error", "type": "server_error"}}), ServerFailedError),
        (http(429, said()), RateLimitedError),
        (reset, ConnectionLostError),
    ],
)
async def test_each_broken_stream_ends_in_its_error(script: Script, answer: Answer, kind: type[CallError]) -> None:
    error = await failing(script, answer, stream=True)
    assert type(error) is kind


async def test_a_stream_that_is_cut_is_truncated(script: Script) -> None:
    async def cut_stream(connection: Connection) -> None:
        connection.send(sse(piece("a"), end=False))
        await asyncio.sleep(0.02)
        connection.reset()

    error = await failing(script, cut_stream, stream=True)
    assert type(error) is TruncatedReplyError
    assert (error.billing, error.http_status) == ("yes", 200)


async def ping_for_ever(connection: Connection, *before: Any) -> None:
    connection.send(sse(*before, end=False))
    while True:
        ping = b": keep-alive\n\n"
        connection.send(b"%x\r\n%s\r\n" % (len(ping), ping))
        await asyncio.sleep(0.01)


async def test_pings_are_no_tokens(script: Script) -> None:
    limits = Timeouts(first_token_s=0.1, between_tokens_s=0.1, total_s=5)

    error = await failing(script, ping_for_ever, stream=True, timeouts=limits)
    assert isinstance(error, CallTimeoutError)
    assert (error.phase, error.billing) == ("first token", "unknown")

    async def first_a_token(connection: Connection) -> None:
        await ping_for_ever(connection, piece("a"))

    error = await failing(script, first_a_token, stream=True, timeouts=limits)
    assert isinstance(error, CallTimeoutError)
    assert error.phase == "between tokens"


async def test_a_slow_stream_that_keeps_coming_ends_at_the_total_only(script: Script) -> None:
    async def drip(connection: Connection) -> None:
        connection.send(sse(end=False))
        while True:
            data = b"data: " + orjson.dumps(piece("a")) + b"\n\n"
            connection.send(b"%x\r\n%s\r\n" % (len(data), data))
            await asyncio.sleep(0.01)

    limits = Timeouts(first_token_s=0.1, between_tokens_s=0.1, total_s=0.3)
    error = await failing(script, drip, stream=True, timeouts=limits)
    assert isinstance(error, CallTimeoutError)
    assert error.phase == "total"
