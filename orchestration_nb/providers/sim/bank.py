"""What the simulated models know: the questions and tickets that ship with the toolkit, and how to recognise them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

from orchestration_nb.errors import UsageError

LABELS: Mapping[str, str] = {
    "queue": "gold_queue",
    "topic": "gold_topic",
    "priority": "gold_priority",
    "language": "language",
}
"""What a model can be asked about a ticket, and the column with the right answer."""

_RUN = 4


def data_folder() -> Path:
    """The folder with the shipped CSV files: inside an installed package, beside it in a checkout.

    Raises:
        UsageError: If neither is there.
    """
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "data", package.parent / "data"):
        if (folder / "questions.csv").is_file():
            return folder
    raise UsageError(
        "The data that ships with orchestration_nb is missing.", hint="Install the package again, or run data/build.py."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """An answer and the steps that lead to it."""

    answer: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of the bank."""

    question_id: str
    kind: str
    difficulty: str
    prompt: str
    solutions: tuple[Solution, ...]
    """The right one first, then those with a slip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One support ticket."""

    ticket_id: str
    body: str
    labels: Mapping[str, str]
    """Gold value by column."""


Known = TypeVar("Known")


class _Texts(Generic[Known]):
    """Finds known texts inside longer ones, however their white space was changed."""

    def __init__(self, texts: Iterable[tuple[str, Known]]) -> None:
        self._by_run: dict[tuple[str, ...], list[tuple[str, Known]]] = {}
        for text, known in texts:
            words = text.split()
            # A run of words from the middle: beginnings ("Dear Sir or Madam") are shared by many.
            start = max(0, (len(words) - _RUN) // 2)
            self._by_run.setdefault(tuple(words[start : start + _RUN]), []).append((" ".join(words), known))

    def last_in(self, text: str) -> Known | None:
        """The known text that ends last in `text`, or `None`."""
        words = text.split()
        runs = self._by_run
        found = [
            hit for run in zip(*(words[i:] for i in range(_RUN)), strict=False) if run in runs for hit in runs[run]
        ]
        if not found:
            return None
        plain = " ".join(words)
        ends = [(at + len(known_text), known) for known_text, known in found if (at := plain.rfind(known_text)) >= 0]
        return max(ends, key=lambda end: end[0])[1] if ends else None


class Bank:
    """The shipped questions and tickets."""

    def __init__(self, questions: Iterable[Question], tickets: Iterable[Ticket]) -> None:
        self.questions = tuple(questions)
        self.tickets = tuple(tickets)
        self.vocabulary = {label: frozenset(t.labels[label] for t in self.tickets) for label in LABELS}
        self._questions = _Texts((q.prompt, q) for q in self.questions)
        self._tickets = _Texts((t.body, t) for t in self.tickets)

    def question_in(self, text: str) -> Question | None:
        """The question of the bank that `text` asks (the last one, where it shows examples first)."""
        return self._questions.last_in(text)

    def ticket_in(self, text: str) -> Ticket | None:
        """The shipped ticket that `text` is about."""
        return self._tickets.last_in(text)


def _rows(name: str) -> list[dict[str, str]]:
    with (data_folder() / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def shipped_bank() -> Bank:
    """The bank as it ships, read once."""
    solutions: dict[str, list[Solution]] = {}
    for row in _rows("workings.csv"):
        steps = tuple(row["steps"].split("\n"))
        solutions.setdefault(row["question_id"], []).append(Solution(answer=row["answer"], steps=steps))
    questions = (
        Question(
            question_id=row["question_id"],
            kind=row["kind"],
            difficulty=row["difficulty"],
            prompt=row["prompt"],
            solutions=tuple(solutions[row["question_id"]]),
        )
        for row in _rows("questions.csv")
    )
    tickets = (
        Ticket(
            ticket_id=row["ticket_id"],
            body=row["body"],
            labels={label: row[column] for label, column in LABELS.items()},
        )
        for row in _rows("tickets.csv")
    )
    return Bank(questions, tickets)
