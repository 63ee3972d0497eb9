"""Model servers on this machine: Ollama, LM Studio, vLLM and llama.cpp, found when they answer.

They speak OpenAI's format, need no key and cost nothing. Only 127.0.0.1 is asked, and only for its list of models.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestration_nb.calls import RawReply, Request, Timeouts
from orchestration_nb.catalog import FREE, Model
from orchestration_nb.errors import CallError
from orchestration_nb.providers.failures import read_json
from orchestration_nb.providers.formats import Embedded
from orchestration_nb.providers.hosted import HostedProvider
from orchestration_nb.providers.keys import Key
from orchestration_nb.providers.openai_chat import OpenAIChat
from orchestration_nb.providers.provider import Availability
from orchestration_nb.providers.reading import rows, table, words
from orchestration_nb.providers.wire import BaseUrl, Wire

_LOOK = Timeouts(connect_s=0.3, first_token_s=0.7, between_tokens_s=0.7, total_s=0.7)
"""A server that takes longer to list its models is not found."""
_MOST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalServer:
    """Where a kind of server usually listens."""

    name: str
    label: str
    port: int
    owned_by: str | None = None
    """What its models say they are owned by; asked of servers on ports that everything else uses too."""


LOCAL_SERVERS = (
    LocalServer(name="ollama", label="Ollama", port=11434),
    LocalServer(name="lmstudio", label="LM Studio", port=1234),
    LocalServer(name="vllm", label="vLLM", port=8000, owned_by="vllm"),
    LocalServer(name="llamacpp", label="llama.cpp", port=8080, owned_by="llamacpp"),
)


class LocalProvider:
    """One server on this machine, whether it runs or not.

    Args:
        server: Where to look.
    """

    def __init__(self, server: LocalServer) -> None:
        self.name = server.name
        self._server = server
        self._wire = Wire(BaseUrl.parse(f"http://127.0.0.1:{server.port}/v1"), who=server.label)
        self._hosted = HostedProvider(name=server.name, format=OpenAIChat(), wire=self._wire, key=Key({}, ()))
        self._found: tuple[Model, ...] | None = None

    async def send(self, model: Model, request: Request, *, timeouts: Timeouts) -> RawReply:
        """Asks the model once.

        Raises:
            CallError: If no usable reply came.
        """
        return await self._hosted.send(model, request, timeouts=timeouts)

    async def embed(self, model: Model, texts: Sequence[str], *, timeouts: Timeouts) -> Embedded:
        """Turns texts into vectors.

        Raises:
            CallError: If no usable vectors came.
        """
        return await self._hosted.embed(model, texts, timeouts=timeouts)

    async def look(self) -> None:
        """Asks the server for its models, for less than a second; it is fine if nobody answers."""
        try:
            answer = await self._wire.get("/models", (), _LOOK)
        except CallError:
            self._found = None
            return
        data = table(read_json(answer.body)).get("data")
        listed = [table(row) for row in rows(data)]
        owned = all(self._is_its_own(words(row.get("owned_by"))) for row in listed)
        if answer.status != 200 or not isinstance(data, list) or not owned:
            self._found = None
            return
        names = [name for row in listed if (name := words(row.get("id")))]
        self._found = tuple(
            Model(provider=self.name, wire_name=name, price=FREE)
            for name in names
            if len(name) <= _MOST_NAME and name.isprintable()
        )

    def _is_its_own(self, owner: str | None) -> bool:
        return self._server.owned_by is None or owner == self._server.owned_by

    def availability(self) -> Availability:
        """Usable when the server answered at the last look."""
        where = self._wire.address.label
        if self._found is None:
            return Availability(usable=False, why=f"no {self._server.label} answers at {where}", where=where)
        why = "" if self._found else f"{self._server.label} runs and holds no models"
        return Availability(usable=bool(self._found), why=why, where=where)

    def models(self) -> Sequence[Model]:
        """What the server listed at the last look."""
        return self._found or ()

    async def close(self) -> None:
        """Closes the idle connections."""
        await self._hosted.close()


async def discover(providers: Iterable[object]) -> None:
    """Looks for all local servers at once, for less than a second."""
    await asyncio.gather(*(provider.look() for provider in providers if isinstance(provider, LocalProvider)))
