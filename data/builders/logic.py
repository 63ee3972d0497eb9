"""Puzzles of order, of truth and of who has what; each is checked to have exactly one solution."""

from collections.abc import Callable, Sequence
from itertools import permutations, product
from random import Random

from data.builders.people import distinct
from data.builders.working import Maker, NonsenseError, Problem, Working

ORDERINGS = (
    ("taller than", "shorter than", "tallest", "shortest"),
    ("older than", "younger than", "oldest", "youngest"),
    ("faster than", "slower than", "fastest", "slowest"),
    ("heavier than", "lighter than", "heaviest", "lightest"),
)
Order = tuple[str, ...]
Clue = tuple[str, Callable[[Order], bool]]


def _comparison(rng: Random) -> Problem:
    names = distinct(rng, rng.choice([3, 4]))
    more, less, most, least = rng.choice(ORDERINGS)
    facts = [(names[i], names[i + 1]) for i in range(len(names) - 1)]
    told = [f"{a} is {more} {b}." if rng.random() < 0.5 else f"{b} is {less} {a}." for a, b in facts]
    rng.shuffle(told)
    place = rng.randrange(len(names))
    asked = (
        f"the {most}"
        if place == 0
        else f"the {least}"
        if place == len(names) - 1
        else f"number {place + 1}, counted from the {most},"
    )

    def solve(w: Working) -> str:
        order = w.choose(names, [names[::-1], [names[1], names[0], *names[2:]], [*names[:-2], names[-1], names[-2]]])
        w.say(f"From the {most} to the {least}: {', '.join(order)}")
        return order[place]

    return Problem(prompt=f"{' '.join(told)} Who is {asked.rstrip(',')}?", answer_type="text", solve=solve)


def _syllogism(rng: Random) -> Problem:
    groups = rng.sample(
        ["bakers", "swimmers", "poets", "gardeners", "pilots", "dancers", "weavers", "surgeons", "sailors", "printers"],
        3,
    )
    name = distinct(rng, 1)[0]
    a, b, c = groups
    form = rng.randrange(4)
    premises, claim, answer = [
        (f"All {a} are {b}. All {b} are {c}. {name} is one of the {a}.", f"{name} is one of the {c}", "yes"),
        (f"No {a} are {b}. All {c} are {a}. {name} is one of the {c}.", f"{name} is one of the {b}", "no"),
        (f"All {a} are {b}. Some {b} are {c}. {name} is one of the {a}.", f"{name} is one of the {c}", "unknown"),
        (f"All {a} are {b}. {name} is not one of the {b}. Some {c} are {a}.", f"{name} is one of the {a}", "no"),
    ][form]

    def solve(w: Working) -> str:
        w.say(f"What is known: {premises}")
        reason = [
            "each group lies inside the next",
            "the two groups share nobody",
            "the premises leave it open",
            "anybody in the group would be in the larger one too",
        ][form]
        w.say(f"For the claim that {claim}, {reason}")
        return w.choose(answer, [other for other in ("yes", "no", "unknown") if other != answer])

    prompt = (
        f'{premises} Does it follow that {claim}? Answer "yes" if it must be true, "no" if it '
        'must be false, "unknown" otherwise.'
    )
    return Problem(prompt=prompt, answer_type="text", solve=solve)


def _before(a: str, b: str) -> Clue:
    return f"{a} comes somewhere before {b}.", lambda o: o.index(a) < o.index(b)


def _adjacent(a: str, b: str) -> Clue:
    return f"{a} and {b} are next to each other.", lambda o: abs(o.index(a) - o.index(b)) == 1


def _apart(a: str, b: str) -> Clue:
    return f"{a} and {b} are not next to each other.", lambda o: abs(o.index(a) - o.index(b)) != 1


def _not_at_end(a: str) -> Clue:
    return f"{a} is neither first nor last.", lambda o: 0 < o.index(a) < len(o) - 1


