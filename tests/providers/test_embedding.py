"""Texts to vectors over the wire: what is sent, what comes back, and how each bad answer ends."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration_nb.calls import Timeouts
from orchestration_nb.catalog import Model
from orchestration_nb.config import Settings, SimSettings
from orchestration_nb.errors import (
    BadRequestError,
    CallError,
    MalformedReplyError,
    NotAuthorisedError,
    RateLimitedError,
)
from orchestration_nb.providers import Embedder, build
from orchestration_nb.providers.local import LocalProvider, LocalServer
from orchestration_nb.providers.simulated import SimProvider
from tests.providers.conftest import Script, http

KEY = "sk-house-1234567890abcdef"
MODEL = Model(provider="house", wire_name="embed-1")
TIMEOUTS = Timeouts(total_s=5)


def house(script: Script, kind: str = "openai") -> Any:
    url = script.url if kind == "openai" else script.url.removesuffix("/v1")
    mine = {"kind": kind, "base_url": url, "key_env": "HOUSE_KEY"}
    settings = Settings.model_validate({"providers": {"house": mine}})
    return build(settings, {"HOUSE_KEY": KEY}, trusted=True)["house"]


async def embed(script: Script, *texts: str, kind: str = "openai") -> Any:
    provider = house(script, kind)
    try:
        return await provider.embed(MODEL, texts, timeouts=TIMEOUTS)
    finally:
        await provider.close()


def openai_reply(*vectors: list[float], tokens: int = 7) -> bytes:
    data = [{"object": "embedding", "index": place, "embedding": vector} for place, vector in enumerate(vectors)]
    return http(body={"object": "list", "data": data[::-1], "usage": {"prompt_tokens": tokens}})


async def test_openai_is_asked_for_all_texts_at_once_and_places_count(script: Script) -> None:
    script.answers = [openai_reply([1.0, 0.0], [0.5, 2])]
    done = await embed(script, "one", "two")
    assert (done.vectors, done.usage.input_tokens) == ([[1.0, 0.0], [0.5, 2]], 7)
    (received,) = script.received
    assert received.target == "/v1/embeddings"
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.json == {"model": "embed-1", "input": ["one", "two"], "encoding_format": "float"}


async def test_gemini_names_the_model_for_each_text_and_counts_nothing(script: Script) -> None:
    script.answers = [http(body={"embeddings": [{"values": [0.5, 1]}, {"values": [1, 0]}]})]
    done = await embed(script, "one", "twelve bytes", kind="gemini")
    assert (done.vectors, done.usage.input_tokens) == ([[0.5, 1], [1, 0]], 1 + 4)
    (received,) = script.received
    assert received.target == "/v1beta/models/embed-1:batchEmbedContents"
    assert received.headers["x-goog-api-key"] == KEY
    assert received.json["requests"][0] == {
        "model": "models/embed-1",
        "content": {"parts": [{"text": "one"}]},
        "taskType": "SEMANTIC_SIMILARITY",
    }


async def test_many_texts_go_in_several_requests_and_their_tokens_add_up(script: Script) -> None:
    script.answers = [openai_reply(*[[float(n)] for n in range(100)]), openai_reply([100.0])]
    done = await embed(script, *map(str, range(101)))
    assert [vector[0] for vector in done.vectors] == list(range(101))
    assert done.usage.input_tokens == 14
    assert [len(received.json["input"]) for received in script.received] == [100, 1]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (http(429, {"error": {"message": "slow down"}}), RateLimitedError),
        (http(401, {"error": {"message": f"bad key {KEY}"}}), NotAuthorisedError),
        (http(400, {"error": {"message": "no"}}), BadRequestError),
        (http(body=b"{"), MalformedReplyError),
        (http(body={"data": []}), MalformedReplyError),
        (openai_reply([1.0]), MalformedReplyError),
        (openai_reply([1.0], [1.0, 2.0]), MalformedReplyError),
        (openai_reply([1.0], []), MalformedReplyError),
        (http(body={"data": [{"embedding": ["1"]}, {"embedding": [True]}]}), MalformedReplyError),
    ],
)
async def test_bad_answers_are_named(script: Script, answer: bytes, error: type[CallError]) -> None:
    script.answers = [answer]
    with pytest.raises(error) as caught:
        await embed(script, "one", "two")
    assert KEY not in str(caught.value)


async def test_anthropic_has_none(script: Script) -> None:
    script.answers = [http(body={})]
    with pytest.raises(BadRequestError, match="no models that embed"):
        await embed(script, "one", kind="anthropic")
    assert script.received == []


async def test_a_local_server_is_asked_in_openais_format(script: Script) -> None:
    script.answers = [openai_reply([1.0], tokens=2)]
    provider = LocalProvider(LocalServer(name="ollama", label="Ollama", port=script.port))
    done = await provider.embed(Model(provider="ollama", wire_name="nomic"), ["one"], timeouts=TIMEOUTS)
    await provider.close()
    assert (done.vectors, script.received[0].target) == ([[1.0]], "/v1/embeddings")


async def test_simulated_vectors_are_the_same_for_the_same_text_and_near_for_a_like_one() -> None:
    texts = ["Where is my parcel?", "Where is my parcel now?", "Rate this film.", "Where is my parcel?"]
    provider = SimProvider(SimSettings(latency_scale=0))
    assert isinstance(provider, Embedder)
    model = provider.models()[0]
    done = await provider.embed(model, texts, timeouts=TIMEOUTS)
    await provider.close()
    first, like, other, same = done.vectors
    assert model.simulated
    assert first == same
    assert done.usage.input_tokens > 10
    assert dot(first, first) == pytest.approx(1, abs=1e-3)
    assert dot(first, like) > 0.7
    assert dot(first, other) < 0.4


async def test_simulated_faults_meet_embeddings_too() -> None:
    provider = SimProvider(SimSettings(latency_scale=0, rate_limited=1.0))
    with pytest.raises(RateLimitedError):
        await provider.embed(provider.models()[0], ["one"], timeouts=TIMEOUTS)
    await provider.close()


def dot(left: list[float], right: list[float]) -> float:
    return sum(one * other for one, other in zip(left, right, strict=True))
