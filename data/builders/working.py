"""Solving a problem aloud, once rightly and then with one slip at a time.

A question's gold answer is computed by running its `solve` with a `Working` that makes no mistake. Its plausible wrong
answers come from running the same code again with a `Working` that slips at one step: the rest follows from the slip,
as it does for anybody who miscalculates once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Literal, TypeVar

Number = int | Fraction
AnswerType = Literal["number", "money", "fraction", "text", "date", "time"]
T = TypeVar("T")


class NonsenseError(ValueError):
    """A slip led to an answer nobody would give (a negative count, half a person)."""


class Working:
    """The lines of one solution, with one slip at `slip` (which point, which wrong turn) or none."""

    def __init__(self, slip: tuple[int, int] | None = None) -> None:
        self.lines: list[str] = []
        self.turns: list[int] = []
        self._slip = slip

    def choose(self, right: T, wrong: Sequence[T]) -> T:
        """A point where one can go wrong: the right value, or the wrong one that this working is to take."""
        self.turns.append(len(wrong))
        if self._slip is not None and self._slip[0] == len(self.turns) - 1:
            return wrong[self._slip[1]]
        return right

    def say(self, line: str) -> None:
        """A line of the solution in which nothing is computed."""
        self.lines.append(line)

    def find(self, what: str, right: T, *wrong: T) -> T:
        """A value that is read off rather than computed, such as the fourth word of a list."""
        value = self.choose(right, wrong)
        self.say(f"{what}: {show(value)}")
        return value

    def add(self, what: str, left: Number, right: Number) -> Number:
        """`left + right`, written down."""
        total = left + right
        off = 10 if total > 30 else 1
        return self._write(
            what, (left, "+", right, total), [(left, "+", right, total - off), (left, "-", right, left - right)]
        )

    def sub(self, what: str, left: Number, right: Number) -> Number:
        """`left - right`, written down."""
        rest = left - right
        off = 10 if rest > 30 else 1
        return self._write(
            what, (left, "-", right, rest), [(left, "-", right, rest + off), (left, "+", right, left + right)]
        )

    def mul(self, what: str, left: Number, right: Number) -> Number:
        """`left × right`, written down."""
        product = left * right
        off = 10 if product > 30 else 1
        wrong = [
            (left, "×", right, product + off),
            (left, "×", right, product - left),
            (left, "+", right, left + right),
        ]
        return self._write(what, (left, "×", right, product), wrong)

    def div(self, what: str, left: Number, right: Number) -> Number:
        """`left / right`, written down."""
        quotient = Fraction(left) / right
        off = 1 if quotient >= 5 else Fraction(1, 2)
        wrong = [
            (left, "/", right, quotient + off),
            (left, "/", right, quotient - off),
            (left, "-", right, left - right),
        ]
        return self._write(what, (left, "/", right, quotient), wrong)

    def _write(
        self, what: str, right: tuple[Number, str, Number, Number], wrong: Sequence[tuple[Number, str, Number, Number]]
    ) -> Number:
        plain = min(right[0], right[2], right[3]) >= 0
        first, sign, second, result = self.choose(right, [turn for turn in wrong if turn[3] >= 0 or not plain])
        self.say(f"{what}: {show(first)} {sign} {show(second)} = {show(result)}")
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A question, and the code that answers it aloud."""

    prompt: str
    answer_type: AnswerType
    solve: Callable[[Working], str]


Maker = Callable[[Random], Problem]


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """An answer and the steps that lead to it."""

    answer: str
    steps: tuple[str, ...]


def show(value: object) -> str:
    """A number as one writes it: `12`, `3.75`, or `2/3` where the decimals would not end."""
    if not isinstance(value, Fraction):
        return str(value)
    if value.denominator == 1:
        return str(value.numerator)
    fine = value * 10_000
    if fine.denominator == 1:
        sign, digits = ("-" if value < 0 else ""), abs(fine.numerator)
        return f"{sign}{digits // 10_000}.{digits % 10_000:04d}".rstrip("0")
    return f"{value.numerator}/{value.denominator}"


def whole(value: Number) -> str:
    """A count: raises `NonsenseError` for halves and for less than nothing."""
    number = integer(value)
    if number < 0:
        raise NonsenseError(show(value))
    return str(number)


def integer(value: Number) -> int:
    """An integer, negative or not: raises `NonsenseError` for a broken number."""
    if Fraction(value).denominator != 1:
        raise NonsenseError(show(value))
    return int(value)


def money(value: Number) -> str:
    """Dollars with two decimals, half a cent rounded up."""
    if value < 0:
        raise NonsenseError(show(value))
    cents = int(Fraction(value) * 100 + Fraction(1, 2))
    return f"{cents // 100}.{cents % 100:02d}"


def decimal(value: Number) -> str:
    """A number of at most two decimals that is not negative."""
    if value < 0 or (Fraction(value) * 100).denominator != 1:
        raise NonsenseError(show(value))
    return show(Fraction(value))


def ratio(value: Number) -> str:
    """A probability in lowest terms, such as `3/8`."""
    if not 0 < value < 1:
        raise NonsenseError(show(value))
    return f"{Fraction(value).numerator}/{Fraction(value).denominator}"


def solved(problem: Problem) -> Solution:
    """The right solution."""
    working = Working()
    answer = problem.solve(working)
    return Solution(answer=answer, steps=tuple(working.lines))


def slips(problem: Problem, rng: Random, count: int) -> tuple[Solution, ...]:
    """Up to `count` wrong solutions with different answers, each one slip away from the right one."""
    working = Working()
    gold = problem.solve(working)
    places = [(point, turn) for point, turns in enumerate(working.turns) for turn in range(turns)]
    rng.shuffle(places)
    found: dict[str, Solution] = {}
    for place in places:
        slipped = Working(place)
        try:
            answer = problem.solve(slipped)
        except (ValueError, ZeroDivisionError, IndexError, KeyError):
            continue  # this slip leads nowhere: a solver would have noticed
        if answer != gold and answer not in found:
            found[answer] = Solution(answer=answer, steps=tuple(slipped.lines))
    return tuple(found.values())[:count]