def _between(a: str, b: str, count: int) -> Clue:
    people = "Exactly one person is" if count == 1 else f"Exactly {count} people are"
    return f"{people} between {a} and {b}.", lambda o: abs(o.index(a) - o.index(b)) == count + 1


def _fitting(names: Sequence[str], clues: Sequence[Clue]) -> list[Order]:
    return [order for order in permutations(names) if all(holds(order) for _, holds in clues)]


def _clues(rng: Random, order: Order) -> list[Clue]:
    """True clues about `order`, as few as will do."""
    candidates: list[Clue] = []
    for a, b in permutations(order, 2):
        candidates += [_before(a, b), _adjacent(a, b), _apart(a, b), _between(a, b, 1), _between(a, b, 2)]
    candidates += [_not_at_end(a) for a in order]
    candidates = [clue for clue in candidates if clue[1](order)]
    rng.shuffle(candidates)
    chosen: list[Clue] = []
    left = list(permutations(order))
    for clue in candidates:
        fewer = [o for o in left if clue[1](o)]
        if len(fewer) < len(left):
            chosen.append(clue)
            left = fewer
        if len(left) == 1:
            break
    for clue in list(chosen):
        if len(_fitting(order, [other for other in chosen if other is not clue])) == 1:
            chosen.remove(clue)
    return chosen


def _queue(rng: Random, size: int) -> Problem:
    names = distinct(rng, size)
    order = tuple(rng.sample(names, size))
    clues = _clues(rng, order)
    place = rng.randrange(size)
    scene = rng.choice(
        [
            "stand in a queue",
            "live in a row of houses, one in each, counted from the left",
            "give talks one after the other",
            "run in a relay",
        ]
    )
    asked = ("first", "second", "third", "fourth", "fifth", "sixth")[place]
    if not 3 <= len(clues) <= 6:
        raise NonsenseError("too many clues")
    wrong = []
    for clue in clues:
        wrong += [
            other for other in _fitting(names, [c for c in clues if c is not clue]) if other[place] != order[place]
        ]

    def solve(w: Working) -> str:
        for number, (text, _) in enumerate(clues, 1):
            w.say(f"Clue {number}: {text[:-1]}")
        found = w.choose(order, wrong[:6])
        w.say(f"The order that keeps all of them: {', '.join(found)}")
        return found[place]

    prompt = f"{', '.join(names[:-1])} and {names[-1]} {scene}. {' '.join(text for text, _ in clues)} Who is {asked}?"
    return Problem(prompt=prompt, answer_type="text", solve=solve)


def _row_of_four(rng: Random) -> Problem:
    return _queue(rng, 4)


def _row_of_five(rng: Random) -> Problem:
    return _queue(rng, 5)


def _pets(rng: Random) -> Problem:
    names = distinct(rng, 3)
    noun, things = rng.choice(
        [
            ("pet", ["a cat", "a parrot", "a tortoise"]),
            ("instrument", ["the cello", "the flute", "the harp"]),
            ("drink", ["tea", "coffee", "cocoa"]),
            ("colour", ["red", "green", "blue"]),
        ]
    )
    days = ["Monday", "Tuesday", "Wednesday"]
    thing_of, day_of = (
        dict(zip(names, rng.sample(things, 3), strict=True)),
        dict(zip(names, rng.sample(days, 3), strict=True)),
    )
    a, b, c = rng.sample(names, 3)
    clues = [
        f"{a} chose neither {_other(things, thing_of[a])[0]} nor {_other(things, thing_of[a])[1]}.",
        f"Whoever chose {thing_of[b]} came on {day_of[b]}.",
        f"{b} did not choose {thing_of[c]}.",
        f"{c} did not come on {_other(days, day_of[c])[0]}.",
    ]
    worlds = [
        (dict(zip(names, t, strict=True)), dict(zip(names, d, strict=True)))
        for t, d in product(permutations(things), permutations(days))
    ]
    kept = [
        (t, d)
        for t, d in worlds
        if t[a] == thing_of[a]
        and next(d[n] for n in names if t[n] == thing_of[b]) == day_of[b]
        and t[b] != thing_of[c]
        and d[c] != _other(days, day_of[c])[0]
    ]
    if {d[a] for _, d in kept} != {day_of[a]}:
        raise NonsenseError("not one solution")

    def solve(w: Working) -> str:
        w.say(f"{a} chose {thing_of[a]}, as nothing else is left")
        w.say(f"{b} did not choose {thing_of[c]}, so {b} chose {thing_of[b]} and {c} {thing_of[c]}")
        w.say(f"So {b} came on {day_of[b]}")
        day = w.choose(day_of[a], _other(days, day_of[a]))
        w.say(f"{c} cannot have come on {_other(days, day_of[c])[0]}, which leaves {day} to {a}")
        return day

    prompt = (
        f"{names[0]}, {names[1]} and {names[2]} came on three different days, Monday, Tuesday and "
        f"Wednesday, and each chose a different {noun}: {', '.join(things[:-1])} or {things[-1]}. "
        f"{' '.join(clues)} On which day did {a} come?"
    )
    return Problem(prompt=prompt, answer_type="text", solve=solve)


