"""When a schedule is due: cron's calendar, and what it means on the two days of the year when the clock is changed.

The calendar is reckoned by apscheduler on the time that a clock on the wall shows; what instant that is, is reckoned
here. A time that the wall clock skips in spring is due once, when the gap ends; one that it shows twice in autumn is
due once, the first time. An expression that runs in every hour follows real time instead: it is due whenever the clock
shows a time that matches, so that no hour is left out and none is run twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestration_nb.errors import UsageError
from orchestration_nb.pipelines.cron import Cron

_NEAR: Final = timedelta(hours=26)
"""More than any zone was ever changed by: Samoa left out a day."""
_SECOND: Final = timedelta(seconds=1)


def read_zone(name: str) -> ZoneInfo:
    """The time zone of that name.

    Raises:
        UsageError: If this machine knows none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"There is no time zone {name!r}.", hint="Names are those of the tz database, such as Europe/Berlin or UTC."
        ) from None


class DueTimes:
    """The instants at which an expression is due in a time zone; all instants are naive UTC.

    Args:
        cron: The expression.
        zone: Where its times are meant.
    """

    def __init__(self, cron: Cron, zone: ZoneInfo) -> None:
        self._cron = cron
        self._zone = zone
        self._triggers = list(_triggers(cron))

    def after(self, moment: datetime) -> datetime:
        """The first due time after ``moment``."""
        return next(self.every_after(moment))

    def every_after(self, moment: datetime) -> Iterator[datetime]:
        """The due times after ``moment``, in order; there is always another."""
        last = moment
        while True:
            last = self._next(last)
            yield last

    def between(self, begin: datetime, end: datetime, *, limit: int) -> list[datetime]:
        """The first ``limit`` due times after ``begin`` and until ``end``, that one included."""
        found: list[datetime] = []
        for due in self.every_after(begin):
            if due > end or len(found) >= limit:
                break
            found.append(due)
        return found

    def newest(self, begin: datetime, end: datetime) -> datetime | None:
        """The last due time after ``begin`` and until ``end``."""
        span = timedelta(hours=2)
        while True:
            start = max(begin, end - span)
            found: datetime | None = None
            for due in self.every_after(start):
                if due > end:
                    break
                found = due
            if found is not None or start == begin:
                return found
            span *= 12

    def _next(self, moment: datetime) -> datetime:
        wall = self._wall(moment) - self._margin(moment)
        best: datetime | None = None
        while best is None or wall <= self._wall(best) + self._margin(best):
            wall = self._match(wall)
            later = [instant for instant in self._instants(wall) if instant > moment]
            best = min(later + ([best] if best else []), default=None)
            wall += _SECOND
        return best

    def _margin(self, moment: datetime) -> timedelta:
        """How far times of the wall clock are out of their real order around ``moment``: where it is set back."""
        shift = abs(self._offset(moment + _NEAR) - self._offset(moment - _NEAR))
        return shift if self._offset(moment - shift) != self._offset(moment + shift) else timedelta()

    def _match(self, wall: datetime) -> datetime:
        """The first time of the wall clock from ``wall`` on that the expression matches."""
        marked = wall.replace(tzinfo=UTC)
        times: list[datetime] = [
            found for trigger in self._triggers if (found := trigger.get_next_fire_time(None, marked)) is not None
        ]
        return min(times).replace(tzinfo=None)

    def _matches(self, wall: datetime) -> bool:
        if wall.minute not in self._cron.minutes.values or wall.hour not in self._cron.hours.values:
            return False
        return self._cron.has_day(wall.month, wall.day, wall.isoweekday() % 7)

    def _instants(self, wall: datetime) -> list[datetime]:
        """When it is due for a time of the wall clock that matches."""
        first, second = (self._instant(wall, fold) for fold in (0, 1))
        if self._wall(first) == wall:
            return [first, second] if self._cron.follows_the_clock and second > first else [first]
        # Left out in spring. What runs in every hour is made up for where the time after the jump matches as well.
        if self._cron.follows_the_clock and self._matches(self._wall(first)):
            return []
        return [self._gap_end(second, first)]

    def _instant(self, wall: datetime, fold: int) -> datetime:
        return wall.replace(tzinfo=self._zone, fold=fold).astimezone(UTC).replace(tzinfo=None)

    def _wall(self, instant: datetime) -> datetime:
        return instant.replace(tzinfo=UTC).astimezone(self._zone).replace(tzinfo=None, fold=0)

    def _offset(self, instant: datetime) -> timedelta:
        return self._wall(instant) - instant

    def _gap_end(self, before: datetime, after: datetime) -> datetime:
        """The first instant of the new offset, which lies after ``before`` and not after ``after``."""
        new = self._offset(after)
        while after - before > _SECOND:
            middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
            before, after = (before, middle) if self._offset(middle) == new else (middle, after)
        return after


def _triggers(cron: Cron) -> Iterator[Any]:
    """Triggers of apscheduler for the wall clock: two where a day needs to match only one of two fields."""
    from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415 - only schedules need it

    both = {
        "day": _listed(cron.days.values, 31),
        "day_of_week": _listed([(day - 1) % 7 for day in cron.weekdays.values], 7),
    }
    for days in [{"day": both["day"]}, {"day_of_week": both["day_of_week"]}] if cron.is_either_day else [both]:
        yield CronTrigger(
            second="0",
            minute=_listed(cron.minutes.values, 60),
            hour=_listed(cron.hours.values, 24),
            month=_listed(cron.months.values, 12),
            timezone=UTC,
            **days,
        )


def _listed(values: list[int] | tuple[int, ...], whole: int) -> str:
    return "*" if len(values) == whole else ",".join(map(str, sorted(values)))
