"""The tables of the ledger, and which rows each kind of event becomes.

To add a table or a column, append a script to ``MIGRATIONS`` (never change one that was released) and, where an event
fills it, an entry or a statement to ``LOADS``.
"""

from __future__ import annotations

from dataclasses import dataclass

_FIRST = """
create table runs (
    run_id varchar not null, flow varchar, status varchar not null, started_at timestamp, finished_at timestamp,
    error varchar, items bigint, items_ok bigint, items_failed bigint, cost_usd double, billed_usd double,
    budget_usd double, strategy varchar, model varchar, concurrency bigint, seed bigint, sample bigint,
    tags map(varchar, varchar),
    steps struct(name varchar, kind varchar, line bigint, needs varchar[], once boolean)[],
    source varchar, pid bigint, package_version varchar, segment varchar);
create table items (
    run_id varchar not null, item bigint not null, status varchar, error_type varchar, error varchar,
    cost_usd double, billed_usd double, latency_ms double, finished_at timestamp);
create table steps (
    run_id varchar not null, item bigint not null, step varchar, status varchar, latency_ms double, cost_usd double,
    error_type varchar, error varchar, finished_at timestamp);
create table requests (
    request_id varchar not null, run_id varchar not null, flow varchar, step varchar, item bigint, strategy varchar,
    model varchar, candidates varchar[], propensity double, reason varchar, calls bigint, cost_usd double,
    billed_usd double, simulated boolean, latency_ms double, status varchar, error_type varchar, error varchar,
    started_at timestamp);
create table calls (
    call_id varchar not null, request_id varchar not null, run_id varchar not null, model varchar, provider varchar,
    sample bigint, status varchar, error_type varchar, error varchar, input_tokens bigint, cached_tokens bigint,
    cache_write_tokens bigint, output_tokens bigint, reasoning_tokens bigint, cost_usd double, billed_usd double,
    bill_unknown boolean, simulated boolean, input_usd_per_mtok double, output_usd_per_mtok double,
    cached_usd_per_mtok double, cache_write_usd_per_mtok double, latency_ms double, ttft_ms double,
    finish_reason varchar, provider_request_id varchar, model_version varchar, cache varchar, cache_key varchar,
    attempts struct(number bigint, status varchar, error_type varchar, error varchar, wait_ms double,
        latency_ms double, http_status bigint, provider_request_id varchar)[],
    started_at timestamp);
create table texts (call_id varchar not null, prompt varchar, reply varchar);
create table segments (
    name varchar not null, merged_bytes bigint, lines bigint, bad_lines bigint, closed boolean, merged_at timestamp);
create table bad_lines (segment varchar, at_byte bigint, why varchar, line varchar, merged_at timestamp);
create view spend as
    select cast(started_at as date) as day, model, count(*) as calls, sum(billed_usd) as billed_usd,
        sum(cost_usd) as cost_usd, sum(billed_usd) filter (bill_unknown) as unknown_usd
    from calls where not simulated group by all order by all;
"""

_SECOND = """
alter table runs add column "user" varchar;
alter table runs add column notebook varchar;
alter table runs add column resumes varchar;
alter table runs add column batch boolean;
alter table calls add column reasoning_usd_per_mtok double;
alter table calls add column similarity double;
alter table calls add column batch boolean;
alter table calls add column recovered boolean;
create table circuits (
    model varchar not null, state varchar, failure_rate double, attempts bigint, reason varchar, changed_at timestamp);
create table alerts (
    kind varchar, budget varchar not null, share double, spent_usd double, limit_usd double, message varchar,
    run_id varchar, raised_at timestamp);
create table plans (
    plan_id varchar not null, run_id varchar, flow varchar, step varchar, model varchar, calls double,
    cached_calls double, input_tokens double, output_tokens double, low_usd double, expected_usd double,
    high_usd double, expected_s double, actual_calls bigint, actual_usd double, actual_s double, basis varchar,
    planned_at timestamp);
create table repricings (
    model varchar not null, since timestamp, until timestamp, input_usd_per_mtok double, output_usd_per_mtok double,
    cached_usd_per_mtok double, cache_write_usd_per_mtok double, reasoning_usd_per_mtok double, repriced_at timestamp);
"""

