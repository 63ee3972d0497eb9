"""Speeds, pumps and people who work together."""

from fractions import Fraction
from random import Random

from data.builders.people import CITIES, distinct
from data.builders.working import Maker, NonsenseError, Problem, Working, decimal, whole


def _distance(rng: Random) -> Problem:
    speed, hours, minutes = rng.randint(20, 50) * 2, rng.randint(1, 5), rng.choice([0, 15, 30, 45])
    what = rng.choice(["A coach", "A goods train", "A support car in a cycle race", "A delivery van", "A motorcycle"])

    def solve(w: Working) -> str:
        part = w.div("Minutes as part of an hour", minutes, 60)
        time = w.add("Hours on the way", hours, part)
        return decimal(w.mul("Kilometres", speed, time))

    time = f"{hours} h" if not minutes else f"{hours} h {minutes} min"
    prompt = f"{what} travels at a steady {speed} km/h for {time}. How many kilometres does it cover?"
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _pump(rng: Random) -> Problem:
    rate, minutes = rng.randint(6, 40), rng.randint(8, 50)
    asked = rng.randint(2, 6) * 60
    thing = rng.choice(
        [
            "pump moves {} litres of water",
            "printer puts out {} pages",
            "machine fills {} bottles",
            "mill grinds {} kg of flour",
        ]
    )

    def solve(w: Working) -> str:
        each = w.div("In one minute", rate * minutes, minutes)
        return whole(w.mul(f"In {asked} minutes", each, asked))

    what = thing.format(rate * minutes)
    unit = what.split(str(rate * minutes))[1].strip()
    prompt = (
        f"A {what} in {minutes} minutes. At the same pace, how much does it manage in "
        f"{asked // 60} hours? Give the number ({unit})."
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _meeting(rng: Random) -> Problem:
    one, two = rng.randint(12, 30) * 5, rng.randint(12, 30) * 4
    hours = Fraction(rng.choice([2, 3, 4, 5, 6, 7]), 2)
    gap = (one + two) * hours
    here, there = rng.sample(CITIES, 2)
    if gap.denominator != 1:
        raise NonsenseError("half a kilometre")

    def solve(w: Working) -> str:
        closing = w.add("Closing speed", one, two)
        time = w.div("Hours until they meet", gap, closing)
        return whole(w.mul(f"Distance from {here}", one, time))

    prompt = (
        f"Two trains leave {here} and {there}, {gap} km apart, at the same moment and travel "
        f"towards each other, the one from {here} at {one} km/h and the other at {two} km/h. How "
        f"many kilometres from {here} do they meet?"
    )
    if one * hours % 1:
        raise NonsenseError("half a kilometre")
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _average_speed(rng: Random) -> Problem:
    first, second = rng.sample([30, 40, 48, 60, 72, 80, 90, 120], 2)
    out = rng.choice([120, 144, 180, 240, 360, 720])
    name = distinct(rng, 1)[0]
    average = Fraction(2 * out) / (Fraction(out, first) + Fraction(out, second))
    if (average * 100).denominator != 1:
        raise NonsenseError("endless decimals")

    def solve(w: Working) -> str:
        there = w.div("Hours out", out, first)
        back = w.div("Hours back", out, second)
        hours = w.add("Hours in all", there, back)
        both = w.choose(Fraction(2 * out) / hours, [Fraction(first + second, 2)])
        w.say(f"Average over {2 * out} km: {decimal(both)}")
        return decimal(both)

    prompt = (
        f"{name} drives {out} km out at {first} km/h and the same road back at {second} km/h. "
        "What is the average speed of the whole trip in km/h?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _together(rng: Random) -> Problem:
    a, b = distinct(rng, 2)
    first, second = rng.sample([3, 4, 6, 8, 10, 12, 15, 18, 20, 24, 30], 2)
    alone = rng.choice([1, 2])
    job = rng.choice(["paint a fence", "sort the archive", "dig a pond", "tile a kitchen", "stack the firewood"])
    done = Fraction(alone, first)
    hours = (1 - done) / (Fraction(1, first) + Fraction(1, second))
    if hours <= 0 or (hours * 4).denominator != 1:
        raise NonsenseError("an awkward time")

    def solve(w: Working) -> str:
        start = w.div(f"Done by {a} alone", alone, first)
        left = w.sub("Left to do", 1, start)
        rate = w.add("Both together in an hour", Fraction(1, first), Fraction(1, second))
        return decimal(w.div("Hours together", left, rate))

    prompt = (
        f"{a} alone would need {first} hours to {job}, {b} alone {second} hours. {a} works alone "
        f"for {alone} {'hour' if alone == 1 else 'hours'}, then {b} joins in until it is "
        "finished. For how many hours do they work together?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _river(rng: Random) -> Problem:
    boat, current = rng.randint(8, 20), rng.randint(2, 6)
    way = (boat - current) * (boat + current) * rng.choice([1, 2]) // rng.choice([1, 2])
    time = Fraction(way, boat - current) + Fraction(way, boat + current)
    if boat - current < 3 or way > 150 or (time * 4).denominator != 1:
        raise NonsenseError("an awkward time")
    craft = rng.choice(["motor boat", "rowing boat", "canoe", "ferry"])

    def solve(w: Working) -> str:
        down = w.add("Speed downstream", boat, current)
        up = w.sub("Speed upstream", boat, current)
        there = w.div("Hours downstream", way, down)
        back = w.div("Hours upstream", way, up)
        return decimal(w.add("Hours in all", there, back))

    prompt = (
        f"A {craft} makes {boat} km/h in still water. It goes {way} km down a river that flows at "
        f"{current} km/h and comes back the same way. How many hours does the whole trip take?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _tank(rng: Random) -> Problem:
    inflow, leak, litres = rng.randint(12, 40), rng.randint(2, 9), rng.randint(20, 80)
    first, net = rng.randint(5, 20), 0
    net = inflow - leak
    size = litres + inflow * first + net * rng.randint(10, 40)
    thing = rng.choice(["tank", "pool", "cistern", "trough"])

    def solve(w: Working) -> str:
        poured = w.mul(f"Added in the first {first} minutes", inflow, first)
        level = w.add("Litres by then", litres, poured)
        missing = w.sub("Still missing", size, level)
        rate = w.sub("Gained each minute with the leak", inflow, leak)
        more = w.div("Further minutes", missing, rate)
        return whole(w.add("Minutes from the start", first, more))

    prompt = (
        f"A {thing} that holds {size} litres contains {litres} litres. A tap adds {inflow} litres "
        f"a minute. After {first} minutes a crack opens, through which {leak} litres a minute run "
        f"out while the tap stays on. How many minutes after the tap was opened is the {thing} "
        "full?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


MAKERS: dict[str, tuple[tuple[Maker, ...], tuple[Maker, ...], tuple[Maker, ...]]] = {
    "rates": ((_distance, _pump), (_meeting, _average_speed), (_together, _river, _tank)),
}
