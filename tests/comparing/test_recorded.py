"""Strategies compared on 1,800 recorded questions: accuracy and cost are the recordings', to the last item and cent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from orchestration_nb.calls import Ask, Reply, Request
from orchestration_nb.comparing.compare import compare
from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.comparing.standing import ORACLE, RANDOM_MIX, standing_of
from orchestration_nb.flows import Flow
from orchestration_nb.routing import agrees
from orchestration_nb.workspace import Workspace

FLASH, MINI, SONNET = "gemini-1.5-flash", "gpt-4o-mini-2024-07-18", "claude-3-5-sonnet-20241022"

pytestmark = [pytest.mark.corpus, pytest.mark.slow]


async def agreeing(request: Request, ask: Ask) -> Reply:
    """Two cheap models; the strong one where they differ."""
    one, other = await asyncio.gather(ask(f"replay/{FLASH}"), ask(f"replay/{MINI}"))
    return one if agrees(one, other) else await ask(f"replay/{SONNET}")


@pytest.fixture(scope="module")
def recorded(corpus: Path) -> pd.DataFrame:
    """One row a question and model: ``qid``, ``model``, ``correct``, ``usd``."""
    with duckdb.connect() as connection:
        frame: pd.DataFrame = connection.read_parquet(str(corpus / "zeroeval" / "responses.parquet")).df()
    prices = json.loads((corpus / "zeroeval" / "models.json").read_text())
    price_in, price_out = (
        frame["model"].map({model: price[f"{kind}_usd_per_mtok"] for model, price in prices.items()})
        for kind in ("input", "output")
    )
    frame["usd"] = (frame["in_tokens"] * price_in + frame["out_tokens"] * price_out) / 1e6
    return frame


@pytest.fixture(scope="module")
def compared(corpus: Path, recorded: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("recorded")
    where = json.dumps(str(corpus / "zeroeval"))
    (folder / "orchestrate.toml").write_text(f"budget_usd = 1000\n[replay]\nfolder = {where}\n")
    workspace = Workspace(folder, environ={})
    with duckdb.connect() as connection:
        questions: pd.DataFrame = connection.read_parquet(str(corpus / "zeroeval" / "questions.parquet")).df()
    marks = {(row.qid, row.response): row.correct for row in recorded.itertuples()}

    def marked(reply: Any, item: Mapping[str, Any]) -> bool:
        return bool(marks[item["qid"], reply])

    flow = Flow.from_source("reply = llm(prompt)", name="recorded", workspace=workspace)
    return compare(
        flow,
        over=questions,
        strategies=[agreeing],
        scorer=marked,
        models=[f"replay/{model}" for model in recorded["model"].unique()],
        reference=f"replay/{SONNET}",
        slices="dataset",
        concurrency=64,
    )


def tables(compared: Comparison, recorded: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Correct and cost, a row a question in the order of the items and a column a model."""
    order = [item["qid"] for item in compared.items]
    wide = recorded.pivot_table(index="qid", columns="model", values=["correct", "usd"], aggfunc="first").loc[order]
    models = wide["correct"].columns
    correct, usd = (pd.DataFrame(wide[kind].to_numpy(float), columns=models) for kind in ("correct", "usd"))
    return correct, usd


def test_every_single_model_is_as_right_and_as_dear_as_recorded(compared: Comparison, recorded: pd.DataFrame) -> None:
    correct, usd = tables(compared, recorded)
    for model in correct.columns:
        outcomes = compared.outcomes(f"replay/{model}")
        assert (outcomes.quality == correct[model].to_numpy()).all()
        assert outcomes.cost_usd == pytest.approx(usd[model].to_numpy(), abs=1e-12)
    assert compared.questions == len(recorded), "each question is asked once, of each model"
    assert compared.cost_usd == pytest.approx(recorded["usd"].sum())


def test_oracle_and_random_mix_are_what_numpy_makes_of_the_recordings(
    compared: Comparison, recorded: pd.DataFrame
) -> None:
    correct, usd = (table.to_numpy() for table in tables(compared, recorded))
    rows = {row.name: row for row in standing_of(compared).rows}
    right_usd = np.where(correct.astype(bool), usd, np.inf).min(axis=1)
    oracle_usd = np.where(np.isinf(right_usd), usd.min(axis=1), right_usd)
    assert rows[ORACLE].quality.estimate == pytest.approx(correct.max(axis=1).mean())
    assert rows[ORACLE].cost_usd.estimate == pytest.approx(oracle_usd.mean())
    assert rows[RANDOM_MIX].quality.estimate == pytest.approx(correct.mean())
    assert rows[RANDOM_MIX].cost_usd.estimate == pytest.approx(usd.mean())


def test_agreement_keeps_the_quality_of_the_strong_model_and_saves(compared: Comparison) -> None:
    rows = {row.name: row for row in standing_of(compared).rows}
    agreement, sonnet = rows["agreeing"], rows[f"replay/{SONNET}"]

    assert agreement.quality.estimate >= 0.99 * sonnet.quality.estimate
    assert agreement.cost_usd.estimate <= 0.58 * sonnet.cost_usd.estimate
    assert agreement.verdict is not None
    assert agreement.verdict.noninferior
    assert agreement.verdict.cost_usd.finding == "lower"
