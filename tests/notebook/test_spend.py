"""``%orchestrate spend`` and ``reprice`` in a notebook: the table, the figure as data, and prices put right."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.cost.burn import Burn
from orchestration_nb.events import BudgetAlert
from orchestration_nb.ledger import JournalFile, Ledger
from orchestration_nb.notebook.spend import spend_bundle
from orchestration_nb.notebook.spend_figure import MOST_GROUPS, spend_figure
from orchestration_nb.spending import Spending
from tests.ledger import happened
from tests.notebook.shell import Shell

HOSTILE = "<a href='javascript:alert(1)'>$x$</a>\u202e"
NOW = happened.now()


def spending(folder: Path, *calls: dict[str, Any], by: str = "model", burns: tuple[Burn, ...] = ()) -> Spending:
    journal = JournalFile(folder)
    for fields in calls:
        journal.write(happened.call(**{"started_at": NOW, **fields}))
    journal.close()
    return Spending(spend=Ledger(folder).spend(by), burns=burns)


def burn(budget: str, spent_usd: float, *, limit_usd: float = 10.0, forecast_usd: float | None = None) -> Burn:
    ends = NOW + timedelta(days=10)
    return Burn(budget=budget, limit_usd=limit_usd, spent_usd=spent_usd, held_usd=1.0, begins=NOW, ends=ends,
                forecast_usd=forecast_usd)  # fmt: skip


def traces(spending: Spending, kind: str = "bar") -> list[dict[str, Any]]:
    return [trace for trace in spend_figure(spending)["data"] if trace["type"] == kind]


class TestFigure:
    def test_each_model_is_a_bar_of_each_day(self, tmp_path: Path) -> None:
        days = [{"started_at": NOW - timedelta(days=day), "billed_usd": 1.0 + day} for day in range(3)]
        drawn = traces(spending(tmp_path, *days, {"model": "a/b", "billed_usd": 9.0}))
        assert [trace["name"] for trace in drawn] == ["a/b", "openai/gpt-4.1-mini"]
        assert drawn[1]["y"] == [3.0, 2.0, 1.0]
        assert drawn[0]["hovertext"][0].endswith("&#36;9.00, 1 call")

    def test_the_many_are_one(self, tmp_path: Path) -> None:
        calls = [{"model": f"house/{number}", "billed_usd": 1.0 + number} for number in range(MOST_GROUPS + 3)]
        drawn = traces(spending(tmp_path, *calls))
        assert len(drawn) == MOST_GROUPS + 1
        assert (drawn[-1]["name"], drawn[-1]["y"]) == ("others", [1.0 + 2.0 + 3.0])

    def test_by_day_is_one_colour_without_a_legend(self, tmp_path: Path) -> None:
        (drawn,) = traces(spending(tmp_path, {}, {"model": "a/b"}, by="day"))
        assert drawn["showlegend"] is False

    def test_names_are_data(self, tmp_path: Path) -> None:
        found = spending(tmp_path, {"model": HOSTILE}, burns=(burn(HOSTILE, 2.0, forecast_usd=30.0),))
        text = json.dumps(spend_figure(found), ensure_ascii=False)
        assert "<a" not in text
        assert "$" not in text
        assert "\u202e" not in text

    def test_budgets_stand_as_shares_of_their_limit(self, tmp_path: Path) -> None:
        burns = (
            burn("full", 12.0),
            burn("month", 5.0, limit_usd=20.0, forecast_usd=90.0),
            burn("none", 0.0, limit_usd=0),
        )
        figure = spend_figure(spending(tmp_path, burns=burns))
        spent, held, ends = figure["data"]
        assert spent["x"] == [120.0, 25.0, 100.0]
        assert held["x"] == [10.0, 5.0, 100.0]
        assert (ends["y"], ends["x"]) == ([1], [200.0])
        assert figure["layout"]["yaxis2"]["ticktext"] == [
            "full<br>&#36;12.00 of &#36;10.00",
            "month<br>&#36;5.00 of &#36;20.00",
            "none<br>&#36;0.00 of &#36;0.00",
        ]
        assert [line["x0"] for line in figure["layout"]["shapes"]] == [50.0, 80.0, 100.0]

    def test_simulated_dollars_say_so_wherever_they_stand(self, tmp_path: Path) -> None:
        found = spending(tmp_path, {"simulated": True})
        figure = spend_figure(found)
        assert "simulated, no money" in figure["layout"]["title"]["text"]
        assert "simulated, no money" in figure["data"][0]["hovertext"][0]
        bundle = spend_bundle(found)
        assert '<span class="chip sim">simulated, no money</span>' in bundle["text/html"]
        assert "cost, simulated" in bundle["text/plain"]


def test_the_table_escapes_and_tells_alerts(tmp_path: Path) -> None:
    journal = JournalFile(tmp_path)
    journal.write(BudgetAlert(kind="share", budget="day", share=0.8, spent_usd=8.0, limit_usd=10.0,
                              message="80 % of <b>day</b>", run_id=None, raised_at=NOW))  # fmt: skip
    journal.close()
    bundle = spend_bundle(spending(tmp_path, {"model": HOSTILE}, burns=(burn("day", 8.0),)))
    assert "<a href" not in bundle["text/html"]
    assert "80 % of &lt;b&gt;day&lt;/b&gt;" in bundle["text/html"]
    assert "80 % of <b>day</b>" in bundle["text/plain"]
    assert "$8.00" in bundle["text/plain"]


def test_in_a_plain_shell_there_is_the_table_alone(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run("%%orchestrate triage --over tickets\ntopic = llm(body)")
    _, out = shell.run("%orchestrate spend by step --days 3")
    (shown,) = out.outputs
    assert "Nothing real was spent" in shown.data["text/plain"]
    assert "topic" in shown.data["text/plain"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("spend by modle", "Did you mean `by model`?"),
        ("spend --days none", "--days needs a whole number"),
        ("spend --dyas 3", "Did you mean --days?"),
        ("reprice", "needs one model"),
        ("reprice fast --input -1", "--input needs a number of US dollars"),
        ("reprice fast --cached 1", "A price needs --input and --output."),
        ("reprice fast --since soon", "'soon' is no date"),
        ("reprice nope", "There is no model 'nope'"),
    ],
)
def test_mistakes_are_one_line(shell: Shell, line: str, said: str) -> None:
    result, out = shell.run(f"%orchestrate {line}")
    assert not result.success
    assert said in out.stdout
    assert "Traceback" not in out.stdout


def test_reprice_shows_first_and_changes_with_yes(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run("%%orchestrate triage --over tickets\ntopic = llm(body)")
    line = "%orchestrate reprice fast --input 10 --output 20"

    def cost() -> float:
        return float(shell.run("%orchestrate sql select sum(cost_usd) as usd from calls")[0].result.usd[0])

    before = cost()
    _, out = shell.run(line)
    assert "30 calls of fake/small would be reckoned anew" in out.outputs[0].data["text/plain"]
    assert "add --yes to do it" in out.outputs[0].data["text/plain"]
    assert cost() == before
    _, out = shell.run(f"{line} --yes")
    assert "budgets" in out.outputs[0].data["text/plain"]
    assert cost() == pytest.approx(10 * before)
    _, out = shell.run(line)
    assert "No call of fake/small would change" in out.outputs[0].data["text/plain"]
