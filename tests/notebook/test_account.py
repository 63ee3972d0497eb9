from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.notebook.account import MOST_PROBLEMS, MOST_ROWS, account_of
from tests.notebook.scripted import Flow


def run_of(frame: pd.DataFrame | None, text: str = "queue = llm(body)", **script: Any) -> Any:
    """A run that is over."""
    run = Flow(text, "triage", script).start(frame)
    run.wait()
    return run


def tickets(count: int = 30) -> pd.DataFrame:
    return pd.DataFrame({"id": range(count), "body": [f"ticket {number}" for number in range(count)]})


def test_the_first_rows_and_how_many_more() -> None:
    account = account_of(run_of(tickets()))
    assert len(account.rows) == MOST_ROWS
    assert account.row_count == 30
    assert account.columns == ("id", "body", "queue", "_status", "_cost_usd", "_latency_ms")
    assert account.rows[3] == ("3", "ticket 3", "fine", "ok", "$0.00040", "812 ms")
    assert account.inputs == 2
    assert account.hidden_columns == 0


def test_a_wide_frame_shows_what_is_used_and_every_step() -> None:
    frame = pd.DataFrame({f"c{number}": [1] for number in range(20)})
    account = account_of(run_of(frame, "a = c7\nb = c11"))
    assert account.columns == ("c0", "c7", "c11", "a", "b", "_status", "_cost_usd", "_latency_ms")
    assert account.hidden_columns == 17


def test_a_wide_frame_of_which_nothing_is_used_shows_its_first_columns() -> None:
    frame = pd.DataFrame({f"c{number}": [1] for number in range(20)})
    assert account_of(run_of(frame, "a = 1")).columns[:5] == ("c0", "c1", "c2", "c3", "a")


def test_columns_that_are_no_identifiers_or_no_text() -> None:
    frame = pd.DataFrame([[1, 2]], columns=["a column: with <signs>", 7])
    assert account_of(run_of(frame)).columns[:2] == ("a column: with <signs>", "7")


def test_without_a_frame_there_is_one_row() -> None:
    account = account_of(run_of(None))
    assert account.rows == (("fine", "ok", "$0.00040", "812 ms"),)


def test_errors_are_grouped_with_their_places() -> None:
    errors = ["too long"] * 15 + [None] + ["ZeroDivisionError: division by zero (line 2)"]
    account = account_of(run_of(tickets(20), errors=errors))
    assert [(problem.count, problem.message) for problem in account.problems] == [
        (15, "too long"),
        (1, "ZeroDivisionError: division by zero (line 2)"),
    ]
    assert account.problems[0].positions == "rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more"
    assert account.problems[1].positions == "row 16"
    assert dict(account.statuses) == {"failed": 16, "ok": 4}


def test_errors_that_differ_in_numbers_are_one() -> None:
    errors = [f"The call could cost up to $0.{number}." for number in range(20)]
    (problem,) = account_of(run_of(tickets(20), errors=errors)).problems
    assert (problem.count, problem.message) == (20, "The call could cost up to $0.0.")


def test_a_thousand_different_errors_stay_few_lines() -> None:
    account = account_of(run_of(tickets(1000), errors=[f"error {'x' * number}" for number in range(1000)]))
    assert len(account.problems) == MOST_PROBLEMS
    assert account.other_problems == 1000 - MOST_PROBLEMS


@pytest.mark.parametrize("value", [None, math.nan, {"a": [1, 2]}, ["x"], b"bytes", float("inf"), "x" * 1_000_000])
def test_any_value_can_stand_in_a_row(value: Any) -> None:
    account = account_of(run_of(tickets(2), reply=value))
    assert account.rows[0][2]


def test_a_step_summary_becomes_lines() -> None:
    (line,) = account_of(run_of(tickets())).steps
    assert (line.step, line.kind, line.calls, line.models, line.errors) == ("queue", "llm", 5, "sim/small", 0)
