"""The main job on real input: every recorded reply of a real model, from table to ledger, to the last item and cent."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from orchestration_nb.errors import NoRecordedReplyError
from orchestration_nb.flows import Flow
from orchestration_nb.workspace import Workspace

MODEL = "claude-3-5-sonnet-20241022"

pytestmark = pytest.mark.corpus


def read_parquet(path: Path) -> pd.DataFrame:
    import duckdb

    with duckdb.connect() as connection:
        frame: pd.DataFrame = connection.read_parquet(str(path)).df()
    return frame


@pytest.fixture
def replaying(tmp_path: Path, corpus: Path) -> Workspace:
    folder = json.dumps(str(corpus / "zeroeval"))
    (tmp_path / "orchestrate.toml").write_text(f"budget_usd = 1000\n[replay]\nfolder = {folder}\n")
    return Workspace(tmp_path, environ={})


def test_all_questions_are_answered_as_recorded(replaying: Workspace, corpus: Path) -> None:
    questions = read_parquet(corpus / "zeroeval" / "questions.parquet")
    recorded = read_parquet(corpus / "zeroeval" / "responses.parquet")
    recorded = recorded[recorded["model"] == MODEL].set_index("qid").loc[questions["qid"]]
    prices = json.loads((corpus / "zeroeval" / "models.json").read_text())[MODEL]

    flow = Flow.from_source("reply = llm(prompt)", name="recorded", workspace=replaying)
    run = flow.map(questions, model=f"replay/{MODEL}")

    results = run.results
    assert len(results) == 1800
    assert set(results["_status"]) == {"ok"}
    as_recorded = results["reply"].to_numpy() == recorded["response"].to_numpy()
    assert as_recorded.all()
    marked = recorded["correct"].to_numpy() & as_recorded
    assert marked.sum() == recorded["correct"].sum()

    usd = recorded["in_tokens"] * prices["input_usd_per_mtok"] + recorded["out_tokens"] * prices["output_usd_per_mtok"]
    assert run.cost_usd == pytest.approx(usd.sum() / 1e6, abs=1e-9)
    assert results["_cost_usd"].to_numpy() == pytest.approx(usd.to_numpy() / 1e6, abs=1e-9)

    ledger = replaying.ledger
    for table in ("requests", "calls"):
        rows = ledger.sql(f"SELECT count(*) AS n, sum(cost_usd) AS usd FROM {table} WHERE run_id = ?", [run.id])
        assert rows["n"][0] == 1800
        assert rows["usd"][0] == pytest.approx(run.cost_usd, abs=1e-9)
    assert ledger.sql("SELECT bool_and(simulated) AS all FROM calls")["all"][0]


def test_a_prompt_that_was_never_recorded_says_so(replaying: Workspace) -> None:
    source = f"reply = llm('never asked', model='replay/{MODEL}')"
    run = Flow.from_source(source, name="recorded", workspace=replaying).run()
    assert run.results["_status"][0] == "failed"
    error = run.first_error
    assert isinstance(error, NoRecordedReplyError)
