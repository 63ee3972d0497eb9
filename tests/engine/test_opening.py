"""A call that is alone takes claim, money and turn in one transaction, and nothing that it does not use."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestration_nb.clock import SystemClock
from orchestration_nb.config import LimitSettings
from orchestration_nb.cost.budget import Budgets
from orchestration_nb.engine.request import answer
from orchestration_nb.errors import OverBudgetError
from orchestration_nb.resilience import Limits
from orchestration_nb.state.desk import Desk
from orchestration_nb.state.owners import Owners
from orchestration_nb.state.replies import Replies
from orchestration_nb.state.seal import Seal
from orchestration_nb.state.store import StateFile
from orchestration_nb.testing import FakeProvider, settle
from tests.engine.conftest import World, a_request

MakeWorld = Callable[..., World]


@dataclass
class Tally:
    cost_usd: float = 0.0
    billed_usd: float = 0.0


@dataclass
class Alone:
    """A process whose cache, budgets and limits stand in one file; ``seen`` are its statements."""

    world: World
    desk: Desk
    seen: list[str]

    async def ask(self, prompt: str = "hello", *, budget: float = 5.0, fresh: bool = False) -> Any:
        return await answer(a_request(prompt, model="fast"), self.world.context(budget=budget, fresh=fresh), Tally())

    def begun(self) -> int:
        return self.seen.count("begin immediate")


@pytest.fixture
def make_alone(make_world: MakeWorld, tmp_path: Path) -> Iterator[Callable[..., Alone]]:
    opened: list[tuple[Desk, Owners]] = []

    def make(provider: FakeProvider | None = None, **limits: Any) -> Alone:
        file, owners, clock = StateFile(tmp_path, busy_s=0), Owners(tmp_path), SystemClock()
        connection = file.open()
        desk = Desk(file, crowd=lambda: world.services.asking)
        opened.append((desk, owners))
        replies = Replies(desk, owners, clock, Seal(tmp_path / "cache.key"))
        world = make_world(provider or FakeProvider(lambda _: "yes"), store=replies)
        world.budgets = world.services.budgets = Budgets(desk, owners, clock, {}, {}, on_alert=print, on_lost=print)
        said = LimitSettings(**{"requests_per_minute": 1000, "tokens_per_minute": 10**9, "concurrent": 5, **limits})
        world.services.limits = Limits(desk, owners, clock, {"fake": said}, {})
        alone = Alone(world, desk, [])
        connection.set_trace_callback(alone.seen.append)
        return alone

    yield make
    for desk, owners in opened:
        desk.close()
        owners.close()


def left_behind(workspace: Path) -> dict[str, Any]:
    """What a stranger finds to be under way."""
    with sqlite3.connect(workspace / ".orchestrate" / "state.sqlite") as connection:
        held = {
            name: connection.execute(f"select coalesce(sum({what}), 0) from {name}").fetchone()[0]
            for name, what in (("accounts", "held"), ("places", "taken"), ("holds", "1"), ("claims", "1"))
        }
    connection.close()
    return held


NOTHING = {"accounts": 0, "places": 0, "holds": 0, "claims": 0}


async def test_claim_money_and_turn_are_one_transaction_before_the_wire(
    make_alone: Callable[..., Alone], tmp_path: Path
) -> None:
    begun: list[int] = []
    provider = FakeProvider(lambda _: "yes")
    alone = make_alone(provider)
    send = provider.send

    async def counting(*args: Any, **more: Any) -> Any:
        begun.append(alone.begun())
        under_way.append(left_behind(tmp_path))
        return await send(*args, **more)

    under_way: list[dict[str, Any]] = []
    provider.send = counting  # type: ignore[method-assign]
    context = alone.world.context()
    for number in range(4):
        before = alone.begun()
        await answer(a_request(f"{number}", model="fast"), context, Tally())
        begun[-1] -= before
        await alone.desk.flush()
    assert begun[0] > 1  # the first looks for the dead, and makes the accounts
    assert begun[1:] == [1, 1, 1]
    assert all((held["holds"], held["places"], held["claims"]) == (1, 1, 1) for held in under_way)
    assert left_behind(tmp_path) == NOTHING


async def test_a_reply_that_stands_in_the_store_takes_no_money(
    make_alone: Callable[..., Alone], tmp_path: Path
) -> None:
    first = make_alone()
    await first.ask("known")
    await first.desk.flush()
    second = make_alone()
    await second.ask("another")  # from here on it would be taken at once
    await second.desk.flush()
    second.seen.clear()
    assert (await second.ask("known")).cache == "exact"
    await second.desk.flush()
    assert not [text for text in second.seen if text.startswith(("insert into holds", "insert into windows"))]
    assert left_behind(tmp_path) == NOTHING


async def test_what_the_budget_does_not_cover_is_refused_as_ever(
    make_alone: Callable[..., Alone], tmp_path: Path
) -> None:
    alone = make_alone()
    await alone.ask("one")
    with pytest.raises(OverBudgetError):
        await alone.ask("two", budget=1e-9)
    await alone.desk.flush()
    assert left_behind(tmp_path) == NOTHING


async def test_a_turn_that_is_not_to_be_had_is_waited_for_with_the_money_in_hand(
    make_alone: Callable[..., Alone], tmp_path: Path
) -> None:
    alone = make_alone(concurrent=1)
    await alone.ask("one")
    await alone.desk.flush()
    with sqlite3.connect(tmp_path / ".orchestrate" / "state.sqlite") as other:
        other.execute("insert or replace into places values ('fake in flight', ?, 1)", (Owners(tmp_path).me,))
    other.close()
    asking = asyncio.ensure_future(alone.ask("two"))
    await settle()
    assert left_behind(tmp_path)["holds"] == 1
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await alone.desk.flush()
    assert {**left_behind(tmp_path), "places": 0} == NOTHING


@pytest.mark.parametrize("turns", [1, 3, 12])
async def test_one_that_is_cancelled_while_another_process_holds_the_file_gives_all_back(
    make_alone: Callable[..., Alone], tmp_path: Path, turns: int
) -> None:
    alone = make_alone()
    await alone.ask("one")
    await alone.desk.flush()
    other = sqlite3.connect(tmp_path / ".orchestrate" / "state.sqlite", isolation_level=None)
    other.execute("begin immediate")
    asking = asyncio.ensure_future(alone.ask("two"))
    for _ in range(turns):
        await asyncio.sleep(0)
    asking.cancel()
    await settle()
    other.execute("rollback")
    other.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await alone.desk.flush()
    await alone.desk.flush()  # what is given back is posted when it is known that it was taken
    assert left_behind(tmp_path) == NOTHING


async def test_the_same_question_again_is_not_taken_for_anothers_while_its_end_is_posted(
    make_alone: Callable[..., Alone], tmp_path: Path
) -> None:
    alone = make_alone()
    context = alone.world.context()
    await answer(a_request("first", model="fast"), context, Tally())
    cache = alone.world.services.cache
    began_s = asyncio.get_running_loop().time()
    for _ in range(20):
        await answer(a_request("again", model="fast"), context, Tally())
        cache._memory.clear()  # type: ignore[attr-defined]
    assert asyncio.get_running_loop().time() - began_s < 20 * 0.05
    assert alone.world.journal.of("call")[-1].cache == "exact"
    await alone.desk.flush()
    assert left_behind(tmp_path) == NOTHING
