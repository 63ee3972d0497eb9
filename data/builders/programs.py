"""Short Python programs whose output is asked for; the gold answer is what they print when they are run."""

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from random import Random
from types import CodeType, FrameType
from typing import Any

from data.builders.reading import WORDS
from data.builders.working import Maker, NonsenseError, Problem, Working

Mutation = tuple[str, str]


def _printed(code: CodeType, watched: str, trace: list[str]) -> str:
    """What the program prints; the values that `watched` takes on the way are left in `trace`."""

    def look(frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
        del event, argument
        # A module's names are looked up as globals: before Python 3.13, reading f_locals meddles with comprehensions.
        module = frame.f_code.co_name == "<module>"
        names = frame.f_globals if module else frame.f_locals
        if frame.f_code.co_filename == "program" and watched in names:
            value = repr(names[watched])
            if not trace or trace[-1] != value:
                trace.append(value)
        return look

    out = io.StringIO()
    sys.settrace(look)
    try:
        with redirect_stdout(out):
            exec(code, {"__name__": "program"})  # noqa: S102 - our own program, written a few lines below
    finally:
        sys.settrace(None)
    return out.getvalue().rstrip("\n")


def _program(source: str, watched: str, mutations: list[Mutation], misreading: str) -> Problem:
    """A question about `source`; each mutation is a way to misread it."""
    readings = [source]
    readings += [source.replace(old, new, 1) for old, new in mutations if old in source]

    def solve(w: Working) -> str:
        text = w.choose(readings[0], readings[1:])
        trace: list[str] = []
        try:
            printed = _printed(compile(text, "program", "exec"), watched, trace)
        except Exception as error:
            raise NonsenseError(misreading) from error
        if "\n" in printed or len(printed) > 60 or not printed or any(len(value) > 90 for value in trace):
            raise NonsenseError(printed)
        shown = trace if len(trace) <= 8 else [*trace[:5], "(a few steps on)", *trace[-2:]]
        for start in range(0, len(shown), 3):
            w.say(
                f"{watched} {'starts as' if start == 0 else 'then becomes'} {', then '.join(shown[start : start + 3])}"
            )
        w.say(f"Printed at the end: {printed}")
        return printed

    prompt = f"What does this Python program print?\n\n```python\n{source}\n```"
    return Problem(prompt=prompt, answer_type="text", solve=solve)


def _numbers(rng: Random, count: int, low: int = 1, high: int = 20) -> list[int]:
    return [rng.randint(low, high) for _ in range(count)]


def _sum_loop(rng: Random) -> Problem:
    values, step = _numbers(rng, 5), rng.randint(2, 5)
    sign = rng.choice(["+", "-"])
    source = f"total = {rng.randint(0, 9)}\nfor n in {values}:\n    total = total {sign} n * {step}\nprint(total)"
    return _program(
        source,
        "total",
        [
            (f"n * {step}", "n"),
            (f", {values[-1]}]", "]"),
            (f" {sign} n", f" {'-' if sign == '+' else '+'} n"),
            (f"* {step}", f"* {step} + 1"),
        ],
        "loop",
    )


def _slice(rng: Random) -> Problem:
    word = rng.choice(WORDS) + rng.choice(WORDS)
    start, stop, step = rng.randint(1, 4), rng.randint(6, 11), rng.choice([1, 2, 3])
    source = (
        f'word = "{word}"\npart = word[{start}:{stop}:{step}]\nprint(part.upper())'
        if step > 1
        else f'word = "{word}"\npart = word[{start}:{stop}]\nprint(part[::-1])'
    )
    return _program(
        source,
        "part",
        [
            (f"[{start}:", f"[{start - 1}:"),
            (f":{stop}", f":{stop + 1}"),
            (f":{stop}", f":{stop - 1}"),
            (f"[{start}:{stop}", f"[{start + 1}:{stop + 1}"),
        ],
        "slice",
    )


def _if_chain(rng: Random) -> Problem:
    values, cut = _numbers(rng, 6, 1, 30), rng.randint(8, 22)
    source = (
        f"count = 0\nfor n in {values}:\n    if n % 2 == {rng.choice([0, 1])} and n > {cut}:\n    "
        f"    count += 2\n    elif n < {cut}:\n        count += 1\nprint(count)"
    )
    return _program(
        source,
        "count",
        [
            ("and n", "or n"),
            ("elif", "if"),
            (f"n < {cut}", f"n <= {cut}"),
            ("count += 2", "count += 1"),
            ("% 2 == 1", "% 2 == 0"),
            ("% 2 == 0", "% 2 == 1"),
        ],
        "branches",
    )


def _while_loop(rng: Random) -> Problem:
    n, div, extra = rng.randint(40, 400), rng.choice([2, 3]), rng.randint(1, 5)
    source = (
        f"n = {n}\nsteps = 0\nwhile n > {extra}:\n    if n % {div} == 0:\n        n //= {div}\n   "
        f" else:\n        n -= {extra}\n    steps += 1\nprint(steps, n)"
    )
    return _program(
        source,
        "n",
        [
            (f"while n > {extra}", f"while n >= {extra}"),
            (f"n -= {extra}", f"n -= {extra + 1}"),
            ("steps = 0", "steps = 1"),
            (f"while n > {extra}", f"while n > {extra + 2}"),
        ],
        "while",
    )


def _counting(rng: Random) -> Problem:
    word = "".join(rng.sample(WORDS, 2))
    source = (
        f'counts = {{}}\nfor letter in "{word}":\n    counts[letter] = counts.get(letter, 0) + '
        "1\nprint(sorted(letter for letter in counts if counts[letter] > 1))"
    )
    return _program(
        source,
        "counts",
        [("> 1", "> 2"), ("> 1", "> 0"), (f'"{word}"', f'"{word[:-1]}"'), (f'"{word}"', f'"{word[1:]}"')],
        "counts",
    )


def _comprehension(rng: Random) -> Problem:
    size, mod = rng.randint(8, 14), rng.choice([3, 4, 5])
    rest = rng.randrange(1, mod)
    source = (
        f"squares = [n * n for n in range({size}) if n % {mod} == {rest}]\ntotal = "
        "sum(squares[1:])\nprint(total, len(squares))"
    )
    return _program(
        source,
        "squares",
        [
            (f"range({size})", f"range({size + 1})"),
            ("n * n", "n * 2"),
            ("squares[1:]", "squares"),
            (f"range({size})", f"range(1, {size - 1})"),
            (f"== {rest}", f"== {(rest + 1) % mod}"),
        ],
        "comprehension",
    )


def _nested(rng: Random) -> Problem:
    rows, columns, skip = rng.randint(3, 5), rng.randint(3, 6), rng.randint(2, 4)
    source = (
        f"total = 0\nfor i in range({rows}):\n    for j in range(i, {columns}):\n        if (i + "
        f"j) % {skip} == 0:\n            continue\n        total += i * j\nprint(total)"
    )
    return _program(
        source,
        "total",
        [
            ("range(i, ", "range("),
            (f"range({rows})", f"range({rows + 1})"),
            (f", {columns})", f", {columns + 1})"),
            ("continue", "break"),
            (f"% {skip} == 0", f"% {skip} == 1"),
            ("i * j", "i + j"),
        ],
        "nested",
    )


def _recursion(rng: Random) -> Problem:
    n, base, plus = rng.randint(9, 17), rng.randint(1, 4), rng.randint(1, 6)
    step = rng.choice([2, 3])
    source = (
        f"def f(n):\n    if n <= {base}:\n        return n + {plus}\n    return f(n - {step}) + "
        f"f(n - {step + 1}) - {rng.randint(0, 3)}\n\nresult = f({n})\nprint(result)"
    )
    return _program(
        source,
        "n",
        [
            (f"n <= {base}", f"n < {base}"),
            (f"n + {plus}", "n"),
            (f"f({n})", f"f({n - 1})"),
            (f"f(n - {step + 1})", f"f(n - {step + 2})"),
            (f"return n + {plus}", f"return {plus}"),
        ],
        "recursion",
    )


def _mutable_default(rng: Random) -> Problem:
    first, second, third = _numbers(rng, 3, 1, 9)
    source = (
        f"def add(item, box=[]):\n    box.append(item * {rng.randint(2, 4)})\n    return "
        f"box\n\nadd({first})\nadd({second}, [{third}])\nbox = add({third})\nprint(sum(box), "
        "len(box))"
    )
    return _program(
        source,
        "box",
        [
            ("box=[]", "box=()"),
            ("    box.append(", "    box = list(box)\n    box.append("),
            (f", [{third}])", ")"),
            (f"add({first})\n", ""),
            (f"box = add({third})", f"box = add({third}, [])"),
        ],
        "default",
    )


def _closures(rng: Random) -> Problem:
    size, by = rng.randint(3, 5), rng.randint(2, 9)
    late = rng.choice([True, False])
    bound = "lambda x: x * i" if late else "lambda x, i=i: x * i"
    source = (
        f"functions = []\nfor i in range(1, {size + 1}):\n    functions.append({bound})\n"
        f"values = []\nfor f in functions:\n    values.append(f({by}))\nprint(values)"
    )
    other = "lambda x, i=i: x * i" if late else "lambda x: x * i"
    return _program(
        source,
        "values",
        [
            (bound, other),
            (f"range(1, {size + 1})", f"range({size})"),
            (f"range(1, {size + 1})", f"range(1, {size + 2})"),
            ("x * i", "x + i"),
        ],
        "closures",
    )


def _floor_division(rng: Random) -> Problem:
    values = [rng.choice([-1, 1]) * rng.randint(5, 40) for _ in range(4)]
    div = rng.choice([3, 4, 6, 7])
    source = (
        f"out = []\nfor n in {values}:\n    out.append(n // {div})\n    out.append(n % "
        f"{div})\nprint(out[::2], sum(out[1::2]))"
    )
    return _program(
        source,
        "out",
        [
            (f"n // {div}", f"int(n / {div})"),
            (f"n % {div}", f"abs(n) % {div}"),
            ("out[1::2]", "out"),
            (f"n // {div}", f"round(n / {div})"),
        ],
        "floor division",
    )


def _two_pointers(rng: Random) -> Problem:
    values, target = sorted(rng.sample(range(1, 40), 7)), rng.randint(25, 50)
    source = (
        f"values = {values}\nlow, high, moves = 0, len(values) - 1, []\nwhile low < high:\n    "
        f"total = values[low] + values[high]\n    if total > {target}:\n        high -= 1\n    "
        "else:\n        moves.append(total)\n        low += 1\nprint(moves)"
    )
    return _program(
        source,
        "moves",
        [
            ("low < high", "low <= high"),
            (f"total > {target}", f"total >= {target}"),
            ("len(values) - 1", "len(values) - 2"),
            (f"total > {target}", f"total > {target + 3}"),
            (f"total > {target}", f"total > {target - 4}"),
        ],
        "two pointers",
    )


MAKERS: dict[str, tuple[tuple[Maker, ...], tuple[Maker, ...], tuple[Maker, ...]]] = {
    "code": (
        (_sum_loop, _slice, _if_chain),
        (_while_loop, _counting, _comprehension, _nested),
        (_recursion, _mutable_default, _closures, _floor_division, _two_pointers),
    ),
}
