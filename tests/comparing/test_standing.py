"""What a comparison shows: figures, baselines, a front, and words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestration_nb.calls import Ask, Reply, Request
from orchestration_nb.comparing.between import SLICE_PRIOR
from orchestration_nb.comparing.compare import compare
from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.comparing.standing import ORACLE, RANDOM_MIX, standing_of
from orchestration_nb.flows import Flow
from orchestration_nb.testing import FakeProvider, fake_workspace

ITEMS = 60


async def careful(request: Request, ask: Ask) -> Reply:
    reply = await ask("fast")
    return reply if reply.text != "dunno" else await ask("strong")


def answer(request: Request) -> str:
    number = int(request.prompt.removeprefix("w"))
    return "yes" if number % 3 or request.origin.flow == "" else "dunno"


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder: Path = tmp_path_factory.mktemp("compared")
    provider = FakeProvider(answer)
    send = provider.send

    async def knowing(model: Any, request: Request, *, timeouts: Any) -> Any:
        raw = await send(model, request, timeouts=timeouts)
        return raw if model.wire_name == "small" else type(raw)(text="yes", usage=raw.usage)

    provider.send = knowing  # type: ignore[method-assign]
    workspace = fake_workspace(folder, provider)
    flow = Flow.from_source("reply = llm(word)", name="quiz", workspace=workspace)
    table = pd.DataFrame({"word": [f"w{n}" for n in range(ITEMS)], "gold": "yes", "kind": ["a", "b", "c"] * 20})
    return compare(flow, over=table, strategies=[careful], scorer="reply=exact:gold", slices="kind")


def test_rows_are_the_users_then_the_models_then_the_baselines(compared: Comparison) -> None:
    standing = standing_of(compared)
    assert [(row.name, row.kind) for row in standing.rows] == [
        ("careful", "strategy"),
        ("fast", "single"),
        ("strong", "single"),
        (RANDOM_MIX, "baseline"),
        (SLICE_PRIOR, "baseline"),
        (ORACLE, "baseline"),
    ]
    assert (standing.n, standing.planned, standing.is_live) == (ITEMS, ITEMS, False)


def test_figures_are_those_of_the_items(compared: Comparison) -> None:
    rows = {row.name: row for row in standing_of(compared).rows}
    each_usd = 20e-6
    assert rows["fast"].quality.estimate == pytest.approx(2 / 3)
    assert rows["strong"].quality.estimate == 1.0
    assert rows["careful"].quality.estimate == 1.0
    assert rows["careful"].cost_usd.estimate == pytest.approx(each_usd * 4 / 3)
    assert rows["careful"].escalated == pytest.approx(1 / 3)
    assert dict(rows["careful"].shares) == {"fake/small": pytest.approx(2 / 3), "fake/large": pytest.approx(1 / 3)}
    assert rows["fast"].usd_per_correct == pytest.approx(each_usd * 3 / 2)
    assert rows[RANDOM_MIX].quality.estimate == pytest.approx(5 / 6)
    assert rows[ORACLE].quality.estimate == 1.0
    assert rows["fast"].p50_ms is not None
    assert rows["fast"].p99_ms is None, "fewer than ten of sixty lie beyond"
    assert rows["careful"].saved == pytest.approx(-1 / 3)
    assert rows["careful"].of_strong == 1.0
    assert all(row.errors == 0 for row in rows.values())


def test_the_front_leaves_out_what_something_cheaper_beats(compared: Comparison) -> None:
    rows = {row.name: row for row in standing_of(compared).rows}
    assert not rows["careful"].on_front, "the strong model is as good and cheaper here"
    assert rows["strong"].on_front
    assert not rows[ORACLE].on_front


def test_verdicts_are_against_the_best_single_model_of_the_other_half(compared: Comparison) -> None:
    standing = standing_of(compared)
    rows = {row.name: row for row in standing.rows}
    assert standing.reference == "best single model (strong)"
    assert rows["fast"].verdict is not None
    assert rows["fast"].verdict.word == "worse"
    assert rows["careful"].verdict is not None
    assert rows["careful"].verdict.word == "no difference shown"
    assert rows[ORACLE].verdict is None
    assert "cannot tell careful and best single model (strong) apart" in standing.told[0]
    assert not any("fast" in line for line in standing.told), "only the user's own are talked about"


def test_a_slice_is_shown_without_verdicts(compared: Comparison) -> None:
    of_a = np.asarray(compared.slices) == "a"
    standing = standing_of(compared, items=of_a)
    rows = {row.name: row for row in standing.rows}
    assert standing.n == 20
    assert rows["fast"].quality.estimate == 0.0
    assert all(row.verdict is None for row in rows.values())


def test_too_few_items_show_nothing(compared: Comparison) -> None:
    few = np.arange(ITEMS) < 3
    assert standing_of(compared, items=few).rows == ()
