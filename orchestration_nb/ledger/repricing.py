"""When a price was wrong: the calls that were reckoned with it are reckoned anew, and all that adds them up.

A correction is an event like any other, so that a ledger made anew from its journals comes out the same. What a call
then costs depends on nothing but what was recorded of it and on the corrections that are known, never on the order in
which they arrived: of the corrections that cover a call (its model, and the time at which it began, which is before
the correction was made) the last one counts, and it starts from the call as it was recorded, which ``as_recorded``
keeps.

* ``cost_usd`` is reckoned from the tokens of each class, and through a batch API at its provider's share of the price.
* ``billed_usd`` of a call that was asked follows its cost. What may have been billed without an answer was set down at
  the most it can cost, its tokens are not known: it grows or shrinks as the dearest price of a token does.
* What came from a cache was not billed, and is not now. A call without a price, whose cost was recorded elsewhere, is
  left as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING

from orchestration_nb.catalog import BATCH_SHARE, Price
from orchestration_nb.events import Repriced
from orchestration_nb.ledger.query import as_frame

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

PRICES = (
    "input_usd_per_mtok",
    "output_usd_per_mtok",
    "cached_usd_per_mtok",
    "cache_write_usd_per_mtok",
    "reasoning_usd_per_mtok",
)
"""The columns of a price, in ``calls``, ``repricings`` and :class:`~orchestration_nb.catalog.Price` alike."""
_RECORDED = ("cost_usd", "billed_usd", *PRICES)
_COVERS = """
r.model = o.model and o.started_at < least(coalesce(r.until, r.repriced_at), r.repriced_at)
and (r.since is null or o.started_at >= r.since) and (r.above_tokens is null or o.input_tokens > r.above_tokens)
"""
_LAST_FIRST = ", ".join(
    [
        "r.repriced_at desc",
        "r.above_tokens desc nulls last",
        *(f"r.{name} desc" for name in PRICES),
        "r.batch_share desc nulls last",
    ]
)
# As Price.cost_usd does it, in the same order.
_COST = """
(greatest(0, input_tokens - cached_tokens - cache_write_tokens) * new_input_usd_per_mtok
+ cached_tokens * coalesce(new_cached_usd_per_mtok, new_input_usd_per_mtok)
+ cache_write_tokens * coalesce(new_cache_write_usd_per_mtok, new_input_usd_per_mtok)
+ greatest(0, output_tokens - reasoning_tokens) * new_output_usd_per_mtok
+ reasoning_tokens * coalesce(new_reasoning_usd_per_mtok, new_output_usd_per_mtok)) / 1e6
"""


def _dearest(*names: str) -> str:
    """How many times as much the dearest of some classes of tokens costs now; null where it was free."""
    now, then = (f"greatest({', '.join(prefix + name for name in names)})" for prefix in ("new_", ""))
    return f"{now} / nullif({then}, 0)"


_TIMES_DEARER = f"""coalesce(greatest(
    {_dearest("input_usd_per_mtok", "cached_usd_per_mtok", "cache_write_usd_per_mtok")},
    {_dearest("output_usd_per_mtok", "reasoning_usd_per_mtok")}), 1)"""


def _reckoned(repricings: str, touched: str) -> str:
    """SQL of the calls that a correction covers: as recorded, as they stand, and (``new_``) as they come out.

    Args:
        repricings: A table of corrections.
        touched: The calls to look at, as a condition on ``c``.
    """
    recorded = ", ".join(f"case when k.call_id is null then c.{name} else k.{name} end as {name}" for name in _RECORDED)
    standing = ", ".join(f"c.{name} as old_{name}" for name in _RECORDED)
    share = f"case when o.batch then coalesce(r.batch_share, {BATCH_SHARE}) else 1 end"
    prices = ", ".join(f"r.{name} * {share} as new_{name}" for name in PRICES)
    return f"""
