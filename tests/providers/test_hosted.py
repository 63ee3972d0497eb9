"""A call over the wire: what is sent, what comes back, and how a bad answer ends."""

from __future__ import annotations

from typing import Any

from orchestration_nb.calls import RawReply, Request, Timeouts, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.config import Settings
from orchestration_nb.providers import build
from tests.providers.conftest import Script, ask, chat_reply, http

MODEL = Model(provider="house", wire_name="m")


async def call(script: Script, request: Request | None = None, **own: Any) -> RawReply:
    settings = Settings.model_validate({"providers": {"house": {"kind": "openai", "base_url": script.url, **own}}})
    provider = build(settings, {"HOUSE_KEY": "secret-of-house"}, trusted=True)["house"]
    try:
        return await provider.send(MODEL, request or ask(), timeouts=Timeouts(total_s=5))
    finally:
        await provider.close()


async def test_a_plain_call_says_what_was_asked_and_returns_what_came(script: Script) -> None:
    script.answers = [http(200, chat_reply(), {"x-request-id": "req_9"})]

    reply = await call(script, ask("How much is {x}?", system="Be brief.", temperature=0.0, max_tokens=9))

    assert reply.text == "42"
    assert reply.usage == Usage(input_tokens=7, output_tokens=3)
    assert (reply.finish_reason, reply.provider_request_id, reply.model_version) == ("stop", "req_9", "m-2026-01-01")
    [sent] = script.received
    assert sent.target == "/v1/chat/completions"
    assert "authorization" not in sent.headers
    assert sent.json == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How much is {x}?"}],
        "max_tokens": 9,
        "temperature": 0.0,
    }
