"""OpenAI's embeddings as the simulated server reads and writes them.

A simulated vector counts the words of a text and their beginnings, folded into few dimensions: texts that share words
are near one another, and texts that mean the same in other words are not.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import orjson

from orchestration_nb.providers.sim.answers import MODELS
from orchestration_nb.providers.sim.chat_format import BadBodyError
from orchestration_nb.providers.sim.tokens import count_tokens

DIMENSIONS: Final = 128
_WORD = re.compile(r"\w+")
_BEGINNING: Final = 5
_LATENCY_MS: Final = 40.0
_MOST_TEXTS: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    """What a client asked for."""

    wire_name: str
    """The model as the client wrote it."""
    model: str
    texts: tuple[str, ...]

    @property
    def latency_ms(self) -> float:
        """How long it takes."""
        return _LATENCY_MS + len(self.texts)


def read_request(body: bytes) -> EmbeddingRequest:
    """A request body as values.

    Raises:
        BadBodyError: If it is no request for embeddings, or its model is not one of ours.
    """
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadBodyError(f"The body is not JSON: {error}.") from None
    name = asked.get("model") if isinstance(asked, dict) else None
    if not isinstance(name, str):
        raise BadBodyError("You must provide a model parameter.", param="model")
    model = name.removeprefix("sim/")
    if model not in MODELS:
        raise BadBodyError(f"The model {name!r} does not exist.", status=404, param="model", code="model_not_found")
    given = asked.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not 0 < len(texts) <= _MOST_TEXTS or not all(isinstance(t, str) for t in texts):
        raise BadBodyError("input must be a text, or a list of texts that is not empty.", param="input")
    return EmbeddingRequest(wire_name=name, model=model, texts=tuple(texts))


def answer(asked: EmbeddingRequest) -> bytes:
    """The body of a reply."""
    tokens = sum(map(count_tokens, asked.texts))
    data = [
        {"object": "embedding", "index": place, "embedding": _vector(text)} for place, text in enumerate(asked.texts)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": data, "model": asked.wire_name, "usage": usage, "simulated": True})


def _vector(text: str) -> list[float]:
    vector = [0.0] * DIMENSIONS
    for word in _WORD.findall(text.lower()):
        for part, weight in ((word, 1.0), (word[:_BEGINNING] + "-", 0.5)):
            number = int.from_bytes(blake2b(part.encode("utf-8", "replace"), digest_size=4).digest(), "big")
            vector[number % DIMENSIONS] += weight if number >> 31 else -weight
    length = math.sqrt(sum(number * number for number in vector)) or 1.0
    return [round(number / length, 6) for number in vector]
