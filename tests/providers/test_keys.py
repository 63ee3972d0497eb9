"""Who is sent a key, and where it never shows."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration_nb.calls import Timeouts
from orchestration_nb.catalog import Model
from orchestration_nb.config import ProviderSettings, Settings
from orchestration_nb.errors import CallError, ConfigError, NotAuthorisedError
from orchestration_nb.providers import build
from orchestration_nb.providers.keys import Key, allowed_key
from orchestration_nb.providers.wire import BaseUrl
from tests.providers.conftest import Script, ask, chat_reply, http, sse

ENVIRON = {"OPENAI_API_KEY": "sk-official", "HOUSE_KEY": "house-key", "AWS_SECRET_ACCESS_KEY": "aws"}
OFFICIAL = "https://api.openai.com/v1"
ELSEWHERE = "https://models.example.com/v1"
LOOPBACK = "http://127.0.0.1:4000/v1"


def key_for(name: str, base_url: str, key_env: str | None, *, trusted: bool) -> str:
    own = ProviderSettings(key_env=key_env)
    return allowed_key(name, own, BaseUrl.parse(base_url), ENVIRON, trusted=trusted).reveal()


@pytest.mark.parametrize(
    ("name", "base_url", "key_env", "trusted", "sent"),
    [
        ("openai", OFFICIAL, None, False, "sk-official"),
        ("openai", OFFICIAL, "OPENAI_API_KEY", False, "sk-official"),
        ("openai", OFFICIAL, "HOUSE_KEY", True, "house-key"),
        ("house", ELSEWHERE, "HOUSE_KEY", True, "house-key"),
        ("house", ELSEWHERE, None, True, ""),
        ("openai", ELSEWHERE, None, True, ""),
        ("house", LOOPBACK, "HOUSE_KEY", True, "house-key"),
        ("house", LOOPBACK, None, False, ""),
        ("openai", LOOPBACK, None, False, ""),
    ],
)
def test_what_is_sent_where(name: str, base_url: str, key_env: str | None, trusted: bool, sent: str) -> None:
    assert key_for(name, base_url, key_env, trusted=trusted) == sent


@pytest.mark.parametrize(
    ("name", "base_url", "key_env", "trusted"),
    [
        ("house", ELSEWHERE, "HOUSE_KEY", False),
        ("house", ELSEWHERE, None, False),
        ("openai", ELSEWHERE, None, False),
        ("openai", "http://api.openai.com/v1", None, False),
        ("openai", "https://api.openai.com:8443/v1", None, False),
        ("openai", "https://api.openai.com.example.com/v1", None, False),
        ("openai", OFFICIAL, "AWS_SECRET_ACCESS_KEY", False),
        ("house", LOOPBACK, "AWS_SECRET_ACCESS_KEY", False),
        ("house", "http://localhost.example.com/v1", None, False),
        ("house", "http://127.0.0.1.example.com/v1", None, False),
        ("house", ELSEWHERE, "OPENAI_API_KEY", True),
        ("house", LOOPBACK, "OPENAI_API_KEY", True),
        ("openai", ELSEWHERE, "OPENAI_API_KEY", True),
        ("anthropic", "https://api.anthropic.com", "OPENAI_API_KEY", True),
    ],
)
def test_what_is_refused(name: str, base_url: str, key_env: str | None, trusted: bool) -> None:
    with pytest.raises(ConfigError) as caught:
        key_for(name, base_url, key_env, trusted=trusted)
    if not trusted:
        assert "orchestrate trust" in caught.value.hint


def test_a_key_shows_in_no_repr() -> None:
    key = Key(ENVIRON, ("OPENAI_API_KEY",))
    assert repr(key) == "Key(OPENAI_API_KEY, set)"
    assert repr(Key({}, ("OPENAI_API_KEY",))) == "Key(OPENAI_API_KEY, not set)"


def test_a_key_is_looked_up_when_it_is_needed() -> None:
    environ: dict[str, str] = {}
    key = Key(environ, ("GEMINI_API_KEY", "GOOGLE_API_KEY"))
    with pytest.raises(NotAuthorisedError, match="GEMINI_API_KEY is not set"):
        key.reveal()
    environ["GOOGLE_API_KEY"] = " late\n"
    assert key.reveal() == "late"


@pytest.mark.parametrize("value", ["two words", "line\nbreak", "schlüssel", "tab\there"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(NotAuthorisedError) as caught:
        Key({"HOUSE_KEY": value}, ("HOUSE_KEY",)).reveal()
    assert value not in f"{caught.value!r} {caught.value.hint}"


def providers_of(providers: dict[str, Any], *, trusted: bool, environ: dict[str, str] | None = None) -> dict[str, Any]:
    settings = Settings.model_validate({"providers": providers})
    return dict(build(settings, ENVIRON if environ is None else environ, trusted=trusted))


async def test_a_cloned_file_with_a_host_of_its_own_gets_no_call_and_stops_no_other_provider(script: Script) -> None:
    script.answers = [http(200, chat_reply())]
    elsewhere = f"http://models.localhost.example.com:{script.port}/v1"
    providers = providers_of({"openai": {"base_url": elsewhere}, "house": {"kind": "openai"}}, trusted=False)

    with pytest.raises(NotAuthorisedError, match="is not trusted") as caught:
        await providers["openai"].send(Model(provider="openai", wire_name="m"), ask(), timeouts=Timeouts())

    assert "orchestrate trust" in caught.value.hint
    assert script.received == []
    state = providers["openai"].availability()
    assert not state.usable
    assert "orchestrate trust" in state.why
    assert providers["openai"].models() == ()
    assert "has no base_url" in providers["house"].availability().why
    assert providers["anthropic"].availability().why == "ANTHROPIC_API_KEY is not set"


async def test_without_a_key_nothing_is_sent(script: Script) -> None:
    script.answers = [http(200, chat_reply())]
    house = {"kind": "openai", "base_url": script.url, "key_env": "HOUSE_KEY"}
    provider = providers_of({"house": house}, trusted=True, environ={})["house"]
    assert provider.availability().why == "HOUSE_KEY is not set"
    with pytest.raises(NotAuthorisedError, match="HOUSE_KEY is not set"):
        await provider.send(Model(provider="house", wire_name="m"), ask(), timeouts=Timeouts())
    assert script.received == []


@pytest.mark.parametrize(
    ("kind", "base_url", "header"),
    [
        ("anthropic", "http://127.0.0.1:{port}", "x-api-key"),
        ("gemini", "http://127.0.0.1:{port}", "x-goog-api-key"),
        ("openai", "http://127.0.0.1:{port}", "authorization"),
    ],
)
async def test_a_key_goes_in_the_header_of_its_format_and_not_in_the_address(
    script: Script, kind: str, base_url: str, header: str
) -> None:
    script.answers = [http(500, b"")]
    house = {"kind": kind, "base_url": base_url.format(port=script.port), "key_env": "HOUSE_KEY"}
    provider = providers_of({"house": house}, trusted=True)["house"]
    with pytest.raises(Exception, match="500"):
        await provider.send(Model(provider="house", wire_name="m"), ask(), timeouts=Timeouts())
    [sent] = script.received
    assert [name for name, value in sent.headers.items() if "house-key" in value] == [header]
    assert "house-key" not in sent.target
    assert (sent.headers.get("anthropic-version") == "2023-06-01") == (kind == "anthropic")
    await provider.close()


@pytest.mark.parametrize("before", ["the key ", "x" * 285 + " "])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_complaint_within_a_reply_repeats_no_key(script: Script, before: str, stream: bool) -> None:
    """Also not the first half of one that the end of the quotation cuts off; and one that looks like no key."""
    key = "0f3c9a7b5d1e4f60a2b4c6d8e0f1a3b5"
    mine = {"kind": "openai", "base_url": script.url, "key_env": "HOUSE_KEY", "stream": stream}
    house = build(Settings.model_validate({"providers": {"house": mine}}), {"HOUSE_KEY": key}, trusted=True)["house"]
    said_within = {"error": {"message": f"{before}{key} is bad", "code": "bad"}}
    script.answers = [sse(said_within) if stream else http(200, said_within)]
    with pytest.raises(CallError) as caught:
        await house.send(Model(provider="house", wire_name="m"), ask(), timeouts=Timeouts(total_s=5))
    await house.close()
    assert "[key]" in str(caught.value)
    assert key[:4] not in str(caught.value)