_THIRD = """
alter table repricings add column above_tokens bigint;
create table as_recorded (
    call_id varchar not null, request_id varchar, run_id varchar, cost_usd double, billed_usd double,
    input_usd_per_mtok double, output_usd_per_mtok double, cached_usd_per_mtok double, cache_write_usd_per_mtok double,
    reasoning_usd_per_mtok double);
drop view spend;
create view spend as
    select cast(c.started_at as date) as day, r."user", r.notebook, r.flow, q.step, c.model,
        coalesce(c.batch, false) as batch, count(*) as calls, sum(c.billed_usd) as billed_usd,
        sum(c.cost_usd) as cost_usd,
        coalesce(sum(greatest(c.billed_usd - c.cost_usd, 0)) filter (c.bill_unknown), 0) as unknown_usd
    from calls as c left join runs as r using (run_id) left join requests as q using (request_id)
    where not c.simulated group by all order by all;
create view costs as
    select call_id, request_id, run_id, model, simulated, started_at,
        greatest(0, input_tokens - cached_tokens - cache_write_tokens) * input_usd_per_mtok / 1e6 as input_usd,
        cached_tokens * coalesce(cached_usd_per_mtok, input_usd_per_mtok) / 1e6 as cached_usd,
        cache_write_tokens * coalesce(cache_write_usd_per_mtok, input_usd_per_mtok) / 1e6 as cache_write_usd,
        greatest(0, output_tokens - reasoning_tokens) * output_usd_per_mtok / 1e6 as output_usd,
        reasoning_tokens * coalesce(reasoning_usd_per_mtok, output_usd_per_mtok) / 1e6 as reasoning_usd,
        cost_usd, billed_usd
    from calls;
"""

_FOURTH = """
alter table requests add column instead_of varchar;
"""

_STATS = """struct(model varchar, in_flight bigint, calls bigint, failure_rate double, latency_ms double,
    p95_latency_ms double, cost_usd double, tokens_per_minute double, input_usd_per_mtok double,
    output_usd_per_mtok double)[]"""

_FIFTH = f"""
alter table requests add column seen {_STATS};
create table scores (
    run_id varchar not null, item bigint, step varchar, request_id varchar, comparison_id varchar, strategy varchar,
    versus varchar, scorer varchar, scored_by varchar, value double, label varchar, passed boolean, quality double,
    reason varchar, cost_usd double, scored_at timestamp);
create table comparisons (
    comparison_id varchar not null, kind varchar, flow varchar, strategies varchar[], reference varchar, step varchar,
    scorer varchar, slice_column varchar, items bigint, margin double, seed bigint,
    started_at timestamp, status varchar, error varchar, questions bigint, cost_usd double, billed_usd double,
    finished_at timestamp, segment varchar);
create table compared (
    comparison_id varchar not null, run_id varchar, strategy varchar, item bigint, status varchar, quality double,
    cost_usd double, latency_ms double, model varchar, asked varchar[], reason varchar, error varchar,
    slice_value varchar, compared_at timestamp);
create table rollouts (
    rollout_id varchar not null, flow varchar, candidate varchar, incumbent varchar, stage varchar, share double,
    items bigint, quality_difference double, low double, high double, cost_difference_usd double, reason varchar,
    decided_by varchar, changed_at timestamp);
"""

