"""Arithmetic and percentages: short stories with numbers in them."""

from fractions import Fraction
from random import Random

from data.builders.people import CITIES, distinct, with_article
from data.builders.working import Maker, NonsenseError, Number, Problem, Working, integer, money, show, whole

GOODS = (
    "notebooks",
    "candles",
    "mugs",
    "pens",
    "lamps",
    "cushions",
    "plants",
    "postcards",
    "scarves",
    "jars of honey",
    "puzzles",
    "picture frames",
    "tea towels",
    "paintbrushes",
    "rulers",
    "torches",
    "bookmarks",
    "baskets",
)


def _shopping(rng: Random) -> Problem:
    name, (goods, others) = distinct(rng, 1)[0], rng.sample(GOODS, 2)
    count, price, more, other_price = rng.randint(3, 12), rng.randint(2, 19), rng.randint(2, 9), rng.randint(3, 24)

    def solve(w: Working) -> str:
        first = w.mul(f"Cost of the {goods}", count, price)
        second = w.mul(f"Cost of the {others}", more, other_price)
        return whole(w.add("Both together", first, second))

    prompt = rng.choice(
        [
            (
                f"{name} buys {count} {goods} at ${price} each and {more} {others} at ${other_price} "
                f"each. How many dollars does {name} spend in all?"
            ),
            (
                f"At the market, {goods} cost ${price} apiece and {others} ${other_price} apiece. {name} "
                f"takes {count} of the former and {more} of the latter. What is the bill in dollars?"
            ),
        ]
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _shelves(rng: Random) -> Problem:
    rows, each, lent, back = rng.randint(6, 18), rng.randint(14, 38), rng.randint(21, 70), rng.randint(4, 20)
    place, thing = rng.choice(
        [("library", "books"), ("video shop", "films"), ("school", "textbooks"), ("toy library", "games")]
    )

    def solve(w: Working) -> str:
        full = w.mul(f"All the {thing}", rows, each)
        left = w.sub("After the loans", full, lent)
        return whole(w.add("After the returns", left, back))

    prompt = (
        f"A {place} has {rows} shelves with {each} {thing} on each. {lent} {thing} are lent out, "
        f"and {back} of those are brought back. How many {thing} stand on the shelves now?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _pages(rng: Random) -> Problem:
    name = distinct(rng, 1)[0]
    daily, days, extra = rng.randint(12, 45), rng.randint(4, 9), rng.randint(15, 60)
    total = daily * days + extra + rng.randint(20, 180)

    def solve(w: Working) -> str:
        read = w.mul(f"Pages read in the {days} days", daily, days)
        read = w.add("With the last sitting", read, extra)
        return whole(w.sub("Pages left", total, read))

    prompt = (
        f"{name}'s book has {total} pages. {name} reads {daily} pages a day for {days} days and "
        f"then {extra} pages in one sitting. How many pages are left?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _bakery(rng: Random) -> Problem:
    part = rng.choice([3, 4, 5])
    trays, each = rng.randint(6, 15), part * rng.randint(4, 9)
    hours, hourly = rng.randint(2, 5), rng.randint(5, 14)
    word = {3: "a third", 4: "a quarter", 5: "a fifth"}[part]
    thing = rng.choice(["rolls", "croissants", "pretzels", "muffins", "bagels"])

    def solve(w: Working) -> str:
        baked = w.mul(f"All the {thing}", trays, each)
        morning = w.div(f"Sold before ten, {word} of them", baked, part)
        left = w.sub("Left at ten", baked, morning)
        later = w.mul("Sold after ten", hours, hourly)
        return whole(w.sub("Left over", left, later))

    prompt = (
        f"A bakery bakes {trays} trays of {each} {thing}. By ten o'clock {word} of all the "
        f"{thing} is sold, and after that {hourly} are sold every hour for {hours} hours. How "
        f"many {thing} are left over?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _saving(rng: Random) -> Problem:
    name = distinct(rng, 1)[0]
    wage, hours, rent = rng.randint(11, 19), rng.randint(8, 16), rng.randint(35, 80)
    goal = (wage * hours - rent) * rng.randint(5, 9) + rng.randint(7, 30)
    thing = rng.choice(["a bicycle", "a camera", "a guitar", "a kayak", "a sewing machine", "a telescope"])

    def solve(w: Working) -> str:
        earned = w.mul("Earned in a week", wage, hours)
        saved = w.sub("Saved in a week", earned, rent)
        weeks = integer(Fraction(goal) / saved // 1)
        w.say(f"{goal} / {show(saved)} lies between {weeks} and {weeks + 1}")
        return whole(w.find("Full weeks needed", weeks + 1, weeks))

    prompt = (
        f"{name} works {hours} hours a week at ${wage} an hour, spends ${rent} of it each week "
        f"and saves the rest. After how many full weeks of work can {name} pay for {thing} that "
        f"costs ${goal}?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _bus(rng: Random) -> Problem:
    start = rng.randint(18, 40)
    stops = [(rng.randint(3, 9), rng.randint(4, 15)) for _ in range(3)]
    vehicle = rng.choice(["bus", "tram", "ferry", "train carriage"])

    def solve(w: Working) -> str:
        aboard: Number = start
        for place, (leave, board) in zip(("first", "second", "third"), stops, strict=True):
            aboard = w.sub(f"After {leave} leave at the {place} stop", aboard, leave)
            aboard = w.add(f"After {board} board there", aboard, board)
        return whole(aboard)

    told = "; ".join(
        f"at the {place} stop {leave} get off and {board} get on"
        for place, (leave, board) in zip(("first", "second", "third"), stops, strict=True)
    )
    prompt = (
        f"A {vehicle} sets out with {start} passengers. Then {told}. How many passengers are "
        "aboard after the third stop?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _collection(rng: Random) -> Problem:
    a, b, c, d = distinct(rng, 4)
    count, fewer, more = rng.randint(8, 25), rng.randint(3, 9), rng.randint(4, 15)
    times, each = rng.randint(2, 4), rng.randint(2, 6)
    thing = rng.choice(["stamps", "marbles", "shells", "stickers", "coins", "badges"])

    def solve(w: Working) -> str:
        second = w.mul(f"{b}'s {thing}", times, count)
        both = w.add(f"{a} and {b} together", count, second)
        third = w.sub(f"{c}'s {thing}", both, fewer)
        fourth = w.div(f"Half of {c}'s", third, 2)
        fourth = w.add(f"{d}'s {thing}", fourth, more)
        total = w.add(f"{c} and {d} together", third, fourth)
        total = w.add("All four", both, total)
        given = w.mul(f"Given away, {each} by each of four", 4, each)
        return whole(w.sub("Left", total, given))

    word = {2: "twice", 3: "three times", 4: "four times"}[times]
    if ((times + 1) * count - fewer) % 2:
        raise NonsenseError("half a stamp")
    prompt = (
        f"{a} has {count} {thing}. {b} has {word} as many. {c} has {fewer} fewer than {a} and {b} "
        f"together, and {d} has {more} more than half of what {c} has. Each of the four gives "
        f"{each} {thing} away. How many {thing} do they have left altogether?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _factory(rng: Random) -> Problem:
    rate, other, hours, late = rng.randint(30, 70), rng.randint(25, 60), rng.randint(6, 9), rng.randint(1, 3)
    faulty, box = rng.choice([20, 25, 40, 50]), rng.choice([12, 16, 18, 24])
    thing = rng.choice(["bulbs", "valves", "clocks", "toasters", "locks", "hinges"])

    def solve(w: Working) -> str:
        first = w.mul("First line", rate, hours)
        running = w.sub("Hours of the second line", hours, late)
        second = w.mul("Second line", other, running)
        made = w.add("Made in all", first, second)
        bad = w.find(f"Rejected, one in {faulty}", made // faulty, made // faulty + 1)
        good = w.sub("Good ones", made, bad)
        full = w.find(f"Full boxes of {box}", good // box, good // box + 1)
        packed = w.mul("Packed", full, box)
        return whole(w.sub("Not packed", good, packed))

    if (rate * hours + other * (hours - late)) % faulty:
        raise NonsenseError("a broken count of rejects")
    prompt = (
        f"A factory has two lines. The first makes {rate} {thing} an hour for {hours} hours; the "
        f"second makes {other} an hour but starts {late} {'hour' if late == 1 else 'hours'} later "
        f"and stops at the same time. One in every {faulty} {thing} is rejected. The good ones "
        f"are packed in boxes of {box}. How many good {thing} are left when as many boxes as "
        "possible are full?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _rations(rng: Random) -> Problem:
    people, more, days, gone = rng.randint(12, 30), rng.randint(4, 12), rng.randint(14, 30), rng.randint(3, 8)
    place = rng.choice(["mountain hut", "research station", "sailing ship", "summer camp"])
    if people * (days - gone) % (people + more):
        raise NonsenseError("a broken day")

    def solve(w: Working) -> str:
        left = w.sub("Days of food left for the first group", days, gone)
        portions = w.mul("Daily portions left", people, left)
        mouths = w.add("People now", people, more)
        return whole(w.div("Days the food lasts", portions, mouths))

    prompt = (
        f"A {place} has food for {people} people for {days} days. After {gone} days {more} more "
        "people arrive, and everybody goes on eating the same daily portion. For how many more "
        "days does the food last?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _discount(rng: Random) -> Problem:
    price, percent = rng.randint(4, 48) * 5, rng.choice([10, 15, 20, 25, 30, 35, 40])
    thing = rng.choice(
        ["jacket", "rucksack", "desk lamp", "office chair", "radio", "pair of boots", "coffee grinder", "tent"]
    )

    def solve(w: Working) -> str:
        off = w.div("One hundredth of the price", price, 100)
        off = w.mul(f"{percent} percent of it", off, percent)
        return money(w.sub("Price to pay", price, off))

    prompt = rng.choice(
        [
            (
                f"{with_article(thing).capitalize()} costs ${price}. In the sale it is {percent}% cheaper. "
                "What does it cost now, in dollars with two decimals?"
            ),
            (
                f"The label on {with_article(thing)} says ${price}, less {percent}% at the till. How many dollars are "
                "paid? Give two decimals."
            ),
        ]
    )
    return Problem(prompt=prompt, answer_type="money", solve=solve)


def _share(rng: Random) -> Problem:
    total, percent = rng.randint(3, 30) * 20, rng.choice([5, 15, 20, 35, 45, 55, 60, 65])
    whole_group, some_do, others_ask = rng.choice(
        [
            ("employees of a firm", "cycle to work", "employees do not cycle"),
            ("guests of a hotel", "ordered breakfast", "guests did not order it"),
            ("members of a choir", "sing alto", "members sing another part"),
            ("readers of a newsletter", "opened it", "readers left it unopened"),
            ("seats in a theatre", "are taken", "seats are free"),
        ]
    )

    def solve(w: Working) -> str:
        one = w.div("One percent", total, 100)
        some = w.mul(f"{percent} percent", one, percent)
        return whole(w.sub("The others", total, some))

    prompt = f"{percent}% of the {total} {whole_group} {some_do}. How many {others_ask}?"
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _taxed(rng: Random) -> Problem:
    price, percent, tax = rng.randint(10, 90) * 4, rng.choice([10, 20, 25, 30]), rng.choice([5, 8, 10, 20])
    thing = rng.choice(
        ["bookcase", "carpet", "monitor", "mattress", "sewing machine", "hiking tent", "espresso machine"]
    )

    def solve(w: Working) -> str:
        off = w.mul(f"Discount, {percent}% of the price", price, Fraction(percent, 100))
        net = w.sub("Price after the discount", price, off)
        levy = w.mul(f"Tax, {tax}% of that", net, Fraction(tax, 100))
        return money(w.add("Price with tax", net, levy))

    prompt = (
        f"{with_article(thing).capitalize()} has a list price of ${price}. The shop gives {percent}% off, and "
        f"then {tax}% sales tax is added to the reduced price. How many dollars does the customer pay? Give "
        "two decimals."
    )
    return Problem(prompt=prompt, answer_type="money", solve=solve)


def _before_the_sale(rng: Random) -> Problem:
    percent = rng.choice([10, 20, 25, 40])
    before = rng.randint(6, 60) * 10
    after = Fraction(before * (100 - percent), 100)
    thing = rng.choice(["tablet", "armchair", "winter coat", "drill", "printer", "ticket", "bicycle"])

    def solve(w: Working) -> str:
        kept = w.find("Share of the price that is paid", 100 - percent, 100 + percent)
        one = w.div("One percent of the old price", after, kept)
        return money(w.mul("Old price", one, 100))

    prompt = (
        f"After a reduction of {percent}%, {with_article(thing)} costs ${money(after)}. What did it cost "
        "before, in dollars with two decimals?"
    )
    return Problem(prompt=prompt, answer_type="money", solve=solve)


def _population(rng: Random) -> Problem:
    city = rng.choice(CITIES)
    start, changes = rng.randint(8, 60) * 1000, [rng.choice([-20, -10, 10, 20, 25, 30, 50]) for _ in range(3)]
    what = rng.choice(["subscribers to a paper in", "visitors a year to a museum in", "members of a sports club in"])

    def solve(w: Working) -> str:
        count: Number = start
        for year, change in enumerate(changes, 1):
            step = w.mul(f"Change in year {year}, {abs(change)}%", count, Fraction(abs(change), 100))
            count = (w.add if change > 0 else w.sub)(f"After year {year}", count, step)
        return whole(count)

    told = ", then ".join(f"{'rises' if change > 0 else 'falls'} by {abs(change)}%" for change in changes)
    prompt = (
        f"The number of {what} {city} is {start}. In three successive years it {told}, each time "
        "relative to the year before. How many are there in the end?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _interest(rng: Random) -> Problem:
    name, years = distinct(rng, 1)[0], rng.choice([2, 3])
    start, percent = rng.randint(5, 60) * 100, rng.choice([2, 3, 4, 5, 6, 8])
    added = rng.randint(1, 5) * 100

    def solve(w: Working) -> str:
        total: Number = start
        for year in range(1, years + 1):
            total = w.mul(f"Balance with interest after year {year}", total, Fraction(100 + percent, 100))
            if year == 1:
                total = w.add("With the money paid in", total, added)
        return money(total)

    prompt = (
        f"{name} puts ${start} into an account that pays {percent}% interest at the end of each "
        f"year, and adds ${added} right after the first year's interest is paid. What is the "
        f"balance after {years} years, just after interest, in dollars with two decimals "
        "(rounded)?"
    )
    return Problem(prompt=prompt, answer_type="money", solve=solve)


def _margin(rng: Random) -> Problem:
    cost, markup, cut, sold = (
        rng.randint(4, 30) * 10,
        rng.choice([40, 50, 60, 80]),
        rng.choice([10, 20, 25]),
        rng.randint(8, 40),
    )
    thing = rng.choice(["chairs", "kettles", "rugs", "cameras", "jackets", "speakers"])

    def solve(w: Working) -> str:
        price = w.mul("Price with the markup", cost, Fraction(100 + markup, 100))
        reduced = w.mul("Price in the sale", price, Fraction(100 - cut, 100))
        each = w.sub("Profit on each", reduced, cost)
        return money(w.mul("Profit in all", each, sold))

    prompt = (
        f"A dealer buys {thing} at ${cost} each and marks them up by {markup}%. In a sale every "
        f"price is cut by {cut}%, and {sold} {thing} are sold. What is the dealer's total profit "
        "in dollars, with two decimals?"
    )
    return Problem(prompt=prompt, answer_type="money", solve=solve)


MAKERS: dict[str, tuple[tuple[Maker, ...], tuple[Maker, ...], tuple[Maker, ...]]] = {
    "arithmetic": ((_shopping, _shelves, _pages), (_bakery, _saving, _bus), (_collection, _factory, _rations)),
    "percentages": ((_discount, _share), (_taxed, _before_the_sale), (_population, _interest, _margin)),
}
