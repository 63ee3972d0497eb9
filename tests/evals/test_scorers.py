"""The named scorers, what a function may return, and the text form."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.score_text import parse_score
from orchestration_nb.evals.scorers import (
    Score,
    StepScorer,
    exact,
    includes,
    json_fields,
    label,
    numeric,
    regex,
    similarity,
)
from tests.conftest import REPO


class Order(BaseModel):
    number: str
    lines: list[dict[str, float]]


@dataclasses.dataclass
class Point:
    x: int
    y: int


def marked(scorer: Any, value: Any, gold: Any) -> Score:
    score = scorer(value, {"gold": gold})
    assert isinstance(score, Score)
    return score


def step(scorer: Any) -> StepScorer:
    return StepScorer(step="answer", scorer=scorer, text=getattr(scorer, "__name__", "named"))


@pytest.mark.parametrize(
    ("value", "gold", "right"),
    [
        ("Selma", "selma ", True),
        ("Long thoughts about Fiona.\nAnswer: Selma", "Selma", True),
        ("Long thoughts about Selma.\nAnswer: Fiona", "Selma", False),
        ("Answer: 2025-05-08", "2025-05-08", True),
        ("Answer: 2025-05-09", "2025-05-08", False),
        ("Answer: 17:02", "17:02", True),
        ("Answer: 17:03", "17:02", False),
        ("Answer: 6/10", "3/5", True),
        ("Answer: 5", "3/5", False),
        ("Answer: $56.1", "56.10", True),
        ("[1,2]", "[1, 2]", True),
        ("[2,1]", "[1, 2]", False),
        ([1, 2], "[1, 2]", True),
        (Point(1, 2), {"y": 2, "x": 1}, True),
        (Order(number="A1", lines=[]), '{"number": "a1", "lines": []}', True),
        (42, "42.0", True),
        (True, "true", True),
        (True, False, False),
        (True, 1, False),
        ("'a '", "' a'", False),
        (None, "Selma", False),
        ("", "*", False),
    ],
)
def test_exact(value: Any, gold: Any, right: bool) -> None:
    assert marked(exact("gold"), value, gold).passed is right


def test_exact_says_what_stood_instead_and_may_mind_capitals() -> None:
    assert marked(exact("gold"), "So the answer is 3", "4").reason == "'3' instead of '4'"
    assert marked(exact("gold", case=True), "selma", "Selma").passed is False


@pytest.mark.parametrize(
    ("value", "gold", "options", "right"),
    [
        ("It costs $1,200.50.", 1200.5, {}, True),
        ("12%", "0.12", {}, True),
        ("12%", "12", {}, True),
        ("12%", "13%", {}, False),
        ("Answer: 3.14", math.pi, {}, False),
        ("Answer: 3.14", math.pi, {"abs": 0.01}, True),
        ("Answer: 99", 100, {"rel": 0.01}, True),
        ("Answer: 98.9", 100, {"rel": 0.01}, False),
        ("Answer: 101", -100, {"rel": 0.5}, False),
        ("Answer: 42 (that is 6 × 7)", 42, {}, True),
        ("Answer: 3 or 4", 4, {}, False),
        ("I don't know", 4, {}, False),
        (4, "4", {}, True),
        (np.float64(4), 4, {}, True),
        (True, 1, {}, False),
        (math.nan, 4, {}, False),
        (None, 4, {}, False),
    ],
)
def test_numeric(value: Any, gold: Any, options: dict[str, float], right: bool) -> None:
    assert marked(numeric("gold", **options), value, gold).passed is right


def test_includes_one_text_or_a_share_of_several() -> None:
    assert marked(includes("gold"), "We are sorry\nfor the delay", "sorry for").passed is True
    assert marked(includes("gold"), "a category", "cat").passed is True
    assert marked(includes("gold", words=True), "a category", "cat").passed is False
    score = marked(includes("gold"), "We refund 10 dollars", ["refund", "by Friday"])
    assert (score.value, score.reason) == (0.5, "not in the reply: by Friday")
    assert marked(includes("gold", sep=";"), "refund by Friday", "refund;friday").value == 1.0


def test_regex_from_a_column_or_for_all() -> None:
    assert marked(regex("gold"), "Order QM-4711", r"qm-\d{4}").passed is True
    assert marked(regex(pattern=r"^\d+$"), "17a", None).passed is False
    with pytest.raises(UsageError, match="it is no pattern"):
        regex(pattern="(")
    with pytest.raises(UsageError, match=r"it is no pattern.*item|item 1\): it is no pattern"):
        step(regex("gold")).ready([{"gold": "a"}, {"gold": "("}])


def test_a_label_is_read_out_of_a_sentence_that_names_one_of_those_known() -> None:
    items = [{"gold": "billing"}, {"gold": "card_change"}, {"gold": "refund"}]
    scorer = label("gold").ready(items)
    assert marked(scorer, "Billing.", "billing") == Score(label="billing", passed=True)
    assert marked(scorer, "This is about Card change, I think.", "card_change").passed is True
    both = marked(scorer, "billing or refund", "billing")
    assert both.passed is False
    assert both.label == "billing or refund"
    assert len(label()("word " * 1000, {}).label or "") == 80
    assert label()("Some Label", {}) == Score(label="some label")
    assert label(labels="a|b")("it is b", {}).label == "b"


def test_labels_that_differ_in_their_spelling_alone_are_one() -> None:
    golds = ["In progress", "in-progress", "IN_PROGRESS.", "Sci/Tech", "sci tech"]
    assert label("gold").ready([{"gold": gold} for gold in golds]).labels == ("in progress", "sci tech")


@pytest.mark.parametrize(
    ("golds", "said"),
    [
        ([-1, 0, 1], "'-1' and '1' are alike"),
        (["C", "C++"], "'c' and 'c\\+\\+' are alike"),
        ([">50K", "<=50K"], "'>50k' and '<=50k' are alike"),
        (["+", "-"], "'\\+' has none"),
    ],
)
def test_labels_that_differ_in_their_signs_alone_are_refused(golds: list[Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        label("gold").ready([{"gold": gold} for gold in golds])
    assert "exact:COLUMN" in refused.value.hint
    with pytest.raises(UsageError, match=said):
        label("gold", labels=[str(gold) for gold in golds])


def test_json_fields_counts_those_that_match() -> None:
    gold = {"customer": {"name": "Ann", "age": 30}, "lines": [{"sku": "a"}, {"sku": "b"}]}
    got = 'Here you are: {"customer": {"name": "ann", "age": "31"}, "lines": [{"sku": "a"}], "more": 1}'
    score = marked(json_fields("gold"), got, gold)
    assert score.value == 0.5
    assert score.reason == "not as expected: customer.age, lines.1.sku"
    assert marked(json_fields("gold", fields="customer.name,lines"), got, gold).value == 0.5
    assert marked(json_fields("gold", abs=1), got, gold).value == 0.75
    assert marked(json_fields("gold"), "no data", gold).value == 0
    assert (
        marked(json_fields("gold"), Order(number="A", lines=[{"p": 1}]), '{"number": "a", "lines": [{"p": 1.0}]}').value
        == 1
    )
    with pytest.raises(UsageError, match="no field 'custmer'"):
        json_fields("gold", fields="custmer").ready([{"gold": {"customer": 1}}])


def test_similarity_is_a_share_of_words_in_order() -> None:
    assert marked(similarity("gold"), "The cat sat.", "the cat sat.").value == 1
    assert marked(similarity("gold"), "a b c d", "a b x y").value == 0.5
    assert marked(similarity("gold", by="characters"), "abcd", "abxy").value == 0.5
    assert marked(similarity("gold"), None, "abc").value == 0


@pytest.mark.parametrize(
    ("returned", "score", "quality"),
    [
        (0.25, Score(value=0.25), 0.25),
        (2, Score(value=2.0), 2.0),
        (np.float32(0.5), Score(value=0.5), 0.5),
        (True, Score(passed=True), 1.0),
        (np.bool_(False), Score(passed=False), 0.0),
        ("polite", Score(label="polite"), math.nan),
        (Score(value=0.5, reason="so"), Score(value=0.5, reason="so"), 0.5),
    ],
)
async def test_the_type_says_the_meaning(returned: Any, score: Score, quality: float) -> None:
    given = await step(lambda reply, item: returned).score("x", {})
    assert given == score
    assert given.quality == pytest.approx(quality, nan_ok=True)


async def test_a_scorer_may_be_async() -> None:
    async def good(reply: str, item: Mapping[str, Any]) -> bool:
        return bool(reply == item["gold"])

    assert (await step(good).score("a", {"gold": "a"})).passed is True


@pytest.mark.parametrize(
    ("returned", "said"), [(None, "None"), ([1], "no score"), (math.nan, "nan"), (math.inf, "inf")]
)
async def test_what_is_no_score_is_a_failed_one(returned: Any, said: str) -> None:
    score = await step(lambda reply, item: returned).score("x", {})
    assert score.failed
    assert said in score.reason


async def test_a_scorer_that_raises_fails_its_item_with_the_reason() -> None:
    def broken(reply: str, item: Mapping[str, Any]) -> float:
        return 1 / len(reply)

    score = await step(broken).score("", {})
    assert score.failed
    assert math.isnan(score.quality)
    assert score.reason == "broken failed: ZeroDivisionError: division by zero"


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA, pd.NaT])
def test_a_missing_gold_value_is_told_before_the_run(missing: Any) -> None:
    with pytest.raises(UsageError, match="column 'gold' is empty for item 1"):
        step(exact("gold")).ready([{"gold": "a"}, {"gold": missing}])
    with pytest.raises(UsageError, match="2 items, the first of them item 0"):
        step(label("gold")).ready([{"gold": missing}, {"gold": missing}])


def test_a_gold_value_that_cannot_be_used_is_told_before_the_run() -> None:
    with pytest.raises(UsageError, match=r"numeric cannot use the value 'Selma'.*\(item 1\): it is no number"):
        step(numeric("gold")).ready([{"gold": "3"}, {"gold": "Selma"}])
    with pytest.raises(UsageError, match="every text holds that"):
        step(includes("gold")).ready([{"gold": " "}])
    with pytest.raises(UsageError, match="needs the column 'gold'") as caught:
        step(exact("gold")).ready([{"golds": "3"}])
    assert "golds" in caught.value.hint


STEPS, COLUMNS = ("answer", "topic"), ("gold", "must say", "ratio=a:b")


async def good(reply: str, item: Mapping[str, Any]) -> bool:
    return bool(reply)


def test_the_text_form_names_step_scorer_column_and_options() -> None:
    parsed = parse_score("answer=numeric:gold:rel=0.1", STEPS, COLUMNS, {})
    assert (parsed.step, parsed.text) == ("answer", "numeric:gold:rel=0.1")
    assert marked(parsed.scorer, "109", 100).passed is True
    assert marked(parsed.scorer, "111", 100).passed is False
    colon = parse_score(r"topic=regex:pattern=^\d+:\d+$", STEPS, COLUMNS, {}).scorer
    assert marked(colon, "17:02", None).passed is True
    odd = parse_score("answer=includes:ratio=a:b:words=yes", STEPS, COLUMNS, {}).scorer
    assert odd("a cat", {"ratio=a:b": "cat"}).passed is True  # type: ignore[union-attr]
    assert parse_score("answer=good", STEPS, COLUMNS, {"good": good}).scorer is good
    assert parse_score("answer=exact:gold", STEPS, COLUMNS, {"exact": exact}).step == "answer"


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("answer", "is not STEP=SCORER:COLUMN", "answer=exact:gold"),
        ("anser=exact:gold", "there is no 'anser'", "'answer'"),
        ("answer=exat:gold", "no scorer 'exat'", "'exact'"),
        ("answer=god", "no scorer 'god'", "'good'"),
        ("answer=zzzz", "no scorer 'zzzz'", "exact, numeric, includes"),
        ("answer=exact:gols", "no column: there is no 'gols'", "'gold'"),
        ("answer=exact", "needs the column", "exact:COLUMN"),
        ("answer=numeric:gold:relative=1", "no option 'relative'", "abs, rel"),
        ("answer=numeric:gold:rel=much", "rel is a number, not 'much'", ""),
        ("answer=numeric:gold:rel=-1", "0 or more", ""),
        ("answer=numeric:gold:rel", "rel of numeric has no value", "rel=VALUE"),
        ("answer=exact:gold:case=perhaps", "true or false", ""),
        ("answer=similarity:gold:by=sound", "not 'sound'", "by=words"),
        ("answer=good:gold", "takes no 'gold'", "item"),
        ("answer=number", "no scorer: it is not a function", "def number"),
        ("answer=one", "no scorer: it is not a function", "def one"),
        ("answer=label:gold", "the notebook's own label", "another name"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_nearest(text: str, said: str, hint: str) -> None:
    namespace = {"good": good, "number": 3, "one": lambda reply: 1.0, "label": lambda reply, item: "mine"}
    with pytest.raises(UsageError) as caught:
        parse_score(text, STEPS, COLUMNS, namespace)
    assert said in str(caught.value)
    assert hint in caught.value.hint


def rows(name: str) -> list[dict[str, str]]:
    with (REPO / "data" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_right_answer_of_the_question_bank_passes_and_every_wrong_one_does_not() -> None:
    gold = {row["question_id"]: row for row in rows("questions.csv")}
    scorer = exact("gold", case=True).ready(list(gold.values()))
    wrong = []
    for row in rows("workings.csv"):
        item = gold[row["question_id"]]
        reply = f"{row['steps']}\nSo the result of this is **{row['answer']}**.\nAnswer: {row['answer']}"
        if scorer(reply, item).passed is not (row["answer"] == item["gold"]):
            wrong.append((row["answer"], item["gold"]))
    assert not wrong


def test_numeric_passes_the_right_numbers_of_the_question_bank_alone() -> None:
    gold = {
        row["question_id"]: row
        for row in rows("questions.csv")
        if row["answer_type"] in {"number", "money", "fraction"}
    }
    scorer = numeric("gold").ready(list(gold.values()))
    for row in rows("workings.csv"):
        if (item := gold.get(row["question_id"])) is not None:
            said = f"{row['steps']}\nAnswer: {row['answer']}"
            assert scorer(said, item).passed is (row["answer"] == item["gold"]), (row["answer"], item["gold"])


def test_every_label_of_the_tickets_is_read_back() -> None:
    tickets: list[dict[str, Any]] = list(rows("tickets.csv"))
    for column in ("gold_queue", "gold_topic", "gold_priority"):
        scorer = label(column).ready(tickets)
        for ticket in tickets:
            said = f"I would say: {ticket[column].replace('_', ' ').title()}."
            assert scorer(said, ticket).passed is True, ticket[column]


@pytest.mark.corpus
@pytest.mark.parametrize(("dataset", "least"), [("gsm", 0.999), ("math-l5", 0.994), ("crux", 0.978)])
def test_exact_on_raw_replies_agrees_with_the_marks_of_the_corpus(corpus: Any, dataset: str, least: float) -> None:
    folder = corpus / "zeroeval"
    replies = duckdb.execute(
        "select response, gold, correct from read_parquet(?) join read_parquet(?) using (qid) where dataset = ?",
        [str(folder / "responses.parquet"), str(folder / "questions.parquet"), dataset],
    ).fetchall()
    scorer = exact("gold")
    same = [scorer(reply, {"gold": gold}).passed is right for reply, gold, right in replies]
    assert len(same) > 3000
    assert sum(same) / len(same) >= least
