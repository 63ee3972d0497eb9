"""Processes and money for tests of batches, each as small as it can be."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestration_nb.calls import Origin, RawReply, Request
from orchestration_nb.catalog import Model
from orchestration_nb.clock import SystemClock
from orchestration_nb.engine.batch_course import BatchPolicy
from orchestration_nb.engine.batching import BatchSender
from orchestration_nb.ids import RequestId, RunId, new_id
from orchestration_nb.messages import user
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
