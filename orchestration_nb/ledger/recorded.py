"""Replies that were paid once and can be given again: what ``replay/...`` finds in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

# The texts hold no tool calls, so a reply that asked for tools cannot be given again.
_USABLE = """
from calls join texts using (call_id)
where status = 'ok' and cache = 'none' and provider <> 'replay' and cache_key is not null and reply is not null
    and finish_reason is distinct from 'tool_calls' and not starts_with(cache_key, 'embed:')
"""
_MODELS = f"""
select model, unnest(arg_max({{
    'input_usd': input_usd_per_mtok, 'output_usd': output_usd_per_mtok,
    'cached_usd': cached_usd_per_mtok, 'cache_write_usd': cache_write_usd_per_mtok,
    'reasoning_usd': reasoning_usd_per_mtok}}, (not coalesce(batch, false), call_id)))
{_USABLE} group by model order by model
"""
_CALLS = f"""
select cache_key, reply, coalesce(input_tokens, 0), coalesce(cached_tokens, 0), coalesce(cache_write_tokens, 0),
    coalesce(output_tokens, 0), coalesce(reasoning_tokens, 0), coalesce(cost_usd, 0), coalesce(latency_ms, 0), ttft_ms,
    finish_reason, model_version
{_USABLE} and model = ? order by call_id
"""


@dataclass(frozen=True, slots=True)
class RecordedPrice:
    """US dollars per million tokens, as they stand in a row of ``calls``."""

    input_usd_per_mtok: float | None
    output_usd_per_mtok: float | None
    cached_usd_per_mtok: float | None
    cache_write_usd_per_mtok: float | None
    reasoning_usd_per_mtok: float | None


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call that a model answered."""

    cache_key: str
    """The digest of the whole question: model, sample, messages, system prompt, schema, tools and limits."""
    reply: str
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: float
    latency_ms: float
    ttft_ms: float | None
    finish_reason: str | None
    model_version: str | None


def recorded_models(connection: duckdb.DuckDBPyConnection) -> dict[str, RecordedPrice]:
    """The models of which replies are recorded, each with the list price of its newest call.

    A price of a batch counts only where there is no other.
    """
    return {model: RecordedPrice(*price) for model, *price in connection.execute(_MODELS).fetchall()}


def recorded_calls(connection: duckdb.DuckDBPyConnection, model: str) -> list[RecordedCall]:
    """The calls of one model that ended ok and were really asked, in the order in which they were begun."""
    return [RecordedCall(*row) for row in connection.execute(_CALLS, [model]).fetchall()]
