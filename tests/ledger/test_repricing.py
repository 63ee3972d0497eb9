"""A price that was wrong: what was reckoned with it is reckoned anew, the same in whatever order it is learnt."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.calls import Usage
from orchestration_nb.catalog import Price
from orchestration_nb.events import CallFinished, Event, Repriced
from orchestration_nb.ledger import JournalFile, Ledger, merge
from orchestration_nb.ledger.repricing import PRICES, corrections
from tests.ledger import happened
from tests.ledger.conftest import Write

MODEL = "openai/gpt-4.1-mini"
WRONG = Price(input_usd_per_mtok=0.4, output_usd_per_mtok=1.6, cached_usd_per_mtok=0.1)
RIGHT = Price(input_usd_per_mtok=0.8, output_usd_per_mtok=1.6, cached_usd_per_mtok=0.2, reasoning_usd_per_mtok=2.0)
USAGE = Usage(input_tokens=1_000, cached_tokens=400, output_tokens=300, reasoning_tokens=100)
NO_PRICE: dict[str, Any] = dict.fromkeys(PRICES)
LATER = happened.NOON + timedelta(hours=1)


def paid(run: str = "r", usage: Usage = USAGE, price: Price = WRONG, **fields: Any) -> CallFinished:
    """A call that was reckoned with a price."""
    paid_at = price.at(usage.input_tokens)
    cost = {"cost_usd": price.cost_usd(usage), "billed_usd": price.cost_usd(usage)}
    tokens = {name: getattr(usage, name) for name in Usage.__dataclass_fields__}
    prices = {name: getattr(paid_at, name) for name in PRICES}
    return happened.call(run, **(tokens | prices | cost | {"model": MODEL} | fields))


def correct(
    price: Price = RIGHT, *, at: datetime = LATER, batch_share: float | None = None, **span: datetime | None
) -> tuple[Repriced, ...]:
    return corrections(MODEL, price, **({"since": None, "until": None} | span), now=at, batch_share=batch_share)


def money(ledger: Ledger) -> Any:
    """Cost and bill of the one call."""
    return ledger.sql("select cost_usd, billed_usd from calls").to_numpy().tolist()[0]


def one_run(name: str = "r", **fields: Any) -> tuple[Event, ...]:
    """A run of two items, two requests each, two calls a request."""
    events: list[Event] = [happened.run_started(name)]
    total = 0.0
    for number in range(2):
        for step in ("queue", "reply"):
            calls = [paid(name, **fields) for _ in range(2)]
            cost = sum(call.cost_usd for call in calls)
            asked = happened.request(name, item=number, step=step, cost_usd=cost, billed_usd=cost, model=MODEL)
            events += [replace(call, request_id=asked.request_id) for call in calls] + [asked]
        total += 2 * cost
        steps = tuple(happened.step(step, cost_usd=cost) for step in ("queue", "reply"))
        events.append(happened.item(name, number, cost_usd=2 * cost, billed_usd=2 * cost, steps=steps))
    return (*events, happened.run_finished(name, cost_usd=total, billed_usd=total))


def test_all_that_adds_up_calls_is_added_up_anew(write: Write, ledger: Ledger) -> None:
    write(*one_run())
    ledger.reprice(correct())
    one = RIGHT.cost_usd(USAGE)
    for table, calls in (("calls", 1), ("requests", 2), ("items", 4), ("runs", 8)):
        rows = ledger.sql(f"from {table}")
        assert rows.cost_usd.tolist() == pytest.approx([calls * one] * len(rows)), table
        assert rows.billed_usd.tolist() == pytest.approx([calls * one] * len(rows)), table
    assert ledger.sql("from steps").cost_usd.tolist() == pytest.approx([2 * one] * 4)
    row = ledger.sql("from calls").iloc[0]
    assert [row[name] for name in PRICES[:3]] == [0.8, 1.6, 0.2]


def test_again_changes_nothing(write: Write, ledger: Ledger) -> None:
    write(*one_run())
    ledger.reprice(correct())
    before = everything(ledger)
    again = correct(at=LATER + timedelta(hours=1))
    assert ledger.changes(again).calls == 0
    ledger.reprice(again)
    assert everything(ledger) == before


def test_what_is_shown_first_is_what_comes(write: Write, ledger: Ledger) -> None:
    write(*one_run(), paid("r2", batch=True, price=WRONG.times(0.5)), paid("r2", price=RIGHT))
    shown = ledger.changes(correct())
    assert shown.calls == 9
    assert shown.unpriced == 0
    assert shown.rows.batch.tolist() == [True, False]
    old, new = WRONG.cost_usd(USAGE), RIGHT.cost_usd(USAGE)
    assert shown.rows.cost_usd.tolist() == pytest.approx([old / 2, 8 * old])
    assert shown.rows.new_cost_usd.tolist() == pytest.approx([new / 2, 8 * new])
    assert ledger.sql("select sum(cost_usd) as usd from calls").usd[0] == pytest.approx(8.5 * old + new)
    ledger.reprice(correct())
    assert ledger.sql("select sum(cost_usd) as usd from calls").usd[0] == pytest.approx(9.5 * new)


class TestACall:
    def test_that_was_not_meant_stays(self, write: Write, ledger: Ledger) -> None:
        old = WRONG.cost_usd(USAGE)
        write(paid(), paid(model="openai/gpt-4.1"), paid(started_at=LATER))
        ledger.reprice(correct())
        rows = ledger.sql("select cost_usd from calls order by cost_usd").cost_usd.tolist()
        assert rows == pytest.approx([old, old, RIGHT.cost_usd(USAGE)])

    @pytest.mark.parametrize(
        ("since", "until", "meant"),
        [(0, None, True), (1, None, False), (None, 0, False), (None, 1, True), (-1, 1, True), (None, 9_000, True)],
    )
    def test_of_the_time_that_is_named(
        self, write: Write, ledger: Ledger, since: int | None, until: int | None, *, meant: bool
    ) -> None:
        write(paid())
        bounds = [None if second is None else happened.NOON + timedelta(seconds=second) for second in (since, until)]
        ledger.reprice(correct(since=bounds[0], until=bounds[1]))
        assert money(ledger)[0] == pytest.approx((RIGHT if meant else WRONG).cost_usd(USAGE))

    def test_from_the_cache_is_still_not_billed(self, write: Write, ledger: Ledger) -> None:
        write(paid(cache="exact", billed_usd=0.0))
        ledger.reprice(correct())
        assert money(ledger) == pytest.approx([RIGHT.cost_usd(USAGE), 0.0])

    def test_whose_cost_was_recorded_elsewhere_stays(self, write: Write, ledger: Ledger) -> None:
        write(paid(cost_usd=7.0, billed_usd=7.0, **NO_PRICE))
        assert ledger.changes(correct()).unpriced == 1
        ledger.reprice(correct())
        assert money(ledger) == [7.0, 7.0]

    def test_through_a_batch_keeps_its_share(self, write: Write, ledger: Ledger) -> None:
        write(paid(batch=True, price=WRONG.times(0.5)))
        ledger.reprice(correct())
        assert money(ledger)[0] == pytest.approx(RIGHT.cost_usd(USAGE) / 2)
        assert ledger.sql("from calls").input_usd_per_mtok[0] == 0.4

    def test_through_a_batch_of_another_host_costs_the_share_of_that_host(self, write: Write, ledger: Ledger) -> None:
        write(paid(batch=True, price=WRONG.times(0.75)))
        assert ledger.changes(correct(WRONG, batch_share=0.75)).calls == 0
        shown = ledger.changes(correct(batch_share=0.75)).rows
        ledger.reprice(correct(batch_share=0.75))
        assert money(ledger)[0] == shown.new_cost_usd[0] == pytest.approx(RIGHT.cost_usd(USAGE) * 0.75)

    def test_that_may_have_been_billed_follows_the_dearest_price(self, write: Write, ledger: Ledger) -> None:
        most = WRONG.most_usd(5_000, 0)
        write(paid(usage=Usage(), billed_usd=most, bill_unknown=True))
        ledger.reprice(correct())
        assert money(ledger) == pytest.approx([0.0, RIGHT.most_usd(5_000, 0)])

    def test_answered_after_a_try_that_may_have_been_billed(self, write: Write, ledger: Ledger) -> None:
        write(paid(billed_usd=WRONG.cost_usd(USAGE) + 0.5, bill_unknown=True))
        ledger.reprice(correct(WRONG.times(3)))
        assert money(ledger)[1] == pytest.approx(3 * (WRONG.cost_usd(USAGE) + 0.5))

    def test_with_a_long_prompt_gets_the_price_of_long_prompts(self, write: Write, ledger: Ledger) -> None:
        tiered = replace(RIGHT, longer=((900, RIGHT.times(2)), (5_000, RIGHT.times(3))))
        lengths = (900, 901, 5_001)
        usages = [Usage(input_tokens=length, output_tokens=10) for length in lengths]
        write(*(paid(f"r{usage.input_tokens}", usage) for usage in usages))
        ledger.reprice(correct(tiered))
        rows = ledger.sql("from calls order by input_tokens")
        assert rows.cost_usd.tolist() == pytest.approx([tiered.cost_usd(usage) for usage in usages])

    def test_is_reckoned_exactly_from_its_row(self, write: Write, ledger: Ledger, dice: random.Random) -> None:
        """Also where a server counts cached tokens beside the input, or thought beside what was said."""
        calls = []
        for _ in range(300):
            usage = Usage(**{name: dice.choice([0, dice.randrange(10**6)]) for name in Usage.__dataclass_fields__})
            calls.append(paid(usage=usage, price=random_price(dice)))
        write(*calls)
        by_class = "input_usd + cached_usd + cache_write_usd + output_usd + reasoning_usd"
        farthest = f"select max(abs(cost_usd - ({by_class}))) as usd from costs"
        assert ledger.sql(farthest).usd[0] < 1e-12
        new = random_price(dice)
        ledger.reprice(correct(new))
        assert ledger.sql(farthest).usd[0] < 1e-12
        tokens = list(Usage.__dataclass_fields__)
        rows = ledger.sql(f"select cost_usd, {', '.join(tokens)} from calls").to_numpy().tolist()
        assert len(rows) == 300
        for cost_usd, *counts in rows:
            usage = Usage(**dict(zip(tokens, map(int, counts), strict=True)))
            assert abs(cost_usd - new.cost_usd(usage)) < 1e-12


def random_price(dice: random.Random) -> Price:
    prices = {name: dice.uniform(0, 80) for name in PRICES}
    for name in PRICES[2:]:
        if dice.random() < 0.5:
            del prices[name]
    return Price(**prices)  # type: ignore[arg-type]


def everything(ledger: Ledger) -> dict[str, Any]:
    """All that is told of money, in an order of its own."""
    questions = {
        "calls": f"select call_id, cost_usd, billed_usd, {', '.join(PRICES)} from calls order by 1",
        "requests": "select request_id, cost_usd, billed_usd from requests order by 1",
        "steps": "select run_id, item, step, cost_usd from steps order by all",
        "items": "select run_id, item, cost_usd, billed_usd from items order by all",
        "runs": "select run_id, status, cost_usd, billed_usd from runs order by 1",
    }
    return {name: plain(ledger.sql(question)) for name, question in questions.items()}


def plain(frame: pd.DataFrame) -> Any:
    return frame.astype(object).where(frame.notna(), None).to_numpy().tolist()


def a_process(dice: random.Random, number: int) -> list[Event]:
    """Runs, some of them without an end, and corrections between them."""
    events: list[Event] = []
    for count in range(dice.randrange(1, 4)):
        began = happened.NOON + timedelta(minutes=dice.randrange(300))
        price = random_price(dice)
        run = list(one_run(f"r{number}-{count}", started_at=began, price=price, bill_unknown=dice.random() < 0.3))
        events += run[: dice.randrange(2, len(run) + 1)]
    for _ in range(dice.randrange(3)):
        at, since = (happened.NOON + timedelta(minutes=dice.randrange(300)) for _ in range(2))
        price = random_price(dice)
        price = replace(price, longer=((900, price.times(2)),)) if dice.random() < 0.5 else price
        for one in correct(price, at=at, since=dice.choice([None, since])):
            events.insert(dice.randrange(len(events) + 1), one)
    return events


@contextmanager
def journals_of(folder: Path, processes: Sequence[list[Event]]) -> Iterator[list[Path]]:
    paths = []
    for events in processes:
        journal = JournalFile(folder)
        for event in events:
            journal.write(event)
        journal.close()
        assert journal.path is not None
        paths.append(journal.path)
    yield paths


@pytest.mark.parametrize("_time", range(3))
def test_the_order_in_which_journals_are_merged_makes_no_difference(
    tmp_path: Path, dice: random.Random, monkeypatch: pytest.MonkeyPatch, _time: int
) -> None:
    processes = [a_process(dice, number) for number in range(3)]
    processes.append(list(correct(random_price(dice), at=happened.NOON + timedelta(minutes=200))))
    (tmp_path / "at-once").mkdir()
    with journals_of(tmp_path / "at-once", processes) as paths:
        expected = everything(Ledger(tmp_path / "at-once"))
    assert Ledger(tmp_path / "at-once").sql("select count(*) as n from as_recorded").n[0] > 0
    journal = tmp_path / ".orchestrate" / "journal"
    journal.mkdir(parents=True)
    monkeypatch.setattr(merge, "BATCH_BYTES", dice.choice([700, 5_000, 2**20]))
    merged = tmp_path / "at-once" / ".orchestrate" / "journal" / "merged"
    for name in dice.sample([path.name for path in paths], len(paths)):
        (merged / name).rename(journal / name)
        Ledger(tmp_path).merge()
    assert everything(Ledger(tmp_path)) == expected
    (tmp_path / ".orchestrate" / "ledger.duckdb").unlink()
    assert everything(Ledger(tmp_path)) == expected


def test_pruned_runs_leave_nothing_of_their_first_price(write: Write, ledger: Ledger) -> None:
    write(*one_run())
    ledger.reprice(correct())
    ledger.prune(0)
    assert ledger.sql("from as_recorded").empty
