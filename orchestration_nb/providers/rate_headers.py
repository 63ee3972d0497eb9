"""What the headers of an answer say about the provider's limits.

Reads ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}`` (OpenAI and those who copy it: resets such as ``6m0s``,
``120ms`` or plain seconds) and ``anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}`` (resets in RFC 3339).

Follows https://platform.openai.com/docs/guides/rate-limits and https://docs.anthropic.com/en/api/rate-limits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from orchestration_nb.errors import RateLimit
from orchestration_nb.providers.wire import Headers

_OPENAI, _ANTHROPIC = b"x-ratelimit-", b"anthropic-ratelimit-"
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_UNIT_S: Mapping[str, float] = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_MOST = 10**15
"""A larger number means nothing that could be counted down."""


def read_rate_limit(headers: Headers) -> RateLimit | None:
    """What the headers say, or ``None`` where they say nothing that can be read."""
    held = {
        name.lower().decode("latin-1"): value.decode("latin-1").strip()
        for name, value in headers
        if name[:1] in b"xXaA" and name.lower().startswith((_OPENAI, _ANTHROPIC))
    }
    if not held:
        return None
    date = next((value.decode("latin-1") for name, value in headers if name.lower() == b"date"), "")
    limit = _of_openai(held) if any(name[0] == "x" for name in held) else _of_anthropic(held, date)
    return limit if limit != _NOTHING else None


_NOTHING = RateLimit()


def _of_openai(held: Mapping[str, str]) -> RateLimit:
    return _gathered(lambda what, of: held.get(f"x-ratelimit-{what}-{of}", ""), _duration_s)


def _of_anthropic(held: Mapping[str, str], date: str) -> RateLimit:
    return _gathered(
        lambda what, of: held.get(f"anthropic-ratelimit-{of}-{what}", ""), lambda text: _until_s(text, date)
    )


def _gathered(find: Callable[[str, str], str], seconds: Callable[[str], float | None]) -> RateLimit:
    return RateLimit(
        limit_requests=_count(find("limit", "requests")),
        remaining_requests=_count(find("remaining", "requests")),
        reset_requests_s=seconds(find("reset", "requests")),
        limit_tokens=_count(find("limit", "tokens")),
        remaining_tokens=_count(find("remaining", "tokens")),
        reset_tokens_s=seconds(find("reset", "tokens")),
    )


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < len(str(_MOST)) else None


def _duration_s(text: str) -> float | None:
    """``1h2m3.5s``, ``120ms`` or ``59`` in seconds."""
    text = text[:64]
    if _WHOLE.fullmatch(text):
        return sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(text))
    return float(text) if re.fullmatch(r"\d{1,9}(?:\.\d+)?", text) else None


def _until_s(text: str, date: str) -> float | None:
    """Seconds from the answer's own date, so that two clocks that differ do not matter, to a time in RFC 3339."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - _date(date)).total_seconds())


def _date(text: str) -> datetime:
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return datetime.now(UTC)
    return when if when.tzinfo else when.replace(tzinfo=UTC)
