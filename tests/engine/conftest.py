"""A small world for the engine: fake provider, manual or real clock, a journal in memory."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestration_nb.calls import Origin, Request, Timeouts
from orchestration_nb.catalog import Catalog
from orchestration_nb.clock import SystemClock
from orchestration_nb.cost.budget import Budgets, Spender
from orchestration_nb.cost.cache import ExactCache
from orchestration_nb.engine.progress import Progress
from orchestration_nb.engine.services import RunContext, Services
from orchestration_nb.errors import JournalWriteError
from orchestration_nb.ids import RequestId, RunId, new_id
from orchestration_nb.messages import user
from orchestration_nb.resilience import BreakerPolicy, Breakers, Limits, RetryPolicy
from orchestration_nb.routing.registry import STRATEGIES
from orchestration_nb.state.cache import Entry
from orchestration_nb.state.desk import Desk
from orchestration_nb.state.owners import Owners
from orchestration_nb.state.store import StateFile


@dataclass
class MemoryJournal:
    events: list[Any] = field(default_factory=list)
    full_after: int | None = None

    def write(self, event: Any) -> None:
        if self.full_after is not None and len(self.events) >= self.full_after:
            raise JournalWriteError("The disk is full.")
        self.events.append(event)

    def of(self, kind: str) -> list[Any]:
        return [event for event in self.events if event.event == kind]


@dataclass
class MemoryStore:
    entries: dict[str, bytes] = field(default_factory=dict)
    claims: set[str] = field(default_factory=set)

    async def find_or_claim(self, key: str, rider: Any = None) -> Any:
        if key in self.entries:
            return Entry(self.entries[key], 2**51, 2**51)
        if key in self.claims:
            return "theirs"
        self.claims.add(key)
        return "ours"

    async def answered(self, keys: Any) -> set[str]:
        return set(keys) & self.entries.keys()

    async def find(self, key: str) -> Any:
        return Entry(self.entries[key], 2**51, 2**51) if key in self.entries else None

    def keep(self, key: str, reply: bytes) -> None:
        self.entries[key] = reply
        self.claims.discard(key)

    def release(self, key: str) -> None:
        self.claims.discard(key)

    def note_use(self, keys: Any) -> None:
        pass

    async def flush(self) -> None:
        pass


@dataclass
class World:
    """Everything that a test of the engine needs."""

    clock: Any
    journal: MemoryJournal
    store: MemoryStore
    services: Services
    budgets: Budgets

    def context(
        self,
        *,
        budget: float = 5.0,
        concurrency: int = 8,
        strategy: Any = "fixed",
        fresh: bool = False,
        listeners: Any = (),
    ) -> RunContext:
        unpaused = asyncio.Event()
        unpaused.set()
        run_id = RunId(new_id())
        spender = Spender(run_id=run_id, root_run_id=run_id, flow="triage", user="ada")
        return RunContext(
            run_id=run_id,
            flow="triage",
            services=self.services,
            budget=self.budgets.open_run(spender, limit_usd=budget),
            turns=asyncio.Semaphore(concurrency),
            strategy=STRATEGIES.find(strategy),
            strategy_name=strategy if isinstance(strategy, str) else strategy.__name__,
            fixed=STRATEGIES.find("fixed"),
            find_strategy=STRATEGIES.find,
            model=None,
            fresh=fresh,
            seed=0,
            progress=Progress(clock=self.clock, started_s=self.clock.monotonic(), items=1, budget_usd=budget),
            listeners=listeners,
            unpaused=unpaused,
        )


@pytest.fixture
def make_world(tmp_path: Path) -> Any:
    executors = []
    file, owners = StateFile(tmp_path, busy_s=0), Owners(tmp_path)
    file.open()  # else a thread would, whom a manual clock does not wait for
    desk = Desk(file)

    def make(provider: Any, *, clock: Any = None, journal: Any = None, store: Any = None, retry: Any = None) -> Any:
        executors.append(ThreadPoolExecutor(4))
        clock, store = clock or SystemClock(), store or MemoryStore()
        journal = journal or MemoryJournal()
        catalog = Catalog(aliases={"fast": "fake/small", "medium": "fake/small", "strong": "fake/large"})
        catalog.add(provider.models())
        budgets = Budgets(desk, owners, clock, {}, {}, on_alert=journal.write, on_lost=print)
        services = Services(
            catalog=catalog,
            providers={provider.name: provider},
            journal=journal,
            cache=ExactCache(store, clock),
            budgets=budgets,
            circuits=Breakers(BreakerPolicy(), clock, journal.write),
            limits=Limits(desk, owners, clock, {}, {}),
            retry=retry or RetryPolicy(first_wait_s=0.001, most_wait_s=0.001),
            timeouts=Timeouts(),
            clock=clock,
            executor=executors[-1],
        )
        return World(clock, journal, store, services, budgets)

    yield make
    for executor in executors:
        executor.shutdown(wait=True)
    desk.close()
    owners.close()


def a_request(prompt: Any = "hello", **changes: Any) -> Any:
    origin = Origin(run_id=RunId("run"), flow="triage", step="reply", item=0)
    return Request(id=RequestId(new_id()), origin=origin, messages=(user(prompt),), **changes)
