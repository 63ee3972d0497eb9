"""The question bank: twelve kinds in three difficulties, with gold answers and plausible wrong ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from data.builders import calendars, counting, logic, maths, programs, rates, reading, word_problems
from data.builders.working import Maker, NonsenseError, Problem, Solution, slips, solved

MAKERS = {
    **word_problems.MAKERS,
    **rates.MAKERS,
    **maths.MAKERS,
    **counting.MAKERS,
    **calendars.MAKERS,
    **reading.MAKERS,
    **logic.MAKERS,
    **programs.MAKERS,
}
DIFFICULTIES = {"easy": 17, "medium": 17, "hard": 16}
SLIPS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of the bank."""

    kind: str
    difficulty: str
    problem: Problem
    gold: Solution
    slips: tuple[Solution, ...]


def _questions(kind: str, difficulty: str, makers: tuple[Maker, ...], count: int) -> Iterator[Question]:
    seen: set[str] = set()
    for number in range(count):
        for attempt in range(1000):
            rng = Random(f"questions/{kind}/{difficulty}/{number}/{attempt}")
            try:
                problem = makers[number % len(makers)](rng)
                gold = solved(problem)
                wrong = slips(problem, rng, SLIPS)
            except NonsenseError:
                continue
            if len(wrong) >= (3 if attempt < 300 else 2) and problem.prompt not in seen:
                break
        else:
            raise RuntimeError(f"{kind} {difficulty} {number}: no question found")
        seen.add(problem.prompt)
        yield Question(kind=kind, difficulty=difficulty, problem=problem, gold=gold, slips=wrong)


def questions() -> tuple[list[list[object]], list[list[object]]]:
    """The rows of questions.csv and of workings.csv, headers first."""
    asked = [
        question
        for kind, levels in MAKERS.items()
        for (difficulty, count), makers in zip(DIFFICULTIES.items(), levels, strict=True)
        for question in _questions(kind, difficulty, makers, count)
    ]
    Random("questions/order").shuffle(asked)
    bank: list[list[object]] = [["question_id", "kind", "difficulty", "prompt", "gold", "answer_type"]]
    workings: list[list[object]] = [["question_id", "rank", "answer", "steps"]]
    for number, q in enumerate(asked, 1):
        question_id = f"q{number:03d}"
        bank.append([question_id, q.kind, q.difficulty, q.problem.prompt, q.gold.answer, q.problem.answer_type])
        for rank, solution in enumerate((q.gold, *q.slips)):
            workings.append([question_id, rank, solution.answer, "\n".join(solution.steps)])
    return bank, workings
