"""Tokens guessed from a prompt and a schema: wide, in the right order, and never more than may be written."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from typing_extensions import TypedDict

from orchestration_nb.cost.estimates import Estimate
from orchestration_nb.cost.guesses import input_tokens, output_tokens
from orchestration_nb.flow.schema import output_schema


class Ticket(TypedDict):
    queue: Literal["billing", "bug"]
    reason: str


def written(annotation: Any, max_tokens: int = 1024) -> Estimate:
    return output_tokens(output_schema(annotation, name="step"), max_tokens)


def test_english_is_about_four_bytes_a_token() -> None:
    tokens = input_tokens(Estimate.exactly(4000), None)
    assert tokens.low < 900 < tokens.expected < 1100 < tokens.high < 2500


def test_a_form_that_is_sent_along_counts() -> None:
    prompt = Estimate.exactly(100)
    assert input_tokens(prompt, output_schema(Ticket, name="t")).high > input_tokens(prompt, None).high + 40


@pytest.mark.parametrize(
    ("annotation", "typical"),
    [(Literal["billing", "bug"], 9), (bool, 7), (int, 7), (Ticket, 50), (list[int], 15), (int | None, 7)],
)
def test_a_form_bounds_the_reply(annotation: Any, typical: float) -> None:
    tokens = written(annotation)
    assert tokens.low <= typical <= tokens.high
    assert tokens.expected == pytest.approx(typical, rel=0.7)


def test_free_text_may_be_anything_up_to_the_most() -> None:
    tokens = written(str)
    assert tokens.high > 50 * tokens.low
    assert tokens.high <= 1024


def test_nothing_is_longer_than_it_may_be() -> None:
    assert written(Ticket, 20).high == 20


def test_a_form_within_itself_comes_to_an_end() -> None:
    deep: Any = int
    for _ in range(30):
        deep = list[deep]
    assert 0 < written(deep).expected <= 1024
