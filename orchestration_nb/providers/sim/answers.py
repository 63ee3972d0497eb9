"""The simulated models as a pure function: the same prompt, model and sample always give the same reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import orjson

from orchestration_nb.providers.sim.bank import shipped_bank
from orchestration_nb.providers.sim.filling import fill
from orchestration_nb.providers.sim.knowledge import Knowledge, know
from orchestration_nb.providers.sim.latency import FIRST_TOKEN_SHARE, latency_ms
from orchestration_nb.providers.sim.prose import say
from orchestration_nb.providers.sim.skill import SKILLS
from orchestration_nb.providers.sim.tokens import count_tokens, cut
from orchestration_nb.providers.sim.wording import tell

MODELS = tuple(SKILLS)
"""Names of the simulated models, without the provider's."""

_TOKENS_PER_IMAGE = 85
_TOKENS_PER_MESSAGE = 3
_ANY_OBJECT: Mapping[str, Any] = {"type": "object", "properties": {"answer": {"type": "string"}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimPrompt:
    """What a simulated model is asked."""

    model: str
    """One of :data:`MODELS`."""
    texts: tuple[tuple[str, str], ...]
    """Role and text of every message, in order."""
    images: int = 0
    """How many images came with it; none is looked at."""
    schema: Mapping[str, Any] | None = None
    """JSON schema of the reply, or ``None`` for plain text."""
    json_object: bool = False
    """Any JSON object is wanted."""
    max_tokens: int | None = None
    sample: str = "0.0"
    """Which of the answers that this model could give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimReply:
    """What a simulated model answers."""

    text: str
    input_tokens: int
    output_tokens: int
    finish_reason: Literal["stop", "length"]
    latency_ms: float
    """Milliseconds until the last token."""
    ttft_ms: float
    """Milliseconds until the first token."""


def answer(prompt: SimPrompt) -> SimReply:
    """The reply of a simulated model.

    On the shipped question bank its accuracy, agreement with the other models, token counts and latency follow recorded
    replies of real models; on shipped tickets it reads the gold labels with a skill of its own; on anything else it
    chooses by word overlap and repeats sentences of the prompt.
    """
    digest = _digest(prompt)
    known = know(shipped_bank(), prompt.texts, prompt.model, prompt.sample, digest)
    text, finish = _text(prompt, known), "stop"
    tokens = count_tokens(text)
    if prompt.max_tokens is not None and tokens > prompt.max_tokens:
        text, tokens, finish = cut(text, prompt.max_tokens), prompt.max_tokens, "length"
    whole = latency_ms(prompt.model, digest, prompt.sample, tokens)
    return SimReply(
        text=text,
        input_tokens=_input_tokens(prompt),
        output_tokens=tokens,
        finish_reason="length" if finish == "length" else "stop",
        latency_ms=whole,
        ttft_ms=whole * FIRST_TOKEN_SHARE,
    )


def _text(prompt: SimPrompt, known: Knowledge) -> str:
    schema = prompt.schema if prompt.schema is not None else _ANY_OBJECT if prompt.json_object else None
    if schema is not None:
        return orjson.dumps(fill(schema, known)).decode()
    text = _plain(known)
    if prompt.images:
        seen = "1 image was" if prompt.images == 1 else f"{prompt.images} images were"
        text = f"({seen} sent along; a simulated model does not see images.)\n\n{text}"
    return text


def _plain(known: Knowledge) -> str:
    if known.question is not None and known.solution is not None:
        return tell(known.model, known.question, known.solution, known.margin, known.sample)
    options = known.named_options(shipped_bank())
    return known.option(options) if options else say(known)


def _digest(prompt: SimPrompt) -> str:
    drawn = blake2b(digest_size=12)
    for role, text in prompt.texts:
        drawn.update(f"{role}\x1f{text}\x1e".encode("utf-8", "surrogatepass"))
    return drawn.hexdigest()


def _input_tokens(prompt: SimPrompt) -> int:
    words = sum(count_tokens(text) + _TOKENS_PER_MESSAGE for _, text in prompt.texts)
    form = count_tokens(orjson.dumps(prompt.schema).decode()) if prompt.schema is not None else 0
    return words + form + prompt.images * _TOKENS_PER_IMAGE
