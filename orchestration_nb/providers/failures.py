"""An answer that is no reply -> the error of our tree, with whether it was billed and how long to wait.

What a provider says is quoted shortened, on one line, and without anything that looks like a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from orchestration_nb.errors import (
    BadRequestError,
    Billing,
    CallError,
    CallTimeoutError,
    ContentRefusedError,
    ContextTooLongError,
    NoSuchModelError,
    NotAuthorisedError,
    OverloadedError,
    RateLimitedError,
    ServerFailedError,
)
from orchestration_nb.providers.wire import Answer

MOST_QUOTED = 300
"""Characters of a provider's words that an error repeats."""
_LEAST_OF_KEY = 4
"""Characters at the beginning of a key that are taken for it where an error is cut off."""

_SECRETS = re.compile(
    r"(?i:bearer\s+)\S+"
    r"|\b(?:sk|pk|rk|gsk|xai|hf|key|nvapi|pplx|r8|co|or)[-_][\w*.-]{6,}"
    r"|\bAIza[\w*-]{6,}"
    r"|(?i:(?<=[?&]key=))[^\s&\"']+"
)
REQUEST_ID_HEADERS = ("x-request-id", "request-id", "x-goog-request-id", "apim-request-id", "x-ms-request-id", "cf-ray")
"""Where providers put their own id of a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What a provider says went wrong, read out of its body by the format."""

    message: str = ""
    codes: frozenset[str] = frozenset()
    """Its codes, types and statuses, in lower case."""
    retry_after_s: float | None = None
    """A wait that stands in the body."""
    native: bool = False
    """Whether the body has the provider's own form, and is not a gateway's page."""


def quote(text: str, secret: str = "") -> str:
    """A provider's words for an error message: one line, shortened, keys removed."""
    if secret:
        text = text.replace(secret, "[key]")
    # Only what can be shown is looked through, with some slack, so that a page of megabytes costs nothing.
    text = _SECRETS.sub("[key]", " ".join(text[: 8 * MOST_QUOTED].split()))
    text = "".join(sign for sign in text if sign.isprintable())
    return text if len(text) <= MOST_QUOTED else f"{text[:MOST_QUOTED]}..."


def without_key(said: str, secret: str) -> str:
    """What :func:`quote` made of a provider's words, without the key that was sent: whole, or cut off at the end."""
    if not secret:
        return said
    said = said.replace(secret, "[key]")
    for length in range(len(secret) - 1, _LEAST_OF_KEY - 1, -1):
        said = said.replace(f"{secret[:length]}...", "[key]...")
    return said


