"""The semantic cache in a run: hits are marked, cost nothing, and what comparing costs is on the books."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.errors import ConnectionLostError, PriceUnknownError
from orchestration_nb.flows import Flow
from orchestration_nb.runs import Run
from orchestration_nb.testing import FakeProvider, fake_workspace
from orchestration_nb.workspace import Workspace

FIRST = ["What is the capital of France?", "Who works part-time in Bilbao?"]
AGAIN = ["Which city is France's capital?", "Which employees in Bilbao work part-time?"]
OTHER = ["What is the capital of Spain?", "Which employees in Bilbao work full-time?"]


def workspace(folder: Path, *, embed: str = "tfidf") -> Workspace:
    (folder / "orchestrate.toml").write_text(
        f'[sim]\nlatency_scale = 0.0\n[semantic_cache]\nenabled = true\nembed = "{embed}"\n'
    )
    return fake_workspace(folder, FakeProvider(lambda request: f"re: {request.prompt}"))


def asked(where: Workspace, questions: list[str], **options: Any) -> Run:
    flow = Flow.from_source("reply = llm(question)", name="ask", workspace=where)
    run = flow.map(pd.DataFrame({"question": questions}), **options)
    assert run.results["_status"].eq("ok").all(), run.errors
    return run


def calls(where: Workspace, run: Run) -> pd.DataFrame:
    return where.ledger.sql("select * from calls where run_id = ? order by call_id", [run.id])


def test_the_same_question_in_other_words_is_answered_and_marked(tmp_path: Path) -> None:
    where = workspace(tmp_path)
    asked(where, FIRST)
    run = asked(where, AGAIN)
    assert run.results["reply"].tolist() == [f"re: {question}" for question in FIRST]
    rows = calls(where, run)
    assert rows["cache"].tolist() == ["semantic"] * 2
    assert rows["similarity"].between(0, 1).all()
    assert rows["billed_usd"].sum() == 0
    other = asked(where, OTHER)
    assert other.results["reply"].tolist() == [f"re: {question}" for question in OTHER]
    assert calls(where, other)["similarity"].isna().all()


@pytest.mark.parametrize("options", [{"fresh": True}])
def test_what_is_to_be_asked_afresh_is(tmp_path: Path, options: Any) -> None:
    where = workspace(tmp_path)
    asked(where, FIRST)
    assert calls(where, asked(where, AGAIN, **options))["cache"].tolist() == ["none"] * 2


def test_vectors_are_calls_on_the_books(tmp_path: Path) -> None:
    where = workspace(tmp_path, embed="sim/small")
    run = asked(where, FIRST)
    rows = calls(where, run)
    made = rows[rows["model"] == "sim/small"]
    assert len(made) >= 2
    assert made["billed_usd"].gt(0).all()
    assert made["simulated"].all()
    assert run.billed_usd == pytest.approx(rows["billed_usd"].sum())


def test_where_no_vectors_come_the_question_is_paid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = workspace(tmp_path, embed="sim/small")

    async def away(*_: object, **__: object) -> None:
        raise ConnectionLostError("nobody there")

    monkeypatch.setattr(where.providers["sim"], "embed", away)
    run = asked(where, FIRST)
    assert run.results["reply"].tolist() == [f"re: {question}" for question in FIRST]


def test_vectors_that_nobody_knows_the_price_of_are_not_made_for_nothing(tmp_path: Path) -> None:
    made: list[Any] = []

    class Embeds(FakeProvider):
        async def embed(self, model: Any, texts: Any, *, timeouts: Any) -> Any:
            made.append(texts)

    where = workspace(tmp_path, embed="house/vectors")
    where.providers["house"] = Embeds(lambda request: "hi", name="house")
    where.catalog.open_providers |= {"house"}
    run = Flow.from_source("reply = llm(question)", name="ask", workspace=where).map(pd.DataFrame({"question": FIRST}))
    assert made == []
    assert run.results["_status"].eq("failed").all()
    assert isinstance(run.first_error, PriceUnknownError)
    assert "house/vectors" in str(run.first_error)
