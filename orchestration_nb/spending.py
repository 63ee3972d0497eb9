"""What a workspace spends and where its budgets are heading, and prices that were wrong: as values and in sentences.

Notebook and command line show the same; this is what they share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestration_nb.catalog import Price
from orchestration_nb.cost.budget import dollars
from orchestration_nb.cost.burn import Burn, burns
from orchestration_nb.engine.loop import wait
from orchestration_nb.errors import UnknownModelError, UsageError
from orchestration_nb.events import Repriced
from orchestration_nb.ledger import Repricing, Spend, corrections
from orchestration_nb.providers.batches import BatchingProvider
from orchestration_nb.workspace import Workspace

NO_MONEY = "simulated, no money"
BUDGETS_KEEP = "What budgets have counted so far stays as it was counted."
BURN_HEADER = ("budget", "spent", "of", "share", "held", "at this pace")
PEOPLE_READ = ("calls", "from_cache", "input_tokens", "output_tokens")
"""What people see of the rows of :class:`~orchestration_nb.ledger.Spend`; programs get all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Where the money went, and where it is going."""

    spend: Spend
    burns: tuple[Burn, ...] = ()
    """The budgets of money, the fullest first."""


def spending(workspace: Workspace, by: str, days: int) -> Spending:
    """Reads ledger and budgets.

    Raises:
        UsageError: If money cannot be told apart by that.
        WorkspaceError: If ledger or state cannot be read.
    """
    spend = workspace.ledger.spend(by, days=days)
    if not workspace.settings.budgets:
        return Spending(spend=spend)
    standings = wait(workspace.engine.submit(workspace.budgets.standings()))
    return Spending(spend=spend, burns=tuple(burns(standings, workspace.clock.now())))


def headline(spending: Spending) -> list[str]:
    """What was spent, in a few sentences; simulated dollars are never called money."""
    spend, since = spending.spend, f"since {spending.spend.since:%d %B %Y}"
    if spend.rows.empty:
        return [f"No call was made {since}."]
    if spend.simulated:
        cost = dollars(spend.spent_usd)
        return [f"Nothing real was spent {since}. Below is what simulated models would have cost: {cost} ({NO_MONEY})."]
    told = [f"{dollars(spend.spent_usd)} spent {since}."]
    if spend.unknown_usd:
        told.append(f"Up to {dollars(spend.unknown_usd)} more may have been billed: for calls whose answer never came.")
    if spend.left_out:
        calls, they = ("call is", "it") if spend.left_out == 1 else ("calls are", "they")
        told.append(f"{spend.left_out:,} simulated {calls} left out: {they} cost nothing.")
    return told


def shown_columns(spend: Spend) -> list[str]:
    """The columns for people: what may have been billed only where there is some."""
    unknown = ["unknown_usd"] if spend.unknown_usd else []
    return [str(spend.rows.columns[0]), *PEOPLE_READ, spend.money, *unknown]


def burn_rows(burns: Sequence[Burn]) -> list[tuple[str, ...]]:
    """The budgets as texts under :data:`BURN_HEADER`."""
    return [
        (
            burn.budget,
            dollars(burn.spent_usd),
            dollars(burn.limit_usd),
            f"{burn.share:.0%}",
            dollars(burn.held_usd),
            heading(burn),
        )
        for burn in burns
    ]


def heading(burn: Burn) -> str:
    """Where a budget's period ends at its pace."""
    if burn.ends is None:
        return "–"
    if burn.forecast_usd is None:
        return "too early to say"
    end = f"{dollars(burn.forecast_usd)} on {burn.ends:%d %B}"
    return f"{end}, used up on {burn.dry_at:%d %B %H:%M} UTC" if burn.dry_at else end


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceToMend:
    """Which calls of a model are to be reckoned anew, and with what."""

    model: str
    since: datetime | None = None
    until: datetime | None = None
    paid: Mapping[str, float | None] | None = None
    """Dollars per million tokens by field of :class:`~orchestration_nb.catalog.Price`; ``None``: what holds now."""

    def corrections(self, workspace: Workspace) -> tuple[Repriced, ...]:
        """The events that mend it.

        Raises:
            UsageError: If there is no price to reckon with, or the prices given are not whole.
            UnknownModelError: If there is no such model and no price was given.
        """
        name, price = self._resolved(workspace)
        provider = workspace.providers.get(name.partition("/")[0])
        return corrections(
            name,
            price,
            since=self.since,
            until=self.until,
            now=workspace.clock.now(),
            batch_share=provider.batch_price if isinstance(provider, BatchingProvider) else None,
        )

    def _resolved(self, workspace: Workspace) -> tuple[str, Price]:
        given = {name: usd for name, usd in (self.paid or {}).items() if usd is not None}
        try:
            model = workspace.catalog.resolve(self.model)
        except UnknownModelError:
            if not given:
                raise
            return self.model, _whole_price(given)  # one that is not listed any more
        price = _whole_price(given) if given else model.price
        if price is None:
            raise UsageError(
                f"Nobody knows what {model.name} costs.",
                hint="Give its price: --input USD --output USD, each per million tokens.",
            )
        return model.name, price


def _whole_price(given: Mapping[str, float]) -> Price:
    if not {"input_usd_per_mtok", "output_usd_per_mtok"} <= given.keys():
        raise UsageError("A price needs --input and --output.", hint="Each in US dollars per million tokens.")
    return Price(**given)  # type: ignore[arg-type]


REPRICING_HEADER = ("$ per million, in / out", "", "calls", "cost now", "cost then", "billed now", "billed then")


def repricing_rows(repricing: Repricing) -> list[tuple[str, ...]]:
    """What a correction changes, as texts under :data:`REPRICING_HEADER`."""
    return [
        (
            f"{row['input_usd_per_mtok']:g} / {row['output_usd_per_mtok']:g}",
            ", ".join(word for word in ("batch", "simulated") if row[word]),
            f"{row['calls']:,}",
            *(dollars(row[name]) for name in ("cost_usd", "new_cost_usd", "billed_usd", "new_billed_usd")),
        )
        for row in repricing.rows.to_dict("records")
    ]


def repricing_sentences(events: Sequence[Repriced], repricing: Repricing) -> list[str]:
    """What would come of it, in words."""
    first, *longer = events
    paid = f"${first.input_usd_per_mtok:g} in and ${first.output_usd_per_mtok:g} out per million tokens"
    tiers = "".join(
        f", ${one.input_usd_per_mtok:g} and ${one.output_usd_per_mtok:g} for prompts above {one.above_tokens:,} tokens"
        for one in longer
    )
    number = "1 call" if repricing.calls == 1 else f"{repricing.calls:,} calls"
    calls = f"{number} of {first.model} would be reckoned anew with {paid}{tiers}."
    if not repricing.calls:
        calls = f"No call of {first.model} would change: none is reckoned with another price than {paid}{tiers}."
    kept = f"Not changed, because their cost was recorded elsewhere and no price goes with it: {repricing.unpriced:,}."
    return [calls, *([kept] if repricing.unpriced else [])]


def moment(text: str) -> datetime:
    """A day or a time as naive UTC; one that names no zone is UTC.

    Raises:
        UsageError: If it is neither.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date.", hint="Write 2026-11-22 or 2026-11-22T09:30 (UTC).") from None
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)
