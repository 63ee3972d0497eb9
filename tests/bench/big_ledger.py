"""A ledger of many calls, made in SQL: what dashboards are measured on."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from orchestration_nb.ledger import Ledger
from orchestration_nb.state.folder import FOLDER_NAME

REQUESTS_OF_A_RUN = 1000
_RUNS = """
insert into runs by name
select format('{:016x}', i) as run_id, ['triage', 'digest', 'quiz'][1 + i % 3] as flow, 'done' as status,
    $begins::timestamp + to_milliseconds(i::bigint * $run_ms) as started_at,
    $begins::timestamp + to_milliseconds((i + 1)::bigint * $run_ms) as finished_at, 500 as items, 498 as items_ok,
    2 as items_failed, map {'team': ['support', 'sales'][1 + i % 2]} as tags
from range($runs) as numbers(i)"""
_REQUESTS = """
insert into requests by name
select format('{:016x}', i) as request_id, format('{:016x}', i // $per_run) as run_id,
    ['triage', 'digest', 'quiz'][1 + (i // $per_run) % 3] as flow,
    ['queue', 'reply', 'check', 'points'][1 + i % 4] as step,
    (i % $per_run) // 2 as item, ['cascade', 'weighted', 'single'][1 + (i // $per_run) % 3] as strategy,
    1 as calls, 0.002 as cost_usd, false as simulated, 900.0 as latency_ms, 'ok' as status,
    $begins::timestamp + to_milliseconds(i::bigint * $run_ms // $per_run) as started_at
from range($calls) as numbers(i)"""
_CALLS = """
insert into calls by name
select format('{:016x}', i) as call_id, format('{:016x}', i) as request_id,
    format('{:016x}', i // $per_run) as run_id,
    ['openai/gpt-4.1-mini', 'anthropic/claude-haiku-4-5', 'google/gemini-2.5-flash', 'openai/gpt-4.1',
     'anthropic/claude-sonnet-4-5'][1 + (hash(i) % 5)::bigint] as model,
    case when hash(i + 7) % 50 = 0 then 'failed' else 'ok' end as status,
    case when hash(i + 9) % 10 = 0 then 'exact' else 'none' end as cache,
    120 as input_tokens, 30 as output_tokens, (hash(i) % 1000)::double / 250000 as cost_usd,
    case when hash(i + 9) % 10 = 0 then 0 else (hash(i) % 1000)::double / 250000 end as billed_usd,
    false as simulated, false as bill_unknown, exp(6 + 0.8 * sqrt(-2 * ln(1e-9 + (hash(i + 1) % 1000000)::double / 1e6))
        * cos(6.2831853 * (hash(i + 2) % 1000000)::double / 1e6)) as latency_ms,
    $begins::timestamp + to_milliseconds(i::bigint * $run_ms // $per_run) as started_at
from range($calls) as numbers(i)"""


def fill(workspace: Path, *, calls: int, begins: datetime, days: float) -> Ledger:
    """A ledger of so many calls, spread evenly over ``days`` from ``begins``; rows are made by DuckDB itself."""
    import duckdb

    ledger = Ledger(workspace)
    ledger.merge()
    runs = max(1, calls // REQUESTS_OF_A_RUN)
    bound = {"begins": begins, "runs": runs, "run_ms": int(days * 86_400_000 / runs), "per_run": REQUESTS_OF_A_RUN,
             "calls": calls}  # fmt: skip
    with duckdb.connect(str(workspace / FOLDER_NAME / "ledger.duckdb")) as connection:
        for statement in (_RUNS, _REQUESTS, _CALLS):
            connection.execute(statement, {name: value for name, value in bound.items() if f"${name}" in statement})
    return ledger
