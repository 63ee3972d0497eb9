"""The list of runs, and what is known of one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestration_nb.errors import UsageError
from orchestration_nb.ledger.query import as_frame

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

_LISTED = """
with listed as (select * from runs {which}),
c as (
    select run_id, count(*) as calls, sum(cost_usd) as cost_usd, sum(billed_usd) as billed_usd,
        bool_or(simulated) as simulated
    from calls where run_id in (select run_id from listed) group by run_id)
select run_id, flow, status, started_at,
    case when status <> 'running' then date_diff('millisecond', started_at, finished_at) / 1000.0 end as seconds,
    items, items_ok, items_failed, coalesce(c.calls, 0) as calls,
    coalesce(listed.cost_usd, c.cost_usd, 0) as cost_usd, coalesce(listed.billed_usd, c.billed_usd, 0) as billed_usd,
    coalesce(c.simulated, false) as simulated, strategy, model, tags, error
from listed left join c using (run_id) order by run_id desc
"""
_STEPS = """
select step, count(*) as items, count(*) filter (status in ('ok', 'degraded')) as ok,
    count(*) filter (status = 'failed') as failed, sum(cost_usd) as cost_usd,
    quantile_cont(latency_ms, 0.5) as p50_ms, quantile_cont(latency_ms, 0.95) as p95_ms
from steps where run_id = ? group by step order by min(rowid)
"""
_MODELS = """
select model, count(*) as calls, count(*) filter (status = 'ok') as ok,
    count(*) filter (cache <> 'none') as cache_hits, sum(greatest(len(attempts) - 1, 0)) as retries,
    sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens, sum(cost_usd) as cost_usd,
    sum(billed_usd) as billed_usd, bool_or(simulated) as simulated,
    quantile_cont(latency_ms, 0.5) as p50_ms, quantile_cont(latency_ms, 0.95) as p95_ms
from calls where run_id = ? group by model order by calls desc, model
"""
_ERRORS = """
select error_type, error, count(*) as items, min(item) as first_item
from items where run_id = ? and error is not null group by error_type, error order by items desc, first_item limit 20
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetails:
    """What the ledger knows of one run."""

    run: dict[str, Any]
    """The run's row of the list of runs, and ``source``, ``budget_usd``, ``concurrency``, ``seed``,
    ``sample``, ``user``, ``notebook``, ``resumes`` (the first run that it goes on with), ``batch``."""
    steps: pd.DataFrame
    """A row a step: ``step, items, ok, failed, cost_usd, p50_ms, p95_ms``."""
    models: pd.DataFrame
    """A row a model: calls, cache hits, retries, tokens, money, latency."""
    errors: pd.DataFrame
    """The commonest errors of items: ``error_type, error, items, first_item``; at most 20."""


def newest(
    connection: duckdb.DuckDBPyConnection, limit: int, *, flow: str | None = None, since: datetime | None = None
) -> pd.DataFrame:
    """The newest runs, newest first, one row each; of one flow, or begun since a moment, where that is asked for.

    Columns: ``run_id, flow, status, started_at, seconds, items, items_ok, items_failed, calls, cost_usd, billed_usd,
    simulated, strategy, model, tags, error``.
    """
    which = """where ($flow is null or flow = $flow) and ($since is null or started_at >= $since)
        order by run_id desc limit $limit"""
    asked = {"limit": limit, "flow": flow, "since": since}
    return as_frame(connection.sql(_LISTED.format(which=which), params=asked))


def details(connection: duckdb.DuckDBPyConnection, name: str) -> RunDetails:
    """What is known of one run.

    Args:
        connection: Reads the ledger.
        name: The run's id, the beginning or the end of it, or ``last``.

    Raises:
        UsageError: If no run is meant, or more than one.
    """
    run_id = _meant(connection, name)
    listed = connection.execute(_LISTED.format(which="where run_id = ?"), [run_id])
    run = _first_row(listed) | _first_row(
        connection.execute(
            'select source, budget_usd, concurrency, seed, sample, "user", notebook, resumes, batch from runs '
            "where run_id = ?",
            [run_id],
        )
    )
    steps, models, errors = (as_frame(connection.sql(query, params=[run_id])) for query in (_STEPS, _MODELS, _ERRORS))
    return RunDetails(run=run, steps=steps, models=models, errors=errors)


def _meant(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    if name == "last":
        rows = connection.execute("select max(run_id) from runs having count(*) > 0").fetchall()
    else:
        rows = connection.execute(
            "select run_id from runs where starts_with(run_id, $1) or ends_with(run_id, $1) order by all desc limit 4",
            [name],
        ).fetchall()
    found = [row[0] for row in rows]
    if not found or not name:
        raise UsageError(f"The ledger has no run {name!r}.", hint="`orchestrate runs` lists them.")
    if len(found) > 1 and name not in found:
        raise UsageError(f"More than one run is called {name!r}: {', '.join(found[:3])}.", hint="Write more of its id.")
    return name if name in found else str(found[0])


def _first_row(result: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    names = [column[0] for column in result.description or ()]
    return dict(zip(names, result.fetchall()[0], strict=True))
