"""Scores of a run: each item is scored when it ends, recorded, shown, and told to the strategy that answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.calls import Ask, Reply, Request
from orchestration_nb.errors import OverloadedError, UsageError, WorkspaceError
from orchestration_nb.flows import Flow
from orchestration_nb.notebook.account import account_of
from orchestration_nb.testing import FakeProvider, fake_workspace
from orchestration_nb.tuning.bandit import bandit

WORDS = pd.DataFrame({"word": [f"w{number}" for number in range(40)], "gold": ["yes", "no"] * 20})
MakeFlow = Callable[..., Flow]


def number_of(prompt: str) -> int:
    return int("".join(filter(str.isdigit, prompt)))


def yes(request: Request) -> str:
    return "yes"


@pytest.fixture
def make_flow(tmp_path: Path) -> MakeFlow:
    def make(text: str = "reply = llm(f'{word}')", respond: Any = yes, **namespace: Any) -> Flow:
        workspace = fake_workspace(tmp_path, FakeProvider(respond))
        return Flow.from_source(text, name="quiz", namespace=namespace, workspace=workspace)

    return make


def test_each_item_is_scored_and_recorded(make_flow: MakeFlow) -> None:
    run = make_flow().map(WORDS, score="reply=exact:gold")
    assert list(run.results["_score"]) == [1.0, 0.0] * 20
    assert list(run.results.columns[-5:]) == ["_score", "_status", "_error", "_cost_usd", "_latency_ms"]
    rows = run.flow.workspace.ledger.sql("select * from scores join requests using (request_id) order by scores.item")
    assert list(rows["item"]) == list(range(40))
    assert list(rows["quality"]) == [1.0, 0.0] * 20
    assert set(rows["scorer"]) == {"exact:gold"}
    assert set(rows["run_id"]) == {run.id}


def test_the_account_tells_the_mean_its_interval_and_what_has_no_score(make_flow: MakeFlow) -> None:
    def respond(request: Request) -> str:
        if number_of(request.prompt) >= 38:
            raise OverloadedError("busy", billing="no")
        return "yes"

    flow = make_flow(respond=respond)
    flow.workspace.services.retry = flow.workspace.services.retry.__class__(attempts=1)
    run = flow.map(WORDS, score="reply=exact:gold")
    told = account_of(run).story[-1]
    assert told.startswith("Score of reply by exact:gold: 0.475, between 0.3")
    assert "over 40 items" in told
    assert told.endswith("2 without an answer or a score count as 0.")
    assert "_score" in account_of(run).columns
    assert pd.isna(run.results["_score"].iloc[39])
    missing = flow.workspace.ledger.sql("select quality, reason from scores where item = 39")
    assert missing["quality"].isna().all()
    assert "busy" in missing["reason"].iloc[0]


def test_several_steps_are_scored_each_in_a_column_of_its_own(make_flow: MakeFlow) -> None:
    def long(value: str, item: Mapping[str, Any]) -> str:
        return "long" if len(value) > 2 else "short"

    run = make_flow("first = llm(f'a {word}')\nreply = llm(f'{first} {word}')", long=long).map(
        WORDS, score=["first=long", "reply=exact:gold"]
    )
    assert set(run.results["_score_first"]) == {"long"}
    assert run.results["_score_reply"].mean() == 0.5
    assert "Labels of first by long: long 40." in account_of(run).story


def test_a_slow_scorer_holds_no_call_up_and_the_run_waits_for_it(make_flow: MakeFlow) -> None:
    answered: list[float] = []
    scored: list[float] = []

    def respond(request: Request) -> str:
        answered.append(time.monotonic())
        return "yes"

    def slow(value: str, item: Mapping[str, Any]) -> bool:
        assert threading.current_thread().name.startswith("orchestrate-score")
        time.sleep(0.02)
        scored.append(time.monotonic())
        return True

    run = make_flow(respond=respond).map(WORDS, score=slow, concurrency=2)
    assert run.results["_score"].tolist() == [1.0] * 40
    assert sum(moment < max(answered) for moment in scored) < 36
    assert len(run.flow.workspace.ledger.sql("select 1 from scores")) == 40


def test_a_scorer_that_raises_fails_its_score_and_no_item(make_flow: MakeFlow) -> None:
    def touchy(value: str, item: Mapping[str, Any]) -> float:
        if item["word"] == "w3":
            raise ValueError("no threes")
        return 1.0

    run = make_flow().map(WORDS, score=touchy)
    assert set(run.results["_status"]) == {"ok"}
    assert pd.isna(run.results["_score"].iloc[3])
    rows = run.flow.workspace.ledger.sql("select reason from scores where quality is null")
    assert rows["reason"].tolist() == ["touchy failed: ValueError: no threes"]


def test_a_strategy_that_learns_is_told_each_score(make_flow: MakeFlow) -> None:
    told: list[tuple[str, str, float]] = []

    async def learning(request: Request, ask: Ask) -> Reply:
        return await ask("fast")

    def learn(request: Request, reply: Reply, score: float) -> None:
        told.append((request.prompt, reply.model, score))

    learning.learn = learn  # type: ignore[attr-defined]
    flow = make_flow("pinned = llm(f'p {word}', model='strong')\nreply = llm(f'{word}')")
    flow.map(WORDS, strategy=learning, score="reply=exact:gold")
    assert sorted(told) == sorted(
        (word, "fake/small", float(gold == "yes")) for word, gold in WORDS.itertuples(index=False, name=None)
    )


def test_a_strategy_that_cannot_learn_stops_nothing(make_flow: MakeFlow, caplog: pytest.LogCaptureFixture) -> None:
    async def stubborn(request: Request, ask: Ask) -> Reply:
        return await ask("fast")

    def learn(request: Request, reply: Reply, score: float) -> None:
        raise RuntimeError("never")

    stubborn.learn = learn  # type: ignore[attr-defined]
    run = make_flow().map(WORDS, strategy=stubborn, score="reply=exact:gold")
    assert run.status == "done"
    assert run.results["_score"].mean() == 0.5
    assert caplog.text.count("could not learn") == 1


@pytest.mark.parametrize(
    ("score", "why"),
    [
        ("reply=exact:golden", "names no column"),
        ("replies=exact:gold", "names no step"),
        (["reply=exact:gold", "reply=includes:gold"], "scored twice"),
        (3, "no scorer"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_anything_is_asked(make_flow: MakeFlow, score: Any, why: str) -> None:
    flow = make_flow()
    with pytest.raises(UsageError, match=why):
        flow.map(WORDS, score=score)
    assert not len(flow.workspace.ledger.sql("select 1 from runs"))


def test_results_that_are_run_again_are_scored_anew(make_flow: MakeFlow) -> None:
    flow = make_flow()
    first = flow.map(WORDS, score="reply=exact:gold").results
    again = make_flow("answer = llm(f'{word}')").map(first, score="answer=exact:gold").results
    assert list(again.columns).count("_score") == 1


def test_a_bandit_with_a_name_goes_on_where_it_stopped(make_flow: MakeFlow) -> None:
    flow = make_flow()
    text = "bandit(fast, strong, save_as=words)"
    flow.map(WORDS, strategy=text, score="reply=exact:gold")
    assert (flow.workspace.folder / ".orchestrate" / "strategies" / "words" / "bandit.json").exists()
    again = bandit("fast", "strong", save_as="words")
    flow.map(WORDS, strategy=again, score="reply=exact:gold")
    reason = flow.workspace.ledger.sql("select reason from requests order by request_id desc limit 1")["reason"].iloc[0]
    told = int(reason.rpartition("(")[2].split()[0])
    assert told >= 40  # those of the first run
    with pytest.raises(WorkspaceError, match="not of fast, medium"):
        flow.map(WORDS, strategy=bandit("fast", "medium", save_as="words"), score="reply=exact:gold")
    with pytest.raises(UsageError, match="no name"):
        bandit("fast", "strong", save_as="../words")
