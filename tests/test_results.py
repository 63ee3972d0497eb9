"""The results table: the input as it was, and each value as the step made it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.calls import Request
from orchestration_nb.flows import Flow
from orchestration_nb.testing import FakeProvider, fake_workspace

MakeFlow = Callable[..., Flow]
TICKETS = pd.DataFrame({"body": ["refund please", "it crashes", "wrong invoice"], "amount": [1, 2, 3]})


@pytest.fixture
def make_flow(tmp_path: Path) -> MakeFlow:
    def make(text: str, respond: Any = lambda request: request.prompt.upper()) -> Flow:
        return Flow.from_source(text, name="triage", workspace=fake_workspace(tmp_path, FakeProvider(respond)))

    return make


def test_what_becomes_of_the_table_afterwards_does_not_change_the_results(make_flow: MakeFlow) -> None:
    flow = make_flow("reply = llm(body)")
    frame = TICKETS.copy()
    run = flow.map(frame)
    frame["reply"] = run.results["reply"]
    frame.loc[0, "body"] = "another"
    assert list(run.results.columns[:3]) == ["body", "amount", "reply"]
    assert run.results["body"][0] == "refund please"


def test_large_whole_numbers_stay_exact_beside_missing_ones(make_flow: MakeFlow) -> None:
    flow = make_flow("number = 2**60 + 1 // (amount - 2)")
    assert flow.map(TICKETS).results["number"][2] == 2**60 + 1
    assert flow.map(TICKETS).results["number"].isna()[1]


def test_results_can_be_looked_at_while_the_run_goes_on(make_flow: MakeFlow) -> None:
    async def slowly(request: Request) -> Any:
        await asyncio.sleep(0.001)
        return "fine"

    flow = make_flow("reply = llm(f'{number}')", slowly)
    run, held = flow.start(pd.DataFrame({"number": range(500)})), []
    while run.status == "running":
        held.append((run.results, run.steps))
    assert set(run.wait().results["_status"]) == {"ok"}
    assert all(len(results) == 500 for results, _ in held)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"body": ["a", "b", "c"]}, index=[1, 1, 2]),
        pd.DataFrame({"body": ["a", "b"]}, index=pd.MultiIndex.from_tuples([(1, "x"), (1, "y")])),
        pd.DataFrame([["a", 1]], columns=["body", 0]),
        pd.DataFrame([["a", 1]], columns=pd.MultiIndex.from_tuples([("body", "x"), ("more", "y")])),
    ],
    ids=["doubled index", "deep index", "a number for a name", "deep columns"],
)
def test_tables_of_every_shape_come_back_as_they_were(make_flow: MakeFlow, frame: pd.DataFrame) -> None:
    flow = make_flow("reply = llm(list(item.values())[0])")
    results = flow.map(frame, sample=99, concurrency=99).results
    assert list(results["reply"]) == [value.upper() for value in frame.iloc[:, 0]]
    assert list(results.index) == list(frame.index)
    assert list(results.columns)[: frame.shape[1]] == list(frame.columns)
