"""What users call models with today, each doing the same calls; run by the peers' own Python, one peer a process.

``python tests/bench/peers.py PEER BASE_URL CALLS IN_FLIGHT`` prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

Call = Callable[[str], Awaitable[str]]
"""Asks one prompt and returns the text of the answer."""


@contextlib.asynccontextmanager
async def httpx_client(base_url: str, in_flight: int) -> AsyncIterator[Call]:
    """Raw ``httpx.AsyncClient``, its pool as large as what is in flight."""
    import httpx

    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    async with httpx.AsyncClient(limits=limits, timeout=60, headers={"authorization": "Bearer sk-bench"}) as client:

        async def call(prompt: str) -> str:
            reply = await client.post(f"{base_url}/chat/completions", json=body(prompt))
            return str(reply.json()["choices"][0]["message"]["content"])

        yield call


@contextlib.asynccontextmanager
async def aiohttp_client(base_url: str, in_flight: int) -> AsyncIterator[Call]:
    """Raw ``aiohttp.ClientSession``."""
    import aiohttp

    connector = aiohttp.TCPConnector(limit=in_flight)
    headers = {"authorization": "Bearer sk-bench"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def call(prompt: str) -> str:
            async with session.post(f"{base_url}/chat/completions", json=body(prompt)) as reply:
                return str((await reply.json())["choices"][0]["message"]["content"])

        yield call


@contextlib.asynccontextmanager
async def openai_sdk(base_url: str, in_flight: int) -> AsyncIterator[Call]:
    """``openai.AsyncOpenAI``, as it comes."""
    import openai

    async with openai.AsyncOpenAI(base_url=base_url, api_key="sk-bench") as client:

        async def call(prompt: str) -> str:
            reply = await client.chat.completions.create(**body(prompt))
            return str(reply.choices[0].message.content)

        yield call


@contextlib.asynccontextmanager
async def litellm_router(base_url: str, in_flight: int) -> AsyncIterator[Call]:
    """LiteLLM's ``Router`` with one deployment."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.telemetry = False
    where = {"model": "openai/bench", "api_base": base_url, "api_key": "sk-bench"}
    router = litellm.Router(model_list=[{"model_name": "bench", "litellm_params": where}])

    async def call(prompt: str) -> str:
        reply = await router.acompletion(**body(prompt))
        return str(reply.choices[0].message.content)

    yield call


PEERS = {"httpx": httpx_client, "aiohttp": aiohttp_client, "openai": openai_sdk, "litellm": litellm_router}


def body(prompt: str) -> dict[str, Any]:
    """One chat request."""
    return {"model": "bench", "messages": [{"role": "user", "content": prompt}], "max_tokens": 64}


async def drive(call: Call, calls: int, in_flight: int) -> None:
    """Makes ``calls`` calls, ``in_flight`` at a time, no two alike."""
    numbers = iter(range(calls))

    async def worker() -> None:
        for number in numbers:
            answer = await call(f"Question {number}: how did revenue develop, and why?")
            assert answer.startswith("Revenue rose"), answer

    await asyncio.gather(*(worker() for _ in range(in_flight)))


async def measure(peer: str, base_url: str, calls: int, in_flight: int) -> dict[str, Any]:
    """CPU of this process and wall time, after a warm-up that opens the connections."""
    async with PEERS[peer](base_url, in_flight) as call:
        await drive(call, max(in_flight, 100), in_flight)
        cpu, wall = time.process_time(), time.perf_counter()
        await drive(call, calls, in_flight)
        spent = time.process_time() - cpu
        return {"wall_s": time.perf_counter() - wall, "cpu_us": spent / calls * 1e6}


def main() -> None:
    """Measures one peer."""
    # A core of its own, where the system has such a thing; the server takes another.
    peer, base_url, calls, in_flight = sys.argv[1:]
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    figures = asyncio.run(measure(peer, base_url, int(calls), int(in_flight)))
    sys.stdout.write(json.dumps({**figures, "version": importlib.metadata.version(peer)}) + "\n")
    sys.stdout.flush()
    os._exit(0)  # what a peer does at exit is not measured


if __name__ == "__main__":
    main()
