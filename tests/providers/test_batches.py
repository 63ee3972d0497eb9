"""Batch APIs on the wire: what is sent, what is read, and what an error in a line means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from orchestration_nb.calls import Request
from orchestration_nb.catalog import Model
from orchestration_nb.config import ProviderSettings, Settings
from orchestration_nb.errors import (
    BadRequestError,
    CallError,
    CallTimeoutError,
    ContentRefusedError,
    MalformedReplyError,
    NoSuchModelError,
    NotAuthorisedError,
    OverloadedError,
    RateLimitedError,
)
from orchestration_nb.providers import build
from orchestration_nb.providers.batches import BatchApi, BatchingProvider, refused_batch_models
from orchestration_nb.providers.building import hosted
from tests.providers.conftest import Script, ask, chat_reply, http

GPT = Model(provider="house", wire_name="gpt-4.1-mini")
CLAUDE = Model(provider="house", wire_name="claude-sonnet-4-5")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SINCE = NOON.replace(tzinfo=None)
KEY = {"HOUSE_KEY": "sk-house-secret"}


async def api(script: Script, kind: str) -> BatchApi:
    settings = ProviderSettings.model_validate(
        {
            "kind": kind,
            "base_url": script.url.removesuffix("/v1") + ("/v1" if kind == "openai" else ""),
            "key_env": "HOUSE_KEY",
            "batch_price": 0.5,
        }
    )
    return await hosted("house", settings, KEY, trusted=True).batches()


def paths(script: Script) -> list[str]:
    return [received.target for received in script.received]


def read(batches: BatchApi, model: Model, line: Mapping[str, Any], request: Request | None = None) -> Any:
    return batches.read(model, request or ask(), orjson.dumps(line))


class TestOpenAI:
    async def test_a_batch_is_an_uploaded_file_of_the_bodies_of_single_calls(self, script: Script) -> None:
        batches = await api(script, "openai")
        script.answers = [http(body={"id": "file-1"}), http(body={"id": "batch_1", "status": "validating"})]
        bodies = [(f"t-{number}", batches.encode(GPT, ask(f"Question {number}"))) for number in range(2)]
        assert await batches.submit(bodies, "t") == "batch_1"
        upload, create = script.received
        assert (upload.target, create.target) == ("/v1/files", "/v1/batches")
        assert upload.headers["authorization"] == "Bearer sk-house-secret"
        edge = upload.headers["content-type"].removeprefix("multipart/form-data; boundary=").encode()
        purpose, file = upload.body.split(b"--" + edge)[1:-1]
        assert purpose.endswith(b'name="purpose"\r\n\r\nbatch\r\n')
        lines = [orjson.loads(line) for line in file.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n").splitlines()]
        assert [(line["custom_id"], line["method"], line["url"]) for line in lines] == [
            ("t-0", "POST", "/v1/chat/completions"),
            ("t-1", "POST", "/v1/chat/completions"),
        ]
        assert lines[1]["body"] == orjson.loads(bodies[1][1])
        assert lines[1]["body"]["messages"] == [{"role": "user", "content": "Question 1"}]
        assert create.json == {
            "input_file_id": "file-1",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {"orchestration_nb": "t"},
        }

    async def test_an_upload_that_failed_was_surely_not_billed(self, script: Script) -> None:
        batches = await api(script, "openai")
        script.answers = [http(500, {"error": {"message": "oh"}})]
        with pytest.raises(CallError) as failed:
            await batches.submit([("t-0", b"{}")], "t")
        assert failed.value.billing == "no"

    async def test_a_batch_that_may_have_been_made_is_told_as_such(self, script: Script) -> None:
        batches = await api(script, "openai")
        script.answers = [http(body={"id": "file-1"}), http(500, {"error": {"message": "oh"}})]
        with pytest.raises(CallError) as failed:
            await batches.submit([("t-0", b"{}")], "t")
        assert failed.value.billing == "unknown"

    async def test_it_is_found_again_by_its_token_over_several_pages(self, script: Script) -> None:
        batches = await api(script, "openai")
        now = NOON.timestamp()
        others = [{"id": f"batch_{n}", "created_at": now + 50 - n, "metadata": None} for n in range(3)]
        ours = {"id": "batch_ours", "created_at": now, "metadata": {"orchestration_nb": "t"}}
        script.answers = [
            http(body={"data": others, "has_more": True}),
            http(body={"data": [ours], "has_more": True}),
        ]
        found = await batches.find("t", count=2, since=SINCE, others=())
        assert found.batch_id == "batch_ours"
        assert paths(script) == ["/v1/batches?limit=100", "/v1/batches?limit=100&after=batch_2"]

    async def test_the_search_ends_where_the_list_is_older_than_the_batch(self, script: Script) -> None:
        batches = await api(script, "openai")
        old = {"id": "batch_0", "created_at": (NOON - timedelta(hours=3)).timestamp(), "metadata": {}}
        script.answers = [http(body={"data": [old], "has_more": True})]
        found = await batches.find("t", count=2, since=SINCE, others=())
        assert (found.batch_id, found.unsure) == (None, False)
        assert len(script.received) == 1

    @pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling"])
    async def test_it_is_under_way(self, script: Script, status: str) -> None:
        batches = await api(script, "openai")
        script.answers = [http(body={"id": "batch_1", "status": status})]
        assert (await batches.standing("batch_1")).state == "under_way"
        assert paths(script) == ["/v1/batches/batch_1"]

    async def test_both_files_of_results_are_read_line_by_line(self, script: Script) -> None:
        batches = await api(script, "openai")
        good = orjson.dumps({"custom_id": "t-1", "response": {"status_code": 200, "body": chat_reply("one")}})
        bad = orjson.dumps({"custom_id": "t-0", "error": {"code": "batch_expired"}})
        script.answers = [
            http(body={"status": "completed", "output_file_id": "file-o", "error_file_id": "file-e"}),
            http(body=good + b"\n\n"),
            http(body=bad),
        ]
        standing = await batches.standing("batch_1")
        assert [pair async for pair in batches.results(standing)] == [("t-1", good), ("t-0", bad)]
        assert paths(script)[1:] == ["/v1/files/file-o/content", "/v1/files/file-e/content"]

    async def test_a_line_is_read_by_the_code_of_single_calls(self, script: Script) -> None:
        batches = await api(script, "openai")
        response = {"status_code": 200, "request_id": "req_9", "body": chat_reply("42")}
        reply = read(batches, GPT, {"custom_id": "t-0", "response": response, "error": None})
        assert (reply.text, reply.usage.input_tokens, reply.usage.output_tokens) == ("42", 7, 3)
        assert reply.provider_request_id == "req_9"

    @pytest.mark.parametrize(
        ("status", "error", "kind"),
        [
            (400, {"message": "bad", "code": "invalid_value"}, BadRequestError),
            (404, {"message": "no such model", "code": "model_not_found"}, NoSuchModelError),
            (429, {"message": "slow", "code": "rate_limit_exceeded"}, OverloadedError),
            (400, {"message": "policy", "code": "content_policy_violation"}, ContentRefusedError),
            (503, {"message": "busy"}, OverloadedError),
        ],
    )
    async def test_a_line_that_failed_is_the_error_of_a_single_call_and_not_billed(
        self, script: Script, status: int, error: dict[str, str], kind: type[CallError]
    ) -> None:
        batches = await api(script, "openai")
        line = {"response": {"status_code": status, "request_id": "req_1", "body": {"error": error}}}
        with pytest.raises(kind) as failed:
            read(batches, GPT, line)
        assert (failed.value.billing, failed.value.http_status) == ("no", status)
        assert failed.value.provider_request_id == "req_1"

    async def test_an_expired_line_says_so_is_free_and_is_not_tried_again_by_itself(self, script: Script) -> None:
        batches = await api(script, "openai")
        with pytest.raises(CallTimeoutError, match="expired before house") as failed:
            read(batches, GPT, {"response": None, "error": {"code": "batch_expired", "message": "..."}})
        assert (failed.value.billing, failed.value.retryable) == ("no", False)

    async def test_requests_without_a_line_share_the_fate_of_their_batch(self, script: Script) -> None:
        batches = await api(script, "openai")
        script.answers = [http(body={"status": status}) for status in ("expired", "cancelled", "completed")]
        told: list[tuple[type, str]] = []
        for _ in range(3):
            standing = await batches.standing("batch_1")
            with pytest.raises(CallError) as failed:
                batches.read(GPT, ask(), standing.otherwise)
            told.append((type(failed.value), failed.value.billing))
        assert told == [(CallTimeoutError, "no"), (CallError, "no"), (MalformedReplyError, "unknown")]

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("token_limit_exceeded", RateLimitedError),
            ("model_not_found", NoSuchModelError),
            ("invalid_json_line", BadRequestError),
        ],
    )
    async def test_a_batch_refused_as_a_whole_says_why(self, script: Script, code: str, kind: type[CallError]) -> None:
        batches = await api(script, "openai")
        errors = {"data": [{"code": code, "message": "Not like this", "line": 1}]}
        script.answers = [http(body={"status": "failed", "errors": errors})]
        standing = await batches.standing("batch_1")
        assert standing.state == "refused"
        assert type(standing.error) is kind
        assert "Not like this" in str(standing.error)
        assert standing.error.billing == "no"

    async def test_an_unknown_batch_is_no_unknown_model(self, script: Script) -> None:
        batches = await api(script, "openai")
        script.answers = [http(404, {"error": {"message": "No such batch"}})]
        with pytest.raises(BadRequestError, match="No such batch") as failed:
            await batches.standing("batch_1")
        assert failed.value.http_status == 404

    async def test_it_can_be_cancelled(self, script: Script) -> None:
        batches = await api(script, "openai")
        script.answers = [http(body={"status": "cancelling"})]
        await batches.cancel("batch_1")
        assert paths(script) == ["/v1/batches/batch_1/cancel"]


def message(text: str) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "model": "claude",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 7, "output_tokens": 3},
    }


def listed(batch_id: str, *, size: int, status: str = "ended", at: datetime = NOON) -> dict[str, Any]:
    counts = {"processing": 0, "succeeded": size - 1, "errored": 1, "canceled": 0, "expired": 0}
    return {"id": batch_id, "processing_status": status, "created_at": at.isoformat(), "request_counts": counts}


class TestAnthropic:
    async def test_a_batch_is_one_body_of_the_bodies_of_single_calls(self, script: Script) -> None:
        batches = await api(script, "anthropic")
        script.answers = [http(body={"id": "msgbatch_1", "processing_status": "in_progress"})]
        bodies = [(f"t-{number}", batches.encode(CLAUDE, ask(f"Question {number}"))) for number in range(2)]
        assert await batches.submit(bodies, "t") == "msgbatch_1"
        (create,) = script.received
        assert create.target == "/v1/messages/batches"
        assert create.headers["x-api-key"] == "sk-house-secret"
        assert create.headers["anthropic-version"] == "2023-06-01"
        assert create.json == {
            "requests": [{"custom_id": name, "params": orjson.loads(body)} for name, body in bodies],
        }
        assert create.json["requests"][1]["params"]["messages"][0]["content"][0]["text"] == "Question 1"

    async def test_results_are_read_from_its_own_host_whatever_address_it_tells(self, script: Script) -> None:
        batches = await api(script, "anthropic")
        line = orjson.dumps({"custom_id": "t-0", "result": {"type": "succeeded", "message": message("42")}})
        script.answers = [
            http(body={"processing_status": "ended", "results_url": "https://elsewhere.example/results"}),
            http(body=line + b"\n"),
        ]
        standing = await batches.standing("msgbatch_1")
        assert [pair async for pair in batches.results(standing)] == [("t-0", line)]
        assert paths(script) == ["/v1/messages/batches/msgbatch_1", "/v1/messages/batches/msgbatch_1/results"]
        reply = batches.read(CLAUDE, ask(), line)
        assert (reply.text, reply.usage.input_tokens, reply.usage.output_tokens) == ("42", 7, 3)

    @pytest.mark.parametrize("status", ["in_progress", "canceling"])
    async def test_it_is_under_way(self, script: Script, status: str) -> None:
        batches = await api(script, "anthropic")
        script.answers = [http(body={"processing_status": status})]
        assert (await batches.standing("msgbatch_1")).state == "under_way"

    @pytest.mark.parametrize(
        ("kind", "error"),
        [
            ("invalid_request_error", BadRequestError),
            ("rate_limit_error", OverloadedError),
            ("overloaded_error", OverloadedError),
            ("authentication_error", NotAuthorisedError),
        ],
    )
    async def test_a_line_that_failed_is_the_error_of_a_single_call_and_not_billed(
        self, script: Script, kind: str, error: type[CallError]
    ) -> None:
        batches = await api(script, "anthropic")
        said = {"type": "error", "error": {"type": kind, "message": "Not now"}}
        with pytest.raises(error, match="Not now") as failed:
            read(batches, CLAUDE, {"result": {"type": "errored", "error": said}})
        assert failed.value.billing == "no"

    @pytest.mark.parametrize(("fate", "kind"), [("expired", CallTimeoutError), ("canceled", CallError)])
    async def test_what_was_never_run_is_free(self, script: Script, fate: str, kind: type[CallError]) -> None:
        batches = await api(script, "anthropic")
        with pytest.raises(kind) as failed:
            read(batches, CLAUDE, {"result": {"type": fate}})
        assert (failed.value.billing, failed.value.retryable) == ("no", False)

    async def test_a_lost_one_is_known_by_size_and_time_and_surely_by_the_ids_of_its_results(
        self, script: Script
    ) -> None:
        batches = await api(script, "anthropic")
        page = [
            listed("known", size=3),
            listed("other size", size=4),
            listed("somebody else's", size=3),
            listed("ours", size=3),
            listed("too old", size=3, at=NOON - timedelta(hours=2)),
        ]
        script.answers = [
            http(body={"data": page, "has_more": True}),
            http(body=b'{"custom_id": "mine-0"}\n'),
            http(body=b'{"custom_id": "t-2"}\n{"custom_id": "t-0"}\n'),
        ]
        found = await batches.find("t", count=3, since=SINCE, others={"known"})
        assert found.batch_id == "ours"

    async def test_one_that_is_running_may_be_the_lost_one(self, script: Script) -> None:
        batches = await api(script, "anthropic")
        script.answers = [http(body={"data": [listed("b", size=3, status="in_progress")], "has_more": False})]
        found = await batches.find("t", count=3, since=SINCE, others=())
        assert (found.batch_id, found.unsure) == (None, True)

    async def test_the_list_is_read_page_by_page(self, script: Script) -> None:
        batches = await api(script, "anthropic")
        script.answers = [
            http(body={"data": [listed("b1", size=9)], "has_more": True}),
            http(body={"data": [listed("b0", size=9)], "has_more": False}),
        ]
        assert (await batches.find("t", count=3, since=SINCE, others=())).batch_id is None
        assert paths(script)[1] == "/v1/messages/batches?limit=100&after_id=b1"

    async def test_it_can_be_cancelled(self, script: Script) -> None:
        batches = await api(script, "anthropic")
        script.answers = [http(body={"processing_status": "canceling"})]
        await batches.cancel("msgbatch_1")
        assert paths(script) == ["/v1/messages/batches/msgbatch_1/cancel"]


class TestWhoHasOne:
    @pytest.fixture
    def price_of(self) -> Callable[[str], float | None]:
        settings = Settings.model_validate(
            {
                "providers": {
                    "house": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"},
                    "office": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "batch_price": 0.6},
                    "zoo": {"kind": "gemini", "base_url": "http://127.0.0.1:9", "batch_price": 0.5},
                }
            }
        )
        providers = build(settings, {}, trusted=True)

        def price(name: str) -> float | None:
            provider = providers[name]
            return provider.batch_price if isinstance(provider, BatchingProvider) else None

        return price

    def test_the_discount_is_reckoned_where_it_is_given(self, price_of: Callable[[str], float | None]) -> None:
        assert (price_of("openai"), price_of("anthropic"), price_of("sim")) == (0.5, 0.5, 0.5)
        assert price_of("office") == 0.6

    @pytest.mark.parametrize("name", ["gemini", "openrouter", "ollama", "house", "zoo"])
    def test_others_have_none(self, price_of: Callable[[str], float | None], name: str) -> None:
        assert price_of(name) is None

    def test_openais_price_does_not_hold_for_its_name_at_another_address(self) -> None:
        settings = ProviderSettings(base_url="http://127.0.0.1:9/v1")
        assert hosted("openai", settings, {}, trusted=True).batch_price is None

    def test_a_run_is_refused_before_it_begins_with_a_sentence(self) -> None:
        providers = build(Settings(), {}, trusted=True)
        gemini = Model(provider="gemini", wire_name="gemini-2.5-pro")
        sim = Model(provider="sim", wire_name="small")
        refusal = refused_batch_models(providers, [sim, gemini])
        assert refusal is not None
        assert str(refusal) == "gemini has no batch API that can be used here, so its models cannot run with --batch."
        assert "Leave --batch away" in refusal.hint
        assert refused_batch_models(providers, [sim]) is None
