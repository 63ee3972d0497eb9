"""Headless runs of notebooks: the list of them, what is known of one, and which items two of them share.

Rows are plain mappings: a runner that has just ended reads them without loading pandas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from orchestration_nb.errors import UsageError

if TYPE_CHECKING:
    import duckdb

Row = Mapping[str, Any]
"""Column to value; times are naive UTC."""

_LISTED: Final = """
with chosen as (select * from pipelines {which}),
made as (
    select r.pipeline_id, count(distinct r.run_id) as runs, count(c.call_id) as calls,
        coalesce(sum(c.cost_usd), 0) as cost_usd, coalesce(sum(c.billed_usd), 0) as billed_usd,
        coalesce(bool_or(c.simulated), false) as simulated,
        count(*) filter (c.status = 'failed') as failed_calls,
        count(*) filter (c.cache <> 'none') as cache_hits,
        count(*) filter (c.recovered) as lost_calls,
        quantile_cont(c.latency_ms, 0.5) filter (c.status = 'ok' and c.cache = 'none') as p50_ms,
        quantile_cont(c.latency_ms, 0.95) filter (c.status = 'ok' and c.cache = 'none') as p95_ms
    from runs as r left join calls as c using (run_id)
    where r.pipeline_id in (select pipeline_id from chosen) group by r.pipeline_id),
scored as (
    select r.pipeline_id, avg(s.quality) as quality, count(s.quality) as scores
    from scores as s join runs as r using (run_id)
    where r.pipeline_id in (select pipeline_id from chosen) group by r.pipeline_id)
select chosen.* exclude (segment),
    date_diff('millisecond', started_at, finished_at) / 1000.0 as seconds,
    coalesce(runs, 0) as runs, coalesce(calls, 0) as calls, coalesce(made.cost_usd, 0) as cost_usd,
    coalesce(made.billed_usd, 0) as billed_usd, coalesce(simulated, false) as simulated,
    coalesce(failed_calls, 0) as failed_calls, coalesce(cache_hits, 0) as cache_hits,
    coalesce(lost_calls, 0) as lost_calls, p50_ms, p95_ms, quality, coalesce(scores, 0) as scores
from chosen left join made using (pipeline_id) left join scored using (pipeline_id)
order by chosen.pipeline_id desc
"""
_CELLS: Final = """
select c.cell, c.cell_id, c.title, c.digest, c.status, c.started_at, c.error_type, c.error, k.seconds, k.runs, k.calls,
    k.cost_usd, k.billed_usd, k.simulated
from cells as c join cell_costs as k using (pipeline_id, cell) where c.pipeline_id = $id order by c.cell
"""
_FLOWS: Final = """
select x.cell, r.run_id, r.flow, r.status, r.strategy, r.model, r.items, r.items_ok, r.items_failed,
    date_diff('millisecond', r.started_at, r.finished_at) / 1000.0 as seconds,
    (select count(*) from calls as c where c.run_id = r.run_id) as calls,
    (select coalesce(sum(cost_usd), 0) from calls as c where c.run_id = r.run_id) as cost_usd,
    (select avg(quality) from scores as s where s.run_id = r.run_id) as quality,
    (select count(quality) from scores as s where s.run_id = r.run_id) as scores
from runs as r left join cell_runs as x using (pipeline_id, run_id)
where r.pipeline_id = $id order by r.run_id
"""
_MODELS: Final = """
select c.model, count(*) as calls, count(*) filter (c.status = 'ok') as ok,
    count(*) filter (c.cache <> 'none') as cache_hits, sum(c.cost_usd) as cost_usd, sum(c.billed_usd) as billed_usd,
    bool_or(c.simulated) as simulated,
    quantile_cont(c.latency_ms, 0.5) filter (c.status = 'ok' and c.cache = 'none') as p50_ms,
    quantile_cont(c.latency_ms, 0.95) filter (c.status = 'ok' and c.cache = 'none') as p95_ms,
    max(c.input_usd_per_mtok) as input_usd_per_mtok,
    max(c.output_usd_per_mtok) as output_usd_per_mtok
from calls as c join runs as r using (run_id)
where r.pipeline_id = $id group by c.model order by calls desc, c.model
"""
_ERRORS: Final = """
select r.flow, i.error_type, i.error, count(*) as items, min(i.item) as first_item
from items as i join runs as r using (run_id)
where r.pipeline_id = $id and i.error is not null group by all order by items desc, first_item limit 20
"""
_SCORES: Final = """
select r.flow, s.step, s.scorer, count(s.quality) as scored, avg(s.quality) as quality,
    count(*) filter (s.quality is null) as unscored, coalesce(sum(s.cost_usd), 0) as cost_usd
from scores as s join runs as r using (run_id) where r.pipeline_id = $id group by all order by all
"""
_ALERTS: Final = """
select metric, value, "limit", basis, message, raised_at from pipeline_alerts where pipeline_id = $id
union all
select a.kind, a.spent_usd, a.limit_usd, 'budget', a.message, a.raised_at
from alerts as a join runs as r using (run_id) where r.pipeline_id = $id
order by raised_at
"""
_ARTIFACTS: Final = (
    "select name, format, path, bytes, saved_at from artifacts where pipeline_id = $id order by saved_at"
)
_ITEMS: Final = """
with made as (
    select r.pipeline_id, r.flow, r.run_id,
        dense_rank() over (partition by r.pipeline_id, r.flow order by r.run_id) as nth
    from runs as r where r.pipeline_id in ($left, $right)),
spent as (
    select run_id, item, sum(cost_usd) as cost_usd from requests
    where run_id in (select run_id from made) group by all),
scored as (
    select run_id, item, avg(quality) as quality from scores where run_id in (select run_id from made) group by all),