_SIXTH = """
alter table runs add column pipeline_id varchar;
create table pipelines (
    pipeline_id varchar not null, notebook varchar, digest varchar, cells bigint, parameters map(varchar, varchar),
    secrets map(varchar, varchar), tags map(varchar, varchar), budget_usd double, attempt bigint, resumes varchar,
    schedule varchar, due_at timestamp, models varchar, dag varchar, copy varchar, "user" varchar,
    started_at timestamp, pid bigint, package_version varchar, segment varchar, status varchar not null,
    error_type varchar, error varchar, cells_done bigint, finished_at timestamp);
create table cells (
    pipeline_id varchar not null, cell bigint not null, cell_id varchar, title varchar, digest varchar,
    started_at timestamp, status varchar not null, error_type varchar, error varchar, finished_at timestamp);
create table artifacts (
    pipeline_id varchar, cell bigint, name varchar not null, format varchar, path varchar, bytes bigint, digest varchar,
    saved_at timestamp);
create table pipeline_alerts (
    pipeline_id varchar, notebook varchar, schedule varchar, metric varchar not null, value double, "limit" double,
    basis varchar, message varchar, raised_at timestamp);
create view cell_runs as
    select c.pipeline_id, c.cell, r.run_id from cells as c join runs as r
        on r.pipeline_id = c.pipeline_id and r.started_at >= c.started_at
            and r.started_at < coalesce(
                (select min(n.started_at) from cells as n where n.pipeline_id = c.pipeline_id and n.cell > c.cell),
                timestamp 'infinity');
create view cell_costs as
    select c.pipeline_id, c.cell, any_value(c.title) as title, any_value(c.status) as status,
        any_value(date_diff('millisecond', c.started_at, c.finished_at)) / 1000.0 as seconds,
        count(distinct x.run_id) as runs, count(k.call_id) as calls,
        coalesce(sum(k.cost_usd), 0) as cost_usd, coalesce(sum(k.billed_usd), 0) as billed_usd,
        coalesce(bool_or(k.simulated), false) as simulated
    from cells as c left join cell_runs as x using (pipeline_id, cell) left join calls as k using (run_id)
    group by c.pipeline_id, c.cell;
"""

# Not called step and item: whoever joins calls with requests need not say which of the two he means.
_AGAIN = """
alter table calls add column for_step varchar;
alter table calls add column for_item bigint;
alter table calls add column again_of varchar;
"""

