"""Spend, latency, errors and cache hits over time: what the dashboard of the ledger draws.

Everything is added up in SQL, in one pass over the calls of the range: the lines over time and the totals are two
grouping sets of one query. What comes out is small, however many calls there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from orchestration_nb.errors import UsageError
from orchestration_nb.ledger.runs import newest
from orchestration_nb.ledger.spend import grouping

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

Kind = Literal["real", "simulated"]
METRIC_GROUPINGS: Final = ("model", "step", "flow", "strategy", "all")
"""What calls can be told apart by, beside ``tag:NAME``; ``all`` tells them apart by nothing."""
MOST_GROUPS: Final = 8
"""Groups that have lines of their own; the others are added up."""
MOST_BUCKETS: Final = 60
PERCENTILES: Final = (0.5, 0.95, 0.99)
_LISTED_RUNS: Final = 50
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_WIDTHS_S: Final = (
    *(1, 2, 5, 10, 30),
    *(_MINUTE * n for n in (1, 2, 5, 10, 30)),
    *(_HOUR * n for n in (1, 2, 3, 6, 12)),
    *(_DAY * n for n in (1, 2, 7, 28)),
)
_ORIGIN: Final = datetime(2000, 1, 3)  # noqa: DTZ001 - a Monday, naive UTC as all times of the ledger
_GROUPS: Final = {
    "model": ("coalesce(c.model, '(no model)')", ""),
    "step": ("coalesce(q.step, '(no step)')", "left join requests as q on q.request_id = c.request_id"),
    "strategy": ("coalesce(q.strategy, '(no strategy)')", "left join requests as q on q.request_id = c.request_id"),
    "flow": ("coalesce(r.flow, '(no flow)')", "left join runs as r on r.run_id = c.run_id"),
    "tag": (
        "coalesce(map_extract_value(r.tags, $tag), '(no tag)')",
        "left join runs as r on r.run_id = c.run_id",
    ),
    "all": ("'all calls'", ""),
}
_OF_FLOW: Final = "and c.run_id in (select run_id from runs where flow = $flow)"
_KINDS: Final = """
select c.simulated, count(*), min(c.started_at), max(c.started_at) from calls as c
where c.started_at >= $since {of_flow} group by 1
"""
_SUMS: Final = """
with picked as (
    select (epoch_us(c.started_at) - $begins_us) // $width_us as bucket, {group} as "group", c.billed_usd as usd,
        c.status = 'failed' as failed, c.cache <> 'none' as hit,
        case when c.status = 'ok' and c.cache = 'none' then c.latency_ms end as latency_ms
    from calls as c {join} where c.started_at >= $since and c.simulated = $simulated {of_flow})
select bucket, "group", count(*), coalesce(sum(usd), 0), count(*) filter (failed), count(*) filter (hit),
    quantile_cont(latency_ms, [0.5, 0.95, 0.99])
