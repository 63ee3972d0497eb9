"""Which questions are taken for the same: never those that differ in what matters, and often enough the others."""

from __future__ import annotations

import csv
import functools
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from data.builders.pair_texts import FIRST
from data.builders.pair_texts_more import SECOND
from data.builders.pairs import NAMED
from orchestration_nb.cost.contradiction import contradict
from orchestration_nb.cost.residue import residue
from orchestration_nb.cost.shelf import Shelf, packed
from orchestration_nb.cost.similarity import (
    FLOOR,
    LabelledPair,
    Measure,
    measure_vectors,
    measure_words,
    read_pairs,
    threshold_of,
)
from orchestration_nb.cost.wording import take_apart
from orchestration_nb.cost.words import stem
from orchestration_nb.errors import ConfigError
from tests.conftest import REPO
from tests.cost.hand_pairs import DIFFERENT, SAME

PAIRS = read_pairs(REPO / "data" / "question_pairs.csv")
MEASURE = measure_words(PAIRS, rate=0.01)
RATE = 0.01


apart = functools.cache(take_apart)


def likeness(left: str, right: str, measure: Measure = MEASURE) -> float:
    return measure.likeness(apart(left), apart(right))


def rates(measure: Measure, pairs: Sequence[LabelledPair]) -> tuple[float, float]:
    """The share of different pairs that are taken for the same, and the share of the same."""
    hits = [(likeness(pair.left, pair.right, measure) > 0, pair.same) for pair in pairs]
    false = [hit for hit, same in hits if not same]
    true = [hit for hit, same in hits if same]
    return sum(false) / len(false), sum(true) / len(true)


class TestWhatMatters:
    @pytest.mark.parametrize(("left", "right"), DIFFERENT)
    def test_a_difference_is_seen_from_both_sides(self, left: str, right: str) -> None:
        assert likeness(left, right) == 0
        assert likeness(right, left) == 0

    def test_most_of_what_is_the_same_in_other_words_is_found(self) -> None:
        assert sum(likeness(left, right) > 0 for left, right in SAME) >= 0.7 * len(SAME)

    @pytest.mark.parametrize(
        ("left", "right"),
        [
            ("What is the capital of France?", "what is the capital of france"),
            ("What is the capital of France?", "  What's the capital of France ?!"),
            ("Please list 3 uses of soda.", "List three uses of soda"),
            ("It costs $1,500.", "It costs $1500."),
        ],
    )
    def test_form_alone_makes_no_difference(self, left: str, right: str) -> None:
        assert likeness(left, right) == 1.0

    @pytest.mark.parametrize(
        ("left", "right"),
        [
            ("", "anything at all"),
            ("???", "!!!"),
            ("日本の首都は？", "中国の首都は？"),
            ("Wann kommt mein Paket in Hamburg an?", "Wann kommt mein Paket in Bremen an?"),
            ("x" * 5000, "y" * 5000),
        ],
    )
    def test_text_that_the_rules_do_not_know_is_no_trouble(self, left: str, right: str) -> None:
        assert likeness(left, right) == 0

    def test_a_text_is_like_itself(self, dice: random.Random) -> None:
        for pair in dice.sample(PAIRS, 200):
            assert likeness(pair.left, pair.left) == 1.0
            assert likeness(pair.left, pair.right) == pytest.approx(likeness(pair.right, pair.left))


class TestWords:
    @pytest.mark.parametrize(
        ("word", "other"), [("ordered", "orders"), ("shipped", "shipping"), ("cities", "city"), ("bought", "purchase")]
    )
    def test_of_one_kind(self, word: str, other: str) -> None:
        assert stem(word) == stem(other)

    def test_names_numbers_codes_and_quotations_must_agree(self) -> None:
        wording = take_apart("Did Anna pay 1,500 for A-17 and say 'never mind' to bob@example.com on Monday?")
        assert {"anna", "1500", "a-17", "never", "mind", "bob@example.com", "monday"} <= wording.exact
        assert not {"did", "pay", "for", "say"} & wording.exact

    def test_what_follows_a_negation_matters(self) -> None:
        left, right = (take_apart(text) for text in ("Who did not pay and bought?", "Who paid and did not buy?"))
        assert contradict(left, right)


class TestTemplates:
    LETTERS = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi"
    TEMPLATE = " ".join(
        f"Rule {letter}: think of the customer before the shop and say so in one sentence."
        for letter in LETTERS.split()
    )

    def test_what_two_texts_share_at_length_is_taken_away(self) -> None:
        left, right = (
            take_apart(f"{self.TEMPLATE} {body} {self.TEMPLATE}")
            for body in ("The lamp flickers when it is warm.", "My parcel has been late for a week.")
        )
        ours, theirs = residue(left, right)
        assert set(ours) <= set(take_apart("The lamp flickers when it is warm.").words)
        assert set(theirs) <= set(take_apart("My parcel has been late for a week.").words)

    def test_a_template_filled_in_twice_is_compared_by_what_was_filled_in(self) -> None:
        def filled(body: str) -> str:
            return f"{self.TEMPLATE}\n\nThe ticket: {body}\n\n{self.TEMPLATE}"

        assert len(filled("").split()) > 400
        assert likeness(filled("the lamp flickers"), filled("the parcel is late")) == 0
        assert likeness(filled("the lamp flickers at night"), filled("the lamp is broken")) == 0
        assert likeness(filled("Which bugs are open in the app?"), filled("Show the app's open bugs.")) > 0


