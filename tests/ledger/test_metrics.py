"""Spend, latency, errors and cache hits over time, and one request attempt by attempt: equal to plain sums."""

from __future__ import annotations

import statistics
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.events import Event
from orchestration_nb.ledger import Ledger, Metrics, Scope
from orchestration_nb.ledger.metrics import MOST_BUCKETS, MOST_GROUPS, buckets, metric_grouping
from tests.bench.dashboard import GROUPINGS, sums_by_hand
from tests.bench.month import fill
from tests.ledger import happened
from tests.ledger.conftest import Write

NOW = happened.now()
MINI, HAIKU = "openai/gpt-4.1-mini", "anthropic/claude-haiku-4-5"
LATENCIES = [100.0 + 7 * n for n in range(40)]


def asked(run: str, *, ago: timedelta, step: str = "queue", strategy: str = "single", **fields: object) -> list[Event]:
    at = NOW - ago
    request = happened.request(run, step=step, strategy=strategy, started_at=at)
    return [happened.call(run, request_id=request.request_id, started_at=at, **fields), request]


@pytest.fixture
def days(write: Write) -> None:
    events: list[Event] = [
        happened.run_started("a" * 16, tags={"team": "support"}, started_at=NOW - timedelta(days=3)),
        happened.run_started("b" * 16, flow="digest", tags={}, started_at=NOW - timedelta(days=1)),
    ]
    for n, latency_ms in enumerate(LATENCIES):
        events += asked("a" * 16, ago=timedelta(days=3 - n / 20), latency_ms=latency_ms, billed_usd=0.5)
    events += asked("b" * 16, ago=timedelta(days=1), model=HAIKU, step="reply", strategy="cascade", billed_usd=4.0)
    events += asked("b" * 16, ago=timedelta(days=1), status="failed", error_type="X", billed_usd=0.0, latency_ms=9e9)
    events += asked("b" * 16, ago=timedelta(hours=5), cache="exact", billed_usd=0.0, attempts=(), latency_ms=0.1)
    events += asked("b" * 16, ago=timedelta(hours=5), model="sim/small", simulated=True, billed_usd=99.0)
    events += asked("b" * 16, ago=timedelta(days=400), billed_usd=64.0)
    write(*events)


def by_name(metrics: Metrics) -> dict[str, tuple[int, float, int, int]]:
    return {
        group.name: (group.whole.calls, group.whole.usd, group.whole.errors, group.whole.hits)
        for group in metrics.groups
    }


@pytest.mark.usefixtures("days")
class TestSums:
    @pytest.mark.parametrize(
        ("by", "expected"),
        [
            ("model", {MINI: (42, 20.0, 1, 1), HAIKU: (1, 4.0, 0, 0)}),
            ("step", {"queue": (42, 20.0, 1, 1), "reply": (1, 4.0, 0, 0)}),
            ("strategy", {"single": (42, 20.0, 1, 1), "cascade": (1, 4.0, 0, 0)}),
            ("flow", {"triage": (40, 20.0, 0, 0), "digest": (3, 4.0, 1, 1)}),
            ("tag:team", {"support": (40, 20.0, 0, 0), "(no tag)": (3, 4.0, 1, 1)}),
            ("all", {"all calls": (43, 24.0, 1, 1)}),
        ],
    )
    def test_by(self, ledger: Ledger, by: str, expected: dict[str, tuple[int, float, int, int]]) -> None:
        found = ledger.metrics(Scope(by=by))
        assert by_name(found) == expected
        assert list(by_name(found)) == list(expected), "the dearest first"
        assert (found.simulated, found.left_out) == (False, 1)

    def test_percentiles_are_of_answered_calls_and_exact(self, ledger: Ledger) -> None:
        found = ledger.metrics(Scope(by="flow"))
        expected = np.percentile(LATENCIES, [50, 95, 99])
        assert found.groups[0].whole.latency_ms == pytest.approx(tuple(expected))
        assert found.groups[1].whole.latency_ms == pytest.approx((812.5,) * 3), "no failure and no cache hit among them"

    def test_buckets_add_up_and_hold_what_began_in_them(self, ledger: Ledger) -> None:
        found = ledger.metrics(Scope(by="model"))
        assert len(found.buckets) <= MOST_BUCKETS
        for group in found.groups:
            assert sum(sums.calls for sums in group.buckets.values()) == group.whole.calls
            assert sum(sums.usd for sums in group.buckets.values()) == pytest.approx(group.whole.usd)
        first = min(found.groups[0].buckets)
        begins = [NOW - timedelta(days=3 - n / 20) for n in range(40)]
        ends = found.buckets[first] + timedelta(seconds=found.bucket_s)
        inside = [ms for at, ms in zip(begins, LATENCIES, strict=True) if found.buckets[first] <= at < ends]
        assert found.groups[0].buckets[first].calls == len(inside)
        latency_ms = found.groups[0].buckets[first].latency_ms
        assert latency_ms is not None
        assert latency_ms[0] == pytest.approx(statistics.median(inside))

    def test_filters(self, ledger: Ledger) -> None:
        assert ledger.metrics(Scope(flow="digest")).whole.calls == 3
        assert ledger.metrics(Scope(days=0.5)).whole.calls == 1
        assert ledger.metrics(Scope(days=None)).whole.usd == 88.0
        simulated = ledger.metrics(Scope(kind="simulated"))
        assert (simulated.simulated, simulated.whole.calls, simulated.left_out) == (True, 1, 43)
        assert ledger.metrics(Scope(flow="no such")).whole.calls == 0

    def test_the_list_of_runs_follows_the_filters(self, ledger: Ledger) -> None:
        assert [run[0] for run in ledger.metrics(Scope()).runs["run_id"]] == ["b", "a"]
        assert [run[0] for run in ledger.metrics(Scope(flow="triage")).runs["run_id"]] == ["a"]
        assert list(ledger.metrics(Scope(days=2)).runs["calls"]) == [5]
        assert not ledger.metrics(Scope()).is_running, "runs whose process is gone are no longer running"


