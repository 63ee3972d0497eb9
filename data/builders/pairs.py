"""Two thousand pairs of questions: the same in other words, or alike but for a number, a name or a negation."""

from random import Random

from data.builders.pair_intents import Intent
from data.builders.pair_texts import FIRST
from data.builders.pair_texts_more import SECOND
from data.builders.people import CITIES, FIRST_NAMES, MONTHS
from data.builders.shop import GOODS

INTENTS = FIRST + SECOND
COUNTS = {"paraphrase": 1000, "number": 350, "name": 350, "negation": 300}
THINGS = [product.split(",")[0] for goods in GOODS.values() for product, _ in goods if "Plus" not in product]
DEVICES = [
    thing
    for thing in THINGS
    if thing.split()[0] in {"Wren", "Slate", "Dusk", "Murmur", "Firefly", "Lume", "Glow", "Ember"}
]
FURNITURE = [thing for thing in THINGS if thing.split()[0] in {"Alder", "Perch", "Cove", "Pine", "Thicket", "Larch"}]
NAMED = {
    "name": FIRST_NAMES,
    "city": CITIES,
    "thing": THINGS,
    "month": MONTHS,
    "device": DEVICES,
    "furniture": FURNITURE,
}


def _slots(rng: Random, intent: Intent) -> dict[str, str]:
    number, other = rng.randint(intent.low, intent.high), rng.randint(110, 9900)
    return {"n": str(number), "m": str(other), **{slot: rng.choice(values) for slot, values in NAMED.items()}}


def _used(intent: Intent, slots: tuple[str, ...]) -> list[str]:
    return [slot for slot in slots if "{" + slot + "}" in intent.wordings[0]]


def _paraphrase(rng: Random, intent: Intent) -> tuple[str, str] | None:
    slots = _slots(rng, intent)
    left, right = rng.sample(intent.wordings, 2)
    return left.format(**slots), right.format(**slots)


def _number(rng: Random, intent: Intent) -> tuple[str, str] | None:
    used = _used(intent, ("n", "m"))
    if not used:
        return None
    slots = _slots(rng, intent)
    slot, old = rng.choice(used), 0
    old = int(slots[slot])
    near = [old + 1, old - 1, old + 10, old * 10, int(str(old)[::-1]), old + rng.randint(2, 30)]
    new = rng.choice([n for n in near if n != old and n > 1])
    return _two_wordings(rng, intent, slots, {**slots, slot: str(new)})


def _name(rng: Random, intent: Intent) -> tuple[str, str] | None:
    used = _used(intent, tuple(NAMED))
    if not used:
        return None
    slots = _slots(rng, intent)
    slot = rng.choice(used)
    new = rng.choice([value for value in NAMED[slot] if value != slots[slot]])
    return _two_wordings(rng, intent, slots, {**slots, slot: new})


def _two_wordings(rng: Random, intent: Intent, slots: dict[str, str], other: dict[str, str]) -> tuple[str, str]:
    """Mostly the same wording, which is what fools a cache; sometimes another one too."""
    left = rng.choice(intent.wordings)
    right = left if rng.random() < 0.75 else rng.choice(intent.wordings)
    return left.format(**slots), right.format(**other)


def _negation(rng: Random, intent: Intent) -> tuple[str, str] | None:
    if not intent.opposites:
        return None
    slots = _slots(rng, intent)
    place = rng.randrange(len(intent.opposites))
    left = intent.wordings[place] if rng.random() < 0.75 else rng.choice(intent.wordings)
    return left.format(**slots), intent.opposites[place].format(**slots)


MAKERS = {"paraphrase": _paraphrase, "number": _number, "name": _name, "negation": _negation}


def pair_rows() -> list[list[object]]:
    """The rows of question_pairs.csv, header first."""
    found: list[list[object]] = []
    seen: set[frozenset[str]] = set()
    for kind, count in COUNTS.items():
        rng = Random(f"pairs/{kind}")
        made = 0
        while made < count:
            pair = MAKERS[kind](rng, INTENTS[rng.randrange(len(INTENTS))])
            if pair is None or pair[0] == pair[1] or frozenset(pair) in seen:
                continue
            seen.add(frozenset(pair))
            left, right = pair if rng.random() < 0.5 else pair[::-1]
            found.append([left, right, "true" if kind == "paraphrase" else "false", kind])
            made += 1
    Random("pairs/order").shuffle(found)
    return [["pair_id", "left", "right", "same", "kind"], *([f"p{n:04d}", *row] for n, row in enumerate(found, 1))]