with original as (
    select c.call_id, c.request_id, c.run_id, c.model, c.started_at, coalesce(c.cache, 'none') as cache,
        coalesce(c.batch, false) as batch, coalesce(c.simulated, false) as simulated, coalesce(c.input_tokens, 0) as
        input_tokens, coalesce(c.cached_tokens, 0) as cached_tokens, coalesce(c.cache_write_tokens, 0) as
        cache_write_tokens, coalesce(c.output_tokens, 0) as output_tokens, coalesce(c.reasoning_tokens, 0) as
        reasoning_tokens, {recorded}, {standing}
    from calls as c left join as_recorded as k using (call_id) where {touched}),
covered as (
    select o.*, {prices} from original as o join {repricings} as r on {_COVERS}
    where o.input_usd_per_mtok is not null
    qualify row_number() over (partition by o.call_id order by {_LAST_FIRST}) = 1),
costed as (select *, {_COST} as new_cost_usd from covered)
select *, case when cache <> 'none' then billed_usd
    else new_cost_usd + greatest(billed_usd - cost_usd, 0) * {_TIMES_DEARER} end as new_billed_usd
from costed
"""  # noqa: S608 - our own names


# Only what holds a call that was reckoned anew is added up anew; the order makes the sums of floats the same each time.
_ADD_UP = (
    """update requests set cost_usd = s.cost_usd, billed_usd = s.billed_usd from (
           select request_id, sum(cost_usd order by call_id) as cost_usd, sum(billed_usd order by call_id) as billed_usd
           from calls where request_id in (select request_id from as_recorded where run_id in (from dirty))
           group by request_id) as s
       where requests.request_id = s.request_id""",
    """update steps set cost_usd = s.cost_usd from (
           select run_id, item, step, sum(cost_usd order by request_id) as cost_usd
           from requests where run_id in (from dirty) group by run_id, item, step
           having bool_or(request_id in (select request_id from as_recorded))) as s
       where steps.run_id = s.run_id and steps.item = s.item and steps.step = s.step""",
    """update items set cost_usd = s.cost_usd, billed_usd = s.billed_usd from (
           select run_id, item, sum(cost_usd order by request_id) as cost_usd,
               sum(billed_usd order by request_id) as billed_usd
           from requests where run_id in (from dirty) group by run_id, item
           having bool_or(request_id in (select request_id from as_recorded))) as s
       where items.run_id = s.run_id and items.item = s.item""",
    """update runs set cost_usd = s.cost_usd, billed_usd = s.billed_usd from (
           select run_id, sum(cost_usd order by call_id) as cost_usd, sum(billed_usd order by call_id) as billed_usd
           from calls where run_id in (from dirty) group by run_id) as s
       where runs.run_id = s.run_id and runs.cost_usd is not null""",
)
_PER_RUN = ("call", "request", "item", "run_started", "run_finished")
"""The kinds of lines that say of which run they are."""


def reprice(connection: duckdb.DuckDBPyConnection, staged: Collection[str]) -> None:
    """Reckons anew what a batch of lines touches; the last thing in the transaction that loads it.

    Args:
        connection: Writes the ledger.
        staged: The kinds of lines in the batch; they stand in the tables ``staged_<kind>``.
    """
    if not connection.execute("select 1 from repricings limit 1").fetchall():
        return
    touched = ["false"]
    if "repriced" in staged:
        touched.append("c.model in (select model from staged_repriced)")
    if "call" in staged:
        touched.append("c.call_id in (select call_id from staged_call)")
    names = ", ".join(_RECORDED)
    connection.execute(f"create or replace temp table reckoned as {_reckoned('repricings', ' or '.join(touched))}")
    connection.execute(
        f"""insert into as_recorded by name select call_id, request_id, run_id, {names} from reckoned
            where call_id not in (select call_id from as_recorded)"""  # noqa: S608
    )
    changed = ", ".join(f"{name} = n.new_{name}" for name in _RECORDED)
    connection.execute(f"update calls set {changed} from reckoned as n where calls.call_id = n.call_id")  # noqa: S608
    _add_up(connection, staged)


def _add_up(connection: duckdb.DuckDBPyConnection, staged: Collection[str]) -> None:
    runs = [
        "select run_id from reckoned",
        *(f"select run_id from staged_{kind}" for kind in _PER_RUN if kind in staged),  # noqa: S608
    ]
    if "segment" in staged:  # closing a file adds up the runs that have no end in it
        runs.append("select run_id from runs where segment in (select name from staged_segment where closed)")
    everyone = " union ".join(runs)
    connection.execute(
        f"""create or replace temp table dirty as
            select run_id from ({everyone}) where run_id in (select run_id from as_recorded)"""  # noqa: S608
    )
    if connection.execute("select 1 from dirty limit 1").fetchall():
        for statement in _ADD_UP:
            connection.execute(statement)


def corrections(
    model: str,
    price: Price,
    *,
    since: datetime | None,
    until: datetime | None,
    now: datetime,
    batch_share: float | None = None,
) -> tuple[Repriced, ...]:
    """A price as events: one, and one more for each length of prompt from which it differs."""
    lengths = [(None, price.at(0)), *price.longer]
    return tuple(
        Repriced(
            model=model,
            since=since,
            until=until,
            above_tokens=above,
            batch_share=batch_share,
            repriced_at=now,
            **{name: getattr(paid, name) for name in PRICES},
        )
        for above, paid in lengths
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Repricing:
    """What corrections change, or would change."""

    rows: pd.DataFrame
    """A row for each price that the calls stand at now: ``input_usd_per_mtok, output_usd_per_mtok, batch, simulated,
    calls, cost_usd, new_cost_usd, billed_usd, new_billed_usd``."""
    unpriced: int
    """Calls of the time that have no price, because their cost was recorded elsewhere; they stay as they are."""

    @property
    def calls(self) -> int:
        """How many calls come out differently."""
        return int(self.rows["calls"].sum())


_CHANGES = f"""
select old_input_usd_per_mtok as input_usd_per_mtok, old_output_usd_per_mtok as output_usd_per_mtok, batch, simulated,
    count(*) as calls, sum(old_cost_usd) as cost_usd, sum(new_cost_usd) as new_cost_usd,
    sum(old_billed_usd) as billed_usd, sum(new_billed_usd) as new_billed_usd
