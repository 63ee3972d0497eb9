"""When a cron expression is due, reckoned minute by minute: another way than the package's, with nothing of it in use.

Goes through every minute of real time, and looks at what the clock on the wall shows; where it jumps ahead, through
every minute that it leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo


def utc(*parts: int) -> datetime:
    """A naive UTC moment, as the ledger has it."""
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001


MINUTE = timedelta(minutes=1)
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
NAMES = {
    **{name: str(number) for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))},
    **{name: str(number) for number, name in enumerate(MONTHS, 1)},
}


def part_matches(part: str, value: int, top: int) -> bool:
    span, _, step = part.partition("/")
    low, _, high = span.partition("-")
    if span == "*":
        first, last = (1 if top in {31, 12} else 0), top
    else:
        first = int(NAMES.get(low, low))
        last = int(NAMES.get(high, high)) if high else (top if step else first)
    return any(value == each for each in range(first, last + 1, int(step or 1)))


def field_matches(field: str, value: int, top: int) -> bool:
    return any(part_matches(part, value, top) for part in field.split(","))


def matcher(expression: str) -> Callable[[datetime], bool]:
    minute, hour, day, month, weekday = expression.split()

    @cache
    def on(year: int, month_: int, day_: int) -> bool:
        number = utc(year, month_, day_).isoweekday() % 7
        by_week = field_matches(weekday, number, 7) or (number == 0 and field_matches(weekday, 7, 7))
        by_date = field_matches(day, day_, 31)
        either = not day.startswith("*") and not weekday.startswith("*")
        return field_matches(month, month_, 12) and ((by_week or by_date) if either else (by_week and by_date))

    @cache
    def at(hour_: int, minute_: int) -> bool:
        return field_matches(minute, minute_, 59) and field_matches(hour, hour_, 23)

    return lambda wall: at(wall.hour, wall.minute) and on(wall.year, wall.month, wall.day)


def due_times(expression: str, zone: str, begin: datetime, end: datetime) -> Iterator[datetime]:
    """The due times from ``begin`` (left out) to ``end``, as naive UTC."""
    matches, place = matcher(expression), ZoneInfo(zone)
    every_hour = expression.split()[1] == "*"

    def offset(moment: datetime) -> timedelta:
        return moment.replace(tzinfo=UTC).astimezone(place).utcoffset() or timedelta()

    shift = offset(begin)
    moment, highest = begin, begin + shift
    while moment < end:
        moment += MINUTE
        if moment.minute in {0, 30}:  # clocks are changed at full and half hours
            shift = offset(moment)
        wall, follows = moment + shift, highest + MINUTE
        if wall == follows:
            highest = wall
            if matches(wall):
                yield moment
            continue
        left_out = []
        while follows < wall:
            left_out.append(follows)
            follows += MINUTE
        jump = timedelta(minutes=len(left_out))
        made_up = any(matches(each) and not (every_hour and matches(each + jump)) for each in left_out)
        shown_before = wall <= highest
        if made_up or (matches(wall) and (every_hour or not shown_before)):
            yield moment
        highest = max(highest, wall)
