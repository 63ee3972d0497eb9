"""Algebra and sequences."""

from fractions import Fraction
from itertools import pairwise
from math import gcd
from random import Random

from data.builders.people import distinct
from data.builders.working import Maker, NonsenseError, Number, Problem, Working, integer, whole


def _signed(value: int) -> str:
    return f"+ {value}" if value >= 0 else f"- {-value}"


def _linear(rng: Random) -> Problem:
    a, x, b = rng.randint(2, 12), rng.randint(-9, 20), rng.randint(-30, 40)
    letter = rng.choice("xyznt")

    def solve(w: Working) -> str:
        right = (
            w.sub(f"Right side without {b}", a * x + b, b) if b >= 0 else w.add(f"Right side plus {-b}", a * x + b, -b)
        )
        return str(integer(w.div(f"Divided by {a}", right, a)))

    ask = rng.choice(["Solve for {0}: {1}.", "What is {0} if {1}?", "For which {0} does {1} hold?"])
    equation = f"{a}{letter} {_signed(b)} = {a * x + b}"
    return Problem(prompt=ask.format(letter, equation), answer_type="number", solve=solve)


def _thought_of(rng: Random) -> Problem:
    name, x = distinct(rng, 1)[0], rng.randint(3, 40)
    times, less, part = rng.randint(2, 9), rng.randint(2, 30), rng.choice([2, 3, 4, 5])
    result = Fraction(x * times - less, part)
    if result.denominator != 1 or result <= 0:
        raise NonsenseError("not a whole number")
    word = {
        2: "halves the result",
        3: "divides the result by three",
        4: "divides the result by four",
        5: "divides the result by five",
    }[part]

    def solve(w: Working) -> str:
        before = w.mul(f"Before the division by {part}", int(result), part)
        product = w.add(f"Before {less} was taken away", before, less)
        return whole(w.div("The number", product, times))

    prompt = (
        f"{name} thinks of a number, multiplies it by {times}, subtracts {less} and {word}. That "
        f"gives {result}. What was the number?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _both_sides(rng: Random) -> Problem:
    a, c = rng.sample(range(2, 15), 2)
    a, c = max(a, c), min(a, c)
    x, b = rng.randint(-12, 15), rng.randint(-25, 25)
    d = (a - c) * x + b
    letter = rng.choice("xyznt")

    def solve(w: Working) -> str:
        factor = w.sub(f"Factor of {letter} once all are on the left", a, c)
        rest = w.sub("Numbers on the right", d, b)
        return str(integer(w.div(letter, rest, factor)))

    prompt = f"Solve {a}{letter} {_signed(b)} = {c}{letter} {_signed(d)} for {letter}."
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _brackets(rng: Random) -> Problem:
    a, b, c, x = rng.randint(2, 7), rng.randint(1, 12), rng.randint(2, 9), rng.randint(1, 14)
    total = a * (x + b) - c * x
    if a == c:
        raise NonsenseError("the letter cancels")

    def solve(w: Working) -> str:
        opened = w.mul(f"{a} times the number in the bracket", a, b)
        factor = w.sub("Factor of x", a, c)
        rest = w.sub("Right side without it", total, opened)
        return str(integer(w.div("x", rest, factor)))

    return Problem(prompt=f"If {a}(x + {b}) - {c}x = {total}, what is x?", answer_type="number", solve=solve)


def _ages(rng: Random) -> Problem:
    old, young = distinct(rng, 2)
    years, times = rng.randint(2, 9), rng.choice([2, 3, 4])
    age = rng.randint(3, 15)
    elder = times * (age + years) - years

    def solve(w: Working) -> str:
        gap = elder - age
        w.say(f"The gap of {gap} years stays the same")
        share = w.sub("In the later year the gap is this many times the younger age", times, 1)
        later = w.div(f"{young}'s age then", gap, share)
        return whole(w.sub(f"{young}'s age now", later, years))

    word = {2: "twice", 3: "three times", 4: "four times"}[times]
    prompt = (
        f"{old} is {elder - age} years older than {young}. In {years} years {old} will be {word} "
        f"as old as {young}. How old is {young} now?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _system(rng: Random) -> Problem:
    x, y = rng.randint(-6, 12), rng.randint(-6, 12)
    a, b, c, d = (rng.choice([2, 3, 4, 5, 6, 7]) for _ in range(4))
    if a * d - b * c == 0 or gcd(a, c) > 3:
        raise NonsenseError("no single solution")
    one, two = a * x + b * y, c * x + d * y

    def solve(w: Working) -> str:
        left = w.mul(f"First equation times {d}, right side", d, one)
        right = w.mul(f"Second equation times {b}, right side", b, two)
        rest = w.sub("Difference of the right sides", left, right)
        factor = w.sub("Factor of x that remains", a * d, b * c)
        root = w.div("x", rest, factor)
        rest = w.sub("Put into the first equation", one, a * root)
        other = w.div("y", rest, b)
        return str(integer(w.mul("x times y", root, other)))

    prompt = f"Two numbers satisfy {a}x + {b}y = {one} and {c}x + {d}y = {two}. What is the product xy?"
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _quadratic(rng: Random) -> Problem:
    low, high = sorted(rng.sample([n for n in range(-11, 15) if n], 2))
    total, product = low + high, low * high
    larger = rng.choice([True, False])

    def solve(w: Working) -> str:
        square = w.mul("Square of the factor of x", -total, -total)
        disc = w.sub("Discriminant", square, 4 * product)
        root = Fraction(integer(disc))
        side = next((n for n in range(200) if n * n == root), None)
        if side is None:
            raise NonsenseError("no whole root")
        w.say(f"Its square root: {side}")
        chosen = w.choose(total + side if larger else total - side, [total - side if larger else total + side])
        w.say(f"Twice the {'larger' if larger else 'smaller'} solution: {chosen}")
        return str(integer(w.div("Solution", chosen, 2)))

    middle = f"{_signed(-total)}x " if total else ""
    prompt = f"What is the {'larger' if larger else 'smaller'} solution of x² {middle}{_signed(product)} = 0?"
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _consecutive(rng: Random) -> Problem:
    step, count = rng.choice([1, 2]), rng.choice([4, 5, 6])
    first = rng.randint(5, 60)
    first += (first + 1) % 2 if step == 2 else 0
    terms = [first + step * i for i in range(count)]
    name = "odd numbers" if step == 2 else "whole numbers"
    times = rng.randint(2, 4)

    def solve(w: Working) -> str:
        extra = w.find("Sum of what the others have more than the first", sum(t - first for t in terms), step * count)
        rest = w.sub("Sum without that", sum(terms), extra)
        start = w.div("First number", rest, count)
        last = w.add("Last number", start, step * (count - 1))
        product = w.mul(f"{times} times the last", times, last)
        return whole(w.sub("Less the first", product, start))

    prompt = (
        f"The sum of {count} consecutive {name} is {sum(terms)}. What is {times} times the largest minus the smallest?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _listed(terms: list[int]) -> str:
    return ", ".join(map(str, terms))


def _steady(rng: Random) -> Problem:
    start, step = rng.randint(-20, 60), rng.choice([n for n in range(-13, 18) if abs(n) > 2])
    terms = [start + step * i for i in range(5)]

    def solve(w: Working) -> str:
        gap = w.sub("Difference of neighbours", terms[1], terms[0])
        return str(integer(w.add("Next number", terms[-1], gap)))

    ask = rng.choice(
        [
            "What comes next: {}, ...?",
            "Continue the sequence {}, ... by one number.",
            "Which number follows in {}, ...?",
        ]
    )
    return Problem(prompt=ask.format(_listed(terms)), answer_type="number", solve=solve)


def _far_term(rng: Random) -> Problem:
    start, step, place = rng.randint(-15, 40), rng.randint(3, 14), rng.randint(15, 60)
    terms = [start + step * i for i in range(4)]

    def solve(w: Working) -> str:
        steps = w.find(f"Steps from the first to number {place}", place - 1, place)
        way = w.mul("All the steps together", steps, step)
        return str(integer(w.add(f"Number {place}", start, way)))

    prompt = f"The sequence {_listed(terms)}, ... goes on in the same way. What is its {place}th number?"
    return Problem(
        prompt=prompt.replace("1th", "1st").replace("2th", "2nd").replace("3th", "3rd"),
        answer_type="number",
        solve=solve,
    )


def _growing_steps(rng: Random) -> Problem:
    start, step, more = rng.randint(1, 20), rng.randint(1, 9), rng.randint(2, 7)
    terms = [start + step * i + more * i * (i - 1) // 2 for i in range(6)]

    def solve(w: Working) -> str:
        gaps = [b - a for a, b in pairwise(terms)]
        w.say(f"Differences: {_listed(gaps)}")
        growth = w.sub("They grow by", gaps[-1], gaps[-2])
        gap = w.add("Next difference", gaps[-1], growth)
        return str(integer(w.add("Next number", terms[-1], gap)))

    return Problem(prompt=f"Which number comes next? {_listed(terms)}, ...", answer_type="number", solve=solve)


def _multiply_and_add(rng: Random) -> Problem:
    start, times, plus = rng.randint(1, 9), rng.choice([2, 3, 4]), rng.choice([-5, -3, -2, -1, 1, 2, 3, 5])
    terms = [start]
    for _ in range(4):
        terms.append(terms[-1] * times + plus)
    if terms[1] <= terms[0]:
        raise NonsenseError("no growth")

    def solve(w: Working) -> str:
        w.say(f"Each number is {times} times the one before, {_signed(plus)}")
        product = w.mul("Last number multiplied", times, terms[-1])
        return str(integer(w.add("Next number", product, plus)))

    prompt = (
        f"In the sequence {_listed(terms)}, ... every number comes from the one before by the "
        "same rule. What is the next number?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _interleaved(rng: Random) -> Problem:
    a, b = rng.randint(2, 20), rng.randint(30, 90)
    up, down = rng.randint(3, 9), rng.randint(2, 8)
    terms = [a + up * (i // 2) if i % 2 == 0 else b - down * (i // 2) for i in range(9)]
    ahead = rng.choice([2, 3, 4, 5])

    def solve(w: Working) -> str:
        w.say(f"Odd places: {_listed(terms[::2])}. Even places: {_listed(terms[1::2])}")
        place = w.find("Place asked for", 9 + ahead, 8 + ahead)
        if place % 2:
            way = w.mul("Steps up from the first", (place - 1) // 2, up)
            return str(integer(w.add(f"Number {place}", a, way)))
        way = w.mul("Steps down from the second", place // 2 - 1, down)
        return str(integer(w.sub(f"Number {place}", b, way)))

    prompt = (
        f"Two sequences take turns: {_listed(terms)}, ... What is the number {ahead} places after the last one shown?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _fibonacci_like(rng: Random) -> Problem:
    first, second, extra = rng.randint(1, 9), rng.randint(2, 12), rng.choice([0, 1, 2, -1])
    terms = [first, second]
    while len(terms) < 7:
        terms.append(terms[-1] + terms[-2] + extra)
    shown = terms[:6] if extra else terms[:5]

    def solve(w: Working) -> str:
        w.say("Each number is the sum of the two before it" + (f" {_signed(extra)}" if extra else ""))
        last: list[Number] = list(shown[-2:])
        for place in range(len(shown) + 1, len(shown) + 4):
            total = w.add(f"Number {place}", last[0], last[1])
            if extra:
                total = (
                    w.add("With the constant", total, extra) if extra > 0 else w.sub("With the constant", total, -extra)
                )
            last = [last[1], total]
        return whole(last[1])

    prompt = (
        f"A sequence begins {_listed(shown)}, and each number follows from the two before it by "
        f"one rule. What is number {len(shown) + 3} of the sequence?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _sum_of_series(rng: Random) -> Problem:
    start, step, count = rng.randint(2, 20), rng.randint(2, 9), rng.randint(12, 40)
    terms = [start + step * i for i in range(4)]

    def solve(w: Working) -> str:
        steps = w.find("Steps to the last number", count - 1, count)
        last = w.add("Last number", start, step * steps)
        pair = w.add("First and last", start, last)
        total = w.mul("Times the count", pair, count)
        return whole(w.div("Half of that", total, 2))

    prompt = (
        f"What is the sum of the first {count} numbers of the sequence {_listed(terms)}, ... in "
        "which neighbours always differ by the same amount?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


MAKERS: dict[str, tuple[tuple[Maker, ...], tuple[Maker, ...], tuple[Maker, ...]]] = {
    "algebra": ((_linear, _thought_of), (_both_sides, _brackets, _ages), (_system, _quadratic, _consecutive)),
    "sequences": (
        (_steady, _far_term),
        (_growing_steps, _multiply_and_add),
        (_interleaved, _fibonacci_like, _sum_of_series),
    ),
}
