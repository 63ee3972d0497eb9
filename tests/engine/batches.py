"""Processes and money for tests of batches, each as small as it can be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from orchestration_nb.calls import Origin, RawReply, Request, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.clock import SystemClock
from orchestration_nb.engine.batch_course import BatchPolicy
from orchestration_nb.engine.batching import BatchSender
from orchestration_nb.errors import BadRequestError, CallError, MalformedReplyError
from orchestration_nb.ids import RequestId, RunId, new_id
from orchestration_nb.messages import user
from orchestration_nb.providers.batches import BatchLimits, Sighting, Standing
from orchestration_nb.state.batches import BatchStore
from orchestration_nb.state.desk import Desk

QUICK = BatchPolicy(poll_s=0.02, idle_s=0.02, most_idle_s=0.1, doubt_s=0.0)


@dataclass
class Processes:
    """Which processes live, as a test says."""

    me: str = "this"
    dead: set[str] = field(default_factory=set)

    def alive(self, token: str) -> bool:
        return token not in self.dead


@dataclass
class Purse:
    """Money that notes where it was parked."""

    parked: list[str] = field(default_factory=list)

    def park(self, key: str) -> None:
        self.parked.append(key)


def question(text: str, *, item: int = 0, **more: Any) -> Request:
    origin = Origin(run_id=RunId("run"), flow="triage", step="queue", item=item)
    return Request(id=RequestId(new_id()), origin=origin, messages=(user(text),), **more)


@dataclass
class Room:
    """A workspace's batches, and what sends them."""

    providers: Mapping[str, Any]
    desk: Desk
    clock: Any = field(default_factory=SystemClock)
    processes: Processes = field(default_factory=Processes)
    policy: BatchPolicy = QUICK

    @property
    def store(self) -> BatchStore:
        return BatchStore(self.desk)

    def sender(self, **more: Any) -> BatchSender:
        return BatchSender(self.providers, self.store, self.processes, self.clock, self.policy, **more)


async def ask_all(sender: BatchSender, model: Model, texts: list[str]) -> list[RawReply | BaseException]:
    """Every text as one item's question; its key is the model and the text."""
    return await asyncio.gather(
        *(
            sender.send(model, question(text, item=item), key=f"{model.name}:{text}", hold=Purse())
            for item, text in enumerate(texts)
        ),
        return_exceptions=True,
    )


@dataclass
class FakeBatches:
    """A provider's batch API in memory: a test says what it refuses, when it ends and what stands in its lines."""

    name: str = "fake"
    batch_price: float | None = 0.5
    price_factor: float = 0.5
    limits: BatchLimits = field(default_factory=lambda: BatchLimits(requests=100, bytes=1_000_000))
    taken: dict[str, dict[str, str]] = field(default_factory=dict)
    """What was handed over: id of the batch to prompts by custom id."""
    tokens: dict[str, str] = field(default_factory=dict)
    on_submit: list[CallError | None] = field(default_factory=list)
    """Of each submission to come: the error it ends with; one that may have been billed ends so after it was taken."""
    on_look: list[CallError | Standing] = field(default_factory=list)
    on_fetch: list[CallError] = field(default_factory=list)
    ended: bool = True
    fates: dict[str, CallError | None] = field(default_factory=dict)
    """By prompt, what its line says instead of an answer; ``None``: there is no line."""
    looks: int = 0
    fetches: int = 0
    searches: int = 0
    hides: int = 0
    """How many searches do not see what is there."""
    cancelled: list[str] = field(default_factory=list)

    async def batches(self) -> FakeBatches:
        return self

    def encode(self, model: Model, request: Request) -> bytes:
        if "unspeakable" in request.prompt:
            raise BadRequestError("The request cannot be written as JSON.")
        return request.prompt.encode()

    async def submit(self, bodies: Sequence[tuple[str, bytes]], token: str) -> str:
        await asyncio.sleep(0)
        error = self.on_submit.pop(0) if self.on_submit else None
        if error is not None and error.billing == "no":
            raise error
        batch_id = f"batch-{len(self.taken)}"
        self.taken[batch_id] = {name: body.decode() for name, body in bodies}
        self.tokens[token] = batch_id
        if error is not None:
            raise error
        return batch_id

    async def find(self, token: str, *, count: int, since: datetime, others: Collection[str]) -> Sighting:
        await asyncio.sleep(0)
        self.searches += 1
        return Sighting(batch_id=self.tokens.get(token) if self.searches > self.hides else None)

    async def standing(self, batch_id: str) -> Standing:
        await asyncio.sleep(0)
        self.looks += 1
        if self.on_look:
            told = self.on_look.pop(0)
            if isinstance(told, CallError):
                raise told
            return replace(told, paths=(batch_id,))
        if batch_id not in self.taken:
            raise BadRequestError("No such batch.", http_status=404)
        return Standing(state="ended" if self.ended else "under_way", paths=(batch_id,))

    async def results(self, standing: Standing) -> AsyncGenerator[tuple[str, bytes], None]:
        self.fetches += 1
        (batch_id,) = standing.paths
        lines = list(self.taken[batch_id].items())
        for number, (name, prompt) in enumerate(reversed(lines)):
            if number == 1 and self.on_fetch:
                raise self.on_fetch.pop(0)
            if self.fates.get(prompt, prompt) is not None:
                yield name, prompt.encode()

    def read(self, model: Model, request: Request, line: bytes) -> RawReply:
        fate = self.fates.get(line.decode())
        if fate is not None:
            raise fate
        if line == b"{}":
            raise MalformedReplyError("There is no line.", billing="unknown")
        return RawReply(text=f"{model.wire_name} on {line.decode()}", usage=Usage(input_tokens=10, output_tokens=5))

    async def cancel(self, batch_id: str) -> None:
        self.cancelled.append(batch_id)
