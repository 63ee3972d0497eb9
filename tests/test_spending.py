"""What notebook and command line say of money and of prices that were wrong."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.catalog import Price
from orchestration_nb.cost.burn import Burn
from orchestration_nb.errors import UnknownModelError, UsageError
from orchestration_nb.flows import Flow
from orchestration_nb.ledger import JournalFile
from orchestration_nb.spending import PriceToMend, burn_rows, headline, moment, repricing_sentences, spending
from orchestration_nb.testing import FakeProvider, fake_workspace
from orchestration_nb.workspace import Workspace
from tests.ledger import happened

NOVEMBER = datetime(2026, 11, 1)  # noqa: DTZ001 - naive UTC


@pytest.fixture
def house(workspace: Path) -> Workspace:
    return Workspace(workspace, environ={})


def journal(house: Workspace, *calls: dict[str, Any]) -> None:
    file = JournalFile(house.folder)
    for fields in calls:
        file.write(happened.call(**{"started_at": happened.now(), **fields}))
    file.close()


def said(house: Workspace) -> str:
    return " ".join(headline(spending(house, "model", 30)))


def test_nothing_was_asked_yet(house: Workspace) -> None:
    assert said(house).startswith("No call was made since ")


def test_simulated_dollars_are_never_called_spent(house: Workspace) -> None:
    journal(house, {"simulated": True, "cost_usd": 3.0, "billed_usd": 3.0})
    assert "Nothing real was spent" in said(house)
    assert "$3.00 (simulated, no money)" in said(house)
    assert "$3.00 spent" not in said(house)


def test_what_may_have_been_billed_is_told_apart(house: Workspace) -> None:
    journal(house, {"cost_usd": 1.0, "billed_usd": 1.5, "bill_unknown": True}, {"simulated": True})
    assert said(house).startswith("$1.00 spent since ")
    assert "Up to $0.5 more may have been billed" in said(house)
    assert "1 simulated call is left out: it cost nothing." in said(house)


def test_budgets_say_where_they_end() -> None:
    month = {"begins": NOVEMBER, "ends": NOVEMBER + timedelta(days=30), "limit_usd": 100.0, "held_usd": 1.0}
    told = burn_rows([
        Burn(budget="a", spent_usd=60.0, forecast_usd=120.0, **month),  # type: ignore[arg-type]
        Burn(budget="b", spent_usd=1.0, forecast_usd=None, **month),  # type: ignore[arg-type]
        Burn(budget="c", spent_usd=9.0, forecast_usd=None, **(month | {"ends": None})),  # type: ignore[arg-type]
    ])  # fmt: skip
    assert [row[-1] for row in told] == [
        "$120.00 on 01 December, used up on 26 November 00:00 UTC", "too early to say", "–",
    ]  # fmt: skip
    assert told[0][:-1] == ("a", "$60.00", "$100.00", "60%", "$1.00")


def test_budgets_of_the_settings_stand_beside_what_was_spent(workspace: Path) -> None:
    (workspace / "orchestrate.toml").write_text('[budgets.month]\nusd = 0.01\nperiod = "month"\n')
    house = fake_workspace(workspace, FakeProvider(lambda _request: "fine"))
    Flow.from_source("topic = llm('What is it about?')", name="triage", workspace=house).run()
    (burn,) = spending(house, "model", 30).burns
    assert (burn.budget, burn.limit_usd) == ("month", 0.01)
    assert burn.spent_usd == pytest.approx(20e-6)
    assert burn.ends is not None
    assert burn.ends.day == 1


def test_a_run_that_burns_too_fast_stands_among_the_alerts(workspace: Path) -> None:
    house = fake_workspace(workspace, FakeProvider(lambda _request: "fine"))
    flow = Flow.from_source("topic = llm(body)", name="triage", workspace=house)
    run = flow.map(pd.DataFrame({"body": [f"ticket {n}" for n in range(60)]}), budget=0.0008, on_budget="alert")
    told = house.ledger.sql("select run_id, message from alerts where kind = 'burn'").to_numpy().tolist()
    assert [run_id for run_id, _ in told] == [run.id]
    assert told[0][1].startswith("At this pace the run's budget of $0.0008 lasts for about 40 of 60 items")


class TestPriceToMend:
    def test_without_prices_those_that_hold_now(self, workspace: Path) -> None:
        prices = "input_usd_per_mtok = 1\noutput_usd_per_mtok = 2\nreasoning_usd_per_mtok = 3\n"
        (workspace / "orchestrate.toml").write_text(f'[models."openai/gpt-4.1-mini"]\n{prices}')
        (event,) = PriceToMend(model="openai/gpt-4.1-mini").corrections(Workspace(workspace, environ={}))
        assert (event.input_usd_per_mtok, event.output_usd_per_mtok, event.reasoning_usd_per_mtok) == (1, 2, 3)

    def test_with_tiers_each_is_a_correction(self, house: Workspace) -> None:
        house.catalog.price_of = lambda *_: Price(
            input_usd_per_mtok=1,
            output_usd_per_mtok=2,
            longer=((9, Price(input_usd_per_mtok=3, output_usd_per_mtok=4)),),
        )
        house.catalog.open_providers |= {"house"}
        events = PriceToMend(model="house/large").corrections(house)
        assert [(event.above_tokens, event.input_usd_per_mtok) for event in events] == [(None, 1), (9, 3)]
        assert len({event.repriced_at for event in events}) == 1
        (told,) = repricing_sentences(events, house.ledger.changes(events))
        assert told.startswith("No call of house/large would change")
        assert told.endswith("$1 in and $2 out per million tokens, $3 and $4 for prompts above 9 tokens.")

    def test_a_model_that_is_no_longer_listed_needs_its_price(self, house: Workspace) -> None:
        with pytest.raises(UnknownModelError):
            PriceToMend(model="gone/model").corrections(house)
        paid = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0, "cached_usd_per_mtok": None}
        (event,) = PriceToMend(model="gone/model", paid=paid).corrections(house)
        assert event.model == "gone/model"

    def test_half_a_price_is_none(self, house: Workspace) -> None:
        with pytest.raises(UsageError, match="needs --input and --output"):
            PriceToMend(model="fast", paid={"cached_usd_per_mtok": 1.0}).corrections(house)

    def test_a_model_without_a_price_needs_one(self, house: Workspace) -> None:
        house.catalog.open_providers |= {"house"}
        with pytest.raises(UsageError, match="Nobody knows what house/large costs"):
            PriceToMend(model="house/large").corrections(house)

    def test_batches_cost_what_the_settings_say_of_their_host(self, workspace: Path) -> None:
        (workspace / "orchestrate.toml").write_text(
            '[providers.office]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\nbatch_price = 0.75\n'
            '[models."office/large"]\ninput_usd_per_mtok = 2\noutput_usd_per_mtok = 8\n'
        )
        office = Workspace(workspace, environ={})
        (event,) = PriceToMend(model="office/large").corrections(office)
        assert event.batch_share == 0.75
        paid = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
        (event,) = PriceToMend(model="gone/model", paid=paid).corrections(office)
        assert event.batch_share is None

    def test_an_alias_stands_for_its_model(self, house: Workspace) -> None:
        assert PriceToMend(model="fast").corrections(house)[0].model == "sim/small"


def test_moments_are_utc() -> None:
    assert moment("2026-11-01") == NOVEMBER
    assert moment("2026-11-01T02:00+02:00") == NOVEMBER
    with pytest.raises(UsageError, match="'yesterday' is no date"):
        moment("yesterday")