from picked group by grouping sets ((bucket, "group"), ("group"))
"""
_FLOWS: Final = "select distinct flow from runs where flow is not null order by 1 limit 200"
_TAGS: Final = "select distinct unnest(map_keys(tags)) from runs order by 1 limit 50"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which calls the dashboard is about, and what tells them apart."""

    by: str = "model"
    """One of :data:`METRIC_GROUPINGS`, or ``tag:NAME``."""
    days: float | None = 30.0
    """The last days (of 24 hours each, up to now); ``None``: all."""
    flow: str | None = None
    """Only calls of runs of this flow."""
    kind: Kind | None = None
    """Only real or only simulated calls, never both in one sum; ``None``: real ones where there are any."""

    def since(self, now: datetime) -> datetime:
        """The earliest start of a call that counts (naive UTC)."""
        return _ORIGIN if self.days is None else max(_ORIGIN, now - timedelta(days=min(self.days, 36_500)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Some calls, added up."""

    calls: int
    usd: float
    """What was billed; of simulated calls what would have been."""
    errors: int
    """Calls that failed."""
    hits: int
    """Calls that the cache answered."""
    latency_ms: tuple[float, float, float] | None = None
    """p50, p95 and p99 of the calls that a model answered; ``None`` where none did, or where groups are added up."""

    @property
    def error_rate(self) -> float:
        """From 0 to 1."""
        return self.errors / self.calls if self.calls else 0.0

    @property
    def hit_rate(self) -> float:
        """From 0 to 1."""
        return self.hits / self.calls if self.calls else 0.0

    def __add__(self, other: Sums) -> Sums:
        """Both; percentiles of two groups do not add up, so the sum has none."""
        return Sums(
            calls=self.calls + other.calls,
            usd=self.usd + other.usd,
            errors=self.errors + other.errors,
            hits=self.hits + other.hits,
        )


NOTHING: Final = Sums(calls=0, usd=0.0, errors=0, hits=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One model, step, flow, strategy or value of a tag."""

    name: str
    whole: Sums
    buckets: Mapping[int, Sums] = field(default_factory=dict)
    """By place in :attr:`Metrics.buckets`; where there was no call, nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What the dashboard draws."""

    scope: Scope
    simulated: bool
    """The dollars are what simulated or recorded models would have cost. No money."""
    left_out: int
    """Calls of the other kind, which are not told of."""
    bucket_s: int
    buckets: tuple[datetime, ...]
    """Where each bucket begins (naive UTC), in order, without a gap."""
    groups: tuple[Group, ...]
    """The dearest first, at most :data:`MOST_GROUPS` of them with buckets."""
    others: Group | None
    """What the groups without buckets come to, where there are any."""
    runs: pd.DataFrame
    """The newest runs of the range, as :meth:`Ledger.runs` tells them, at most 50."""
    flows: tuple[str, ...]
    tags: tuple[str, ...]
    """Names of the tags that runs have."""

    @property
    def drawn(self) -> tuple[Group, ...]:
        """The groups that have lines, and the others as one."""
        return (*self.groups[:MOST_GROUPS], *([self.others] if self.others else []))

    @property
    def whole(self) -> Sums:
        """All calls of the range."""
        return _added(group.whole for group in self.groups)

    @property
    def is_running(self) -> bool:
        """Whether a run of the list has not ended."""
        return bool((self.runs["status"] == "running").any())


def metric_grouping(text: str) -> str:
    """``text`` as one of :data:`METRIC_GROUPINGS` or ``tag:NAME``.

    Raises:
        UsageError: If it is none of them.
    """
    if text in METRIC_GROUPINGS:
        return text
    if text.startswith("tag:"):
        return grouping([text])
    raise UsageError(
        f"Calls cannot be told apart by {text!r}.", hint=f"There are: {', '.join(METRIC_GROUPINGS)} and tag:NAME."
    )


def metrics(connection: duckdb.DuckDBPyConnection, scope: Scope, now: datetime) -> Metrics:
    """Adds up the calls of a scope.

    Args:
        connection: Reads the ledger.
        scope: Which calls.
        now: The end of the range (naive UTC).
    """
    since = scope.since(now)
    of_flow, bound = (_OF_FLOW, {"flow": scope.flow}) if scope.flow is not None else ("", {})
    kinds = _kinds(connection, _KINDS.format(of_flow=of_flow), {**bound, "since": since})
    simulated = scope.kind == "simulated" if scope.kind else bool(kinds) and False not in kinds
    _, first, last = kinds.get(simulated, (0, since, now))
    begins, width_s, number = buckets(first, last if scope.days is None else max(last, now))
    kind, _, tag = metric_grouping(scope.by).partition(":")
    group, join = _GROUPS[kind]
    rows = connection.execute(
        _SUMS.format(group=group, join=join, of_flow=of_flow),
        {
            **bound,
            **({"tag": tag} if tag else {}),
            "since": since,
            "simulated": simulated,
            "begins_us": _micros(begins),
            "width_us": width_s * 1_000_000,
        },
    ).fetchall()
    groups = _groups(rows)
    rest = groups[MOST_GROUPS:]
    return Metrics(
        scope=scope,
        simulated=simulated,
        left_out=kinds.get(not simulated, (0,))[0],
        bucket_s=width_s,
        buckets=tuple(begins + timedelta(seconds=width_s * place) for place in range(number)),
        groups=(*groups[:MOST_GROUPS], *(Group(name=one.name, whole=one.whole) for one in rest)),
        others=_as_one(rest) if rest else None,
        runs=newest(connection, _LISTED_RUNS, flow=scope.flow, since=since),
        flows=tuple(name for (name,) in connection.execute(_FLOWS).fetchall()),
        tags=tuple(name for (name,) in connection.execute(_TAGS).fetchall()),
    )


def buckets(first: datetime, last: datetime) -> tuple[datetime, int, int]:
    """How a range is cut: where the first bucket begins, the seconds of each, and how many.

    They are as short as makes at most :data:`MOST_BUCKETS`, and begin at round times.
    """
    last = max(first, last)
    span_s = (last - first).total_seconds()
    width_s = next((width for width in _WIDTHS_S if span_s / width <= MOST_BUCKETS - 1), _WIDTHS_S[-1])
    begins = _ORIGIN + timedelta(seconds=width_s) * ((first - _ORIGIN) // timedelta(seconds=width_s))
    return begins, width_s, (last - begins) // timedelta(seconds=width_s) + 1


def _micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001 - naive UTC


def _kinds(
    connection: duckdb.DuckDBPyConnection, query: str, bound: Mapping[str, Any]
) -> dict[bool, tuple[int, datetime, datetime]]:
    rows = connection.execute(query, bound).fetchall()
    return {bool(simulated): (calls, first, last) for simulated, calls, first, last in rows}


def _groups(rows: Sequence[tuple[Any, ...]]) -> list[Group]:
    whole: dict[str, Sums] = {}
    series: dict[str, dict[int, Sums]] = {}
    for bucket, name, calls, usd, errors, hits, latency_ms in rows:
        known = tuple(latency_ms) if latency_ms else None
        sums = Sums(calls=calls, usd=usd, errors=errors, hits=hits, latency_ms=known)
        if bucket is None:
            whole[name] = sums
        else:
            series.setdefault(name, {})[bucket] = sums
    names = sorted(whole, key=lambda name: (-whole[name].usd, -whole[name].calls, name))
    return [Group(name=name, whole=whole[name], buckets=series.get(name, {})) for name in names]


def _as_one(groups: Sequence[Group]) -> Group:
    places = sorted({place for group in groups for place in group.buckets})
    return Group(
        name=f"{len(groups)} others",
        whole=_added(group.whole for group in groups),
        buckets={place: _added(group.buckets[place] for group in groups if place in group.buckets) for place in places},
    )


def _added(sums: Iterable[Sums]) -> Sums:
    return sum(sums, NOTHING)