from ({_reckoned("fresh", "c.model in (select model from fresh)")})
where {" or ".join(f"old_{name} is distinct from new_{name}" for name in PRICES)}
    or abs(new_cost_usd - old_cost_usd) > 1e-12 or abs(new_billed_usd - old_billed_usd) > 1e-12
group by all order by input_usd_per_mtok, output_usd_per_mtok, batch, simulated
"""  # noqa: S608 - our own names
_UNPRICED = f"""
select count(*) from calls as o where input_usd_per_mtok is null and cost_usd > 0
    and exists (select 1 from fresh as r where {_COVERS})
"""  # noqa: S608


def changes(connection: duckdb.DuckDBPyConnection, fresh: Sequence[Repriced]) -> Repricing:
    """What corrections of one price would change; nothing is written."""
    names = [field.name for field in fields(Repriced)]
    row = f"({', '.join('?' for _ in names)})"
    kinds = dict.fromkeys(("since", "until", "repriced_at"), "timestamp") | {"above_tokens": "bigint"}
    kinds |= dict.fromkeys((*PRICES, "batch_share"), "double")
    typed = ", ".join(f"cast({name} as {kinds.get(name, 'varchar')}) as {name}" for name in names)
    listed = (
        f"""with fresh as (select {typed} from (values {", ".join([row] * len(fresh))}) as f({", ".join(names)}))"""  # noqa: S608
    )
    values = [value for one in fresh for value in astuple(one)]
    rows = connection.sql(f"{listed} {_CHANGES}", params=values)
    unpriced = connection.execute(f"{listed} {_UNPRICED}", values).fetchall()[0][0]
    return Repricing(rows=as_frame(rows), unpriced=int(unpriced))