def retry_after_s(answer: Answer, now: datetime | None = None) -> float | None:
    """Seconds that the headers ask to wait, or ``None``.

    Reads ``retry-after-ms`` and ``x-ms-retry-after-ms`` (milliseconds), then ``retry-after`` (seconds or an HTTP date).
    """
    value = answer.header("retry-after-ms", "x-ms-retry-after-ms")
    seconds = _number(value)
    if seconds is not None:
        return seconds / 1000
    value = answer.header("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if 0 <= number < 1e9 else None


def read_json(body: bytes) -> Any:
    """The JSON of a body, or ``None`` where it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def failure(answer: Answer, complaint: Complaint, *, who: str, model: str, secret: str = "") -> CallError:
    """The error for an answer whose status is not 200.

    Args:
        answer: What came.
        complaint: What its body says, read by the format.
        who: Who answered.
        model: The model that was asked.
        secret: The key that was sent, to be removed from what is quoted.
    """
    status = answer.status
    said = quote(complaint.message or answer.body[:4096].decode("utf-8", "replace"), secret)
    message = f"{who} answered {status}" + (f": {said}" if said else " and said nothing more.")
    make, hint, billing = _sort(status, complaint, model)
    if status in range(300, 400):
        message = f"{who} answered {status}, a redirect, and none is followed."
    error: CallError
    if make is CallTimeoutError:
        error = CallTimeoutError(message, phase="total", hint=hint, billing=billing)
    else:
        error = make(message, hint=hint, billing=billing)
    error.http_status = status
    error.retry_after_s = complaint.retry_after_s
    header_wait = retry_after_s(answer)
    if header_wait is not None:
        error.retry_after_s = header_wait
    if _is_hopeless(error, answer):
        error.retryable = False
    request_id = answer.header(*REQUEST_ID_HEADERS)
    error.provider_request_id = quote(request_id, secret) if request_id else None
    return error


def _is_hopeless(error: CallError, answer: Answer) -> bool:
    """Whether a failure of a kind that is usually worth another try will be the same again.

    OpenAI and Anthropic say so in a header; a single request that is larger than a whole minute's tokens is a 429.
    """
    if answer.header("x-should-retry") == "false":
        return True
    return isinstance(error, RateLimitedError) and _TOO_LARGE.search(str(error)) is not None


Verdict = tuple[Callable[..., CallError], str, Billing]
_KEY_HINT = "Is the key right, and may it use this model?"
_MONEY_HINT = "The account has no credit left; its owner can add some on the provider's billing page."
_LENGTH_HINT = "Shorten the prompt, or ask a model that reads more."
_ADDRESS_HINT = "Does base_url point at the API, and is its path right?"


def _sort(status: int, complaint: Complaint, model: str) -> Verdict:
    if status >= 500:
        # Some local servers call a prompt that is too long their own failure; it would be so again.
        too_long = complaint.codes & _LENGTH
        return (ContextTooLongError, _LENGTH_HINT, "no") if too_long else _server_side(status, complaint)
    special = _by_words(complaint)
    if special is not None and status in {400, 403, 413, 422, 429}:
        return special
    plain: Mapping[int, Verdict] = {
        401: (NotAuthorisedError, _KEY_HINT, "no"),
        402: (NotAuthorisedError, _MONEY_HINT, "no"),
        403: (NotAuthorisedError, _KEY_HINT, "no"),
        407: (BadRequestError, "The proxy wants a password: see HTTPS_PROXY.", "no"),
        408: (CallTimeoutError, "", "unknown"),
        409: (OverloadedError, "", "no"),
        413: (ContextTooLongError, _LENGTH_HINT, "no"),
        425: (OverloadedError, "", "no"),
        429: (RateLimitedError, "Lower the concurrency, or ask the provider for higher limits.", "no"),
    }
    if status == 404:
        if complaint.native and not _ADDRESS_WORDS.search(complaint.message):
            return NoSuchModelError, f"Is {model!r} spelled as the provider spells it?", "no"
        return BadRequestError, _ADDRESS_HINT, "no"
    hint = _ADDRESS_HINT if status < 400 or status == 405 else ""
    return plain.get(status, (BadRequestError, hint, "no"))


def _server_side(status: int, complaint: Complaint) -> Verdict:
    if status in {503, 529}:
        # The provider's own refusal comes before any work; a gateway's page may hide a reply that was lost behind it.
        return OverloadedError, "", "no" if complaint.native else "unknown"
    return ServerFailedError, "", "unknown"


_QUOTA = {"insufficient_quota", "billing_not_active", "billing_hard_limit_reached", "credit_balance_too_low"}
_LENGTH = {"context_length_exceeded", "exceed_context_size_error", "request_too_large", "string_above_max_length"}
_POLICY = {"content_filter", "content_policy_violation", "invalid_prompt", "responsibleaipolicyviolation"}
_KEY = {"invalid_api_key", "api_key_invalid", "authentication_error", "permission_error"}
_MODEL = {"model_not_found", "modelnotfound"}
_ADDRESS_WORDS = re.compile(r"(?:unknown|invalid) (?:request )?url|no route|not a valid path", re.IGNORECASE)
_TOO_LARGE = re.compile(r"request too large", re.IGNORECASE)
_TOO_FAST = {"rate_limit_exceeded", "rate_limit_error", "resource_exhausted"}
_OVERLOADED = {"overloaded_error", "unavailable", "service_unavailable"}
_LENGTH_WORDS = re.compile(
    r"context (?:length|window|size)|maximum (?:context|number of tokens)|prompt is too long|too many tokens"
    r"|token count .*exceeds|exceeds? the (?:available )?context|input is too long",
    re.IGNORECASE,
)
_POLICY_WORDS = re.compile(
    r"content (?:filter|policy|management policy)|usage polic|safety (?:system|settings)", re.IGNORECASE
)
_MONEY_WORDS = re.compile(r"credit balance|insufficient (?:credits|balance|funds|quota)", re.IGNORECASE)


def _by_words(complaint: Complaint) -> Verdict | None:
    """What the codes and words of a 4xx say more exactly than its status."""
    codes, words = complaint.codes, complaint.message
    too_fast = bool(codes & _TOO_FAST)
    verdict: Verdict | None = None
    if codes & _KEY:
        verdict = NotAuthorisedError, _KEY_HINT, "no"
    elif codes & _QUOTA or (_MONEY_WORDS.search(words) and not too_fast):
        verdict = NotAuthorisedError, _MONEY_HINT, "no"
    elif codes & _MODEL:
        verdict = NoSuchModelError, "`%orchestrate models` lists what is known.", "no"
    elif too_fast:
        verdict = None
    elif codes & _LENGTH or _LENGTH_WORDS.search(words):
        verdict = ContextTooLongError, _LENGTH_HINT, "no"
    elif codes & _POLICY or _POLICY_WORDS.search(words):
        verdict = ContentRefusedError, "Rephrase the prompt, or ask another model.", "no"
    return verdict


def failure_within(complaint: Complaint, *, model: str) -> CallError:
    """The error for a complaint that came inside an answer of status 200, as a body or as an event of a stream."""
    message = f"{model} broke off: {quote(complaint.message or ', '.join(sorted(complaint.codes)))}"
    status = next((int(code) for code in complaint.codes if code.isdigit() and 400 <= int(code) < 600), None)
    if status is not None:
        make, hint, _ = _sort(status, complaint, model)
    elif complaint.codes & _OVERLOADED:
        make, hint = OverloadedError, ""
    elif complaint.codes & _TOO_FAST:
        make, hint = RateLimitedError, ""
    else:
        make, hint, _ = _by_words(complaint) or (ServerFailedError, "", "unknown")
    if make is CallTimeoutError:
        make = ServerFailedError
    error = make(message, hint=hint, billing="unknown")
    error.retry_after_s = complaint.retry_after_s
    return error
