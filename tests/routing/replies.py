"""Replies from a table, on the virtual clock."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from orchestration_nb.calls import Decision, ModelStats, Request
from orchestration_nb.evals.virtual_time import Alone, Banked, alone
from orchestration_nb.messages import user
from tests.routing.test_strategies import reply, request


@dataclass
class Replies:
    """What each model says, or raises, and how long it takes: ``Replies(fast=("4", 200), strong=ServerFailedError())``.

    A list says one thing for each sample.
    """

    said: dict[str, Any]
    stats: dict[str, ModelStats] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)

    def fetch(
        self, model: str, *, sample: int, wait: bool, instead: Collection[str]
    ) -> concurrent.futures.Future[Banked]:
        del wait, instead
        self.asked.append((model, sample))
        said = self.said[model]
        said = said[sample] if isinstance(said, list) else said
        what, latency_ms = said if isinstance(said, tuple) else (said, 100.0)
        future: concurrent.futures.Future[Banked] = concurrent.futures.Future()
        failed = isinstance(what, BaseException)
        answer = None if failed else reply(what, model=model) if isinstance(what, str) else replace(what, model=model)
        future.set_result(Banked(reply=answer, error=what if failed else None, latency_ms=latency_ms, most_usd=1.0))
        return future

    def observe(self, model: str) -> ModelStats:
        return self.stats.get(model, ModelStats(model=model))

    def answer(self, strategy: Any, prompt: str = "hi", *, seed: str = "0") -> tuple[Alone, Decision]:
        """What a strategy comes to."""
        asked: Request = replace(
            request(seed), messages=(user(prompt),), decision=Decision(seed=seed, observe=self.observe)
        )
        return alone(strategy, asked, self.fetch), asked.decision

    @property
    def models(self) -> list[str]:
        """Who was asked, in order."""
        return [model for model, _ in self.asked]


def says(**said: Any) -> Replies:
    """Models that say these things."""
    return Replies(said)
