"""A cron expression in words, for people who do not read cron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestration_nb.pipelines.cron import MONTHS, Cron, Field

_DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS: Final = dict(
    zip(
        MONTHS,
        ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
         "December"),
        strict=True,
    )
)  # fmt: skip
_MOST_TIMES: Final = 4


def in_words(cron: Cron) -> str:
    """The expression as a part of a sentence: ``at 06:00, Monday to Friday``."""
    parts = [_times(cron), _days(cron)]
    if len(cron.months.values) < 12:
        parts.append("in " + _listed([_MONTHS[MONTHS[month - 1]] for month in cron.months.values], cron.months))
    return ", ".join(filter(None, parts))


def _times(cron: Cron) -> str:
    minutes, hours = cron.minutes.values, cron.hours.values
    if len(minutes) * len(hours) <= _MOST_TIMES:
        return "at " + _and([f"{hour:02}:{minute:02}" for hour in hours for minute in minutes])
    if len(minutes) == 60:
        when = "every minute"
    elif _step(cron.minutes, 60):
        when = f"every {_step(cron.minutes, 60)} minutes"
    elif minutes == (0,) and len(hours) == 24:
        return "every hour"
    else:
        when = "at minute " + _listed(list(map(str, minutes)), cron.minutes)
    if len(hours) == 24:
        return when if len(minutes) == 60 or _step(cron.minutes, 60) else f"{when} of every hour"
    if _step(cron.hours, 24):
        return f"{when} of every {_ordinal(_step(cron.hours, 24))} hour"
    return f"{when} of hour {_listed(list(map(str, hours)), cron.hours)}"


def _days(cron: Cron) -> str:
    by_date = len(cron.days.values) < 31 or cron.is_either_day
    by_week = len(cron.weekdays.values) < 7 or cron.is_either_day
    date = "day " + _listed(list(map(str, cron.days.values)), cron.days) + " of the month"
    week = _listed([_DAYS[day] for day in cron.weekdays.values], cron.weekdays)
    if by_date and by_week:
        return f"on {date} or on {week}"
    if by_date:
        return f"on {date}"
    return week if by_week else "every day" if len(cron.hours.values) < 24 else ""


def _listed(words: Sequence[str], field: Field) -> str:
    """``a, b and c``, and ``a to c`` for neighbours."""
    values = field.values
    if len(values) > 2 and values[-1] - values[0] == len(values) - 1:
        return f"{words[0]} to {words[-1]}"
    return _and(words)


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _step(field: Field, whole: int) -> int:
    """The step of a field that goes through its whole range in equal steps from its beginning; else 0."""
    values = field.values
    step = values[1] - values[0] if len(values) > 1 else 0
    return step if step > 1 and whole % step == 0 and values == tuple(range(0, whole, step)) else 0


def _ordinal(number: int) -> str:
    return f"{number}" + {2: "nd", 3: "rd"}.get(number, "th")
