"""The shipped data: rebuilt to the same bytes, without duplicates, with gold answers that hold."""

import contextlib
import csv
import io
import os
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "data"
FILES = ("questions.csv", "workings.csv", "tickets.csv", "orders.csv", "question_pairs.csv")


def rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-W", "error", DATA / "build.py", folder], check=True, cwd=folder, env=environment)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_rebuilding_gives_the_committed_bytes(rebuilt: Path, name: str) -> None:
    committed = (DATA / name).read_bytes()
    assert (rebuilt / name).read_bytes() == committed
    assert b"\r" not in committed


def test_the_bank_has_600_different_questions_spread_over_kinds_and_difficulties() -> None:
    bank = rows("questions.csv")
    assert len(bank) == len({q["prompt"] for q in bank}) == len({q["question_id"] for q in bank}) == 600
    assert set(Counter(q["kind"] for q in bank).values()) == {50}
    assert Counter(q["difficulty"] for q in bank) == {"easy": 204, "medium": 204, "hard": 192}
    assert all(q["gold"].strip() == q["gold"] != "" for q in bank)


def test_wrong_answers_differ_from_gold_and_from_each_other() -> None:
    answers: dict[str, list[str]] = {}
    for row in rows("workings.csv"):
        assert int(row["rank"]) == len(answers.setdefault(row["question_id"], []))
        answers[row["question_id"]].append(row["answer"])
    gold = {q["question_id"]: q["gold"] for q in rows("questions.csv")}
    assert answers.keys() == gold.keys()
    for question_id, found in answers.items():
        assert found[0] == gold[question_id]
        assert 3 <= len(found) == len(set(found)) <= 5


def test_every_sum_in_a_right_working_is_right() -> None:
    number = r"(-?\d+(?:\.\d+)?(?:/\d+)?)"
    checked = 0
    for row in rows("workings.csv"):
        if row["rank"] != "0":
            continue
        for left, sign, right, result in re.findall(
            rf": {number} ([-+×/]) {number} = {number}$", row["steps"], re.MULTILINE
        ):
            a, b, c = Fraction(left), Fraction(right), Fraction(result)
            assert c == {"+": a + b, "-": a - b, "×": a * b, "/": a / b if b else None}[sign], row
            checked += 1
    assert checked > 1000


def test_gold_of_code_questions_is_what_the_program_prints() -> None:
    for question in rows("questions.csv"):
        if question["kind"] == "code":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(question["prompt"].split("```python\n")[1].split("\n```")[0], {})
            assert out.getvalue().strip() == question["gold"]


def test_gold_has_the_form_that_its_type_promises() -> None:
    forms = {
        "number": r"-?\d+(\.\d+)?",
        "money": r"\d+\.\d\d",
        "fraction": r"\d+/\d+",
        "date": r"\d{4}-\d\d-\d\d",
        "time": r"\d\d:\d\d",
        "text": r".+",
    }
    for question in rows("questions.csv"):
        assert re.fullmatch(forms[question["answer_type"]], question["gold"]), question


def test_tickets_are_500_different_texts_with_gold_labels() -> None:
    tickets = rows("tickets.csv")
    assert len(tickets) == len({t["body"] for t in tickets}) == len({t["ticket_id"] for t in tickets}) == 500
    queues = Counter(t["gold_queue"] for t in tickets)
    assert set(queues) == {"billing", "bug", "refund"}
    assert min(queues.values()) > 130
    assert {t["language"] for t in tickets} == {"en", "de", "fr", "es"}
    assert {t["gold_priority"] for t in tickets} == {"low", "normal", "high"}
    assert not any("{" in t["body"] + t["subject"] for t in tickets)


def test_tickets_hold_invented_personal_data_that_reaches_nobody() -> None:
    bodies = "\n".join(t["body"] for t in rows("tickets.csv"))
    addresses = re.findall(r"[\w.]+@([\w.]+\w)", bodies)
    assert len(addresses) > 60
    assert all(re.search(r"(^|\.)example\.(com|org|net)$", host) for host in addresses)
    cards = re.findall(r"\b(?:\d{4} ){3}\d{4}\b", bodies)
    assert len(cards) > 20
    for card in cards:
        digits = [int(c) for c in card.replace(" ", "")]
        doubled = [d * 2 - 9 * (d > 4) if i % 2 == 0 else d for i, d in enumerate(digits)]
        assert sum(doubled) % 10 == 0


def test_an_order_that_a_ticket_names_is_the_customers_and_older_than_the_ticket() -> None:
    orders = {o["order_id"]: o for o in rows("orders.csv")}
    named = 0
    for ticket in rows("tickets.csv"):
        for order_id in re.findall(r"QM-\d+", ticket["subject"] + ticket["body"]):
            assert orders[order_id]["customer_id"] == ticket["customer_id"]
            assert orders[order_id]["ordered_at"] < ticket["received_at"]
            named += 1
    assert named > 100


def test_orders_come_oldest_first_and_every_ticket_has_some() -> None:
    orders = rows("orders.csv")
    assert [o["ordered_at"] for o in orders] == sorted(o["ordered_at"] for o in orders)
    assert {t["customer_id"] for t in rows("tickets.csv")} <= {o["customer_id"] for o in orders}
    for order in orders:
        assert Fraction(order["total_usd"]) == Fraction(order["unit_price_usd"]) * int(order["quantity"])


def test_pairs_are_2000_and_differ_as_their_kind_says() -> None:
    pairs = rows("question_pairs.csv")
    assert len(pairs) == len({frozenset((p["left"], p["right"])) for p in pairs}) == 2000
    assert Counter(p["kind"] for p in pairs) == {"paraphrase": 1000, "number": 350, "name": 350, "negation": 300}
    for pair in pairs:
        assert pair["same"] == ("true" if pair["kind"] == "paraphrase" else "false")
        numbers = [sorted(re.findall(r"\d+", pair[side])) for side in ("left", "right")]
        if pair["kind"] == "number":
            assert numbers[0] != numbers[1], pair
        elif pair["kind"] != "name":
            assert numbers[0] == numbers[1], pair


def test_the_tables_join_as_the_readme_shows() -> None:
    pandas = pytest.importorskip("pandas")
    tickets, orders = pandas.read_csv(DATA / "tickets.csv"), pandas.read_csv(DATA / "orders.csv")
    latest = orders[orders.customer_id == tickets.customer_id[0]].tail(5)
    assert 1 <= len(latest) <= 5
    assert latest.ordered_at.is_monotonic_increasing
    assert pandas.read_csv(DATA / "question_pairs.csv").same.dtype == bool
