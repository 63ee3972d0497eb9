"""Six strategies over 600 questions, in a flow of two steps that a comparison varies: nothing is paid twice."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from orchestration_nb.comparing.compare import compare
from orchestration_nb.flows import Flow
from orchestration_nb.workspace import Workspace
from tests.conftest import REPO

STRATEGIES = [
    "majority_vote(fast, n=5)",
    "cascade",
    "fallback(fast, strong)",
    "weighted(fast=0.5, medium=0.5)",
    "complexity",
    "hedged(fast, medium, after_ms=900)",
]


@pytest.mark.slow
def test_six_strategies_over_600_items_ask_no_question_twice(tmp_path: Path) -> None:
    (tmp_path / "orchestrate.toml").write_text("[sim]\nlatency_scale = 0\n")
    workspace = Workspace(tmp_path, environ={})
    source = 'draft = llm(prompt)\nanswer = llm(f"{prompt}\\nA draft: {draft}\\nLast line: Answer: ...")'
    flow = Flow.from_source(source, name="quiz", workspace=workspace)
    questions = pd.read_csv(REPO / "data" / "questions.csv").head(600)

    compared = compare(
        flow, over=questions, strategies=STRATEGIES, scorer="answer=exact:gold:case=true", budget=100, concurrency=64
    )

    assert compared.status == "done"
    assert all(compared.outcomes(name).ended.all() for name in compared.names)
    assert not any(error for name in compared.names for error in compared.outcomes(name).errors)
    calls = workspace.ledger.sql("select cache_key, model, sample, cache, cost_usd, billed_usd from calls")
    assert len(calls) == compared.questions
    assert not calls.duplicated(["cache_key", "model", "sample"]).any()
    assert set(calls["cache"]) == {"none"}
    assert compared.billed_usd == pytest.approx(calls["billed_usd"].sum())
    assert compared.billed_usd == pytest.approx(calls["cost_usd"].sum()), "the cost of the union"
    alone = sum(compared.outcomes(name).cost_usd.sum() for name in compared.names)
    assert alone > 1.2 * compared.billed_usd, "what the strategies would have paid, each for itself"
