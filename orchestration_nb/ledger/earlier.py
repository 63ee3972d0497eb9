"""The calls of a pipeline that is gone on with: what was answered, and what was in flight when a process died."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestration_nb.ids import CallId, PipelineId

if TYPE_CHECKING:
    import duckdb

# A call that was answered from an earlier one's reply adds nothing to it. The texts hold no tool calls, so a reply that
# asked for tools cannot be given again.
_CALLS: Final = """
with chain as (
    select pipeline_id from pipelines where (pipeline_id = $root or resumes = $root) and pipeline_id <> $own),
restored as (
    select run_id from cell_runs where list_contains($restored, cell) and pipeline_id in (from chain))
select c.call_id, r.flow, coalesce(c.for_step, q.step, ''), coalesce(c.for_item, q.item, 0), c.cache_key,
    coalesce(c.recovered, false), c.cache = 'none', r.run_id in (from restored), t.reply, c.similarity,
    coalesce(c.input_tokens, 0), coalesce(c.cached_tokens, 0), coalesce(c.cache_write_tokens, 0),
    coalesce(c.output_tokens, 0), coalesce(c.reasoning_tokens, 0), c.cost_usd,
    -- what it was reckoned with: a cost that no price makes was recorded, and is kept
    c.input_usd_per_mtok is null, c.latency_ms, c.finish_reason, c.model_version
from calls as c join runs as r using (run_id)
    left join requests as q on c.request_id = q.request_id
    left join texts as t on c.call_id = t.call_id
where r.pipeline_id in (from chain) and c.cache_key is not null and not starts_with(c.cache_key, 'embed:')
    and (coalesce(c.recovered, false) or (
        c.status = 'ok' and t.reply is not null and c.finish_reason is distinct from 'tool_calls'
        and (c.again_of is null or c.cache = 'none')))
    and not (coalesce(c.recovered, false) and c.call_id in (
        select l.again_of from calls as l join runs as n using (run_id)
        where l.again_of is not null and n.pipeline_id in (from chain)))
order by c.call_id
"""
_AGAIN: Final = """
select count(*) filter (c.cache = 'none') as sent, count(*) filter (c.cache <> 'none') as answered
from calls as c join runs as r using (run_id) where r.pipeline_id = ? and c.again_of is not null
"""


@dataclass(frozen=True, slots=True)
class EarlierCall:
    """A call of an earlier pipeline run of the chain."""

    call_id: CallId
    flow: str
    step: str
    item: int
    cache_key: str
    lost: bool
    """Whether its process died while it was in flight: there is no reply."""
    paid: bool
    """Whether it was sent, and not answered from the cache."""
    restored: bool
    """Whether its cell is not run again, so that only others that ask the same may want its reply."""
    reply: str | None
    similarity: float | None
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: float | None
    unpriced: bool
    """Whether its cost was recorded as it stands, and not reckoned from tokens and a price."""
    latency_ms: float | None
    finish_reason: str | None
    model_version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedAgain:
    """What a resumed pipeline run did with the calls of those before it."""

    sent: int
    """Calls that were in flight when a process was killed, and were sent again."""
    answered: int
    """Calls that were answered from a journalled reply."""

    def sentences(self) -> list[str]:
        """What is to be said of it; nothing where nothing was."""
        told = []
        if self.answered:
            told.append(f"{_calls(self.answered)} answered from the journal, and not sent again")
        if self.sent:
            told.append(f"{_calls(self.sent)} in flight when it was killed and {_were(self.sent)} sent again")
        return told


def _calls(number: int) -> str:
    return f"{number:,} {'call' if number == 1 else 'calls'} {_were(number)}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def earlier_calls(
    connection: duckdb.DuckDBPyConnection, *, root: PipelineId, own: PipelineId, restored: Collection[int]
) -> list[EarlierCall]:
    """The calls of a chain of pipeline runs that can be answered from, and those that were lost in flight.

    Args:
        connection: Reads the ledger.
        root: The first of the chain.
        own: The pipeline run that goes on with it: its own calls are left out.
        restored: Numbers of the code cells that it does not run.
    """
    values = {"root": root, "own": own, "restored": sorted(restored)}
    return [EarlierCall(*row) for row in connection.execute(_CALLS, values).fetchall()]


def asked_again(connection: duckdb.DuckDBPyConnection, pipeline_id: str) -> AskedAgain:
    """How many calls of a pipeline run stand for earlier ones of its chain."""
    sent, answered = connection.execute(_AGAIN, [pipeline_id]).fetchall()[0]
    return AskedAgain(sent=sent, answered=answered)
