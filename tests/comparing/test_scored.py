"""A strategy learned from the ledger's scored replies: which of them count, and what is said of the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.calls import RawReply, Request, Timeouts, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.comparing.compare import compare
from orchestration_nb.comparing.learning import learn_from_scores
from orchestration_nb.comparing.scored import scored_replies
from orchestration_nb.errors import UsageError
from orchestration_nb.flows import Flow
from orchestration_nb.testing import FakeProvider, fake_workspace
from orchestration_nb.tuning.saved import load

EXACT = "answer=exact:gold"


def tasks(count: int, first: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "task": [f"{'Prove' if n % 2 else 'Add'} item {n}, please." for n in range(first, first + count)],
            "gold": ["right"] * count,
            "kind": [("sum", "proof")[n % 2] for n in range(first, first + count)],
        }
    )


class SmallCannotProve(FakeProvider):
    """The large model is always right, at many times the price; the small one is where nothing is to be proved."""

    def __init__(self) -> None:
        super().__init__(lambda _: "")

    async def send(self, model: Model, request: Request, *, timeouts: Timeouts) -> RawReply:
        await super().send(model, request, timeouts=timeouts)
        large = model.wire_name == "large"
        text = "right" if large or not request.prompt.startswith("Prove") else "perhaps wrong, I am not sure"
        return RawReply(text=text, usage=Usage(input_tokens=10, output_tokens=100 if large else 5))


@pytest.fixture
def quiz(tmp_path: Path) -> Flow:
    def half(value: str, item: Mapping[str, Any]) -> float:
        return 0.5

    workspace = fake_workspace(tmp_path, SmallCannotProve())
    return Flow.from_source("answer = llm(task)", name="quiz", namespace={"half": half}, workspace=workspace)


def learned(quiz: Flow, **how: Any) -> str:
    given = {"flow": "quiz", "score": "answer", "cheap": ["fast"], "strong": "strong", "workspace": quiz.workspace}
    return str(learn_from_scores("thrifty", **{**given, **how}))


def test_two_scored_runs_over_the_same_items_are_enough(quiz: Flow) -> None:
    for model in ("fast", "strong"):
        quiz.map(tasks(160), model=model, score=EXACT)
    told = learned(quiz)
    assert "learned from 160 questions of flow quiz to which the ledger holds answers of fast and strong" in told
    assert "scored by exact:gold; of the answers 320 from runs of one model." in told
    assert "Left out" not in told
    calls = quiz.map(tasks(100, first=500), strategy="thrifty").calls
    assert calls["model"].value_counts().to_dict() == {"fake/small": 100, "fake/large": 50}


def test_models_are_chosen_where_none_is_named(quiz: Flow) -> None:
    for model in ("fast", "strong"):
        quiz.map(tasks(120), model=model, score=EXACT)
    told = learned(quiz, cheap=(), strong=None, reads_replies=False)
    assert "thrifty reads the prompt and asks fake/small or fake/large" in told


def test_comparisons_and_runs_go_together_and_slices_where_all_are_known(quiz: Flow) -> None:
    compare(quiz, over=tasks(120), strategies=["cascade", "fast", "strong"], scorer=EXACT, slices="kind")
    told = learned(quiz)
    assert "of the answers 240 from comparisons." in told
    assert "of the prior by slice" in told
    assert load(quiz.workspace.folder, "thrifty").slice_column == "kind"
    for model in ("fast", "strong"):
        quiz.map(tasks(30, first=1000), model=model, score=EXACT)
    told = learned(quiz)
    assert "learned from 150 questions" in told
    assert "of the answers 240 from comparisons, 60 from runs of one model." in told
    assert load(quiz.workspace.folder, "thrifty").slice_column is None


def test_answers_that_were_chosen_by_the_question_do_not_count(quiz: Flow) -> None:
    quiz.map(tasks(240), model="fast", score=EXACT)
    quiz.map(tasks(240), strategy="cascade(fast, strong)", score=EXACT)
    with pytest.raises(UsageError) as refused:
        learned(quiz)
    assert str(refused.value).startswith(
        "0 questions of quiz have scored answers of fast and strong that count: it takes at least 100 of two models "
        "alike. Left out are scored answers whose model was chosen by the question: 240 of cascade(fast, strong)."
    )
    assert "--model of each" in str(refused.value.hint)


def test_random_choices_by_the_same_chances_count(quiz: Flow) -> None:
    quiz.map(tasks(300), model="fast", score=EXACT)
    run = quiz.map(tasks(300), strategy="weighted(fast=0.5, strong=0.5)", score=EXACT)
    strong = int((run.calls["model"] == "fake/large").sum())
    told = learned(quiz)
    assert f"learned from {strong} questions" in told
    assert f"{strong} drawn at random" in told


def test_what_is_asked_in_the_shadow_is_scored_and_counts(quiz: Flow) -> None:
    run = quiz.map(tasks(120), strategy="shadow(fast, strong)", score=EXACT)
    rows = quiz.workspace.ledger.sql("select strategy, quality from scores order by strategy")
    assert rows["strategy"].value_counts().to_dict() == {
        "shadow(fast, strong)": 120,
        "shadow of fast: strong": 120,
    }
    assert run.results["_score"].mean() == 0.5, "the answers' own"
    told = learned(quiz)
    assert "of the answers 120 from runs of one model, 120 asked in the shadow." in told


def test_a_step_that_was_scored_in_two_ways_says_so(quiz: Flow) -> None:
    for model in ("fast", "strong"):
        quiz.map(tasks(120), model=model, score=EXACT)
    quiz.map(tasks(5), model="fast", score="answer=half")
    with pytest.raises(UsageError, match="The step 'answer' was scored in 2 ways") as refused:
        learned(quiz)
    assert refused.value.hint == "Write one of: --score answer=exact:gold, --score answer=half."
    assert "learned from 120 questions" in learned(quiz, score=EXACT)
    with pytest.raises(UsageError, match="No reply of step 'answer' is scored by 'label:gold'"):
        learned(quiz, score="answer=label:gold")


def test_a_fan_out_has_no_score_of_its_own_questions(quiz: Flow) -> None:
    text = "answer = [llm(task), llm(task + ' again')]"
    both = Flow.from_source(text, name="both", namespace=quiz.namespace, workspace=quiz.workspace)
    both.map(tasks(5), model="fast", score="answer=half")
    with pytest.raises(UsageError, match="holds no scored replies of step 'answer' of a flow 'both'"):
        learned(quiz, flow="both")


def test_the_newest_answer_to_a_question_counts(quiz: Flow) -> None:
    for again in (False, True):
        quiz.map(tasks(6), model="fast", score=EXACT, fresh=again)
    found = scored_replies(quiz.workspace, "quiz", "answer")
    newest = quiz.workspace.ledger.sql("select call_id from calls order by call_id desc limit 6")["call_id"]
    assert set(found.rows["call_id"]) == set(newest)


def test_what_an_expression_makes_of_a_reply_is_not_scored_for_another(quiz: Flow) -> None:
    loud = Flow.from_source("answer = (await llm(task)).upper()", name="loud", workspace=quiz.workspace)
    loud.map(tasks(6), strategy="shadow(fast, strong)", score=EXACT)
    rows = quiz.workspace.ledger.sql("select strategy from scores")
    assert rows["strategy"].tolist() == ["shadow(fast, strong)"] * 6
