"""What the ledger knows of earlier runs that says what the next one will cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from orchestration_nb.calls import Usage

if TYPE_CHECKING:
    import duckdb

MOST_RUNS: Final = 50
MOST_ROWS: Final = 10_000
"""Steps of items, drawn at random from the newest runs: more would hardly say it more surely."""
_MOST_CALLS: Final = 5_000

_RUNS: Final = """
select run_id, source from runs where flow = $flow order by run_id desc limit $limit
"""
_STEPS: Final = """
with chosen as (select run_id from runs where flow = $flow order by run_id desc limit $limit),
picked as (
    select run_id, item, step from steps
    where run_id in (from chosen) and (status in ('ok', 'degraded') or cost_usd > 0) and list_contains($steps, step)
    order by run_id desc, hash(item) limit $rows),
made as (
    select r.request_id, r.strategy, p.run_id, p.item, p.step
    from picked as p join requests as r on p.run_id = r.run_id and p.item = r.item and p.step = r.step),
asked as (
    select m.run_id, m.item, m.step, m.strategy, c.model, count(*) as calls,
        sum(c.input_tokens) as input_tokens, sum(c.cached_tokens) as cached_tokens,
        sum(c.cache_write_tokens) as cache_write_tokens, sum(c.output_tokens) as output_tokens,
        sum(c.reasoning_tokens) as reasoning_tokens, sum(c.cost_usd) as cost_usd,
        bool_and(c.input_usd_per_mtok is not null) as priced, sum(strlen(t.prompt)) as prompt_bytes,
        md5(string_agg(c.cache_key, '' order by c.cache_key)) as keys
    from made as m join calls as c on m.request_id = c.request_id left join texts as t on c.call_id = t.call_id
    where c.status = 'ok'
    group by all),
counted as (select run_id, item, step, count(*) as requests from made group by all)
select p.run_id, p.item, p.step, a.strategy, a.model, n.requests, a.calls, a.input_tokens, a.cached_tokens,
    a.cache_write_tokens, a.output_tokens, a.reasoning_tokens, a.cost_usd, a.priced, a.prompt_bytes,
    a.keys
from picked as p
    left join asked as a on p.run_id = a.run_id and p.item = a.item and p.step = a.step
    left join counted as n on p.run_id = n.run_id and p.item = n.item and p.step = n.step
order by p.run_id desc, p.item
"""
_LATENCIES: Final = """
select r.step, c.model, count(*) as calls, avg(c.latency_ms) as mean_ms,
    coalesce(stddev_samp(c.latency_ms), 0) as sd_ms, quantile_cont(c.latency_ms, 0.5) as p50_ms,
    quantile_cont(c.latency_ms, 0.95) as p95_ms
from requests as r join calls as c on r.request_id = c.request_id
where r.run_id in (select run_id from runs where flow = $flow order by run_id desc limit $limit)
    and c.status = 'ok' and c.cache = 'none' and not coalesce(c.batch, false)
group by all
"""
_MODELS: Final = """
with newest as (
    select c.model, c.call_id, c.input_tokens, c.output_tokens, c.latency_ms from calls as c
    where c.status = 'ok' and c.cache = 'none' and not coalesce(c.batch, false) and list_contains($models, c.model)
    order by c.call_id desc limit $calls)
select model, starts_with(ltrim(t.reply), '{') as structured, count(*) as calls,
    regr_slope(n.input_tokens, strlen(t.prompt)) as slope,
    regr_intercept(n.input_tokens, strlen(t.prompt)) as intercept,
    sum(n.input_tokens) / sum(strlen(t.prompt)) as tokens_per_byte,
    avg(n.output_tokens) as output_tokens, quantile_cont(n.output_tokens, 0.05) as output_p5,
    quantile_cont(n.output_tokens, 0.95) as output_p95, avg(n.latency_ms) as mean_ms,
    coalesce(stddev_samp(n.latency_ms), 0) as sd_ms, quantile_cont(n.latency_ms, 0.5) as p50_ms,
    quantile_cont(n.latency_ms, 0.95) as p95_ms
