"""How many ways, and with what probability."""

from fractions import Fraction
from itertools import combinations, permutations
from math import comb, factorial, gcd, prod
from random import Random

from data.builders.people import distinct
from data.builders.working import Maker, NonsenseError, Problem, Working, ratio, whole


def _outfits(rng: Random) -> Problem:
    counts = [rng.randint(2, 9) for _ in range(3)]
    things = rng.choice(
        [
            ("starters", "main courses", "desserts", "three-course menus"),
            ("shirts", "trousers", "hats", "outfits"),
            ("frames", "saddles", "colours", "bicycles"),
        ]
    )

    def solve(w: Working) -> str:
        pairs = w.mul(f"{things[0].capitalize()} with {things[1]}", counts[0], counts[1])
        return whole(w.mul(f"Each with one of the {things[2]}", pairs, counts[2]))

    prompt = (
        f"There are {counts[0]} {things[0]}, {counts[1]} {things[1]} and {counts[2]} {things[2]} "
        f"to choose from, one of each. How many different {things[3]} are possible?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _handshakes(rng: Random) -> Problem:
    people = rng.randint(6, 30)
    story = rng.choice(
        [
            "At a meeting {} people each shake hands once with everybody else. How many handshakes are there?",
            "In a chess club {} players each play every other player once. How many games is that?",
            "{} towns are joined in pairs by a direct road, one for every pair. How many roads are there?",
        ]
    )

    def solve(w: Working) -> str:
        ordered = w.mul("Counted from both sides", people, people - 1)
        return whole(w.div("Each counted once", ordered, 2))

    return Problem(prompt=story.format(people), answer_type="number", solve=solve)


def _committee(rng: Random) -> Problem:
    women, men = rng.randint(4, 9), rng.randint(4, 9)
    take, other = rng.randint(2, 3), rng.randint(2, 3)

    def solve(w: Working) -> str:
        one = w.find(f"Ways to choose {take} of {women}", comb(women, take), comb(women, take) * factorial(take))
        two = w.find(f"Ways to choose {other} of {men}", comb(men, other), comb(men, other) * factorial(other))
        return whole(w.mul("Each with each", one, two))

    prompt = (
        f"A committee of {take} women and {other} men is chosen from {women} women and {men} men. "
        "How many committees are possible?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _anagrams(rng: Random) -> Problem:
    word = rng.choice(
        [
            "LEVEL",
            "BANANA",
            "COFFEE",
            "PEPPER",
            "LETTER",
            "TOMATO",
            "COCOA",
            "SUMMER",
            "KAYAK",
            "BALLOON",
            "PUPPET",
            "MAMMAL",
            "NOON",
            "TATTOO",
            "ROTOR",
            "POTATO",
            "RABBIT",
            "CARROT",
            "BUTTON",
            "DINNER",
        ]
    )
    repeated = [n for n in (word.count(c) for c in sorted(set(word))) if n > 1]

    def solve(w: Working) -> str:
        every = w.find(f"Orders of {len(word)} letters", factorial(len(word)), factorial(len(word) - 1))
        same = w.find(
            "Orders that look alike", prod(map(factorial, repeated)), sum(map(factorial, repeated)) + 1, prod(repeated)
        )
        return whole(w.div("Different ones", every, same))

    return Problem(
        prompt=f"How many different arrangements do the letters of the word {word} have?",
        answer_type="number",
        solve=solve,
    )


def _draw_two(rng: Random) -> Problem:
    red, blue = rng.randint(3, 9), rng.randint(2, 9)
    thing = rng.choice(["balls", "socks", "beads", "tickets"])

    def solve(w: Working) -> str:
        total = w.add("All together", red, blue)
        first = w.div("Chance that the first is red", red, total)
        second = w.choose(Fraction(red - 1, red + blue - 1), [Fraction(red, red + blue), Fraction(red - 1, red + blue)])
        w.say(f"Chance that the second is red too: {second}")
        return ratio(w.mul("Both", first, second))

    prompt = (
        f"A bag holds {red} red and {blue} blue {thing}. Two are drawn without putting the first "
        "back. What is the probability that both are red, as a fraction in lowest terms?"
    )
    return Problem(prompt=prompt, answer_type="fraction", solve=solve)


def _at_least_one(rng: Random) -> Problem:
    good, bad, take = rng.randint(4, 9), rng.randint(2, 5), rng.randint(2, 3)
    thing, mark = rng.choice([("bulbs", "broken"), ("keys", "rusty"), ("apples", "bruised"), ("batteries", "empty")])

    def solve(w: Working) -> str:
        every = w.find(
            f"Ways to take {take} of {good + bad}", comb(good + bad, take), comb(good + bad, take) * factorial(take)
        )
        none = w.find(f"Ways with none {mark}", comb(good, take), comb(good, take - 1), comb(good - 1, take))
        chance = w.div(f"Chance of none {mark}", none, every)
        return ratio(w.sub("Chance of at least one", 1, chance))

    prompt = (
        f"Of {good + bad} {thing}, {bad} are {mark}. {take} are taken at random at once. What is "
        f"the probability that at least one of them is {mark}? Give a fraction in lowest terms."
    )
    return Problem(prompt=prompt, answer_type="fraction", solve=solve)


def _divisible(rng: Random) -> Problem:
    limit, (a, b) = rng.randint(15, 60) * 10, rng.sample([3, 4, 5, 6, 7, 8, 9, 10, 12], 2)
    both = a * b // gcd(a, b)
    if both in {a, b}:
        raise NonsenseError("one implies the other")

    def solve(w: Working) -> str:
        first = w.find(f"Divisible by {a}", limit // a, limit // a + 1)
        second = w.find(f"Divisible by {b}", limit // b, limit // b - 1)
        shared = w.find(
            f"Divisible by both, so by {both}", limit // both, limit // (a * b) if both != a * b else limit // both + 1
        )
        total = w.add("Counted so far", first, second)
        some = w.sub("Without counting twice", total, shared)
        return whole(w.sub("Divisible by neither", limit, some))

    prompt = f"How many of the whole numbers from 1 to {limit} are divisible by neither {a} nor {b}?"
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _seats_apart(rng: Random) -> Problem:
    people, group = rng.randint(5, 8), rng.choice([2, 2, 3])
    names = distinct(rng, group)
    listed = f"{names[0]} and {names[1]}" if group == 2 else f"{names[0]}, {names[1]} and {names[2]}"
    seats = permutations(range(people), group)
    apart = sum(all(abs(p - q) > 1 for p, q in combinations(places, 2)) for places in seats) * factorial(people - group)
    if not apart:
        raise NonsenseError("not enough seats")

    def solve(w: Working) -> str:
        others = w.find(
            f"Orders of the other {people - group}", factorial(people - group), factorial(people - group + 1)
        )
        gaps = w.find("Gaps into which they can go", people - group + 1, people - group)
        ways = 1
        for taken in range(group):
            ways *= gaps - taken
        w.say(f"Ways to put the {group} into different gaps: {ways}")
        result = w.mul("Together", others, ways)
        return whole(result)

    prompt = (
        (
            f"{people} people, among them {listed}, sit down in a row of {people} chairs. In how many "
            f"ways can they do so if no two of {listed} sit next to each other?"
        )
        if group == 3
        else (
            f"{people} people, among them {listed}, sit down in a row of {people} chairs. In how many "
            f"ways can they do so if {listed} do not sit next to each other?"
        )
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


MAKERS: dict[str, tuple[tuple[Maker, ...], tuple[Maker, ...], tuple[Maker, ...]]] = {
    "counting": (
        (_outfits, _handshakes),
        (_committee, _anagrams, _draw_two),
        (_at_least_one, _divisible, _seats_apart),
    ),
}
