"""Tables to look things up in, and strings to take apart."""

from random import Random

from data.builders.people import CITIES, distinct
from data.builders.working import Maker, NonsenseError, Problem, Working, integer, whole

WORDS = [
    "harbour",
    "lantern",
    "orchard",
    "marble",
    "compass",
    "thistle",
    "velvet",
    "kettle",
    "saffron",
    "pebble",
    "meadow",
    "anchor",
    "timber",
    "falcon",
    "ginger",
    "saddle",
    "walnut",
    "copper",
    "ribbon",
    "glacier",
    "violin",
    "blanket",
    "pepper",
    "canyon",
    "feather",
    "juniper",
    "mustard",
    "lobster",
    "bramble",
    "cottage",
    "quarry",
    "sparrow",
    "tunnel",
    "weather",
    "biscuit",
    "chimney",
    "dolphin",
    "elephant",
    "fountain",
    "hammock",
    "island",
    "jigsaw",
    "kingdom",
    "ladder",
    "mountain",
    "napkin",
    "oyster",
    "parsley",
    "rocket",
    "shelter",
    "teapot",
    "umbrella",
    "village",
    "whistle",
    "almond",
    "button",
    "cradle",
    "dagger",
    "engine",
    "flannel",
    "garlic",
]
GROCERIES = {
    "fruit": "apples pears plums grapes figs cherries lemons",
    "bread": "baguettes rolls pretzels focaccia toast bagels",
    "cheese": "gouda brie feta cheddar ricotta halloumi",
    "fish": "trout mackerel salmon herring cod sardines",
    "spices": "pepper saffron ginger cumin paprika turmeric",
}
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh")


