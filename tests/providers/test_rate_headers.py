"""What an answer's headers say about the provider's limits."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from orchestration_nb.calls import Timeouts
from orchestration_nb.catalog import Model
from orchestration_nb.config import Settings
from orchestration_nb.errors import MalformedReplyError, RateLimit, RateLimitedError
from orchestration_nb.providers import build
from orchestration_nb.providers.hosted import HostedProvider
from orchestration_nb.providers.rate_headers import read_rate_limit
from tests.providers.conftest import Script, ask, chat_reply, events, http

OPENAI = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-reset-requests": "120ms",
    "X-RateLimit-Limit-Tokens": "200000",
    "x-ratelimit-remaining-tokens": "199000",
    "x-ratelimit-reset-tokens": "6m0s",
}
READ = RateLimit(
    limit_requests=500,
    remaining_requests=499,
    reset_requests_s=0.12,
    limit_tokens=200_000,
    remaining_tokens=199_000,
    reset_tokens_s=360.0,
)


def raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def test_openai_says_requests_and_tokens() -> None:
    assert read_rate_limit(raw(OPENAI)) == READ


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360.0),
        ("120ms", 0.12),
        ("1h2m3.5s", 3723.5),
        ("1d", 86400.0),
        ("59", 59.0),
        ("0.25", 0.25),
        ("450us", 0.00045),
        ("0s", 0.0),
        ("", None),
        ("soon", None),
        ("-5s", None),
        ("5 s", None),
        ("1e9", None),
        ("s", None),
    ],
)
def test_every_way_of_writing_a_wait(text: str, seconds: float | None) -> None:
    limit = read_rate_limit(raw({**OPENAI, "x-ratelimit-reset-requests": text}))
    assert limit is not None
    assert limit.reset_requests_s == (None if seconds is None else pytest.approx(seconds))


def test_anthropic_names_a_time_which_counts_from_the_answers_own_date() -> None:
    sent = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
    limit = read_rate_limit(
        raw(
            {
                "date": format_datetime(sent, usegmt=True),
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": (sent + timedelta(seconds=7)).isoformat().replace("+00:00", "Z"),
                "anthropic-ratelimit-tokens-limit": "40000",
                "anthropic-ratelimit-tokens-remaining": "39000",
                "anthropic-ratelimit-tokens-reset": "2026-03-01T12:00:01+00:00",
            }
        )
    )
    assert limit == RateLimit(
        limit_requests=50,
        remaining_requests=0,
        reset_requests_s=7.0,
        limit_tokens=40_000,
        remaining_tokens=39_000,
        reset_tokens_s=1.0,
    )


def test_a_time_that_has_passed_is_no_wait() -> None:
    headers = {"anthropic-ratelimit-requests-reset": "2020-01-01T00:00:00Z"}
    limit = read_rate_limit(raw(headers))
    assert limit is not None
    assert limit.reset_requests_s == 0.0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json", "x-request-id": "1"},
        {"x-ratelimit-limit-requests": "many", "x-ratelimit-reset-requests": "later"},
        {"x-ratelimit-remaining-requests": "9" * 40},
        {"x-ratelimit-remaining-requests": "-1"},
        {"anthropic-ratelimit-requests-reset": "tomorrow"},
    ],
)
def test_headers_that_say_nothing_are_nothing(headers: dict[str, str]) -> None:
    assert read_rate_limit(raw(headers)) is None


def test_whatever_a_server_writes_is_read_or_left(dice: random.Random) -> None:
    names = [*OPENAI, "anthropic-ratelimit-requests-limit", "anthropic-ratelimit-tokens-reset", "date"]
    for _ in range(2000):
        size = dice.choice([3, 8, 80, 3000])
        value = bytes(dice.choice(b"0123456789mhsT:.-+Z \xe9\xb2") for _ in range(dice.randrange(size)))
        read_rate_limit([(dice.choice(names).encode(), value), (dice.choice(names).encode(), value)])


async def send(script: Script, *, stream: bool = False) -> RateLimit | None:
    own = {"kind": "openai", "base_url": script.url, "key_env": "HOUSE_KEY", "stream": stream}
    settings = Settings.model_validate({"providers": {"house": own}})
    provider = build(settings, {"HOUSE_KEY": "sk-1"}, trusted=True)["house"]
    try:
        model = Model(provider="house", wire_name="m")
        return (await provider.send(model, ask(), timeouts=Timeouts(total_s=5))).rate_limit
    finally:
        await provider.close()


async def test_a_reply_brings_them_along(script: Script) -> None:
    script.answers = [http(200, chat_reply(), OPENAI)]
    assert await send(script) == READ


async def test_a_streamed_reply_brings_them_along(script: Script) -> None:
    delta = {"choices": [{"index": 0, "delta": {"content": "42"}, "finish_reason": "stop"}]}
    lines = "".join(f"{name}: {value}\r\n" for name, value in OPENAI.items()).encode()
    script.answers = [events([delta]).replace(b"200 OK\r\n", b"200 OK\r\n" + lines)]
    assert await send(script, stream=True) == READ


async def test_a_reply_without_them_says_nothing(script: Script) -> None:
    script.answers = [http(200, chat_reply())]
    assert await send(script) is None


async def test_a_refusal_and_a_reply_that_cannot_be_read_bring_them_along(script: Script) -> None:
    script.answers = [http(429, {"error": {"message": "slow down"}}, {**OPENAI, "retry-after": "2"})]
    with pytest.raises(RateLimitedError) as refused:
        await send(script)
    assert refused.value.rate_limit == READ
    assert refused.value.retry_after_s == 2

    script.answers = [http(200, b"{", OPENAI)]
    with pytest.raises(MalformedReplyError) as malformed:
        await send(script)
    assert malformed.value.rate_limit == READ


def test_a_provider_tells_the_name_of_its_key_and_never_the_key() -> None:
    own = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "key_env": "HOUSE_KEY"}
    settings = Settings.model_validate({"providers": {"house": own, "free": {**own, "key_env": None}}})
    built = build(settings, {"HOUSE_KEY": "sk-1", "GOOGLE_API_KEY": "AIza1"}, trusted=True)
    names = {name: each.key_name for name, each in built.items() if isinstance(each, HostedProvider)}
    assert names["house"] == "HOUSE_KEY"
    assert names["free"] is None
    assert names["gemini"] == "GOOGLE_API_KEY"
    assert names["openai"] == "OPENAI_API_KEY"
