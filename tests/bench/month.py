"""A ledger of thirty days that DuckDB makes in seconds: runs, requests and calls in the real schema.

Every value follows from the number of its call, so that two ledgers of one size hold the same. Texts of prompts and
replies, rows and steps of runs are left out: no dashboard reads them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb

from orchestration_nb.ledger import Ledger

DAYS: Final = 30
RUNS: Final = 600
MODELS: Final = (
    "gpt-4.1-mini",
    "gpt-4.1",
    "gpt-4o",
    "o4-mini",
    "gpt-5-mini",
    "gpt-5",
    "haiku",
    "sonnet",
    "opus",
    "flash",
)
"""More than have lines of their own."""
_MACROS: Final = """
create temp macro chance(n, salt) as hash(n, salt) / 18446744073709551616.0;
create temp macro pick(n, salt, names) as names[1 + floor(len(names) * chance(n, salt) ** 2)::bigint];
create temp macro normal(n, salt) as
    sqrt(-2 * ln(greatest(chance(n, salt), 1e-12))) * cos(2 * pi() * chance(n, salt || 'b'));
create temp macro id_of(moment, n) as printf('%012x%012x', epoch_ms(moment), n);
create temp macro began(n) as getvariable('since') + to_microseconds((n * getvariable('step_us'))::bigint);
create temp macro run_number(n) as n // getvariable('a_run');
create temp macro run_of(n) as id_of(began(run_number(n) * getvariable('a_run')), run_number(n));
"""
_RUNS: Final = """
insert into runs by name
select run_of(n * getvariable('a_run')) as run_id,
    pick(n, 'flow', ['triage', 'digest', 'invoices', 'reviews', 'leads', 'contracts']) as flow,
    case when chance(n, 'dead') < .02 then 'failed' else 'done' end as status,
    began(n * getvariable('a_run')) as started_at, began((n + 1) * getvariable('a_run')) as finished_at,
    getvariable('a_run') as items, getvariable('a_run') as items_ok, 0 as items_failed,
    1.0 as cost_usd, 1.0 as billed_usd, 'cascade' as strategy,
    case when chance(n, 'tag') < .8 then map {'team': pick(n, 'team', ['support', 'finance', 'sales', 'legal']),
        'env': pick(n, 'env', ['production', 'staging'])} else map {}::map(varchar, varchar) end as tags
from range(getvariable('runs')) as numbers(n)
"""
# Two of three calls are one request: a cheap model was asked, and then a dearer one.
_REQUESTS: Final = """
insert into requests by name
select id_of(began(n), n) as request_id, run_of(n) as run_id, 'flow' as flow,
    pick(n, 'step', ['queue', 'reply', 'check', 'summary', 'extract', 'translate']) as step, n as item,
    pick(run_number(n), 'strategy', ['single', 'cascade', 'agreement', 'weighted', 'hedged']) as strategy,
    1 + (n % 3 = 0)::bigint as calls, 'ok' as status, 900.0 as latency_ms, false as simulated, began(n) as started_at
from range(getvariable('calls')) as numbers(n) where n % 3 <> 1
"""
_CALLS: Final = """
insert into calls by name
select * exclude (failed), case when cache = 'none' then cost_usd else 0 end as billed_usd, false as bill_unknown,
    case when failed then 'failed' else 'ok' end as status, case when failed then 'RateLimitedError' end as error_type,
    case when failed then 'The provider asks for fewer requests.' end as error,
    case when cache = 'none' then list_value(struct_pack(number := 1::bigint, status := 'ok',
        error_type := null::varchar, error := null::varchar, wait_ms := 0.5::double, latency_ms := latency_ms,
        http_status := 200::bigint,
        provider_request_id := 'req_' || call_id)) end as attempts
from (
    select id_of(began(n), n) as call_id,
        id_of(began(n - (n % 3 = 1)::bigint), n - (n % 3 = 1)::bigint) as request_id,
        run_of(n) as run_id, 'openai/' || pick(n, 'model', getvariable('models')) as model,
        'openai' as provider, 0 as sample, chance(n, 'failed') < .03 as failed,
        case when chance(n, 'cache') < .2 then 'exact' else 'none' end as cache,
        (200 + 2000 * chance(n, 'in'))::bigint as input_tokens, 0 as cached_tokens, 0 as cache_write_tokens,
        (20 + 400 * chance(n, 'out'))::bigint as output_tokens, 0 as reasoning_tokens,
        .0002 + .004 * chance(n, 'usd') as cost_usd, chance(n, 'simulated') < .05 as simulated,
        .4 as input_usd_per_mtok, 1.6 as output_usd_per_mtok, 900 * exp(.6 * normal(n, 'latency')) as latency_ms,
        'stop' as finish_reason, md5(n::varchar) || md5(n::varchar || 'k') as cache_key, began(n) as started_at
    from range(getvariable('calls')) as numbers(n))
"""


def fill(folder: Path, calls: int, now: datetime) -> Ledger:
    """Makes the ledger of a workspace.

    Args:
        folder: The workspace; it has no ledger yet.
        calls: How many.
        now: When the thirty days end (naive UTC).
    """
    ledger = Ledger(folder)
    ledger.merge()
    runs = min(RUNS, calls)
    with duckdb.connect(str(folder / ".orchestrate" / "ledger.duckdb")) as connection:
        since = now - timedelta(days=DAYS) + timedelta(minutes=1)
        values = {
            "since": since, "calls": calls, "runs": runs, "a_run": -(-calls // runs),
            "step_us": (now - since) / timedelta(microseconds=1) / calls, "models": list(MODELS),
        }  # fmt: skip
        for name, value in values.items():
            connection.execute(f"set variable {name} = $1", [value])
        for statement in (_MACROS, _RUNS, _REQUESTS, _CALLS):
            connection.execute(statement)
    return ledger
