"""When a schedule is due: as reckoned minute by minute, over both changes of the clock, nothing lost or doubled."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.pipelines.cron import read_cron
from orchestration_nb.pipelines.cron_words import in_words
from orchestration_nb.pipelines.due_times import DueTimes, read_zone
from tests.pipelines import reckoning
from tests.pipelines.reckoning import utc

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")
BERLIN_SPRING, BERLIN_AUTUMN = utc(2026, 3, 29), utc(2026, 10, 25)
CHANGES = {
    "Europe/Berlin": (utc(2026, 3, 29, 1), utc(2026, 10, 25, 1)),
    "America/New_York": (utc(2026, 3, 8, 7), utc(2026, 11, 1, 6)),
    "Australia/Lord_Howe": (utc(2026, 4, 4, 15), utc(2026, 10, 3, 15, 30)),
}
"""The instants at which the clocks are changed."""


def times(expression: str, zone: str) -> DueTimes:
    return DueTimes(read_cron(expression), read_zone(zone))


def due(expression: str, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    return times(expression, zone).between(begin, end, limit=10**6)


def shown(moments: list[datetime], zone: str) -> list[str]:
    """What the clock on the wall shows at these moments."""
    return [f"{moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)):%d %H:%M%z}" for moment in moments]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", ["0 6 * * 1-5", "30 2 * * *", "15 * * * *", "0 0 13 * FRI"])
def test_a_whole_year_is_as_reckoned_minute_by_minute(expression: str, zone: str) -> None:
    begin, end = utc(2026, 1, 1), utc(2027, 1, 1) if zone in CHANGES else utc(2026, 3, 1)
    assert due(expression, zone, begin, end) == list(reckoning.due_times(expression, zone, begin, end))


@pytest.mark.parametrize("zone", CHANGES)
@pytest.mark.parametrize(
    "expression",
    [
        "* * * * *",
        "*/30 * * * *",
        "45 * * * *",
        "*/20 1-3 * * *",
        "0,30 2 * * *",
        "0 */2 * * *",
        "5 0 * * 0",
        "50 1 * * *",
    ],
)
def test_the_days_on_which_the_clock_is_changed(expression: str, zone: str) -> None:
    around = timedelta(hours=3 if expression.split()[1] == "*" else 26)
    for change in CHANGES[zone]:
        begin, end = change - around, change + around
        assert due(expression, zone, begin, end) == list(reckoning.due_times(expression, zone, begin, end))


def test_expressions_at_random(dice: random.Random) -> None:
    for _ in range(30):
        minute = dice.choice(["*", "0", "*/7", "1-5", "10,40", "59"])
        hour = dice.choice(["*", "2", "1-3", "0", "*/3", "23"])
        day = dice.choice([("*", "*"), ("25", "*"), ("*", "SUN"), ("1", "6-7"), ("*/2", "*")])
        expression, zone = f"{minute} {hour} {day[0]} * {day[1]}", dice.choice(list(CHANGES))
        change = dice.choice(CHANGES[zone])
        begin = change - timedelta(minutes=dice.randrange(800))
        end = change + timedelta(hours=8)
        assert due(expression, zone, begin, end) == list(reckoning.due_times(expression, zone, begin, end)), expression


def test_a_time_that_the_spring_day_leaves_out_is_due_once_when_the_gap_ends() -> None:
    found = due("30 2 * * *", "Europe/Berlin", BERLIN_SPRING - timedelta(days=1), BERLIN_SPRING + timedelta(days=2))
    assert shown(found, "Europe/Berlin") == ["28 02:30+0100", "29 03:00+0200", "30 02:30+0200"]
    together = due("*/10 2 * * *", "Europe/Berlin", BERLIN_SPRING, BERLIN_SPRING + timedelta(hours=12))
    assert shown(together, "Europe/Berlin") == ["29 03:00+0200"]


def test_a_time_that_the_autumn_day_shows_twice_is_due_once_the_first_time() -> None:
    found = due("30 2 * * *", "Europe/Berlin", BERLIN_AUTUMN - timedelta(days=1), BERLIN_AUTUMN + timedelta(days=2))
    assert shown(found, "Europe/Berlin") == ["24 02:30+0200", "25 02:30+0200", "26 02:30+0100"]


@pytest.mark.parametrize("change", [BERLIN_SPRING, BERLIN_AUTUMN])
def test_what_runs_every_hour_runs_in_each_real_hour(change: datetime) -> None:
    found = due("30 * * * *", "Europe/Berlin", change - timedelta(hours=12), change + timedelta(hours=12))
    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(hours=1)}


def test_half_an_hour_of_change_loses_no_full_hour() -> None:
    found = due("0 * * * *", "Australia/Lord_Howe", utc(2026, 10, 3, 14), utc(2026, 10, 3, 17))
    assert shown(found, "Australia/Lord_Howe") == ["04 01:00+1030", "04 02:30+1100", "04 03:00+1100", "04 04:00+1100"]


def test_a_day_that_a_zone_left_out_altogether() -> None:
    found = due("0 12 * * *", "Pacific/Apia", utc(2011, 12, 28, 23), utc(2011, 12, 31, 12))
    assert shown(found, "Pacific/Apia") == ["29 12:00-1000", "31 00:00+1400", "31 12:00+1400"]


def test_days_of_the_week_count_from_sunday() -> None:
    week = due("0 12 * * 1-5", "UTC", utc(2026, 1, 4), utc(2026, 1, 11))
    assert [f"{day:%a}" for day in week] == ["Mon", "Tue", "Wed", "Thu", "Fri"]
    for sunday in ("0", "7", "SUN", "sun"):
        assert times(f"0 12 * * {sunday}", "UTC").after(utc(2026, 1, 1)) == utc(2026, 1, 4, 12)
    assert read_cron("0 12 * * FRI-SUN").plain == "0 12 * * 0,5-6"


def test_a_day_of_the_month_or_a_day_of_the_week_is_enough() -> None:
    found = due("0 0 13 * 5", "UTC", utc(2026, 1, 1), utc(2026, 1, 20))
    assert [moment.day for moment in found] == [2, 9, 13, 16]


def test_it_is_found_far_away_and_looking_back() -> None:
    assert times("0 0 29 2 *", "UTC").after(utc(2097, 3, 1)) == utc(2104, 2, 29)
    daily = times("0 6 * * *", "Europe/Berlin")
    assert daily.newest(utc(2025, 1, 1), utc(2026, 7, 1, 3)) == utc(2026, 6, 30, 4)
    assert times("0 0 1 1 *", "UTC").newest(utc(2025, 3, 1), utc(2025, 12, 1)) is None


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("0 6 * *", "has 4 fields instead of 5"),
        ("60 * * * *", "the minute '60' is not within 0 to 59"),
        ("0 24 * * *", "the hour '24' is not within 0 to 23"),
        ("0 0 0 * *", "the day of the month '0' is not within 1 to 31"),
        ("0 0 * JANUARY *", "the month 'JANUARY' holds 'JANUARY', which is no number or name"),
        ("0 0 * * 8", "the day of the week '8' is not within 0 to 7"),
        ("*/0 * * * *", "the minute '*/0' has a step below 1"),
        ("5-1 * * * *", "the minute '5-1' ends before it begins"),
        ("1,,2 * * * *", "the minute '' is not a value"),
        ("0 0 30 2 *", "never comes: none of its months has a day 30"),
        ("0 0 */2 * 1", "read differently by different crons"),
        ("@reboot", "is no time of a schedule"),
        ("", "has 0 fields"),
        ("٣ * * * *", "the minute '٣'"),
    ],
)
def test_a_bad_expression_is_refused_by_the_field(expression: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_cron(expression)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_a_zone_that_is_none() -> None:
    for name in ("Europe/Nowhere", "../../etc/passwd", ""):
        with pytest.raises(UsageError, match="There is no time zone"):
            read_zone(name)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 6 * * 1-5", "at 06:00, Monday to Friday"),
        ("@daily", "at 00:00, every day"),
        ("@hourly", "every hour"),
        ("*/15 * * * *", "every 15 minutes"),
        ("* * * * *", "every minute"),
        ("20 */4 * * *", "at minute 20 of every 4th hour, every day"),
        ("30 8,20 * * SAT,SUN", "at 08:30 and 20:30, Sunday and Saturday"),
        ("0 0 1 1,7 *", "at 00:00, on day 1 of the month, in January and July"),
        ("0 0 13 * 5", "at 00:00, on day 13 of the month or on Friday"),
        ("*/5 9-17 * * *", "every 5 minutes of hour 9 to 17, every day"),
    ],
)
def test_an_expression_in_words(expression: str, words: str) -> None:
    assert in_words(read_cron(expression)) == words
