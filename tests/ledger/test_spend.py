"""Where the money went: real money alone, what may have been billed apart, simulated dollars never called money."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.events import BudgetAlert, Event
from orchestration_nb.ledger import Ledger, grouping
from tests.ledger import happened
from tests.ledger.conftest import Write

TODAY = happened.now()
MINI, HAIKU = "openai/gpt-4.1-mini", "anthropic/claude-haiku-4-5"


def paid(run: str, usd: float, *, days_ago: int = 0, step: str = "queue", **fields: Any) -> tuple[Event, Event]:
    at = TODAY - timedelta(days=days_ago)
    asked = happened.request(run, step=step, started_at=at)
    money = {"cost_usd": usd, "billed_usd": usd, "started_at": at, "request_id": asked.request_id}
    return happened.call(run, **(money | fields)), asked


@pytest.fixture
def months(write: Write) -> None:
    write(
        happened.run_started("a", user="ada", notebook="triage.ipynb", tags={"team": "support"}),
        *paid("a", 1.0),
        *paid("a", 2.0, step="reply", model=HAIKU),
        *paid("a", 4.0, step="reply", model=HAIKU, days_ago=3),
        happened.run_started("b", user="bob", flow="digest", tags={}),
        *paid("b", 8.0, days_ago=40),
        *paid("b", 0.25, cache="exact", billed_usd=0.0, attempts=()),
        *paid("b", 99.0, model="sim/small", simulated=True),
        *paid("b", 0.5, billed_usd=0.75, bill_unknown=True),
        happened.call("killed", cost_usd=0.0, billed_usd=2.0, bill_unknown=True, recovered=True, attempts=(),
                      started_at=TODAY),
    )  # fmt: skip


@pytest.mark.usefixtures("months")
class TestSpend:
    @pytest.mark.parametrize(
        ("by", "expected"),
        [
            ("model", {HAIKU: 6.0, MINI: 1.5}),
            ("step", {"reply": 6.0, "queue": 1.5, "(no step)": 0.0}),
            ("flow", {"triage": 7.0, "digest": 0.5, "(no flow)": 0.0}),
            ("user", {"ada": 7.0, "bob": 0.5, "(nobody)": 0.0}),
            ("notebook", {"triage.ipynb": 7.0, "(no notebook)": 0.5}),
            ("tag:team", {"support": 7.0, "(no tag)": 0.5}),
            ("tag:no such", {"(no tag)": 7.5}),
            ("day", {f"{TODAY - timedelta(days=3):%Y-%m-%d}": 4.0, f"{TODAY:%Y-%m-%d}": 3.5}),
        ],
    )
    def test_by(self, ledger: Ledger, by: str, expected: dict[str, float]) -> None:
        spend = ledger.spend(by)
        assert dict(zip(spend.rows.iloc[:, 0], spend.rows.spent_usd, strict=True)) == expected
        assert list(spend.rows.iloc[:, 0]) == list(expected)
        assert not spend.simulated
        assert (spend.spent_usd, spend.unknown_usd, spend.left_out) == (7.5, 2.25, 1)

    def test_days_are_counted_with_today(self, ledger: Ledger) -> None:
        assert [ledger.spend(days=days).spent_usd for days in (1, 3, 4, 100)] == [3.5, 3.5, 7.5, 15.5]

    def test_the_days_add_up_to_the_rows(self, ledger: Ledger) -> None:
        spend = ledger.spend("model", days=100)
        assert spend.daily.usd.sum() == spend.spent_usd + spend.unknown_usd
        assert spend.daily.calls.sum() == spend.rows.calls.sum() == 7

    def test_plain_sql_answers_too(self, ledger: Ledger) -> None:
        rows = ledger.sql(
            "select user, sum(billed_usd) as usd from spend where step = $1 group by 1 order by 2", ["queue"]
        )
        assert rows.to_numpy().tolist() == [["ada", 1.0], ["bob", 8.75]]
        assert ledger.sql("select sum(unknown_usd) as usd from spend").usd[0] == 2.25


def test_with_nothing_real_spent_simulated_dollars_are_told_as_such(write: Write, ledger: Ledger) -> None:
    write(happened.run_started("r"), *paid("r", 3.0, model="sim/small", simulated=True))
    spend = ledger.spend()
    assert spend.simulated
    assert spend.money == "simulated_usd"
    assert "spent_usd" not in spend.rows
    assert spend.rows.simulated_usd.tolist() == [3.0]


def test_an_empty_ledger_has_spent_nothing(ledger: Ledger) -> None:
    spend = ledger.spend()
    assert (spend.spent_usd, spend.simulated, len(spend.rows)) == (0.0, False, 0)


def test_cost_is_told_by_class_of_tokens(write: Write, ledger: Ledger) -> None:
    write(happened.call(started_at=TODAY, reasoning_usd_per_mtok=3.2))
    row = ledger.spend().rows.iloc[0]
    told = {name: row[f"{name}_usd"] * 1e6 for name in ("input", "cached", "cache_write", "output", "reasoning")}
    assert told == pytest.approx({"input": 40, "cached": 2, "cache_write": 0, "output": 40, "reasoning": 16})


def test_alerts_are_told_newest_first(write: Write, ledger: Ledger) -> None:
    alerts = [
        BudgetAlert(kind="share", budget="day", share=share, spent_usd=share, limit_usd=1.0, message=f"{share:.0%}",
                    run_id=None, raised_at=TODAY - timedelta(days=days))
        for share, days in ((0.5, 2), (0.8, 1), (1.0, 40))
    ]  # fmt: skip
    write(*alerts)
    assert ledger.spend().alerts.message.tolist() == ["80%", "50%"]


@pytest.mark.parametrize(
    ("words", "by"),
    [
        ([], "model"),
        (["by", "step"], "step"),
        (["day"], "day"),
        (["tag:team"], "tag:team"),
        (["by", "tag:a b"], "tag:a b"),
    ],
)
def test_what_money_is_told_by(words: list[str], by: str) -> None:
    assert grouping(words) == by


@pytest.mark.parametrize(
    ("words", "hint"),
    [(["modle"], "`by model`"), (["by"], "There are: model"), (["by", "by"], "There are"), (["tag:"], "There are")],
)
def test_what_it_cannot_be_told_by(words: list[str], hint: str) -> None:
    with pytest.raises(UsageError, match="cannot be told by") as refused:
        grouping(words)
    assert hint in refused.value.hint


def test_less_than_a_day_is_none(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="no spend of 0 days"):
        ledger.spend(days=0)
