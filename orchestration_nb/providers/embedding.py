"""Texts to vectors: how models that embed are spoken to, in the two formats that have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote as quote_path

from orchestration_nb.calls import Usage
from orchestration_nb.catalog import Model
from orchestration_nb.errors import MalformedReplyError
from orchestration_nb.providers.formats import Embedded, dump
from orchestration_nb.providers.reading import count, parse, rows, table

MOST_TEXTS = 100
"""The most texts of one request: more than that Gemini refuses."""


class OpenAIEmbeddings:
    """OpenAI's, which most hosts and local servers speak too.

    Follows https://platform.openai.com/docs/api-reference/embeddings.
    """

    def path(self, model: Model) -> str:  # noqa: ARG002 - the form of a format
        """Path below ``base_url``."""
        return "/embeddings"

    def encode(self, model: Model, texts: Sequence[str]) -> bytes:
        """The body of a request."""
        return dump({"model": model.wire_name, "input": list(texts), "encoding_format": "float"})

    def decode(self, model: Model, body: bytes, texts: Sequence[str]) -> Embedded:
        """Reads a reply, whose vectors carry their places."""
        answer = parse(model, body)
        data = sorted((table(row) for row in rows(answer.get("data"))), key=lambda row: count(row.get("index")))
        tokens = count(table(answer.get("usage")).get("prompt_tokens"))
        return _checked(model, [row.get("embedding") for row in data], texts, tokens)


class GeminiEmbeddings:
    """Google's: https://ai.google.dev/api/embeddings."""

    def path(self, model: Model) -> str:
        """Path below ``base_url``, where the model is named."""
        return f"/v1beta/{quote_path(_full_name(model))}:batchEmbedContents"

    def encode(self, model: Model, texts: Sequence[str]) -> bytes:
        """The body of a request."""
        asked = [
            {
                "model": _full_name(model),
                "content": {"parts": [{"text": text}]},
                "taskType": "SEMANTIC_SIMILARITY",
            }
            for text in texts
        ]
        return dump({"requests": asked})

    def decode(self, model: Model, body: bytes, texts: Sequence[str]) -> Embedded:
        """Reads a reply."""
        answer = parse(model, body)
        vectors = [table(row).get("values") for row in rows(answer.get("embeddings"))]
        tokens = count(table(answer.get("usageMetadata")).get("promptTokenCount"))
        return _checked(model, vectors, texts, tokens)


def _full_name(model: Model) -> str:
    return model.wire_name if "/" in model.wire_name else f"models/{model.wire_name}"


def _checked(model: Model, vectors: Sequence[Any], texts: Sequence[str], tokens: int) -> Embedded:
    numbers = [vector for vector in vectors if _is_vector(vector)]
    if len(numbers) != len(texts) or len({len(vector) for vector in numbers}) > 1:
        raise MalformedReplyError(
            f"The reply of {model.name} does not hold a vector for each of {len(texts)} texts.", billing="yes"
        )
    # A host that does not count is not free: a token for every three bytes is more than most texts have.
    reckoned = sum(-(-len(text.encode("utf-8", "replace")) // 3) for text in texts)
    return Embedded(vectors=numbers, usage=Usage(input_tokens=tokens or reckoned))


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(number) in {int, float} for number in value)
