"""Dates, clocks and units."""

from datetime import date, timedelta
from fractions import Fraction
from math import lcm
from random import Random

from data.builders.people import CITIES, MONTHS, distinct
from data.builders.working import Maker, NonsenseError, Problem, Working, decimal, integer, money, whole

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _day(rng: Random) -> date:
    return date(2021, 1, 1) + timedelta(days=rng.randrange(365 * 6))


def _written(day: date) -> str:
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def _weekday_after(rng: Random) -> Problem:
    start, days = rng.randrange(7), rng.randint(9, 120)
    ahead = rng.choice([True, False])

    def solve(w: Working) -> str:
        weeks = w.find("Full weeks", days // 7, days // 7)
        rest = w.sub("Days beyond them", days, 7 * integer(weeks))
        place = start + integer(rest) if ahead else start - integer(rest)
        place = w.choose(place, [place + 1, place - 1])
        w.say(f"That is {rest} {'after' if ahead else 'before'} {WEEKDAYS[start]}: {WEEKDAYS[place % 7]}")
        return WEEKDAYS[place % 7]

    told = (
        f"Today is {WEEKDAYS[start]}. What day of the week will it be in {days} days?"
        if ahead
        else f"Today is {WEEKDAYS[start]}. What day of the week was it {days} days ago?"
    )
    return Problem(prompt=told, answer_type="text", solve=solve)


def _date_after(rng: Random) -> Problem:
    start, days = _day(rng), rng.randint(12, 75)
    what = rng.choice(
        [
            "A parcel sent on {0} takes {1} days.",
            "A visa issued on {0} is valid for another {1} days.",
            "The paint was applied on {0} and must dry for {1} days.",
            "An invoice of {0} is due {1} days later.",
        ]
    )

    def solve(w: Working) -> str:
        day, left = start, days
        while True:
            after = date(day.year + day.month // 12, day.month % 12 + 1, 1)
            gap = (after - day).days
            gap = w.choose(gap, [gap - 1, gap + 1])
            if left < gap:
                break
            left -= gap
            day = after
            w.say(f"{gap} {'day leads' if gap == 1 else 'days lead'} to {_written(day)}, {left} remain")
        end = day + timedelta(days=left)
        w.say(f"{left} more lead to {_written(end)}")
        return end.isoformat()

    prompt = what.format(_written(start), days) + " Which date is that? Give it as YYYY-MM-DD."
    return Problem(prompt=prompt, answer_type="date", solve=solve)


def _days_between(rng: Random) -> Problem:
    start = _day(rng)
    end = start + timedelta(days=rng.randint(40, 420))
    name = distinct(rng, 1)[0]

    def solve(w: Working) -> str:
        day, total = start, 0
        while (day.year, day.month) != (end.year, end.month):
            after = date(day.year + day.month // 12, day.month % 12 + 1, 1)
            gap = (after - day).days
            total += w.choose(gap, [gap + 1, gap - 1]) if day.month in {2, start.month} else gap
            day = after
            w.say(f"Up to {_written(day)}: {total} days")
        return whole(w.add(f"With the days to {_written(end)}", total, (end - day).days))

    prompt = rng.choice(
        [
            f"How many days after {_written(start)} is {_written(end)}?",
            f"{name} arrived on {_written(start)} and left on {_written(end)}. How many nights did {name} stay?",
        ]
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _weekday_of_date(rng: Random) -> Problem:
    start = _day(rng)
    end = start + timedelta(days=rng.randint(25, 200))

    def solve(w: Working) -> str:
        days = (end - start).days
        days = w.choose(days, [days - 1, days + 1, days + 2])
        w.say(f"From {_written(start)} to {_written(end)}: {days} days")
        rest = w.find("Beyond full weeks", days % 7)
        name = WEEKDAYS[(start.weekday() + rest) % 7]
        w.say(f"{rest} {'day' if rest == 1 else 'days'} after {WEEKDAYS[start.weekday()]}: {name}")
        return name

    prompt = f"{_written(start)} is a {WEEKDAYS[start.weekday()]}. On which day of the week does {_written(end)} fall?"
    return Problem(prompt=prompt, answer_type="text", solve=solve)


def _working_days(rng: Random) -> Problem:
    start = _day(rng)
    end = start + timedelta(days=rng.randint(16, 50))
    days = [start + timedelta(days=i) for i in range((end - start).days + 1)]
    weekend = sum(day.weekday() >= 5 for day in days)
    holiday = rng.choice([day for day in days if day.weekday() < 5])

    def solve(w: Working) -> str:
        total = w.find("Days from first to last, both counted", len(days), len(days) - 1)
        off = w.find("Saturdays and Sundays among them", weekend, weekend + 1, weekend - 1, len(days) // 7 * 2)
        rest = w.sub("Weekdays", total, off)
        return whole(w.choose(w.sub("Without the holiday", rest, 1), [rest]))

    prompt = (
        f"An office is open from Monday to Friday. {_written(start)} is a "
        f"{WEEKDAYS[start.weekday()]}. On how many days is it open from {_written(start)} to "
        f"{_written(end)}, both included, if {_written(holiday)} ({WEEKDAYS[holiday.weekday()]}) "
        "is a public holiday?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _nth_weekday(rng: Random) -> Problem:
    year, month, weekday = rng.randint(2022, 2027), rng.randint(1, 12), rng.randrange(7)
    nth, word = rng.choice([(2, "second"), (3, "third"), (4, "fourth")])
    first = date(year, month, 1)
    shift = rng.randint(7, 30)
    known = first - timedelta(days=shift)

    def solve(w: Working) -> str:
        rest = w.find(f"{shift} days beyond full weeks", shift % 7, (shift + 1) % 7)
        opening = (known.weekday() + rest) % 7
        w.say(f"{_written(first)} is a {WEEKDAYS[opening]}")
        wait = w.find(f"Days until the first {WEEKDAYS[weekday]}", (weekday - opening) % 7)
        day = first + timedelta(days=wait)
        w.say(f"First {WEEKDAYS[weekday]}: {_written(day)}")
        weeks = w.choose(nth - 1, [nth, nth - 2])
        day += timedelta(weeks=weeks)
        w.say(f"The {word}: {_written(day)}")
        return day.isoformat()

    prompt = (
        f"{_written(known)} is a {WEEKDAYS[known.weekday()]}. A council meets on the {word} "
        f"{WEEKDAYS[weekday]} of {MONTHS[month - 1]} {year}. Which date is that? Answer as "
        "YYYY-MM-DD."
    )
    return Problem(prompt=prompt, answer_type="date", solve=solve)


def _same_day_again(rng: Random) -> Problem:
    a, b = distinct(rng, 2)
    first, second = rng.sample([4, 6, 8, 9, 10, 12, 14, 15, 18, 20, 21], 2)
    if lcm(first, second) in {first, second}:
        raise NonsenseError("one implies the other")
    start = _day(rng)
    place = rng.choice(["at the pool", "at the library", "in the laundry", "at the market", "in the gym"])

    def solve(w: Working) -> str:
        common = w.choose(lcm(first, second), [first * second, max(first, second)])
        w.say(f"Least common multiple of {first} and {second}: {common}")
        end = start + timedelta(days=common)
        end = w.choose(end, [end + timedelta(days=1), end - timedelta(days=1)])
        w.say(f"{common} days after {_written(start)}: {_written(end)}")
        return end.isoformat()

    prompt = (
        f"{a} is {place} every {first} days, {b} every {second} days. On {_written(start)} both "
        "are there. On which date are both there on the same day again for the first time? "
        "Answer as YYYY-MM-DD."
    )
    return Problem(prompt=prompt, answer_type="date", solve=solve)


ZONES = (  # places without daylight saving time
    ("Honolulu", -10),
    ("Phoenix", -7),
    ("Lima", -5),
    ("Buenos Aires", -3),
    ("Reykjavik", 0),
    ("Lagos", 1),
    ("Johannesburg", 2),
    ("Nairobi", 3),
    ("Dubai", 4),
    ("Karachi", 5),
    ("Bangkok", 7),
    ("Singapore", 8),
    ("Tokyo", 9),
    ("Brisbane", 10),
)
UNITS = (
    ("metres", "centimetres", 100),
    ("kilometres", "metres", 1000),
    ("kilograms", "grams", 1000),
    ("litres", "millilitres", 1000),
    ("hours", "minutes", 60),
    ("days", "hours", 24),
    ("feet", "inches", 12),
    ("yards", "feet", 3),
    ("gallons", "pints", 8),
    ("minutes", "seconds", 60),
    ("tonnes", "kilograms", 1000),
    ("pounds", "ounces", 16),
)


def _mixed(rng: Random) -> Problem:
    big, small, factor = rng.choice(UNITS)
    count, rest = rng.randint(2, 25), rng.randint(1, factor - 1)

    def solve(w: Working) -> str:
        main = w.mul(f"{big.capitalize()} in {small}", count, factor)
        return whole(w.add("With the rest", main, rest))

    ask = rng.choice(
        ["How many {1} are {2} {0} and {3} {1}?", "Write {2} {0} and {3} {1} as {1} only. Which number of {1} is that?"]
    )
    return Problem(prompt=ask.format(big, small, count, rest), answer_type="number", solve=solve)


def _cut(rng: Random) -> Problem:
    big, small, factor = rng.choice(
        [u for u in UNITS if u[0] in {"metres", "kilograms", "litres", "hours", "feet", "pounds"}]
    )
    count, part = rng.randint(2, 14), rng.choice([4, 5, 6, 8, 10, 12, 15, 20, 25, 40, 50])
    if count * factor % part:
        raise NonsenseError("a remainder")

    def solve(w: Working) -> str:
        main = w.mul(f"In {small}", count, factor)
        return whole(w.div("Number of parts", main, part))

    prompt = f"{count} {big} are divided into equal parts of {part} {small} each. How many parts are there?"
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _recipe(rng: Random) -> Problem:
    people, guests = rng.choice([4, 6, 8]), rng.randint(9, 22)
    dish, what, unit, big, amount = rng.choice(
        [
            ("pancakes", "flour", "g", "kilograms", 250),
            ("pudding", "milk", "ml", "litres", 300),
            ("risotto", "rice", "g", "kilograms", 360),
            ("soup", "stock", "ml", "litres", 600),
            ("plum cake", "sugar", "g", "kilograms", 120),
        ]
    )
    name = distinct(rng, 1)[0]

    def solve(w: Working) -> str:
        each = w.div("For one person", amount, people)
        small = w.mul(f"For {guests} people", each, guests)
        return decimal(w.div(f"In {big}", small, 1000))

    if Fraction(amount * guests, people * 10).denominator != 1:
        raise NonsenseError("too many decimals")
    prompt = (
        f"{name}'s recipe for {dish} for {people} people takes {amount} {unit} of {what}. How "
        f"many {big} of {what} are needed for {guests} people?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _arrival(rng: Random) -> Problem:
    start, hours, minutes, stop = (
        rng.randint(6 * 60, 22 * 60),
        rng.randint(1, 9),
        rng.randint(5, 58),
        rng.randint(8, 50),
    )
    here, there = rng.sample(CITIES, 2)

    def solve(w: Working) -> str:
        begin = w.find("Departure in minutes after midnight", start, start + 40, start - 20)
        ride = w.find("On the way, in minutes", hours * 60 + minutes, hours * 100 + minutes)
        end = w.add("With the stop", begin + ride, stop)
        if end >= 1440:
            end = w.choose(w.sub("Past midnight, so on the next day", end, 1440), [end - 1380])
        w.say(f"On the clock: {_clock(integer(end))}")
        return _clock(integer(end))

    prompt = (
        f"A train leaves {here} at {_clock(start)} and runs for {hours} h {minutes} min, plus a "
        f"stop of {stop} minutes on the way, before it reaches {there}. At what time does it "
        "arrive? Answer as HH:MM (24-hour clock)."
    )
    return Problem(prompt=prompt, answer_type="time", solve=solve)


def _price_per_unit(rng: Random) -> Problem:
    size, price, count = rng.choice([200, 250, 400, 500, 750]), rng.randint(4, 30), rng.randint(3, 9)
    what, unit, big = rng.choice(
        [
            ("coffee", "g", "kilogram"),
            ("olive oil", "ml", "litre"),
            ("tea", "g", "kilogram"),
            ("paint", "ml", "litre"),
            ("honey", "g", "kilogram"),
        ]
    )

    def solve(w: Working) -> str:
        packs = w.div(f"Packs in a {big}", 1000, size)
        one = w.mul(f"Dollars for a {big}", packs, price)
        return money(w.mul(f"Dollars for {count} {big}s", one, count))

    prompt = (
        f"{size} {unit} of {what} cost ${price}. At that price, what do {count} {big}s cost, in "
        "dollars with two decimals?"
    )
    return Problem(prompt=prompt, answer_type="money", solve=solve)


def _flight(rng: Random) -> Problem:
    start, hours, minutes = rng.randint(0, 1439), rng.randint(5, 14), rng.choice([5, 10, 20, 25, 35, 40, 50, 55])
    (here, zone), (there, other) = rng.sample(ZONES, 2)
    if abs(zone - other) < 2:
        raise NonsenseError("nothing to reckon")

    def named(offset: int) -> str:
        return f"UTC{offset:+d}" if offset else "UTC"

    def solve(w: Working) -> str:
        flown = w.find("Flight in minutes", hours * 60 + minutes, hours * 100 + minutes)
        shift = w.find("Minutes the clock is moved", 60 * (other - zone), 60 * (zone - other), 60 * (other - zone) - 60)
        late = w.choose(0, [10, 60])
        end = _clock((start + flown + shift - late) % 1440)
        w.say(f"{_clock(start)} plus {flown} minutes, moved by {shift}: {end}")
        return end

    prompt = (
        f"A flight leaves {here} ({named(zone)}) at {_clock(start)} local time and lands in "
        f"{there} ({named(other)}) after {hours} h {minutes} min. What is the local time on "
        "landing? Answer as HH:MM (24-hour clock)."
    )
    return Problem(prompt=prompt, answer_type="time", solve=solve)


def _fuel(rng: Random) -> Problem:
    use, way, price = rng.choice([40, 45, 48, 50, 55, 60, 65, 72, 80]), rng.randint(12, 60) * 10, rng.randint(120, 210)
    people = rng.choice([2, 3, 4])
    name = distinct(rng, 1)[0]
    cost = Fraction(use, 10) * way / 100 * Fraction(price, 100) / people
    if (cost * 100).denominator != 1:
        raise NonsenseError("a broken cent")

    def solve(w: Working) -> str:
        hundreds = w.div("Hundreds of kilometres", way, 100)
        litres = w.mul("Litres used", hundreds, Fraction(use, 10))
        paid = w.mul("Dollars for the fuel", litres, Fraction(price, 100))
        return money(w.div(f"Shared by {people}", paid, people))

    prompt = (
        f"{name}'s car uses {use // 10}.{use % 10} litres of fuel per 100 km, and a litre costs "
        f"{price} cents. {name} drives {way} km with friends, and the {people} people in the car "
        "share the cost of the fuel equally. How many dollars does each pay? Give two decimals."
    )
    return Problem(prompt=prompt, answer_type="money", solve=solve)


def _floor(rng: Random) -> Problem:
    length, width = rng.randint(24, 70) * 10, rng.randint(20, 50) * 10
    tile, box, price = rng.choice([20, 25, 30, 40, 50]), rng.choice([8, 10, 12, 15]), rng.randint(14, 45)
    room = rng.choice(["kitchen", "bathroom", "hall", "terrace", "workshop"])
    if length % tile or width % tile:
        raise NonsenseError("tiles would be cut")

    def solve(w: Working) -> str:
        along = w.div("Tiles along the length", length, tile)
        across = w.div("Tiles along the width", width, tile)
        tiles = integer(w.mul("Tiles", along, across))
        boxes = w.find(f"Boxes of {box}", -(-tiles // box), tiles // box)
        return whole(w.mul("Dollars", boxes, price))

    prompt = (
        f"A {room} of {length // 100}.{length % 100 // 10} m by "
        f"{width // 100}.{width % 100 // 10} m is covered with square tiles of {tile} cm. The "
        f"tiles come only in full boxes of {box} for ${price} a box. How many dollars do the "
        "tiles cost?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


MAKERS: dict[str, tuple[tuple[Maker, ...], tuple[Maker, ...], tuple[Maker, ...]]] = {
    "dates": (
        (_weekday_after, _date_after),
        (_days_between, _weekday_of_date),
        (_working_days, _nth_weekday, _same_day_again),
    ),
    "units": ((_mixed, _cut), (_recipe, _arrival, _price_per_unit), (_flight, _fuel, _floor)),
}