from newest as n join texts as t on n.call_id = t.call_id
where t.reply is not null and strlen(t.prompt) > 0 group by all
"""
_PLANS: Final = """
select flow, step, model, basis, expected_usd, actual_usd from plans
where actual_usd > 0 and expected_usd > 0 and (flow = $flow or list_contains($models, model))
order by planned_at desc limit 200
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastStep:
    """What one step asked of one model for one item."""

    run_id: str
    item: int
    step: str
    strategy: str | None
    model: str | None
    """``None`` where the step asked nothing."""
    requests: int
    """How many the step made for this item, of whichever model."""
    calls: int
    usage: Usage
    """Tokens of its calls together."""
    cost_usd: float
    """Of what was answered; what may have been billed without an answer is no precedent."""
    priced: bool
    """Whether the cost came from tokens and price, and not from a recording."""
    prompt_bytes: int | None
    """Bytes of its prompts together."""
    keys: str
    """The same for the same questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastLatency:
    """How long calls took that were not answered from the cache."""

    calls: int
    mean_ms: float
    sd_ms: float
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PastModel:
    """What the newest calls of one model say of its next one, whatever it is asked."""

    calls: int
    slope: float | None
    """Input tokens a byte of prompt, beside ``intercept``; ``None`` where all prompts are of one length."""
    intercept: float | None
    tokens_per_byte: float
    output_tokens: float
    output_p5: float
    output_p95: float
    latency: PastLatency


@dataclass(frozen=True, slots=True, kw_only=True)
class PastPlan:
    """What was expected of a step before a run, and what it came to."""

    flow: str
    step: str
    model: str
    basis: str
    expected_usd: float
    actual_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known of a flow's earlier runs and of the models that it would ask."""

    sources: dict[str, str]
    """Run to the text of its cell; newest first."""
    steps: tuple[PastStep, ...] = ()
    latencies: dict[tuple[str, str], PastLatency]
    """By step and model."""
    models: dict[tuple[str, bool], PastModel]
    """By model, and whether the replies were JSON objects."""
    plans: tuple[PastPlan, ...] = ()

    @classmethod
    def empty(cls) -> History:
        """That of a workspace where nothing was run."""
        return cls(sources={}, latencies={}, models={})


def history(connection: duckdb.DuckDBPyConnection, flow: str, steps: Sequence[str], models: Sequence[str]) -> History:
    """Reads what is known.

    Args:
        connection: Reads the ledger.
        flow: Its name.
        steps: Those of its steps that ask models.
        models: Full names of the models that it may ask.
    """
    of_flow = {"flow": flow, "limit": MOST_RUNS}
    asked = _rows(connection, _STEPS, {**of_flow, "steps": list(steps), "rows": MOST_ROWS})
    spoken = _rows(connection, _MODELS, {"models": list(models), "calls": _MOST_CALLS})
    return History(
        sources={row["run_id"]: row["source"] or "" for row in _rows(connection, _RUNS, of_flow)},
        steps=tuple(_step(row) for row in asked),
        latencies={
            (row.pop("step"), row.pop("model")): PastLatency(**row) for row in _rows(connection, _LATENCIES, of_flow)
        },
        models={(row.pop("model"), row.pop("structured")): _model(row) for row in spoken},
        plans=tuple(PastPlan(**row) for row in _rows(connection, _PLANS, {"flow": flow, "models": list(models)})),
    )


def _step(row: dict[str, Any]) -> PastStep:
    names = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
    usage = Usage(**{name: int(row[name] or 0) for name in names})
    size = row["prompt_bytes"]
    return PastStep(
        run_id=row["run_id"],
        item=row["item"],
        step=row["step"],
        strategy=row["strategy"],
        model=row["model"],
        requests=row["requests"] or 0,
        calls=row["calls"] or 0,
        usage=usage,
        cost_usd=row["cost_usd"] or 0.0,
        priced=bool(row["priced"]),
        prompt_bytes=None if size is None else int(size),
        keys=row["keys"] or "",
    )


def _model(row: dict[str, Any]) -> PastModel:
    timing = {name: row.pop(name) for name in ("mean_ms", "sd_ms", "p50_ms", "p95_ms")}
    return PastModel(**row, latency=PastLatency(calls=row["calls"], **timing))


def _rows(connection: duckdb.DuckDBPyConnection, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    result = connection.execute(query, values)
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
