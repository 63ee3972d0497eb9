"""A judge in a comparison: its model is asked through the ledger, and its money counts for no strategy."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from orchestration_nb.calls import Request
from orchestration_nb.comparing.compare import compare
from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.errors import UsageError
from orchestration_nb.evals.judges import judge
from orchestration_nb.flows import Flow
from orchestration_nb.testing import FakeProvider, fake_workspace

ITEMS = 8


def answer(request: Request) -> str:
    if request.output is None:
        return f"to {request.prompt}"
    return json.dumps({"reason": "it is polite", "mark": 5 if "w1" in request.prompt else 3})


def compared(folder: Path, **options: object) -> tuple[Comparison, FakeProvider]:
    provider = FakeProvider(answer)
    workspace = fake_workspace(folder, provider)
    polite = judge("Is it polite?", model="strong", show="word")
    flow = Flow.from_source("reply = llm(word)", name="quiz", namespace={"polite": polite}, workspace=workspace)
    table = pd.DataFrame({"word": [f"w{number}" for number in range(ITEMS)]})
    how: dict[str, object] = {"strategies": ["fast"], "models": [], "scorer": "reply=polite", **options}
    return compare(flow, over=table, **how), provider  # type: ignore[arg-type]


def test_its_marks_are_the_quality_and_its_cost_is_apart(tmp_path: Path) -> None:
    comparison, provider = compared(tmp_path)
    outcomes = comparison.outcomes("fast")
    assert outcomes.quality.tolist() == [0.5, 1.0, *[0.5] * (ITEMS - 2)]
    sql = comparison._running.workspace.ledger.sql
    scores = sql("select scored_by, cost_usd, reason from scores")
    assert set(scores.scored_by) == {"judge"}
    assert set(scores.reason) == {"it is polite"}
    asked = sql(
        "select flow, c.model, sum(c.cost_usd) as usd from calls c join runs using (run_id) group by all order by flow"
    )
    assert asked.flow.tolist() == ["judge", "quiz"]
    assert asked.model.tolist() == ["fake/large", "fake/small"]
    assert scores.cost_usd.sum() == pytest.approx(asked.usd[0])
    assert outcomes.cost_usd.sum() == pytest.approx(asked.usd[1])
    assert len(provider.requests) == 2 * ITEMS


def test_it_spends_the_budget_of_the_comparison(tmp_path: Path) -> None:
    comparison, _ = compared(tmp_path, budget=0.0025)
    billed = comparison._running.workspace.ledger.sql("select sum(billed_usd) as usd from calls").usd[0]
    assert billed <= 0.0025
    errors = [str(error) for error in comparison.outcomes("fast").errors if error]
    assert any("The budget of $0.0025" in error for error in errors)


def test_a_column_that_it_cannot_see_is_said_before_anything_is_paid(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'colour'"):
        compared(tmp_path, scorer=judge("Is it polite?", model="strong", show="colour"))
