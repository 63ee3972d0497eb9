"""A cron expression: five fields, read as cron itself reads them.

``minute hour day-of-month month day-of-week``, each a list of values, ranges and steps; months and days by number or
name, Sunday as 0 or 7; also ``@hourly``, ``@daily``, ``@weekly``, ``@monthly`` and ``@yearly``. Where both the day of
the month and the day of the week are given, a day needs to match one of them, as in every cron.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from orchestration_nb.errors import UsageError

SHORTHANDS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAYS_OF_MONTH: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART: Final = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\w+))?", re.ASCII)
_HINT: Final = 'Five fields: minute hour day-of-month month day-of-week, such as "0 6 * * 1-5", or @daily.'


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What may stand in a field."""

    name: str
    least: int
    most: int
    words: tuple[str, ...] = ()
    """Names of the values, from ``least`` on."""


_KINDS: Final = (
    _Kind(name="minute", least=0, most=59),
    _Kind(name="hour", least=0, most=23),
    _Kind(name="day of the month", least=1, most=31),
    _Kind(name="month", least=1, most=12, words=MONTHS),
    _Kind(name="day of the week", least=0, most=7, words=WEEKDAYS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of an expression."""

    values: tuple[int, ...]
    """What it matches, ascending; Sunday is 0."""
    starred: bool
    """Whether it begins with ``*``: then it restricts no day by itself."""
    is_whole: bool
    """Whether it matches every value."""
    text: str
    """The same in the words that every cron understands: numbers, ranges upward, ``*`` and ``*/step``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """An expression that was read."""

    text: str
    """As it was written."""
    minutes: Field
    hours: Field
    days: Field
    months: Field
    weekdays: Field

    @property
    def plain(self) -> str:
        """The same expression without names, 7 or shorthands, for programs that know no more."""
        return " ".join(field.text for field in (self.minutes, self.hours, self.days, self.months, self.weekdays))

    @property
    def is_either_day(self) -> bool:
        """Whether a day needs to match only one of day of the month and day of the week."""
        return not self.days.starred and not self.weekdays.starred

    @property
    def follows_the_clock(self) -> bool:
        """Whether it runs in every hour: then each real hour counts, and not what the clock on the wall shows."""
        return len(self.hours.values) == 24

    def has_day(self, month: int, day: int, weekday: int) -> bool:
        """Whether a day matches; ``weekday`` counts from Sunday, 0."""
        if month not in self.months.values:
            return False
        by_date, by_week = day in self.days.values, weekday in self.weekdays.values
        return by_date or by_week if self.is_either_day else by_date and by_week


def read_cron(text: str) -> Cron:
    """Reads an expression.

    Raises:
        UsageError: If it is none; the sentence names the field.
    """
    written = text.strip()
    if written.startswith("@") and written.lower() not in SHORTHANDS:
        raise UsageError(f"{written!r} is no time of a schedule.", hint=f"Known are {', '.join(SHORTHANDS)}.")
    parts = SHORTHANDS.get(written.lower(), written).split()
    if len(parts) != len(_KINDS):
        raise UsageError(f"The cron expression {written!r} has {len(parts)} fields instead of 5.", hint=_HINT)
    fields = [_field(part, kind, written) for part, kind in zip(parts, _KINDS, strict=True)]
    cron = Cron(text=written, minutes=fields[0], hours=fields[1], days=fields[2], months=fields[3], weekdays=fields[4])
    _refuse_ambiguous(cron)
    _refuse_never(cron)
    return cron


def _field(text: str, kind: _Kind, whole: str) -> Field:
    values: set[int] = set()
    for part in text.split(","):
        values |= _values(part, kind, whole)
    if kind.name == "day of the week":
        values = {value % 7 for value in values}
    ordered = tuple(sorted(values))
    is_whole = len(ordered) == (7 if kind.words == WEEKDAYS else kind.most - kind.least + 1)
    plain = text if text == "*" or re.fullmatch(r"\*/\d+", text) else listed_text(ordered)
    return Field(values=ordered, starred=text.startswith("*"), is_whole=is_whole, text=plain)


def _values(part: str, kind: _Kind, whole: str) -> set[int]:
    found = _PART.fullmatch(part)
    if found is None:
        raise _bad(part, kind, whole, "is not a value, a range or a step")
    step = _number(found["step"], kind, part, whole) if found["step"] else 1
    if step < 1:
        raise _bad(part, kind, whole, "has a step below 1")
    if found["first"] == "*":
        if found["last"]:
            raise _bad(part, kind, whole, "is not a value, a range or a step")
        return set(range(kind.least, min(kind.most, 6 if kind.words == WEEKDAYS else 59) + 1, step))
    first = _value(found["first"], kind, part, whole)
    last = _value(found["last"], kind, part, whole) if found["last"] else kind.most if found["step"] else first
    if kind.words == WEEKDAYS and last == 0 and first > 0:
        last = 7  # FRI-SUN
    if last < first:
        raise _bad(part, kind, whole, "ends before it begins")
    return set(range(first, last + 1, step))


def _value(text: str, kind: _Kind, part: str, whole: str) -> int:
    if text.lower() in kind.words:
        return kind.words.index(text.lower()) + kind.least
    value = _number(text, kind, part, whole)
    if not kind.least <= value <= kind.most:
        raise _bad(part, kind, whole, f"is not within {kind.least} to {kind.most}")
    return value


def _number(text: str, kind: _Kind, part: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise _bad(part, kind, whole, f"holds {text!r}, which is no number" + (" or name" if kind.words else ""))
    return int(text[:9])


def _bad(part: str, kind: _Kind, whole: str, what: str) -> UsageError:
    return UsageError(f"In the cron expression {whole!r}, the {kind.name} {part!r} {what}.", hint=_HINT)


def listed_text(values: Sequence[int]) -> str:
    """Values as a cron field has them: ``1-5,7``."""
    spans: list[list[int]] = []
    for value in values:
        if spans and spans[-1][-1] == value - 1:
            spans[-1].append(value)
        else:
            spans.append([value])
    return ",".join(f"{span[0]}-{span[-1]}" if len(span) > 1 else str(span[0]) for span in spans)


def _refuse_ambiguous(cron: Cron) -> None:
    # */2 beside a weekday means both in one cron and either in another.
    for one, other in ((cron.days, cron.weekdays), (cron.weekdays, cron.days)):
        if one.starred and one.text != "*" and not other.starred:
            raise UsageError(
                f"In the cron expression {cron.text!r}, {one.text!r} beside a day that is given is read differently by "
                "different crons.",
                hint="Write the days out, such as 1,3,5, or give only one of day of the month and day of the week.",
            )


def _refuse_never(cron: Cron) -> None:
    if cron.is_either_day or not cron.weekdays.starred:
        return
    if all(cron.days.values[0] > _DAYS_OF_MONTH[month - 1] for month in cron.months.values):
        raise UsageError(
            f"The cron expression {cron.text!r} never comes: none of its months has a day {cron.days.values[0]}.",
            hint="The last day of a month has no place in cron: run on the 1st instead.",
        )