asked as (
    select q.run_id, q.item, md5(string_agg(t.prompt, '|' order by q.step, t.prompt)) as asked
    from requests as q join calls as c using (request_id, run_id) join texts as t using (call_id)
    where q.run_id in (select run_id from made) group by all),
each_item as (
    select m.pipeline_id, m.flow, m.nth, i.item, i.status, i.latency_ms, coalesce(s.cost_usd, 0) as cost_usd,
        q.quality, a.asked
    from items as i join made as m using (run_id) left join spent as s using (run_id, item)
        left join scored as q using (run_id, item) left join asked as a using (run_id, item)
    where i.item >= 0 and i.status in ('ok', 'degraded'))
select l.flow, l.nth, l.item, l.asked is not distinct from r.asked as same_prompts,
    l.cost_usd as left_cost_usd, r.cost_usd as right_cost_usd, l.latency_ms as left_latency_ms,
    r.latency_ms as right_latency_ms, l.quality as left_quality, r.quality as right_quality
from each_item as l join each_item as r using (flow, nth, item)
where l.pipeline_id = $left and r.pipeline_id = $right order by all
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineDetails:
    """What the ledger knows of one headless run."""

    run: Row
    """The run's row of the list."""
    cells: Sequence[Row]
    """A row a code cell: ``cell, cell_id, title, digest, status, error_type, error, seconds, runs, calls, cost_usd``,
    ``started_at``."""
    flows: Sequence[Row]
    """A row a run of a flow: ``cell, run_id, flow, status, strategy, model, items, seconds, calls, cost_usd``, and the
    mean ``quality`` of its ``scores``."""
    models: Sequence[Row]
    """A row a model: calls, cache hits, money, latency, and the highest price it was reckoned with."""
    errors: Sequence[Row]
    """The commonest errors of items, at most 20."""
    scores: Sequence[Row]
    """A row for each flow, step and scorer: how many were scored, and the mean."""
    alerts: Sequence[Row]
    artifacts: Sequence[Row]
    attempts: Sequence[Row]
    """The rows of all runs of the chain that it belongs to, the first one first."""
    before: Sequence[Row]
    """The rows of earlier runs of the same notebook that ended, the newest first; at most 30."""


def pipelines(connection: duckdb.DuckDBPyConnection, limit: int, *, notebook: str | None = None) -> list[Row]:
    """The newest headless runs, newest first, one row each.

    Args:
        connection: Reads the ledger.
        limit: How many at most.
        notebook: Only those of this notebook, as the ledger names it.
    """
    which = "where $notebook is null or notebook = $notebook order by pipeline_id desc limit $limit"
    return _rows(connection, _LISTED.format(which=which), notebook=notebook, limit=limit)


def pipeline(connection: duckdb.DuckDBPyConnection, name: str) -> PipelineDetails:
    """What is known of one headless run.

    Args:
        connection: Reads the ledger.
        name: Its id, the beginning or the end of it, or ``last``.

    Raises:
        UsageError: If no run is meant, or more than one.
    """
    wanted = meant(connection, name)
    run = _rows(connection, _LISTED.format(which="where pipeline_id = $id"), id=wanted)[0]
    tables = (_CELLS, _FLOWS, _MODELS, _ERRORS, _SCORES, _ALERTS, _ARTIFACTS)
    cells, flows, models, errors, scores, alerts, artifacts = (_rows(connection, query, id=wanted) for query in tables)
    chain = _LISTED.format(which="where pipeline_id = $root or resumes = $root")
    earlier = _LISTED.format(
        which="""where notebook = $notebook and pipeline_id < $id and status <> 'running'
            order by pipeline_id desc limit 30"""
    )
    return PipelineDetails(
        run=run,
        cells=cells,
        flows=flows,
        models=models,
        errors=errors,
        scores=scores,
        alerts=alerts,
        artifacts=artifacts,
        attempts=_rows(connection, chain, root=run["resumes"] or wanted)[::-1],
        before=_rows(connection, earlier, notebook=run["notebook"], id=wanted),
    )


def shared_items(connection: duckdb.DuckDBPyConnection, left: str, right: str) -> list[Row]:
    """The items that ended well in two headless runs: of one flow, in its first run, its second, ..., by position.

    Args:
        connection: Reads the ledger.
        left: Id of a headless run.
        right: Id of another one.

    Returns:
        ``flow, nth, item, same_prompts, left_cost_usd, right_cost_usd, left_latency_ms, right_latency_ms, left_quality,
        right_quality``; a quality is ``None`` where nobody scored it.
    """
    return _rows(connection, _ITEMS, left=left, right=right)


def meant(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    """The id of the headless run that is meant by an id, the beginning or the end of one, or ``last``.

    Raises:
        UsageError: If no run is meant, or more than one.
    """
    if name == "last":
        query = "select max(pipeline_id) as id from pipelines having count(*) > 0"
        found = [row["id"] for row in _rows(connection, query)]
    else:
        query = """select pipeline_id as id from pipelines
            where starts_with(pipeline_id, $name) or ends_with(pipeline_id, $name) order by all desc limit 4"""
        found = [row["id"] for row in _rows(connection, query, name=name)] if name else []
    if not found:
        raise UsageError(f"The ledger has no headless run {name!r}.", hint="`orchestrate runs --pipelines` lists them.")
    if len(found) > 1 and name not in found:
        raise UsageError(
            f"More than one headless run is called {name!r}: {', '.join(found[:3])}.", hint="Write more of its id."
        )
    return name if name in found else str(found[0])


def _rows(connection: duckdb.DuckDBPyConnection, query: str, **values: Any) -> list[Row]:
    result = connection.execute(query, values)
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