def _other(values: list[str], value: str) -> list[str]:
    return [v for v in values if v != value]


World = dict[str, bool]
Statement = tuple[str, Callable[[World], bool]]


def _statement(rng: Random, speaker: str, names: list[str]) -> Statement:
    x, y = rng.sample([n for n in names if n != speaker], 2) if len(names) > 2 else (names[0], names[1])
    return rng.choice(
        [
            (f"{x} is a liar", lambda t: not t[x]),
            (f"{x} and {y} are of the same kind", lambda t: t[x] == t[y]),
            (f"exactly one of {x} and {y} is a liar", lambda t: t[x] != t[y]),
            (f"{x} and I are of different kinds", lambda t: t[x] != t[speaker]),
            ("there is exactly one liar among us", lambda t: list(t.values()).count(False) == 1),
            ("there are exactly two liars among us", lambda t: list(t.values()).count(False) == 2),
            (f"{x} tells the truth", lambda t: t[x]),
        ]
    )


def _liars(rng: Random) -> Problem:
    names = distinct(rng, rng.choice([3, 4]))
    said = [(name, *_statement(rng, name, names)) for name in names]
    worlds = [dict(zip(names, kinds, strict=True)) for kinds in product([True, False], repeat=len(names))]
    kept = [world for world in worlds if all(world[name] == holds(world) for name, _, holds in said)]
    if len(kept) != 1 or len({text for _, text, _ in said}) < len(said):
        raise NonsenseError("not one solution")
    world = kept[0]
    right = ", ".join(sorted(name for name in names if not world[name])) or "nobody"

    def solve(w: Working) -> str:
        near = []
        for name in names:
            flipped = {**world, name: not world[name]}
            near.append(", ".join(sorted(n for n in names if not flipped[n])) or "nobody")
        found = w.choose(right, near)
        for name, text, _ in said:
            w.say(
                f"{name} says that "
                f"{text.replace(' I ', ' ' + name + ' ').replace('among us', 'among them')}: "
                f"{'a lie' if name in found.split(', ') else 'true'}"
            )
        w.say(f"Liars: {found}")
        return found

    told = " ".join(f'{name} says: "{text[0].upper()}{text[1:]}."' for name, text, _ in said)
    prompt = (
        f"On an island everybody either always tells the truth or always lies. {told} Who are the "
        "liars? Name them in alphabetical order, separated by commas, or say nobody."
    )
    return Problem(prompt=prompt, answer_type="text", solve=solve)


MAKERS: dict[str, tuple[tuple[Maker, ...], tuple[Maker, ...], tuple[Maker, ...]]] = {
    "logic": ((_comparison, _syllogism), (_row_of_four, _pets), (_row_of_five, _liars)),
}
