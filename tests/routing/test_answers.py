"""Where a reply states its answer, and what the words of it mean."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration_nb.routing.answers import stated_answer
from orchestration_nb.routing.values import NO_DATA, data_of, last_number, number_of, plain_words


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("We add.\nAnswer: 42", "42"),
        ("**Answer:** 42", "42"),
        ("## Answer\n\n42", None),
        ("The final answer is **Selma**.", "Selma**."),
        ("First the answer is 3. Then I see: the answer is 4.", "4."),
        ("The answer is 18 dollars. Thank you for asking", "18 dollars"),
        ("Answer: 2025-05-08", "2025-05-08"),
        ("The answer is:\n17:02", "17:02"),
        (r"So \boxed{\frac{3}{4}} it is.", r"\frac{3}{4}"),
        ("16 - 3 - 4 = 9, 9 * 2 = 18\n#### 18", "18"),
        ('{"reasoning": "the result is 5", "answer": "6"}', "6"),
        ('{"answer": 6, "reasoning": "the result is 5"}', "6"),
        ('Here:\n```json\n{"reasoning": "a", "answer": [1, 2]}\n```', "[1, 2]"),
        ('{"reasoning": "a \\( b", "answer": "\\frac{1}{2}"}', r"\frac{1}{2}"),
        ('{"answer": ""}', ""),
        ('{"final answer": true}', "true"),
        ("It depends.", None),
        ("", None),
        (r"\boxed{never closed", None),
    ],
)
def test_the_answer_is_found_where_models_put_it(reply: str, words: str | None) -> None:
    found = stated_answer(reply)
    assert (None if found is None else plain_words(found)) == (None if words is None else plain_words(words))


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("42", 42), ("-7", -7), ("−7", -7), ("$14.00", 14), ("-$5", -5), ("1,234,567.5", 1234567.5),
        ("1.234,50", 1234.5),
        ("12,5", 12.5), ("0,125", 0.125), ("1,234", 1234), (".5", 0.5), ("5.", 5), ("**42**", 42), ("3/5", 0.6),
        ("1 1/2", 1.5), ("½", 0.5), (r"\frac{3}{4}", 0.75), (r"-\dfrac{3}{4}", -0.75), ("$12$", 12), (r"\$12", 12),
        ("1e3", 1000), (r"2 \times 10^{-3}", 0.002), ("12 %", 12), ("50 percent", 50), ("47 feet", 47), ("65 km/h", 65),
        (r"12 \text{ feet}", 12), (r"90^\circ", 90), ("5 million", 5e6),
        ("x = 5", 5), ("3 × 4 = 12", 12), ("about 5", 5),
        ("€ 1 234,50", 1234.5), ("15.90 €", 15.9), ("1'234.50", 1234.5), ("USD 100", 100), ("# 65,960", 65960),
        ("2, -2", None), ("1,2,3,4", None), ("17:02", None), ("2025-05-08", None), ("(1,2)", None), ("3 and 4", None),
        ("25 - 15", None), ("dn", None), ("", None), ("1/0", None), ("-221_3", None), ("5 or 6", None),
    ],
)  # fmt: skip
def test_a_number_is_read_however_it_is_written(words: str, value: Any) -> None:
    number = number_of(words)
    assert (None if number is None else number.value) == (None if value is None else pytest.approx(value))


def test_per_cent_is_told_apart() -> None:
    percent = number_of("12 %")
    assert percent is not None
    assert percent.percent
    assert str(percent) == "12%"


@pytest.mark.parametrize(
    "words", ["5" + "a" * 390 + "!", "1," * 190, "= " * 190, "5 " + "a " * 190 + "!", "9" * 10_000]
)
def test_a_flood_of_signs_is_refused_at_once(words: str) -> None:
    assert number_of(words) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("He pays $12.50 for it.", 12.5), ("The total is 1,200.", 1200), ("Nothing", None), ("on 2025-05-08", None)],
)
def test_the_last_number_of_a_text(text: str, value: Any) -> None:
    number = last_number(text)
    assert (None if number is None else number.value) == value


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("[1, 2]", [1, 2]), ('{"a": [true, null]}', {"a": [True, None]}), ("{'a': None}", {"a": None}), ("(1,)", (1,)),
        ("'ab'", "ab"), ("True", True), ("[1or 2]", NO_DATA), (r"'\d'", NO_DATA), ("__import__('os')", NO_DATA),
        ("[" * 9000, NO_DATA), ("abc", NO_DATA), ("12", NO_DATA),
    ],
)  # fmt: skip
def test_data_are_read_and_nothing_is_evaluated(words: str, value: Any) -> None:
    assert data_of(words) == value