_SHARE = """
alter table repricings add column batch_share double;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH, _SIXTH, _AGAIN, _SHARE)
"""One script a version: the first makes version 1 of nothing, the next version 2 of version 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How the lines of one kind become rows."""

    columns: dict[str, str]
    """Field of the line to its SQL type. Fields that are not named here are left out."""
    required: tuple[str, ...]
    """Fields without which a line means nothing."""
    into: tuple[str, ...]
    """Statements that take the lines from the table ``staged_<kind>``."""


def _columns(text: str) -> dict[str, str]:
    """``name type; name type`` to a mapping."""
    pairs = (entry.split(None, 1) for entry in text.split(";") if entry.strip())
    return {name: kind.strip() for name, kind in pairs}


_RUN_STARTED = Load(
    columns=_columns("""
        run_id varchar; flow varchar; source varchar;
        steps struct(name varchar, kind varchar, line bigint, needs varchar[], once boolean)[];
        strategy varchar; model varchar; budget_usd double; concurrency bigint; seed bigint; sample bigint;
        items bigint; tags map(varchar, varchar); user varchar; notebook varchar; resumes varchar; batch boolean;
        pipeline_id varchar; started_at timestamp; pid bigint; package_version varchar; segment varchar"""),
    required=("run_id", "started_at"),
    into=("insert into runs by name select *, 'running' as status from staged_run_started",),
)
_ITEM = Load(
    columns=_columns("""
        run_id varchar; item bigint; status varchar; error_type varchar; error varchar; cost_usd double;
        billed_usd double; latency_ms double; finished_at timestamp;
        steps struct(step varchar, status varchar, latency_ms double, cost_usd double, error_type varchar,
            error varchar)[]"""),
    required=("run_id", "item", "status"),
    into=(
        "insert into items by name select * exclude (steps) from staged_item",
        """insert into steps by name
           select run_id, item, finished_at, unnest(steps, recursive := true)
           from (select run_id, item, finished_at, steps from staged_item)""",
    ),
)
_CALL = Load(
    columns=_columns("""
        call_id varchar; request_id varchar; run_id varchar; model varchar; provider varchar; sample bigint;
        status varchar; error_type varchar; error varchar; input_tokens bigint; cached_tokens bigint;
        cache_write_tokens bigint; output_tokens bigint; reasoning_tokens bigint; cost_usd double;
        billed_usd double; bill_unknown boolean; simulated boolean; input_usd_per_mtok double;
        output_usd_per_mtok double; cached_usd_per_mtok double; cache_write_usd_per_mtok double;
        reasoning_usd_per_mtok double; latency_ms double;
        ttft_ms double; finish_reason varchar; provider_request_id varchar; model_version varchar; cache varchar;
        cache_key varchar; similarity double; batch boolean; recovered boolean; for_step varchar; for_item bigint;
        again_of varchar; started_at timestamp; prompt varchar; reply varchar;
        attempts struct(number bigint, status varchar, error_type varchar, error varchar, wait_ms double,
            latency_ms double, http_status bigint, provider_request_id varchar)[]"""),
    required=("call_id", "request_id", "run_id", "status"),
    into=(
        # A process that is killed just after it recorded a call may leave its money held: another one then takes the
        # call for lost. What was recorded stands, whichever of the two lines is merged first.
        """delete from staged_call where recovered and (
               call_id in (select call_id from staged_call where not coalesce(recovered, false))
               or call_id in (select call_id from calls where not coalesce(recovered, false)))""",
        """delete from texts where call_id in (
               select call_id from calls where recovered
                   and call_id in (select call_id from staged_call where not coalesce(recovered, false)))""",
        """delete from calls where recovered
               and call_id in (select call_id from staged_call where not coalesce(recovered, false))""",
        "insert into calls by name select * exclude (prompt, reply) from staged_call",
        "insert into texts by name select call_id, prompt, reply from staged_call",
        # What a process may have been billed for when it was killed is recorded by another one, after the run's end.
        """update runs set
               cost_usd = (select sum(calls.cost_usd) from calls where calls.run_id = runs.run_id),
               billed_usd = (select sum(calls.billed_usd) from calls where calls.run_id = runs.run_id)
           where cost_usd is not null and run_id in (select run_id from staged_call where recovered)""",
    ),
)
_REQUEST = Load(
    columns=_columns(f"""
        request_id varchar; run_id varchar; flow varchar; step varchar; item bigint; strategy varchar; model varchar;
        candidates varchar[]; propensity double; reason varchar; seen {_STATS}; instead_of varchar; calls bigint;
        cost_usd double; billed_usd double; simulated boolean; latency_ms double; status varchar; error_type varchar;
        error varchar; started_at timestamp"""),
    required=("request_id", "run_id", "status"),
    into=("insert into requests by name select * from staged_request",),
)
_RUN_FINISHED = Load(
    columns=_columns("""
        run_id varchar; status varchar; error varchar; items_ok bigint; items_failed bigint; cost_usd double;
        billed_usd double; finished_at timestamp"""),
    required=("run_id", "status"),
    into=(
        # A finish without a start: that line was lost, and the run is told by what is left.
        """insert into runs by name select run_id, status from staged_run_finished
           where run_id not in (select run_id from runs)""",
        """update runs set status = f.status, error = f.error, items_ok = f.items_ok, items_failed = f.items_failed,
               cost_usd = f.cost_usd, billed_usd = f.billed_usd, finished_at = f.finished_at
           from staged_run_finished as f where runs.run_id = f.run_id""",
    ),
)
_CIRCUIT = Load(
    columns=_columns("""
        model varchar; state varchar; failure_rate double; attempts bigint; reason varchar; changed_at timestamp"""),
    required=("model", "state"),
    into=("insert into circuits by name select * from staged_circuit",),
)
_ALERT = Load(
    columns=_columns("""
        kind varchar; budget varchar; share double; spent_usd double; limit_usd double; message varchar; run_id varchar;
        raised_at timestamp"""),
    required=("budget",),
    into=("insert into alerts by name select * from staged_alert",),
)
_PLAN = Load(
    columns=_columns("""
        plan_id varchar; run_id varchar; flow varchar; step varchar; model varchar; calls double; cached_calls double;
        input_tokens double; output_tokens double; low_usd double; expected_usd double; high_usd double;
        expected_s double; actual_calls bigint; actual_usd double; actual_s double; basis varchar;
        planned_at timestamp"""),
    required=("plan_id", "step"),
    into=("insert into plans by name select * from staged_plan",),
)
_REPRICED = Load(
    columns=_columns("""
        model varchar; since timestamp; until timestamp; above_tokens bigint; input_usd_per_mtok double;
        output_usd_per_mtok double; cached_usd_per_mtok double; cache_write_usd_per_mtok double;
        reasoning_usd_per_mtok double; batch_share double; repriced_at timestamp"""),
    required=("model", "input_usd_per_mtok", "output_usd_per_mtok", "repriced_at"),
    into=("insert into repricings by name select * from staged_repriced",),
)
_SCORE = Load(
    columns=_columns("""
        run_id varchar; item bigint; step varchar; request_id varchar; comparison_id varchar; strategy varchar;
        versus varchar; scorer varchar; scored_by varchar; value double; label varchar; passed boolean; quality double;
        reason varchar; cost_usd double; scored_at timestamp"""),
    required=("run_id", "scorer"),
    into=("insert into scores by name select * from staged_score",),
)
_COMPARISON_STARTED = Load(
    columns=_columns("""
        comparison_id varchar; kind varchar; flow varchar; strategies varchar[]; reference varchar; step varchar;
        scorer varchar; slice_column varchar; items bigint; margin double; seed bigint;
        started_at timestamp; segment varchar"""),
    required=("comparison_id", "started_at"),
    into=("insert into comparisons by name select *, 'running' as status from staged_comparison_started",),
)
_COMPARED = Load(
    columns=_columns("""
        comparison_id varchar; run_id varchar; strategy varchar; item bigint; status varchar; quality double;
        cost_usd double; latency_ms double; model varchar; asked varchar[]; reason varchar; error varchar;
        slice_value varchar; compared_at timestamp"""),
    required=("comparison_id", "strategy", "item"),
    into=("insert into compared by name select * from staged_compared",),
)
_COMPARISON_FINISHED = Load(
    columns=_columns("""
        comparison_id varchar; status varchar; error varchar; questions bigint; cost_usd double; billed_usd double;
        finished_at timestamp"""),
    required=("comparison_id", "status"),
    into=(
        """update comparisons set status = f.status, error = f.error, questions = f.questions, cost_usd = f.cost_usd,
               billed_usd = f.billed_usd, finished_at = f.finished_at
           from staged_comparison_finished as f where comparisons.comparison_id = f.comparison_id""",
    ),
)
_ROLLOUT = Load(
    columns=_columns("""
        rollout_id varchar; flow varchar; candidate varchar; incumbent varchar; stage varchar; share double;
        items bigint; quality_difference double; low double; high double; cost_difference_usd double; reason varchar;
        decided_by varchar; changed_at timestamp"""),
    required=("rollout_id", "stage", "changed_at"),
    into=("insert into rollouts by name select * from staged_rollout",),
)
_PIPELINE_STARTED = Load(
    columns=_columns("""
        pipeline_id varchar; notebook varchar; digest varchar; cells bigint; parameters map(varchar, varchar);
        secrets map(varchar, varchar); tags map(varchar, varchar); budget_usd double; attempt bigint; resumes varchar;
        schedule varchar; due_at timestamp; models varchar; dag varchar; copy varchar; user varchar;
        started_at timestamp; pid bigint; package_version varchar; segment varchar"""),
    required=("pipeline_id", "started_at"),
    into=("insert into pipelines by name select *, 'running' as status from staged_pipeline_started",),
)
_CELL_STARTED = Load(
    columns=_columns("""
        pipeline_id varchar; cell bigint; cell_id varchar; title varchar; digest varchar; started_at timestamp"""),
    required=("pipeline_id", "cell"),
    into=("insert into cells by name select *, 'running' as status from staged_cell_started",),
)
_CELL_FINISHED = Load(
    columns=_columns("""
        pipeline_id varchar; cell bigint; status varchar; error_type varchar; error varchar; finished_at timestamp"""),
    required=("pipeline_id", "cell", "status"),
    into=(
        """update cells set status = f.status, error_type = f.error_type, error = f.error, finished_at = f.finished_at
           from staged_cell_finished as f where cells.pipeline_id = f.pipeline_id and cells.cell = f.cell""",
    ),
)
_PIPELINE_FINISHED = Load(
    columns=_columns("""
        pipeline_id varchar; status varchar; error_type varchar; error varchar; cells_done bigint;
        finished_at timestamp"""),
    required=("pipeline_id", "status"),
    into=(
        """update pipelines set status = f.status, error_type = f.error_type, error = f.error,
               cells_done = f.cells_done, finished_at = f.finished_at
           from staged_pipeline_finished as f where pipelines.pipeline_id = f.pipeline_id""",
    ),
)
_ARTIFACT = Load(
    columns=_columns("""
        pipeline_id varchar; cell bigint; name varchar; format varchar; path varchar; bytes bigint; digest varchar;
        saved_at timestamp"""),
    required=("name", "path"),
    into=("insert into artifacts by name select * from staged_artifact",),
)
_PIPELINE_ALERT = Load(
    columns=_columns("""
        pipeline_id varchar; notebook varchar; schedule varchar; metric varchar; value double; limit double;
        basis varchar; message varchar; raised_at timestamp"""),
    required=("metric", "raised_at"),
    into=("insert into pipeline_alerts by name select * from staged_pipeline_alert",),
)
_BAD = Load(
    columns=_columns("segment varchar; at_byte bigint; why varchar; line varchar; merged_at timestamp"),
    required=(),
    into=("insert into bad_lines by name select * from staged_bad",),
)
_SEGMENT = Load(
    columns=_columns("""
        name varchar; merged_bytes bigint; lines bigint; bad_lines bigint; closed boolean; merged_at timestamp"""),
    required=(),
    into=(
        "delete from segments where name in (select name from staged_segment)",
        "insert into segments by name select * from staged_segment",
        # Nobody writes these files any more: a run that has no end in one never will.
        """update runs set status = 'failed',
               error = 'Its end was not recorded: the process was killed, or its disk was full.',
               items_ok = (select count(*) from items where items.run_id = runs.run_id and item >= 0
                           and items.status in ('ok', 'degraded')),
               items_failed = (select count(*) from items where items.run_id = runs.run_id and item >= 0
                               and items.status = 'failed'),
               cost_usd = (select coalesce(sum(calls.cost_usd), 0) from calls where calls.run_id = runs.run_id),
               billed_usd = (select coalesce(sum(calls.billed_usd), 0) from calls where calls.run_id = runs.run_id)
           where status = 'running' and segment in (select name from staged_segment where closed)""",
        """update comparisons set status = 'failed',
               error = 'Its end was not recorded: the process was killed, or its disk was full.'
           where status = 'running' and segment in (select name from staged_segment where closed)""",
        """update cells set status = 'failed', error_type = 'VanishedError',
               error = 'Its end was not recorded: the runner was killed, or its disk was full.'
           where status = 'running' and pipeline_id in (
               select pipeline_id from pipelines
               where status = 'running' and segment in (select name from staged_segment where closed))""",
        """update pipelines set status = 'failed', error_type = 'VanishedError',
               error = 'Its end was not recorded: the runner was killed, or its disk was full.',
               cells_done = (select count(*) from cells where cells.pipeline_id = pipelines.pipeline_id
                             and cells.status in ('ok', 'restored'))
           where status = 'running' and segment in (select name from staged_segment where closed)""",
    ),
)

LOADS: dict[str, Load] = {
    "run_started": _RUN_STARTED,
    "item": _ITEM,
    "call": _CALL,
    "request": _REQUEST,
    "run_finished": _RUN_FINISHED,
    "circuit": _CIRCUIT,
    "alert": _ALERT,
    "plan": _PLAN,
    "repriced": _REPRICED,
    "score": _SCORE,
    "comparison_started": _COMPARISON_STARTED,
    "compared": _COMPARED,
    "comparison_finished": _COMPARISON_FINISHED,
    "rollout": _ROLLOUT,
    "pipeline_started": _PIPELINE_STARTED,
    "cell_started": _CELL_STARTED,
    "cell_finished": _CELL_FINISHED,
    "pipeline_finished": _PIPELINE_FINISHED,
    "artifact": _ARTIFACT,
    "pipeline_alert": _PIPELINE_ALERT,
    "bad": _BAD,
    "segment": _SEGMENT,
}
"""In the order in which they are loaded: a run starts before it ends, and the files are closed last."""

EVENT_KINDS = frozenset(LOADS) - {"bad", "segment"}
"""The kinds that a journal may hold."""
