"""Model servers on this machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from orchestration_nb.calls import Timeouts
from orchestration_nb.catalog import FREE, Model
from orchestration_nb.errors import ConnectionLostError
from orchestration_nb.providers.local import LOCAL_SERVERS, LocalProvider, LocalServer, discover
from tests.providers.conftest import Answer, Connection, Script, ask, chat_reply, http


def listing(*names: Any, owner: str = "library") -> bytes:
    return http(200, {"object": "list", "data": [{"id": name, "object": "model", "owned_by": owner} for name in names]})


def server_at(script: Script, owned_by: str | None = None) -> LocalProvider:
    return LocalProvider(LocalServer(name="ollama", label="Ollama", port=script.port, owned_by=owned_by))


async def hang(connection: Connection) -> None:
    await asyncio.sleep(60)


def test_the_usual_places_are_looked_at() -> None:
    places = {server.name: server.port for server in LOCAL_SERVERS}
    assert places == {"ollama": 11434, "lmstudio": 1234, "vllm": 8000, "llamacpp": 8080}


async def test_a_server_that_answers_is_found_with_its_models_and_can_be_asked(script: Script) -> None:
    script.answers = [listing("llama3.2:3b", "qwen3:8b"), http(200, chat_reply())]
    provider = server_at(script)
    assert not provider.availability().usable

    await discover([provider])

    assert provider.availability().usable
    assert [model.name for model in provider.models()] == ["ollama/llama3.2:3b", "ollama/qwen3:8b"]
    assert all(model.price is FREE and not model.simulated for model in provider.models())
    assert (await provider.send(provider.models()[0], ask(), timeouts=Timeouts())).text == "42"
    assert [request.target for request in script.received] == ["/v1/models", "/v1/chat/completions"]
    assert "authorization" not in script.received[1].headers
    await provider.close()


@pytest.mark.parametrize(
    ("answer", "owned_by"),
    [
        (http(404, b"<html>"), None),
        (http(401, {"error": "key"}), None),
        (http(200, b"<html>JupyterHub</html>"), "vllm"),
        (listing("gpt-4o", owner="openai"), "vllm"),
        (b"SSH-2.0\r\n\r\n", None),
        (hang, None),
    ],
)
async def test_anything_else_on_the_port_is_no_server(script: Script, answer: Answer, owned_by: str | None) -> None:
    script.answers = [answer]
    provider = server_at(script, owned_by)
    began_s = time.perf_counter()
    await discover([provider])
    assert time.perf_counter() - began_s < 10, "a server that says nothing is not waited for"
    assert not provider.availability().usable
    assert f"no Ollama answers at 127.0.0.1:{script.port}" in provider.availability().why
    await provider.close()


@pytest.mark.parametrize("names", [[], [None, 7, "x" * 300, "bad\x1b[31m"]])
async def test_a_server_without_usable_models_says_so(script: Script, names: Sequence[Any]) -> None:
    script.answers = [listing(*names)]
    provider = server_at(script)
    await discover([provider])
    assert provider.availability().why == "Ollama runs and holds no models"
    await provider.close()


async def test_a_server_that_does_not_run_is_no_failure(unused_tcp_port: int) -> None:
    provider = LocalProvider(LocalServer(name="vllm", label="vLLM", port=unused_tcp_port, owned_by="vllm"))
    await discover([provider])
    assert provider.models() == ()
    with pytest.raises(ConnectionLostError, match="refused"):
        await provider.send(Model(provider="vllm", wire_name="m"), ask(), timeouts=Timeouts())
