"""How a budget or quota stands, and what became of calls whose process died: what others are told of the money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from orchestration_nb.config import Reached
from orchestration_nb.cost.allowances import Allowance
from orchestration_nb.cost.sums import in_dollars
from orchestration_nb.state.accounts import Balance, Kind, Lost


@dataclass(frozen=True, slots=True, kw_only=True)
class LostCall:
    """An attempt whose process died: it may have been billed, and is settled at the most it can cost."""

    usd: float
    facts: Mapping[str, Any]
    """What :meth:`RunBudget.reserve` was told of it."""
    reserved_us: int
    """When its money was set aside: microseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a budget or quota stands."""

    name: str
    """As a sentence names it: ``run``, ``support-month (support)``."""
    kind: Kind
    limit: float
    """US dollars, requests or tokens."""
    spent: float
    held: float
    """Set aside for calls under way."""
    begins_at: datetime | None
    """Of its present period (naive UTC); ``None`` where it never begins anew."""
    ends_at: datetime | None
    reached: Reached

    @property
    def share(self) -> float:
        """Spent over the limit."""
        return self.spent / self.limit if self.limit else float(self.spent > 0)


def lost_call(lost: Lost) -> LostCall:
    """A hold that was recovered, as others are told of it."""
    return LostCall(usd=in_dollars(lost.usd), facts=orjson.loads(lost.facts), reserved_us=lost.opened_us)


def standing_of(allowance: Allowance, balance: Balance) -> Standing:
    """What stands in the accounts, in dollars, requests or tokens."""
    kind, begins_us = allowance.account.kind, allowance.account.begins_us
    limit, spent, held = (
        in_dollars(amount) if kind == "usd" else float(amount) for amount in (balance.most, balance.spent, balance.held)
    )
    return Standing(
        name=allowance.label,
        kind=kind,
        limit=limit,
        spent=spent,
        held=held,
        begins_at=_EPOCH + timedelta(microseconds=begins_us) if begins_us else None,
        ends_at=allowance.ends_at,
        reached=allowance.reached,
    )


_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC, as the clock's