def _table(header: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def _branches(rng: Random) -> Problem:
    rows: list[tuple[object, ...]] = [
        (city, rng.randint(12, 99) * 10, rng.randint(3, 30)) for city in rng.sample(CITIES, rng.randint(5, 7))
    ]
    one, two = rng.sample(rows, 2)
    column, name = rng.choice([(1, "sales"), (2, "staff")])

    def solve(w: Working) -> str:
        high, low = (one, two) if int(str(one[column])) >= int(str(two[column])) else (two, one)
        first = w.find(f"{name.capitalize()} in {high[0]}", int(str(high[column])), int(str(high[3 - column])))
        second = w.find(
            f"{name.capitalize()} in {low[0]}",
            int(str(low[column])),
            int(str(rows[(rows.index(low) + 1) % len(rows)][column])),
        )
        return whole(w.sub("Difference", first, second))

    table = _table(("branch", "sales", "staff"), rows)
    return Problem(
        prompt=f"{table}\n\nBy how much do the {name} of {one[0]} and {two[0]} differ?",
        answer_type="number",
        solve=solve,
    )


def _highest(rng: Random) -> Problem:
    names = distinct(rng, rng.randint(5, 7))
    points = rng.sample(range(41, 99), len(names))
    ages = rng.sample(range(19, 64), len(names))
    low = rng.choice([True, False])
    by = rng.choice(["points", "age"])
    values = points if by == "points" else ages

    def solve(w: Working) -> str:
        order = sorted(range(len(names)), key=lambda i: values[i], reverse=not low)
        best = w.choose(
            order[0],
            [order[1], order[2], (points if by == "age" else ages).index(max(points if by == "age" else ages))],
        )
        w.say(f"{'Lowest' if low else 'Highest'} value under {by}: {values[best]}")
        w.say(f"That is the row of {names[best]}")
        return names[best]

    table = _table(("player", "points", "age"), list(zip(names, points, ages, strict=True)))
    return Problem(
        prompt=f"{table}\n\nWhich player has the {'lowest' if low else 'highest'} value in the column {by}?",
        answer_type="text",
        solve=solve,
    )


def _filtered_sum(rng: Random) -> Problem:
    kinds = rng.sample(sorted(GROCERIES), 2)
    goods = rng.sample([(good, kind) for kind in kinds for good in GROCERIES[kind].split()], rng.randint(6, 8))
    rows = [(good, kind, rng.randint(2, 12), rng.randint(2, 25)) for good, kind in goods]
    kind = rng.choice(kinds)
    wanted = [row for row in rows if row[1] == kind]
    if not 2 <= len(wanted) <= len(rows) - 2:
        raise NonsenseError("nothing to filter")

    def solve(w: Working) -> str:
        chosen = w.choose(wanted, [wanted[:-1], wanted[1:], sorted({*wanted, rows[0], rows[-1]}, key=rows.index)])
        total = 0
        for row in chosen:
            cost = integer(w.mul(f"Row {row[0]}", row[2], row[3]))
            total += cost
        w.say(f"Sum of the {len(chosen)} rows: {total}")
        return whole(total)

    table = _table(("item", "group", "units", "price"), list(rows))
    return Problem(
        prompt=(
            f"{table}\n\nWhat are all units of the group {kind} worth together (units times price, "
            "summed over its rows)?"
        ),
        answer_type="number",
        solve=solve,
    )


def _count_where(rng: Random) -> Problem:
    names = distinct(rng, rng.randint(7, 9))
    rows = [(name, rng.choice(["day", "night"]), rng.randint(20, 48), rng.randint(0, 9)) for name in names]
    shift, limit = rng.choice(["day", "night"]), rng.randint(28, 40)
    right = sum(row[1] == shift and row[2] > limit for row in rows)

    def solve(w: Working) -> str:
        some = [row for row in rows if row[1] == shift]
        w.say(f"Rows with {shift}: {', '.join(row[0] for row in some)}")
        hits = [row[0] for row in some if row[2] > limit]
        hits = w.choose(
            hits, [hits[:-1], [row[0] for row in rows if row[2] > limit], [row[0] for row in some], [*hits, "one more"]]
        )
        w.say(f"Of these with more than {limit} hours: {len(hits)}")
        return str(len(hits))

    if right < 2:
        raise NonsenseError("too few rows")
    table = _table(("name", "shift", "hours", "absences"), list(rows))
    return Problem(
        prompt=f"{table}\n\nHow many people on the {shift} shift worked more than {limit} hours?",
        answer_type="number",
        solve=solve,
    )


def _second_in_group(rng: Random) -> Problem:
    cities = rng.sample(CITIES, 9)
    regions = rng.sample(["north", "south", "east", "west"], 3)
    sales, last_year = rng.sample(range(110, 960), 9), rng.sample(range(110, 960), 9)
    rows = [(cities[i], regions[i % 3], last_year[i], sales[i]) for i in range(9)]
    rng.shuffle(rows)
    region = rng.choice(regions)

    def solve(w: Working) -> str:
        growth = {}
        for city, where, before, now in rows:
            if where == region:
                growth[city] = integer(w.sub(f"Growth in {city}", now, before))
        order = sorted(growth, key=lambda city: growth[city], reverse=True)
        w.say(f"From most to least: {', '.join(order)}")
        return w.choose(order[1], [order[0], order[2]])

    table = _table(("city", "region", "last year", "this year"), list(rows))
    return Problem(
        prompt=(
            f"{table}\n\nWithin the region {region}, which city has the second-highest growth (this "
            "year minus last year)?"
        ),
        answer_type="text",
        solve=solve,
    )


def _stock(rng: Random) -> Problem:
    goods = rng.sample([good for kind in sorted(GROCERIES) for good in GROCERIES[kind].split()], 5)
    items: list[tuple[object, ...]] = [(g, rng.randint(20, 80), rng.randint(4, 12)) for g in goods]
    sales: list[tuple[object, ...]] = [(rng.choice(goods), rng.randint(2, 15)) for _ in range(7)]
    good = rng.choice(goods)
    stock, price = next((int(str(r[1])), int(str(r[2]))) for r in items if r[0] == good)
    sold = [int(str(row[1])) for row in sales if row[0] == good]
    if len(sold) < 2 or sum(sold) >= stock:
        raise NonsenseError("not enough sales")

    def solve(w: Working) -> str:
        gone = w.find(f"Sold of {good}, {' + '.join(map(str, sold))}", sum(sold), sum(sold[:-1]), sum(sold[1:]))
        left = w.sub("Left", stock, gone)
        return whole(w.mul("Worth", left, price))

    prompt = (
        f"Stock:\n{_table(('item', 'in stock', 'price'), items)}\n\nSales since "
        f"then:\n{_table(('item', 'units sold'), sales)}\n\nWhat is the remaining stock of {good} "
        "worth (remaining units times price)?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _ratio_of_groups(rng: Random) -> Problem:
    names = rng.sample(CITIES, 8)
    rows = [(name, rng.choice(["A", "B"]), rng.randint(2, 12) * 5, rng.randint(1, 9)) for name in names]
    first, second = ([r for r in rows if r[1] == g and r[3] >= 4] for g in "AB")
    if len(first) < 2 or len(second) < 2:
        raise NonsenseError("a group is too small")

    def solve(w: Working) -> str:
        a = w.choose(
            first, [[r for r in rows if r[1] == "A"], first[:-1], [r for r in rows if r[1] == "A" and r[3] > 4]]
        )
        b = w.choose(second, [[r for r in rows if r[1] == "B"], second[:-1]])
        one, two = sum(r[2] for r in a), sum(r[2] for r in b)
        w.say(f"Plan A: {' + '.join(str(r[2]) for r in a)} = {one}")
        w.say(f"Plan B: {' + '.join(str(r[2]) for r in b)} = {two}")
        gap = w.sub("Larger minus smaller", max(one, two), min(one, two))
        return whole(gap)

    table = _table(("site", "plan", "visits", "rating"), list(rows))
    prompt = (
        f"{table}\n\nCount only sites with a rating of at least 4. By how much do the total "
        "visits of plan A and of plan B differ?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _letters(rng: Random) -> Problem:
    words = " ".join(rng.sample(WORDS, rng.randint(3, 5)))
    letter = rng.choice([c for c in "aeilnort" if words.count(c) >= 3] or ["e"])
    count = words.count(letter)

    def solve(w: Working) -> str:
        running = 0
        for word in words.split():
            seen = word.count(letter)
            seen = w.choose(seen, [seen + 1, seen - 1] if seen else [1])
            running += seen
            w.say(f"{word}: {seen}, so {running} so far")
        return whole(running)

    if count < 2:
        raise NonsenseError("too easy")
    return Problem(
        prompt=f'How often does the letter "{letter}" occur in "{words}"?', answer_type="number", solve=solve
    )


def _backwards(rng: Random) -> Problem:
    word = "".join(rng.sample(WORDS, 1)) + rng.choice(["", "", "s"])

    def solve(w: Working) -> str:
        w.say(f"Letters in order: {', '.join(word)}")
        turned = word[::-1]
        place = len(turned) // 2
        swapped = turned[:place] + turned[place + 1 : place + 2] + turned[place] + turned[place + 2 :]
        result = w.choose(
            turned, [swapped, turned[: place - 1] + turned[place:], turned[:-2] + turned[-1] + turned[-2]]
        )
        w.say(f"From the last to the first: {', '.join(result)}")
        return result

    ask = rng.choice(['Write the word "{}" backwards.', 'What is "{}" when its letters are read from right to left?'])
    return Problem(prompt=ask.format(word), answer_type="text", solve=solve)


def _sorted_words(rng: Random) -> Problem:
    words = rng.sample(WORDS, rng.randint(6, 8))
    place = rng.randint(2, len(words) - 2)
    last = rng.choice([True, False])

    def solve(w: Working) -> str:
        order = sorted(words, key=lambda word: word[::-1]) if last else sorted(words)
        w.say(f"In that order: {', '.join(order)}")
        at = w.choose(place, [place - 1, place + 1, len(order) - 1 - place])
        w.say(f"Number {place + 1} is {order[at]}")
        return order[at]

    how = (
        "by their last letter first, as in a rhyming dictionary (each word compared from its end)"
        if last
        else "alphabetically"
    )
    prompt = f"Sort these words {how}: {', '.join(words)}. Which is the {ORDINALS[place]} one?"
    return Problem(prompt=prompt, answer_type="text", solve=solve)


def _shifted(word: str, by: int) -> str:
    return "".join(chr((ord(c) - 97 + by) % 26 + 97) for c in word)


def _caesar(rng: Random) -> Problem:
    word, by = rng.choice([w for w in WORDS if len(w) <= 6]), rng.choice([2, 3, 4, 5, 7])
    back = rng.choice([True, False])
    text = _shifted(word, by) if back else word

    def solve(w: Working) -> str:
        result = ""
        for letter in text:
            there = _shifted(letter, -by if back else by)
            there = w.choose(there, [_shifted(there, 1), _shifted(there, -1)])
            result += there
            w.say(f"{letter} becomes {there}")
        return result

    prompt = (
        f"In a cipher every letter is replaced by the one {by} places later in the alphabet "
        f'(after z comes a). {"Decipher" if back else "Encipher"} "{text}".'
    )
    return Problem(prompt=prompt, answer_type="text", solve=solve)


def _initials(rng: Random) -> Problem:
    words = rng.sample(WORDS, 5)
    place = rng.choice([1, 2, 3])

    def solve(w: Working) -> str:
        result = ""
        for word in words:
            letter = w.choose(word[-place], [word[place - 1], word[-place - 1]])
            result += letter
            w.say(f"{word}: {letter}")
        return result.upper()

    which = {1: "last", 2: "second-to-last", 3: "third-to-last"}[place]
    prompt = (
        f"Take the {which} letter of each of these words, in order, and write them as one word in "
        f"capitals: {', '.join(words)}."
    )
    return Problem(prompt=prompt, answer_type="text", solve=solve)


def _pipeline(rng: Random) -> Problem:
    word = "".join(rng.sample(WORDS, 2))
    cut, turn = rng.randint(2, 4), rng.choice([True, False])

    def solve(w: Working) -> str:
        text = "".join(c for c in word if c not in "aeiou")
        text = w.choose(text, [text[:-1], "".join(c for c in word if c not in "aeio"), text[:2] + text[3:]])
        w.say(f"Without vowels: {text}")
        if turn:
            text = text[::-1]
            w.say(f"Reversed: {text}")
        text = w.choose(text[cut:] + text[:cut], [text[-cut:] + text[:-cut], text[cut + 1 :] + text[: cut + 1]])
        w.say(f"First {cut} letters moved to the end: {text}")
        text = "".join(c.upper() if i % 2 else c for i, c in enumerate(text, w.choose(0, [1])))
        w.say(f"Every second letter in capitals: {text}")
        return text

    steps = [
        "remove the vowels (a, e, i, o, u)",
        *(["reverse what is left"] if turn else []),
        f"move the first {cut} letters to the end",
        "put the second, fourth, sixth ... letter in capitals",
    ]
    prompt = f'Start with "{word}" and do this in order: {"; ".join(steps)}. What is the result?'
    return Problem(prompt=prompt, answer_type="text", solve=solve)


def _word_sums(rng: Random) -> Problem:
    words = rng.sample([w for w in WORDS if len(w) <= 7], 3)

    def solve(w: Working) -> str:
        total = 0
        for word in words:
            values = [ord(c) - 96 for c in word]
            value = w.find(f"{word}, {' + '.join(map(str, values))}", sum(values), sum(values) - 1, sum(values) + 10)
            total = max(total, value) if w.choose(True, [False]) else total + value
        w.say(f"Largest of them: {total}")
        return whole(total)

    prompt = (
        "Let a = 1, b = 2, ..., z = 26, and let the value of a word be the sum of its letters. "
        f"What is the largest value among the words {', '.join(words)}?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


def _positions(rng: Random) -> Problem:
    words = rng.sample(WORDS, 4)
    text = "".join(words)
    step = rng.choice([3, 4])
    count = rng.choice(["vowels", "consonants"])

    def solve(w: Working) -> str:
        start = w.choose(step - 1, [step, 0])
        taken = text[start::step]
        w.say(f"Every {ORDINALS[step - 1]} letter: {', '.join(taken)}")
        hits = [c for c in taken if (c in "aeiou") == (count == "vowels")]
        hits = w.choose(hits, [hits[:-1], [*hits, "e"]])
        w.say(f"Of these {count}: {len(hits)}")
        return str(len(hits))

    prompt = (
        f"Write the words {', '.join(words)} together as one string without spaces and take every "
        f"{ORDINALS[step - 1]} letter of it (letters number {step}, {2 * step}, {3 * step}, ...). "
        f"How many of the letters taken are {count} (vowels being a, e, i, o, u)?"
    )
    return Problem(prompt=prompt, answer_type="number", solve=solve)


MAKERS: dict[str, tuple[tuple[Maker, ...], tuple[Maker, ...], tuple[Maker, ...]]] = {
    "tables": ((_branches, _highest), (_filtered_sum, _count_where), (_second_in_group, _stock, _ratio_of_groups)),
    "strings": ((_letters, _backwards), (_sorted_words, _caesar, _initials), (_pipeline, _word_sums, _positions)),
}
