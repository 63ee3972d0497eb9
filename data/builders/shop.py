"""An invented shop for things at home: its goods, its customers and their orders."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from data.builders.people import FIRST_NAMES, LAST_NAMES

SHOP = "Quillmere"
CUSTOMERS = 320
OPENED = datetime.fromisoformat("2025-01-06T08:00")
LAST_DAY = datetime.fromisoformat("2026-06-30T20:00")

GOODS: dict[str, tuple[tuple[str, int], ...]] = {  # prices in cents
    "kitchen": (
        ("Hearth kettle 1.7 L", 5490),
        ("Mica frying pan 28 cm", 6990),
        ("Oak bread board", 3450),
        ("Brim coffee grinder", 8900),
        ("Lume kitchen scale", 2995),
        ("Sable knife set", 12900),
        ("Tarn carafe", 2450),
        ("Crumb toaster", 4790),
    ),
    "desk": (
        ("Alder standing desk", 38900),
        ("Reed desk lamp", 5990),
        ("Slate keyboard", 8490),
        ("Wren wireless mouse", 3990),
        ("Perch monitor arm", 11450),
        ("Hollow cable box", 1890),
        ("Quarto notebook, 3 pack", 1650),
        ("Fen desk mat", 3290),
    ),
    "bedroom": (
        ("Loam linen sheets, double", 13900),
        ("Drift down pillow", 6490),
        ("Ember heated blanket", 7990),
        ("Dusk alarm clock", 4450),
        ("Moss bedside rug", 8990),
        ("Veil blackout curtain", 5750),
    ),
    "living room": (
        ("Cove armchair", 45900),
        ("Pine side table", 12900),
        ("Glow floor lamp", 9890),
        ("Murmur speaker", 14900),
        ("Plume cushion, 2 pack", 3890),
        ("Harbour wall clock", 6290),
        ("Thicket bookcase", 21900),
    ),
    "outdoor": (
        ("Larch garden bench", 24900),
        ("Puddle watering can", 2790),
        ("Firefly string lights", 3490),
        ("Sprig planter, large", 4590),
        ("Rook barbecue tongs", 1490),
        ("Meadow picnic blanket", 3950),
    ),
    "membership": ((f"{SHOP} Plus, one year", 4900), (f"{SHOP} Plus, one month", 590)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Somebody who does not exist."""

    customer_id: str
    first: str
    last: str
    language: str
    email: str
    phone: str
    card: str

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first} {self.last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order of one article."""

    order_id: str
    customer_id: str
    ordered_at: datetime
    product: str
    category: str
    quantity: int
    unit_cents: int
    status: str
    payment_method: str
    delivered_at: datetime | None

    @property
    def total_cents(self) -> int:
        """What was paid."""
        return self.quantity * self.unit_cents


def dollars(cents: int) -> str:
    """Cents as dollars with two decimals."""
    return f"{cents // 100}.{cents % 100:02d}"


def _luhn(digits: str) -> str:
    """The digit that makes `digits` look like a card number."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def _card(rng: Random) -> str:
    """A number of card form under prefixes that payment services keep for tests."""
    digits = rng.choice(["42424242", "40000000", "55555555", "22230000"]) + "".join(
        rng.choice("0123456789") for _ in range(7)
    )
    digits += _luhn(digits)
    return " ".join(digits[i : i + 4] for i in range(0, 16, 4))


def _phone(rng: Random, language: str) -> str:
    """A number from the ranges kept for fiction."""
    last = rng.randint(100, 199)
    if language == "en":
        return rng.choice(
            [
                f"(555) 555-0{last}",
                f"555-0{last}",
                f"+1 555 010 {rng.randint(1000, 9999)}",
                f"020 7946 0{rng.randint(100, 999)}",
                f"+44 7700 900{rng.randint(100, 999)}",
            ]
        )
    if language == "de":
        return f"030 23125 {rng.randint(100, 999)}"
    return f"06 39 98 {rng.randint(10, 99)} {rng.randint(10, 99)}" if language == "fr" else f"900 555 {last}"


def customers() -> list[Customer]:
    """Every customer, by id."""
    rng = Random("shop/customers")
    people: list[Customer] = []
    taken: set[str] = set()
    while len(people) < CUSTOMERS:
        first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
        if f"{first} {last}" in taken:
            continue
        taken.add(f"{first} {last}")
        language = rng.choices(["en", "de", "fr", "es"], [90, 5, 3, 2])[0]
        local = rng.choice(
            [
                f"{first}.{last}",
                f"{first[0]}{last}",
                f"{last}{rng.randint(2, 98)}",
                f"{first}_{last[0]}",
                f"hello.{first}{rng.randint(1, 9)}",
            ]
        )
        host = rng.choice(["example.com", "example.org", "example.net", "mail.example.com", "post.example.org"])
        people.append(
            Customer(
                customer_id=f"C{1001 + len(people)}",
                first=first,
                last=last,
                language=language,
                email=f"{local.lower()}@{host}",
                phone=_phone(rng, language),
                card=_card(rng),
            )
        )
    return people


def moment(rng: Random, first: datetime, last: datetime) -> datetime:
    """A time between two days, mostly in the hours when people are awake."""
    day = first + timedelta(days=rng.randrange((last - first).days + 1))
    hour = rng.choices(range(24), [2, 1, 1, 1, 1, 2, 4, 7, 9, 10, 10, 9, 9, 8, 8, 8, 9, 10, 12, 13, 13, 11, 8, 4])[0]
    return day.replace(hour=hour, minute=rng.randrange(60))


def orders(people: list[Customer]) -> list[Order]:
    """Every order, oldest first; each customer has between one and nine."""
    rng = Random("shop/orders")
    drafts: list[tuple[datetime, str]] = []
    for person in people:
        count = rng.choices(range(1, 10), [6, 9, 12, 14, 14, 12, 9, 6, 4])[0]
        drafts += [(moment(rng, OPENED, LAST_DAY - timedelta(days=1)), person.customer_id) for _ in range(count)]
    drafts.sort()
    number, found = 40_117, []
    for ordered_at, customer_id in drafts:
        number += rng.randint(1, 6)
        found.append(_order(rng, f"QM-{number}", customer_id, ordered_at))
    return found


def _order(rng: Random, order_id: str, customer_id: str, ordered_at: datetime) -> Order:
    category = rng.choices(list(GOODS), [24, 22, 14, 16, 16, 8])[0]
    product, cents = rng.choice(GOODS[category])
    age = LAST_DAY - ordered_at
    status = rng.choices(["delivered", "returned", "cancelled"], [86, 8, 6])[0]
    if age < timedelta(days=7):
        status = rng.choice(["processing", "shipped"])
    delivered = ordered_at + timedelta(days=rng.randint(2, 6), minutes=rng.randrange(600))
    if category == "membership":
        status, delivered = "active", ordered_at
    return Order(
        order_id=order_id,
        customer_id=customer_id,
        ordered_at=ordered_at,
        product=product,
        category=category,
        quantity=1 if cents > 10_000 or category == "membership" else rng.choices([1, 2, 3, 4], [66, 22, 8, 4])[0],
        unit_cents=cents,
        status=status,
        payment_method=rng.choices(["card", "wallet", "invoice", "bank transfer"], [64, 18, 12, 6])[0],
        delivered_at=delivered if status in {"delivered", "returned", "active"} else None,
    )


def order_rows(all_orders: list[Order]) -> list[list[object]]:
    """The rows of orders.csv, header first."""
    rows: list[list[object]] = [
        [
            "order_id",
            "customer_id",
            "ordered_at",
            "product",
            "category",
            "quantity",
            "unit_price_usd",
            "total_usd",
            "status",
            "payment_method",
            "delivered_at",
        ]
    ]
    for o in all_orders:
        delivered = o.delivered_at.strftime("%Y-%m-%d") if o.delivered_at else ""
        rows.append(
            [
                o.order_id,
                o.customer_id,
                o.ordered_at.strftime("%Y-%m-%d %H:%M"),
                o.product,
                o.category,
                o.quantity,
                dollars(o.unit_cents),
                dollars(o.total_cents),
                o.status,
                o.payment_method,
                delivered,
            ]
        )
    return rows