@pytest.mark.parametrize("by", GROUPINGS)
def test_sums_are_those_of_plain_queries(tmp_path: Path, by: str) -> None:
    now = happened.now()  # the ledger goes by the time at which it is asked
    found = fill(tmp_path, 6000, now).metrics(Scope(by=by))
    with duckdb.connect(str(tmp_path / ".orchestrate" / "ledger.duckdb"), read_only=True) as connection:
        rows = sums_by_hand(connection, by, now - timedelta(days=31), found.bucket_s)
    groups = {group.name: group for group in found.groups}
    wholes = 0
    for bucket, name, *numbers, latency_ms in rows:
        group = groups[{None: "(no tag)", "all": "all calls"}.get(name, name)]
        if bucket is not None and not group.buckets:
            continue  # of the many that are drawn as one
        sums = group.whole if bucket is None else group.buckets[found.buckets.index(bucket)]
        wholes += bucket is None
        assert (sums.calls, sums.errors, sums.hits) == (numbers[0], *numbers[2:])
        assert sums.usd == pytest.approx(numbers[1])
        if latency_ms is None:  # of a few calls in a bucket none may have been answered by its provider
            assert sums.latency_ms is None
        else:
            assert sums.latency_ms == pytest.approx(tuple(latency_ms))
    assert wholes == len(groups)
    assert sum(len(group.buckets) for group in found.groups) > 30


def test_the_many_are_one_line_and_keep_their_rows(write: Write, ledger: Ledger) -> None:
    write(*[happened.call(model=f"house/{n}", started_at=NOW, billed_usd=1.0 + n) for n in range(MOST_GROUPS + 3)])
    found = ledger.metrics(Scope())
    assert len(found.groups) == MOST_GROUPS + 3
    assert len(found.drawn) == MOST_GROUPS + 1
    assert found.others is not None
    assert (found.others.name, found.others.whole.calls, found.others.whole.usd) == ("3 others", 3, 6.0)
    assert found.others.whole.latency_ms is None, "percentiles do not add up"


def test_only_simulated_calls_are_shown_where_there_are_no_others(write: Write, ledger: Ledger) -> None:
    write(happened.call(started_at=NOW, simulated=True))
    assert ledger.metrics(Scope()).simulated


def test_an_empty_ledger(ledger: Ledger) -> None:
    found = ledger.metrics(Scope())
    assert (found.whole.calls, found.groups, found.others, found.is_running) == (0, (), None, False)


@pytest.mark.parametrize(
    ("span", "width_s"),
    [
        (timedelta(0), 1), (timedelta(minutes=5), 10), (timedelta(hours=1), 120), (timedelta(days=1), 1800),
        (timedelta(days=30), 86_400 // 2 * 2), (timedelta(days=3000), 86_400 * 28),
    ],
)  # fmt: skip
def test_buckets_are_round_and_cover_the_range(span: timedelta, width_s: int) -> None:
    first = datetime(2026, 3, 2, 13, 37, 11)  # noqa: DTZ001
    begins, found_s, number = buckets(first, first + span)
    assert found_s == width_s
    assert begins <= first < begins + timedelta(seconds=found_s)
    assert first + span < begins + number * timedelta(seconds=found_s)


def test_a_grouping_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be told apart by 'modle'"):
        metric_grouping("modle")


class TestTrace:
    def test_attempts_stand_one_after_another(self, write: Write, ledger: Ledger) -> None:
        request = happened.request("r", started_at=NOW, latency_ms=2000.0)
        failed = happened.attempt(1, status="failed", http_status=429, error_type="RateLimited", wait_ms=50.0)
        call = happened.call("r", request_id=request.request_id, started_at=NOW + timedelta(milliseconds=10),
                             ttft_ms=150.0, attempts=(failed, happened.attempt(2, wait_ms=200.0)))  # fmt: skip
        hit = happened.call("r", request_id=request.request_id, started_at=NOW + timedelta(seconds=1), attempts=(),
                            cache="exact", latency_ms=3.0)  # fmt: skip
        write(happened.run_started("r"), call, hit, request)
        found = ledger.trace(str(request.request_id))
        spans = [
            [(span.kind, round(span.begins_ms), round(span.length_ms)) for span in one.spans] for one in found.tracks
        ]
        assert spans == [
            [("wait", 10, 50), ("failed", 60, 400)],
            [("wait", 460, 200), ("first token", 660, 150), ("answer", 810, 250)],
            [("cache", 1000, 3)],
        ]
        assert [(one.call, one.attempt) for one in found.tracks] == [(1, 1), (1, 2), (2, 0)]
        assert found.tracks[0].spans[1].says == "429 RateLimited"
        assert found.ends_ms == 2000.0

    def test_failed_requests_come_first_then_slow_ones(self, write: Write, ledger: Ledger) -> None:
        write(*[happened.request("r", item=n, latency_ms=100.0 * n, status="failed" if n == 1 else "ok")
                for n in range(4)])  # fmt: skip
        assert list(ledger.requests("r")["item"]) == [1, 3, 2, 0]

    def test_an_unknown_request_is_refused(self, ledger: Ledger) -> None:
        with pytest.raises(UsageError, match="no request 'nope'"):
            ledger.trace("nope")
