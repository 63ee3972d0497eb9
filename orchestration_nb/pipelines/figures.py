"""The figures of a notebook's headless runs, read from the ledger: what a run and its retries came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from orchestration_nb.ledger import Ledger

_MOST: Final = 400
_QUERY: Final = """
    with asked as (
        select *, coalesce(resumes, pipeline_id) as root, cast(parameters as varchar) as given
        from pipelines where notebook = $notebook),
    chains as (
        select root, min(started_at) as begun, arg_max(status, started_at) as status,
            arg_min(given, started_at) as given, arg_min(cast(map_keys(parameters) as varchar), started_at) as names
        from asked group by root order by begun desc limit $most),
    made as (
        select a.root, r.run_id from asked as a join chains using (root) join runs as r using (pipeline_id)),
    called as (
        select root, coalesce(sum(cost_usd) filter (cache = 'none'), 0) as usd,
            quantile_cont(latency_ms, $share) filter (cache = 'none' and calls.status = 'ok') as latency_ms,
            coalesce(bool_or(simulated), false) as simulated
        from made join calls using (run_id) group by root),
    requested as (
        select root, count(*) as requests, avg(cast(requests.status in ('failed', 'degraded') as int)) as error_rate
        from made join requests using (run_id) group by root),
    scored as (select root, avg(quality) as quality from made join scores using (run_id) group by root)
    select root, begun, status, given, names, usd, latency_ms, coalesce(simulated, false) as simulated,
        requests, error_rate, quality
    from chains left join called using (root) left join requested using (root) left join scored using (root)
    order by begun"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a run came to, its retries included."""

    root: str = ""
    """Its first pipeline run."""
    values: Mapping[str, float] = field(default_factory=dict)
    """By metric, those that there are."""
    weekday: int = 0
    """0 is Monday."""
    requests: int = 0
    """Of how many the error rate is one."""
    done: bool = True
    simulated: bool = False
    given: str = ""
    """Its parameters with their values, in one text."""
    names: str = ""
    """The names of its parameters, in one text."""


def latency_metric(percentile: int) -> str:
    """What the latency is called in alerts: ``p95_latency_ms``."""
    return f"p{percentile}_latency_ms"


def figures(ledger: Ledger, notebook: str, percentile: int) -> list[Figures]:
    """The runs of a notebook, the oldest first.

    Args:
        ledger: Where they stand.
        notebook: As the ledger names it.
        percentile: At which the latency of calls is read, from 1 to 99.

    Raises:
        WorkspaceError: If the ledger cannot be read.
    """
    asked = {"notebook": notebook, "share": percentile / 100, "most": _MOST}
    rows = ledger.sql(_QUERY, asked).to_dict("records")
    return [_of_row({str(name): value for name, value in row.items()}, percentile) for row in rows]


def _of_row(row: Mapping[str, object], percentile: int) -> Figures:
    held = {
        "cost_usd": row["usd"],
        latency_metric(percentile): row["latency_ms"],
        "error_rate": row["error_rate"],
        "quality": row["quality"],
    }
    begun, requests = row["begun"], row["requests"]
    assert isinstance(begun, datetime)
    return Figures(
        root=str(row["root"]),
        values={name: value for name, value in held.items() if isinstance(value, float) and value == value},  # noqa: PLR0124
        weekday=begun.weekday(),
        requests=int(requests) if isinstance(requests, int | float) and requests == requests else 0,  # noqa: PLR0124
        done=row["status"] == "done",
        simulated=bool(row["simulated"]),
        given=str(row["given"]),
        names=str(row["names"]),
    )
