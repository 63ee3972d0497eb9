"""``sim/...``: simulated models behind the real way of a call, from the JSON on the wire to injected faults."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from orchestration_nb.calls import RawReply, Request, Timeouts
from orchestration_nb.catalog import Model, Price
from orchestration_nb.config import SimSettings
from orchestration_nb.errors import UsageError
from orchestration_nb.providers.batches import BatchApi
from orchestration_nb.providers.batches_openai import OpenAIBatches
from orchestration_nb.providers.formats import Embedded
from orchestration_nb.providers.hosted import Batching, HostedProvider
from orchestration_nb.providers.keys import Key
from orchestration_nb.providers.openai_chat import OpenAIChat
from orchestration_nb.providers.provider import Availability
from orchestration_nb.providers.sim import BatchSetting, Fault, Faults, SimServer
from orchestration_nb.providers.sim.faults import KINDS
from orchestration_nb.providers.wire import BaseUrl, Wire
from orchestration_nb.state import private_folder

_SOURCE = "simulated: the list price of the model it follows"
_PRICES = {
    "small": Price(input_usd_per_mtok=0.075, output_usd_per_mtok=0.3, source=_SOURCE),
    "medium": Price(input_usd_per_mtok=0.15, output_usd_per_mtok=0.6, source=_SOURCE),
    "large": Price(input_usd_per_mtok=3.0, output_usd_per_mtok=15.0, source=_SOURCE),
}
"""List prices of gemini-1.5-flash, gpt-4o-mini and claude-3.5-sonnet, whose recorded replies the models follow."""


class SimProvider:
    """The simulated models; their server starts with the first call, on the loop that asks, and ends with it.

    Args:
        settings: Latency, seed and faults.
        workspace: The folder in whose ``.orchestrate/`` batches are kept, so that they outlive this process as those of
            a real provider do; ``None``: in memory.

    Raises:
        UsageError: If the shares of faults add up to more than 1.
    """

    name = "sim"
    batch_price: float | None = 0.5

    def __init__(self, settings: SimSettings, workspace: Path | None = None) -> None:
        self._settings = settings
        self._faults = Faults(**{kind: getattr(settings, kind) for kind in KINDS})
        self._down: dict[str, Fault] = dict.fromkeys(settings.down, "overloaded")
        self._workspace = workspace
        self._server: SimServer | None = None
        self._hosted: HostedProvider | None = None
        self._starting: asyncio.Lock | None = None

    async def send(self, model: Model, request: Request, *, timeouts: Timeouts) -> RawReply:
        """Asks a simulated model once.

        Raises:
            CallError: If no usable reply came.
        """
        hosted = self._hosted or await self._start()
        return await hosted.send(model, request, timeouts=timeouts)

    async def embed(self, model: Model, texts: Sequence[str], *, timeouts: Timeouts) -> Embedded:
        """Turns texts into simulated vectors: of words and their beginnings, the same for the same text.

        Raises:
            CallError: If no usable vectors came.
        """
        hosted = self._hosted or await self._start()
        return await hosted.embed(model, texts, timeouts=timeouts)

    async def _start(self) -> HostedProvider:
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if self._hosted is None:
                settings = self._settings
                folder = None if self._workspace is None else private_folder(self._workspace) / "sim"
                self._server = await SimServer.start(
                    latency_scale=settings.latency_scale,
                    seed=settings.seed,
                    faults=self._faults,
                    batches=BatchSetting(seconds=settings.batch_s * settings.latency_scale, folder=folder),
                )
                self._server.draw.down = self._down
                wire = Wire(BaseUrl.parse(self._server.base_url), who=self.name)
                chat = OpenAIChat(sends_sample=True)
                batching = Batching(price_factor=0.5, speak=OpenAIBatches)
                self._hosted = HostedProvider(
                    name=self.name, format=chat, wire=wire, key=Key({}, ()), batching=batching
                )
            return self._hosted

    @property
    def faults(self) -> Faults:
        """What goes wrong at the moment, and how often."""
        return self._faults

    @property
    def down(self) -> tuple[str, ...]:
        """The models that are down, by their full names."""
        return tuple(f"{self.name}/{model}" for model in self._down)

    def fail(self, faults: Faults) -> None:
        """Changes what goes wrong, and how often, from the next attempt on; from any thread."""
        self._faults = faults
        if self._server is not None:
            self._server.draw.faults = self._server.batches.faults = faults

    def break_down(self, model: str, fault: Fault = "overloaded") -> None:
        """Takes a model down until :meth:`recover`, to see what a run makes of an outage; from any thread.

        Args:
            model: ``sim/small``, ``sim/medium`` or ``sim/large``.
            fault: What its requests meet with meanwhile; 503 unless given.

        Raises:
            UsageError: If there is no such model or fault.
        """
        if fault not in KINDS:
            raise UsageError(f"{fault!r} is no fault.", hint=f"There are: {', '.join(KINDS)}.")
        self._down[_wire_name(model)] = fault

    def recover(self, model: str) -> None:
        """Brings a model up again.

        Raises:
            UsageError: If there is no such model.
        """
        self._down.pop(_wire_name(model), None)

    async def batches(self) -> BatchApi:
        """The simulated batch API, at half the simulated price."""
        hosted = self._hosted or await self._start()
        return await hosted.batches()

    def availability(self) -> Availability:
        """Always usable."""
        return Availability(usable=True, why="", where="this process (simulated)")

    def models(self) -> Sequence[Model]:
        """The three simulated models."""
        return tuple(
            Model(
                provider=self.name,
                wire_name=name,
                price=price,
                abilities=frozenset({"structured", "streaming"}),
                simulated=True,
            )
            for name, price in _PRICES.items()
        )

    async def close(self) -> None:
        """Ends the server and its connections."""
        if self._hosted is not None:
            await self._hosted.close()
        if self._server is not None:
            await self._server.close()
        self._hosted = self._server = None


def _wire_name(model: str) -> str:
    name = model.removeprefix("sim/")
    if name not in _PRICES:
        raise UsageError(f"There is no simulated model {model!r}.", hint=f"There are: sim/{', sim/'.join(_PRICES)}.")
    return name
