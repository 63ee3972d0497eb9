"""Where the money went: by model, step, flow, user, day, notebook or tag."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from orchestration_nb.errors import UsageError
from orchestration_nb.ledger.query import as_frame

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

GROUPINGS = ("model", "step", "flow", "user", "day", "notebook")
"""What money can be told apart by, beside ``tag:NAME``."""
DAYS = 30
_TAG = re.compile(r"tag:.+")
_GROUPS = {
    "model": "c.model",
    "step": "coalesce(q.step, '(no step)')",
    "flow": "coalesce(r.flow, '(no flow)')",
    "user": """coalesce(r."user", '(nobody)')""",
    "day": "strftime(c.started_at, '%Y-%m-%d')",
    "notebook": "coalesce(r.notebook, '(no notebook)')",
    "tag": "coalesce(map_extract_value(r.tags, $tag), '(no tag)')",
}
_UNKNOWN = "case when c.bill_unknown then greatest(c.billed_usd - c.cost_usd, 0) else 0 end"
_BY_CLASS = ", ".join(
    f"coalesce(sum(k.{name}_usd), 0) as {name}_usd"
    for name in ("input", "cached", "cache_write", "output", "reasoning")
)
_FROM = """
from calls as c left join runs as r using (run_id) left join requests as q using (request_id)
where c.started_at >= $since
"""
_KINDS = f"""
select coalesce(sum(c.billed_usd) filter (not c.simulated), 0), count(*) filter (c.simulated) {_FROM}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What was spent in some days, real and simulated money never in one sum."""

    by: str
    """One of :data:`GROUPINGS`, or ``tag:NAME``."""
    since: datetime
    """Midnight (UTC) before the first day."""
    simulated: bool
    """Nothing real was spent: what is told is what simulated or recorded models would have cost. No money."""
    left_out: int
    """Simulated calls that are not told of, because real money was spent."""
    rows: pd.DataFrame
    """A row for each value of ``by``, the dearest first (days in their order): ``calls, from_cache, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens``; ``cost_usd`` at list price, of it
    ``input_usd, cached_usd, cache_write_usd, output_usd, reasoning_usd``; ``spent_usd``
    (``simulated_usd`` where it is no money), and ``unknown_usd`` that may have been billed on top, for calls whose
    answer never came."""
    daily: pd.DataFrame
    """A row for each day and value: ``day, group, usd, calls``; the dollars are those of ``rows``, unknown ones
    included."""
    alerts: pd.DataFrame
    """The alerts of these days, newest first, at most 20: ``raised_at, kind, budget, share, message, run_id``."""

    @property
    def money(self) -> str:
        """The column of ``rows`` that says how much."""
        return "simulated_usd" if self.simulated else "spent_usd"

    @property
    def spent_usd(self) -> float:
        """What was surely spent; where nothing real was, what it would have been."""
        return float(self.rows[self.money].sum())

    @property
    def unknown_usd(self) -> float:
        """What may have been billed on top, at the most."""
        return float(self.rows["unknown_usd"].sum())


def grouping(words: Sequence[str]) -> str:
    """What ``by model``, ``model`` or nothing at all says, as one of :data:`GROUPINGS` or ``tag:NAME``.

    Raises:
        UsageError: If it says something else.
    """
    named = [word for place, word in enumerate(words) if (place, word) != (0, "by")]
    if not named and not words:
        return "model"
    if len(named) == 1 and (named[0] in GROUPINGS or _TAG.fullmatch(named[0])):
        return named[0]
    said = " ".join(words)
    near = difflib.get_close_matches(" ".join(named), GROUPINGS, n=1, cutoff=0.5)
    known = f"There are: {', '.join(GROUPINGS)} and tag:NAME."
    raise UsageError(f"Spend cannot be told by {said!r}.", hint=f"Did you mean `by {near[0]}`?" if near else known)


def spend(connection: duckdb.DuckDBPyConnection, *, by: str, since: datetime) -> Spend:
    """What was spent since a moment (naive UTC)."""
    asked = {"since": since}
    real_usd, simulated_calls = connection.execute(_KINDS, asked).fetchall()[0]
    simulated = not real_usd and bool(simulated_calls)
    kind, _, tag = by.partition(":")
    group, bound = _GROUPS[kind], {**asked, "simulated": simulated} | ({"tag": tag} if tag else {})
    money = "simulated_usd" if simulated else "spent_usd"
    order = "1" if by == "day" else f"{money} desc, unknown_usd desc, calls desc, 1"
    rows = f"""
        select {group} as "{kind}", count(*) as calls,
            count(*) filter (c.cache <> 'none') as from_cache, sum(c.input_tokens) as input_tokens,
            sum(c.cached_tokens) as cached_tokens, sum(c.cache_write_tokens) as cache_write_tokens,
            sum(c.output_tokens) as output_tokens, sum(c.reasoning_tokens) as reasoning_tokens,
            sum(c.cost_usd) as cost_usd, {_BY_CLASS}, sum(c.billed_usd - {_UNKNOWN}) as {money},
            sum({_UNKNOWN}) as unknown_usd
        {_FROM.replace("where", "join costs as k using (call_id) where")} and c.simulated = $simulated
        group by 1 order by {order}"""
    daily = f"""
        select cast(c.started_at as date) as day, {group} as "group", sum(c.billed_usd) as usd,
            count(*) as calls
        {_FROM} and c.simulated = $simulated group by 1, 2 order by 1, 2"""
    alerts = """select raised_at, kind, budget, share, message, run_id from alerts where raised_at >= $since
                order by raised_at desc limit 20"""
    return Spend(
        by=by,
        since=since,
        simulated=simulated,
        left_out=0 if simulated else int(simulated_calls),
        rows=as_frame(connection.sql(rows, params=bound)),
        daily=as_frame(connection.sql(daily, params=bound)),
        alerts=as_frame(connection.sql(alerts, params=asked)),
    )
