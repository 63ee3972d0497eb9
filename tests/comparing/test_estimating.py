"""Where replies are missing: what logged random choices tell, against what a comparison finds."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.calls import Ask, RawReply, Reply, Request, Strategy, Usage
from orchestration_nb.comparing.compare import compare
from orchestration_nb.comparing.what_if import WhatIf, what_if
from orchestration_nb.errors import BadRequestError
from orchestration_nb.flows import Flow
from orchestration_nb.routing.weighted import weighted
from orchestration_nb.testing import FakeProvider, fake_workspace

ITEMS = 600
TABLE = pd.DataFrame(
    {"word": [f"{'long ' * (number % 3)}w{number}" for number in range(ITEMS)], "gold": "yes", "kind": ["a", "b"] * 300}
)
SCORE = "reply=exact:gold"


class Telling(FakeProvider):
    """The small model knows what is short, the large one most; the large one costs five times as much."""

    failing = False

    async def send(self, model: Any, request: Request, *, timeouts: Any) -> RawReply:
        await super().send(model, request, timeouts=timeouts)
        dice = random.Random(f"{model.name} {request.prompt}")
        if self.failing and dice.random() < 0.1:
            raise BadRequestError("Nobody can read it.", billing="no")
        right = 0.9 if model.wire_name == "large" else 0.8 - 0.25 * request.prompt.count("long")
        usage = Usage(input_tokens=10, output_tokens=5 if model.wire_name == "small" else 45)
        return RawReply(text="yes" if dice.random() < right else "no", usage=usage, latency_ms=100.0)


def flow_of(folder: Path, text: str = "reply = llm(word)") -> tuple[Flow, Telling]:
    provider = Telling(lambda _: RawReply(text="", usage=Usage()))
    return Flow.from_source(text, name="quiz", workspace=fake_workspace(folder, provider)), provider


async def by_length(request: Request, ask: Ask) -> Reply:
    """Asks the large model what is long."""
    return await ask("strong" if "long" in request.prompt else "fast")


async def often_by_length(request: Request, ask: Ask) -> Reply:
    """Mostly asks the large model what is long, and draws twice to do so."""
    model = request.choose({"fast": 1, "strong": 3}) if "long" in request.prompt else "fast"
    return await ask(model if model == "strong" else request.choose({"fast": 4, "strong": 1}))


async def doubting(request: Request, ask: Ask) -> Reply:
    reply = await ask("fast")
    return reply if reply.text == "yes" else await ask("strong")


ASKED: list[str | Strategy] = ["fast", "strong", by_length, often_by_length, doubting]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Flow, FakeProvider, WhatIf]:
    flow, provider = flow_of(tmp_path_factory.mktemp("logged"))
    flow.map(TABLE, strategy=weighted(fast=0.6, strong=0.4), seed=1)
    return flow, provider, what_if(flow, over=TABLE, strategies=ASKED, scorer=SCORE)


def test_estimates_hold_what_a_comparison_finds(logged: tuple[Flow, FakeProvider, WhatIf]) -> None:
    flow, provider, told = logged
    assert len(provider.requests) == ITEMS, "nothing was asked for the estimates"
    compared = compare(flow, over=TABLE, strategies=[each for each in ASKED if each is not doubting], scorer=SCORE)
    for name, found in told.estimates.items():
        if name == "doubting":
            continue
        truth = compared.outcomes(name)
        assert found.refusal == ""
        assert found.logged == ITEMS
        for estimate in found.quality.values():
            assert estimate.low <= truth.quality.mean() <= estimate.high, (name, estimate)
            assert estimate.high - estimate.low < 0.25
        for estimate in found.cost_usd.values():
            assert estimate.low - 1e-9 <= truth.cost_usd.mean() <= estimate.high + 1e-9, (name, estimate)
            assert estimate.high - estimate.low < estimate.value / 2, "a cost of 0.00002 is not bounded by 1"
    precise = told.estimates["by_length"]
    assert precise.quality["doubly robust"].standard_error <= precise.quality["ips"].standard_error


def test_the_estimates_are_said_beside_what_can_be_told(logged: tuple[Flow, FakeProvider, WhatIf]) -> None:
    _, _, told = logged
    said = repr(told)
    fast, strong = told.coverage["fast"].told, told.coverage["strong"].told
    assert fast + strong == ITEMS
    assert 300 < fast < 420
    assert f"{fast} of 600 items can be told for fast: quality 0." in said
    assert "0 of 600 items can be told for all of them" in said
    assert "by_length is estimated from 600 logged random choices, worth" in said
    assert "happened to be answered so" in said


def test_a_strategy_that_asks_several_models_is_not_estimated(logged: tuple[Flow, FakeProvider, WhatIf]) -> None:
    refused = logged[2].estimates["doubting"]
    assert "It asks several models for an item (seen for" in refused.sentence
    assert refused.quality == {}


def test_too_thin_a_log_is_refused_in_words(tmp_path: Path) -> None:
    flow, _ = flow_of(tmp_path)
    flow.map(TABLE.head(120), strategy=weighted(fast=0.9, strong=0.1), seed=1)
    told = what_if(flow, over=TABLE, strategies=["strong"], scorer=SCORE)
    assert "120 items are worth" in told.estimates["strong"].refusal
    assert "needed to estimate" in told.told[-1]


def test_without_choices_nothing_is_estimated(tmp_path: Path) -> None:
    flow, _ = flow_of(tmp_path)
    flow.map(TABLE.head(10), model="fast")
    told = what_if(flow, over=TABLE, strategies=["strong"], scorer=SCORE)
    assert told.estimates == {}
    assert "No random choice is logged for these questions" in told.told[-1]


def test_an_item_of_two_choices_is_not_estimated(tmp_path: Path) -> None:
    flow, _ = flow_of(tmp_path, "topic = llm(f'topic {word}')\nreply = llm(word)")
    flow.map(TABLE, strategy=weighted(fast=0.5, strong=0.5), seed=1)
    told = what_if(flow, over=TABLE, strategies=["strong"], scorer=SCORE)
    assert "more than one question" in told.estimates["strong"].refusal


def test_choices_that_failed_count_as_what_they_came_to(tmp_path: Path) -> None:
    async def drawn(request: Request, ask: Ask) -> Reply:
        return await ask(request.choose({"fast": 0.5, "strong": 0.5}))

    flow, provider = flow_of(tmp_path)
    provider.failing = True
    run = flow.map(TABLE, strategy=drawn, seed=1)
    failed = int((run.results._status == "failed").sum())
    assert failed > 30
    provider.failing = False
    found = what_if(flow, over=TABLE, strategies=["fast"], scorer=SCORE).estimates["fast"]
    drew_small = flow.workspace.ledger.sql(
        "select count(*) as n, count(*) filter (reply = 'yes') as is_right from calls join texts using (call_id) "
        "where model = 'fake/small'"
    ).iloc[0]
    assert found.logged == ITEMS
    assert found.quality["snips"].value == pytest.approx(drew_small.is_right / drew_small.n)


def test_what_a_comparison_asked_is_no_log(tmp_path: Path) -> None:
    async def drawn(request: Request, ask: Ask) -> Reply:
        return await ask(request.choose({"fast": 0.5, "strong": 0.5}))

    flow, _ = flow_of(tmp_path)
    compare(flow, over=TABLE.head(150), strategies=[drawn], models=[], scorer=SCORE)
    told = what_if(flow, over=TABLE.head(150), strategies=["fast"], scorer=SCORE)
    assert told.estimates == {}