def tickets() -> list[dict[str, str]]:
    with (REPO / "data" / "tickets.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("before", ["", "Which queue does this ticket belong to?\n", TestTemplates.TEMPLATE + "\n"])
def test_different_tickets_are_not_taken_for_one_another(before: str) -> None:
    rows = tickets()
    wordings = [take_apart(before + row["body"]) for row in rows]
    by_numbers: dict[tuple[str, ...], Shelf] = {}
    for place, wording in enumerate(wordings):
        by_numbers.setdefault(wording.numbers, Shelf()).add(str(place), wording, b"")
    taken = [
        (place, int(key))
        for place, wording in enumerate(wordings)
        for key, other, _ in by_numbers[wording.numbers].near(wording, b"")
        if int(key) != place and MEASURE.likeness(wording, other) > 0
    ]
    assert len({place for place, _ in taken}) <= 0.01 * len(rows)
    assert all(rows[one]["gold_topic"] == rows[other]["gold_topic"] for one, other in taken)


class TestThreshold:
    def test_is_the_lowest_that_keeps_the_rate(self) -> None:
        scores = [number / 100 for number in range(100)]
        assert sum(score >= threshold_of(scores, 0.05) for score in scores) == 5
        assert sum(score >= threshold_of(scores, 0.0) for score in scores) == 0
        assert threshold_of([0.0] * 100, 0.01) < FLOOR
        assert threshold_of([], 0.5) == 0

    @pytest.mark.parametrize("seed", range(10))
    def test_chosen_on_one_half_holds_on_the_other(self, seed: int) -> None:
        mixed = random.Random(seed).sample(PAIRS, len(PAIRS))
        false, true = rates(measure_words(mixed[:1000], rate=RATE), mixed[1000:])
        assert false <= 0.02
        assert true >= 0.30

    def test_chosen_on_some_intents_holds_on_others_that_nobody_looked_at(self) -> None:
        """The rules were made with the first half of the intents in sight, and never with the second."""
        first, second = _of(FIRST), _of(SECOND)
        assert len(first) + len(second) == len(PAIRS)
        for chosen_on, others in ((first, second), (second, first)):
            false, true = rates(measure_words(chosen_on, rate=RATE), others)
            assert false <= 0.02
            assert true >= 0.30

    def test_a_stricter_rate_never_takes_more(self) -> None:
        strict, lax = measure_words(PAIRS, rate=0.0005), measure_words(PAIRS, rate=0.2)
        assert strict.threshold >= lax.threshold
        assert rates(strict, PAIRS)[0] <= 0.0005

    def test_what_is_longer_than_any_labelled_question_must_be_nearly_the_same(self) -> None:
        long = "my lamp flickers after dark and the cable gets warm while the switch hums, can somebody look into it"
        other = "somebody should look, the switch of my lamp hums, it flickers at night, its cable is warm, is it safe"
        measure = Measure(MEASURE.weights, 100, FLOOR)
        assert likeness(long, other, measure) > FLOOR
        assert likeness(long, other) == 0

    def test_of_vectors_keeps_the_rate_among_strangers_too(self) -> None:
        pairs = [
            LabelledPair(
                left="Where is my parcel right now?",
                right="Tell me the whereabouts of the parcel I ordered.",
                same=True,
            ),
            LabelledPair(left="Is the sky blue?", right="Is the grass blue?", same=False),
        ]
        texts = [text for pair in pairs for text in (pair.left, pair.right)]
        vectors = dict(zip(texts, map(packed, ([1, 0], [0.9, 0.1], [0, 1], [0.1, 1])), strict=True))
        measure = measure_vectors(pairs, vectors, rate=0.01)
        assert 0.1 < measure.threshold < 0.99
        left, right = take_apart(texts[0]), take_apart(texts[1])
        assert measure.likeness(left, right, 0.99) == 0.99
        assert measure.likeness(left, right, measure.threshold - 0.01) == 0
        assert measure.likeness(take_apart("Did Anna pay?"), take_apart("Did Bruno pay?"), 0.999) == 0


def _of(intents: Sequence[object]) -> list[LabelledPair]:
    """The pairs whose questions are of these intents."""
    import re

    slots = {name: "|".join(map(re.escape, values)) for name, values in NAMED.items()} | {"n": r"\d+", "m": r"\d+"}

    def pattern(wording: str) -> str:
        parts = re.split(r"\{(\w+)\}", wording)
        return "".join(f"(?:{slots[part]})" if place % 2 else re.escape(part) for place, part in enumerate(parts))

    wordings = [text for intent in intents for text in (*intent.wordings, *intent.opposites)]  # type: ignore[attr-defined]
    any_of = re.compile("|".join(map(pattern, wordings)))
    return [pair for pair in PAIRS if any_of.fullmatch(pair.left)]


class TestPairsFile:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "left,right\na,b\n",
            "left,right,same\na,b,perhaps\n",
            "left,right,same\na,b,true\n",
            "left,right,same\na\n",
        ],
    )
    def test_what_is_no_file_of_pairs_is_told(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "pairs.csv").write_text(text)
        with pytest.raises(ConfigError):
            read_pairs(tmp_path / "pairs.csv")

    def test_one_that_is_missing_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            read_pairs(tmp_path / "pairs.csv")
