"""Five hundred support tickets, each about an order or the app of the invented shop."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

from data.builders.people import MONTHS
from data.builders.shop import LAST_DAY, SHOP, Customer, Order, dollars, moment
from data.builders.ticket_abroad import ABROAD, GREETINGS, PARTINGS
from data.builders.ticket_billing import BILLING
from data.builders.ticket_bug import BUG
from data.builders.ticket_refund import REFUND
from data.builders.ticket_topics import Topic

TICKETS = 500
TOPICS = {**BILLING, **BUG, **REFUND}
FIRST_TICKET = datetime.fromisoformat("2026-04-01T06:00")
MONTHS_IN = {
    "en": MONTHS,
    "de": [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ],
    "fr": [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
    "es": [
        "enero",
        "febrero",
        "marzo",
        "abril",
        "mayo",
        "junio",
        "julio",
        "agosto",
        "septiembre",
        "octubre",
        "noviembre",
        "diciembre",
    ],
}
DEVICES = (
    "Pixel 8",
    "iPhone 13",
    "old iPad",
    "Galaxy S22",
    "Fairphone 5",
    "Windows laptop",
    "Chromebook",
    "MacBook",
    "iPhone SE",
    "Galaxy tablet",
    "Linux desktop",
)
SOFT = ("sheets", "pillow", "blanket", "rug", "curtain", "cushion", "mat", "tongs", "Quarto", "string")
FURNITURE = ("desk", "arm", "table", "Cove", "bookcase", "bench", "lamp", "rack", "clock")
HELLOS = (
    "Hello,",
    "Hi there,",
    "Dear {shop} team,",
    "Good morning,",
    "Hi,",
    "Dear Sir or Madam,",
    "Hey,",
    "Good evening,",
    "Hello {shop},",
    "To whom it may concern,",
)
GOODBYES = (
    "Kind regards,\n{name}",
    "Thanks, {first}",
    "Best,\n{first}",
    "Thank you in advance\n{name}",
    "Regards\n{name}\n{phone}",
    "{first}",
    "Sincerely,\n{name}",
    "Many thanks and have a nice day\n{first} {last}",
    "Cheers,\n{first}",
    "{name}\n{email}",
    "- {first} {last}, customer {customer}",
    "Looking forward to your answer.\n{name}",
)
CONTACTS = (
    "You can reach me at {phone} after five.",
    "Please write to {email}, I don't look into the other mailbox any more.",
    "My number is {phone} if you'd rather call.",
    "The account is under {email}.",
    "My customer number is {customer}.",
    "I paid with the card {card}.",
    "The account is in the name of {name}.",
    "Call me on {phone}, mornings are best.",
    "The card in question is {card}, valid until 09/28.",
    "Please use {email} for your answer; {phone} works as well.",
)
ASIDES = (
    "I've been a customer for years and it was always fine.",
    "By the way, the packaging without plastic is a good idea.",
    "My daughter had recommended you to me.",
    "Normally I'm very happy with {shop}.",
    "I hope this is the right address for such things.",
    "I'm writing from my phone, please excuse any mistakes.",
    "I already tried the chat, but it only offered me articles to read.",
    "The weather here is dreadful too, but that's not your fault.",
    "I had a look at the help pages and didn't find anything.",
    "If you need anything else from me, just ask.",
    "The person on the phone was kind but couldn't help.",
)
PRESSING = (
    "This is urgent, I'm leaving on Thursday.",
    "I find this unacceptable.",
    "This is my third message about it!",
    "I need an answer today.",
    "If nothing happens I'll go to the consumer advice centre.",
    "Please treat this with priority.",
    "I'm really annoyed by now.",
    "So far nobody has answered me.",
)
RELAXED = ("There's no hurry.", "Whenever you find the time.", "Not urgent at all.", "Just so that you know.")


def _slots(rng: Random, person: Customer, order: Order, received: datetime, needs: str) -> dict[str, str]:
    day = order.ordered_at if needs != "none" else received - timedelta(days=rng.randint(2, 24))
    written = {
        "en": rng.choice(
            [f"{day.day} {MONTHS_IN['en'][day.month - 1]}", f"{MONTHS_IN['en'][day.month - 1]} {day.day}"]
        ),
        "de": f"{day.day}. {MONTHS_IN['de'][day.month - 1]}",
        "fr": f"{day.day} {MONTHS_IN['fr'][day.month - 1]}",
        "es": f"{day.day} de {MONTHS_IN['es'][day.month - 1]}",
    }[person.language]
    amount, less = dollars(order.total_cents), dollars(order.total_cents * 9 // 10)
    sign = person.language == "en"
    return {
        "shop": SHOP,
        "order": order.order_id,
        "product": order.product.split(",")[0],
        "amount": f"${amount}" if sign else f"{amount.replace('.', ',')} USD",
        "other_amount": f"${less}" if sign else f"{less.replace('.', ',')} USD",
        "date": written,
        "days": str(max(8, min(40, (received - day).days - 6))),
        "name": person.name,
        "first": person.first,
        "last": person.last,
        "email": person.email,
        "phone": person.phone,
        "card": person.card,
        "card4": person.card[-4:],
        "customer": person.customer_id,
        "invoice": f"{rng.randint(100, 999)}-{rng.randint(1000, 9999)}",
        "version": f"{rng.randint(3, 6)}.{rng.randint(0, 12)}.{rng.randint(0, 9)}",
        "device": rng.choice(DEVICES),
    }


def _mistyped(rng: Random, text: str) -> str:
    """Two letters of one longer word exchanged, as happens on a phone."""
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if word.isalpha() and len(word) > 4 and word.islower()]
    for place in rng.sample(places, min(2, len(places))):
        at = rng.randint(1, len(words[place]) - 3)
        word = words[place]
        words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)


def _english(rng: Random, topic: Topic, extra: list[str]) -> str:
    """A body: who writes briefly, who rambles, who lists facts."""
    opening, ask = rng.choice(topic.openings), rng.choice(topic.asks)
    details = rng.sample(topic.details, rng.choice([1, 1, 2, 2, 3]))
    manner = rng.choices(["letter", "terse", "rambling", "facts", "again", "chat"], [34, 14, 20, 10, 10, 12])[0]
    if manner == "terse":
        return f"{opening} {ask}" + (f" {extra[0]}" if extra else "")
    if manner == "chat":
        text = " ".join([opening, *details[:1], *extra, ask])
        return text[0].lower() + text[1:].replace("I'm", "im").replace("don't", "dont").replace(
            ". ", " ... ", 1
        ).rstrip(".")
    hello, goodbye = rng.choice(HELLOS), rng.choice(GOODBYES)
    if manner == "facts":
        facts = "\n".join(f"- {line}" for line in [opening, *details, *extra])
        return f"{hello}\n\n{facts}\n\n{ask}\n\n{goodbye}"
    if manner == "rambling":
        aside = rng.sample(ASIDES, 2)
        return (
            f"{hello}\n\n{aside[0]} {opening} {' '.join(details)}\n\n{' '.join(extra)} {aside[1]} {ask}\n\n{goodbye}"
        ).replace("\n\n ", "\n\n")
    if manner == "again":
        back = rng.choice(
            [
                "I wrote to you last week and have heard nothing.",
                "Following up on my message of some days ago:",
                "This is a reminder.",
                "Once more, since I got no reply:",
            ]
        )
        return f"{hello}\n{back} {opening} {details[0]} {ask}\n{' '.join(extra)}\n{goodbye}".replace("\n\n", "\n")
    order = [opening, *details, *extra, ask] if rng.random() < 0.7 else [opening, ask, *details, *extra]
    return f"{hello}\n\n{' '.join(order)}\n\n{goodbye}"


def _abroad(rng: Random, topic: Topic, language: str) -> tuple[str, str]:
    details = rng.sample(topic.details, rng.choice([1, 2]))
    hello, goodbye = rng.choice(GREETINGS[language]), rng.choice(PARTINGS[language])
    opening, name = rng.choice(list(zip(topic.openings, topic.names, strict=True)))
    text = " ".join([opening, *details, rng.choice(topic.asks)])
    return f"{hello}\n\n{text}\n\n{goodbye}", name


def _fitting_order(rng: Random, needs: str, own: list[Order], received: datetime) -> Order | None:
    recent = [
        o
        for o in own
        if timedelta(days=1) < received - o.ordered_at < timedelta(days=400 if needs in {"membership", "none"} else 75)
    ]
    if needs == "membership":
        recent = [o for o in recent if o.category == "membership"]
    elif needs not in {"any", "none"}:
        status = needs if needs in {"returned", "cancelled"} else "delivered"
        recent = [
            o
            for o in recent
            if o.status == status and o.category != "membership" and o.ordered_at < received - timedelta(days=8)
        ]
        if needs == "furniture":
            recent = [
                o for o in recent if any(w in o.product for w in FURNITURE) and not any(w in o.product for w in SOFT)
            ]
        elif needs == "breakable":
            recent = [o for o in recent if not any(word in o.product for word in SOFT)]
    return rng.choice(recent) if recent else None


def _ticket(rng: Random, name: str, people: list[Customer], own: dict[str, list[Order]]) -> list[object] | None:
    person = rng.choice(people)
    topic = TOPICS[name]
    if person.language != "en":
        topic = ABROAD[person.language][topic.queue]
    received = moment(rng, FIRST_TICKET, LAST_DAY)
    order = _fitting_order(rng, topic.needs, own[person.customer_id], received)
    if order is None:
        return None
    priority = rng.choices(["normal", "high", "low"], [70, 18, 12])[0]
    slots = _slots(rng, person, order, received, topic.needs)
    if person.language == "en":
        extra = [rng.choice(CONTACTS)] if rng.random() < 0.45 else []
        if priority != "normal":
            extra.append(rng.choice(PRESSING if priority == "high" else RELAXED))
        body = _english(rng, topic, extra)
    else:
        priority = "normal"
        body, name = _abroad(rng, topic, person.language)
    if rng.random() < 0.12:
        body = _mistyped(rng, body)
    plain = [f"Order {order.order_id}" if topic.needs != "none" else "Problem"] if person.language == "en" else []
    subject = rng.choice([*topic.subjects, *topic.subjects, *plain])
    if rng.random() < 0.08:
        subject = "Re: " + subject
    channel = rng.choice(["email", "email", "web form", "app"])
    return [
        person.customer_id,
        received,
        channel,
        person.language,
        subject.format(**slots),
        body.format(**slots),
        topic.queue,
        name,
        priority,
    ]


def _drawn(people: list[Customer], orders: list[Order]) -> Iterator[list[object]]:
    own: dict[str, list[Order]] = {person.customer_id: [] for person in people}
    for order in orders:
        own[order.customer_id].append(order)
    seen: set[object] = set()
    names = list(TOPICS)
    for number in range(TICKETS):
        rng = Random(f"tickets/{number}")
        while True:
            ticket = _ticket(rng, names[number % len(names)], people, own)
            if ticket is not None and ticket[5] not in seen:
                break
        seen.add(ticket[5])
        yield ticket


def ticket_rows(people: list[Customer], orders: list[Order]) -> list[list[object]]:
    """The rows of tickets.csv, header first, by the time they came in."""
    tickets = sorted(_drawn(people, orders), key=lambda row: (str(row[1]), str(row[0])))
    rows: list[list[object]] = [
        [
            "ticket_id",
            "customer_id",
            "received_at",
            "channel",
            "language",
            "subject",
            "body",
            "gold_queue",
            "gold_topic",
            "gold_priority",
        ]
    ]
    for number, (customer_id, received, *rest) in enumerate(tickets, 1):
        assert isinstance(received, datetime)
        rows.append([f"T{number:04d}", customer_id, received.strftime("%Y-%m-%d %H:%M"), *rest])
    return rows
