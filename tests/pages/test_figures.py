from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.pages.figures import FULL_TEXT, latency, shortened, span, text_of, usd


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0.00"),
        (12.345, "$12.35"),
        (1234.5, "$1,234.50"),
        (0.5, "$0.50"),
        (0.0312, "$0.031"),
        (0.00042, "$0.00042"),
        (4e-9, "<$0.000001"),
        (math.nan, "$?"),
    ],
)
def test_money_keeps_the_digits_that_count(amount: Any, text: Any) -> None:
    assert usd(amount) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (12.4, "12 s"), (125, "2 min 05 s"), (3725, "1 h 02 min"), (math.inf, "?")]
)
def test_spans(seconds: Any, text: Any) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(("ms", "text"), [(0.41, "0.4 ms"), (812.4, "812 ms"), (1240, "1.24 s"), (math.nan, "–")])
def test_latencies(ms: Any, text: Any) -> None:
    assert latency(ms) == text


def test_values_as_text() -> None:
    assert text_of("as it is") == "as it is"
    assert text_of(0.1 + 0.2) == "0.3"
    assert text_of(None) == text_of(math.nan) == "–"
    assert text_of(["a", {"b": 1}]) == "['a', {'b': 1}]"


def test_an_enormous_value_stays_small() -> None:
    assert len(text_of({"key": "x" * 10_000_000, "list": list(range(100_000))})) < 3 * FULL_TEXT


def test_a_value_whose_repr_fails_is_still_shown() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError

    assert "Broken" in text_of(Broken())


def test_shortened_is_one_line() -> None:
    assert shortened("one\ntwo   three", 40) == "one two three"
    assert shortened("x" * 50, 10) == "x" * 9 + "…"
    assert shortened(" " * 500 + "end", 10).endswith("…")


def test_a_frame_is_told_by_its_size() -> None:
    assert text_of(pd.DataFrame({"a": [1], "b": [2]})) == "DataFrame, 1 row × 2 columns"
