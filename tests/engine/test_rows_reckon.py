"""Every row of a call reckons: its cost is that of its tokens at the price that stands in it, to the last digit."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import pytest

from orchestration_nb.calls import OutputSchema, RawReply, Usage
from orchestration_nb.catalog import Price
from orchestration_nb.engine.request import answer
from orchestration_nb.errors import SchemaNotMetError
from orchestration_nb.ledger.repricing import PRICES
from orchestration_nb.testing import FakeProvider
from tests.engine.conftest import a_request


@dataclass
class Tally:
    cost_usd: float = 0.0
    billed_usd: float = 0.0


def parse(text: str) -> Any:
    if text != "fits":
        raise SchemaNotMetError("It does not fit.", reply=text)
    return text


SCHEMA = OutputSchema(name="reply", json_schema={"type": "object"}, parse=parse)
TIERED = Price(
    input_usd_per_mtok=1.0,
    output_usd_per_mtok=2.0,
    cached_usd_per_mtok=0.1,
    cache_write_usd_per_mtok=1.25,
    reasoning_usd_per_mtok=3.0,
    longer=((1_000, Price(input_usd_per_mtok=2.0, output_usd_per_mtok=4.0)),),
)


def world_of(make_world: Any, replies: list[RawReply]) -> Any:
    world = make_world(FakeProvider(lambda request: replies.pop(0)))
    small = world.services.catalog.models["fake/small"]
    world.services.catalog.models["fake/small"] = replace(small, price=TIERED)
    return world


def reckoned(call: Any) -> float:
    price = Price(**{name: getattr(call, name) for name in PRICES})
    return price.cost_usd(Usage(**{name: getattr(call, name) for name in Usage.__dataclass_fields__}))


async def test_whatever_a_server_counts(make_world: Any, dice: random.Random) -> None:
    """Cached tokens beside the input, thought beside the output, and replies that do not fit, which are paid too."""
    for number in range(100):
        longest = dice.choice([400, 40_000])
        low = 0 if longest == 400 else 1_001
        usages = [
            Usage(
                input_tokens=dice.randrange(low, longest),
                cached_tokens=dice.randrange(0, 500),
                cache_write_tokens=dice.randrange(0, 200),
                output_tokens=dice.randrange(0, 300),
                reasoning_tokens=dice.randrange(0, 500),
            )
            for _ in range(dice.choice([1, 1, 2, 3]))
        ]
        replies = [RawReply(text="no", usage=usage) for usage in usages[:-1]] + [
            RawReply(text="fits", usage=usages[-1])
        ]
        world = world_of(make_world, replies)
        await answer(a_request(f"question {number}", output=SCHEMA), world.context(), Tally())
        (call,) = world.journal.of("call")
        assert call.input_usd_per_mtok == (1.0 if longest == 400 else 2.0)
        assert abs(call.cost_usd - reckoned(call)) < 1e-12
        assert abs(call.cost_usd - sum(TIERED.cost_usd(usage.whole()) for usage in usages)) < 1e-12


async def test_a_row_of_two_tiers_has_no_price_rather_than_a_wrong_one(make_world: Any) -> None:
    usages = [Usage(input_tokens=900), Usage(input_tokens=1_100)]
    world = world_of(make_world, [RawReply(text="no", usage=usages[0]), RawReply(text="fits", usage=usages[1])])
    await answer(a_request(output=SCHEMA), world.context(), Tally())
    (call,) = world.journal.of("call")
    assert call.cost_usd == pytest.approx((900 * 1.0 + 1_100 * 2.0) / 1e6)
    assert call.input_usd_per_mtok is None
