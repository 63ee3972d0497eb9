"""Which budgets and quotas a call concerns, and the account of each, by ``[budgets.*]`` and ``[quotas.*]``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from orchestration_nb.config import BudgetSettings, Period, QuotaSettings, Reached
from orchestration_nb.cost.sums import picodollars
from orchestration_nb.ids import RunId
from orchestration_nb.state.accounts import Account, Charge, Kind

RUN: Final = "run"
"""Name of a run's own budget."""
OWN: Final = "own"
"""What it is kept per: no setting can say that, so that a budget may be called ``run`` as well."""
PIPELINE: Final = "pipeline"
"""Name of the budget of a headless run of a notebook, its retries and resumptions included."""
HEADLESS: Final = "headless"
"""What that is kept per; again nothing that a setting could say."""
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC, as the clock's
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spender:
    """Whose money a call spends."""

    run_id: RunId
    root_run_id: RunId
    """The first of the runs that go on with each other: they share one run budget."""
    flow: str
    notebook: str | None = None
    pipeline: str | None = None
    """The first of the headless runs of the notebook that go on with each other, or ``None``: nobody runs it so."""
    user: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """One budget or quota, for whom it holds and in which period: an account and its limit."""

    account: Account
    key: str
    """That of the account."""
    most: int
    """Picodollars, requests or tokens, unless raised since."""
    reached: Reached
    ends_at: datetime | None
    """When it begins anew (naive UTC); ``None``: never."""

    def charge(self, amount: int, known_spent: int = 0) -> Charge:
        """What a call is charged at most."""
        reached = self.reached
        return Charge(self.key, self.account, amount, self.most, reached != "alert", reached == "pause", known_spent)

    @property
    def is_own(self) -> bool:
        """Whether it is a run's own budget."""
        return self.account.per == OWN

    @property
    def label(self) -> str:
        """The budget's name, and whose it is: ``run``, ``each-user (ada)``."""
        return label_of(self.account)


def label_of(account: Account) -> str:
    """How a sentence names an account."""
    return account.name if account.per in {"workspace", OWN, HEADLESS} else f"{account.name} ({account.whose})"


class Allowances:
    """All that holds in a workspace.

    Args:
        budgets: The setting ``[budgets.*]``.
        quotas: The setting ``[quotas.*]``.
    """

    def __init__(self, budgets: Mapping[str, BudgetSettings], quotas: Mapping[str, QuotaSettings]) -> None:
        self._rules = [*_rules(budgets, quotas)]

    def hold_pipeline(self, root: str, usd: float, reached: Reached) -> None:
        """Holds a headless run of a notebook, and all that goes on with it, to a budget.

        Args:
            root: The first of the runs that go on with each other.
            usd: What they may spend together.
            reached: What happens when that is reached.
        """
        most = picodollars(usd)
        self._rules.append(
            _Rule(kind="usd", name=PIPELINE, per=HEADLESS, only=root, period=None, most=most, reached=reached)
        )

    def concerning(self, spender: Spender, step: str, now: datetime) -> list[Allowance]:
        """Those that a call concerns, the run's own budget left out.

        Args:
            spender: Whose money it spends.
            step: Name of the step, or an empty string outside of a flow.
            now: Naive UTC.
        """
        found = ((rule, _whose(rule.per, rule.only, spender, step)) for rule in self._rules)
        return [rule.of(whose, now) for rule, whose in found if whose is not None]

    def named(self, now: datetime) -> list[Allowance]:
        """Those that hold for one alone (the workspace, or whom ``only`` names), in their present periods."""
        alone = (rule for rule in self._rules if rule.per == "workspace" or rule.only)
        return [rule.of("" if rule.per == "workspace" else str(rule.only), now) for rule in alone]

    def like(self, account: Account, now: datetime) -> Allowance | None:
        """What the settings say of an account that was found, or ``None`` where they do not know it any more."""
        for rule in self._rules:
            theirs = rule.per == HEADLESS and rule.only != account.whose  # an earlier run's of the same notebook
            if (rule.kind, rule.name, rule.per) == (account.kind, account.name, account.per) and not theirs:
                allowance = rule.of(account.whose, now)
                return allowance if allowance.account.key == account.key else None
        return None

    def periods(self, now: datetime) -> list[tuple[Kind, str, int]]:
        """Kind, name and beginning of the present period of each."""
        return [(rule.kind, rule.name, rule.of("", now).account.begins_us) for rule in self._rules]


def run_allowance(spender: Spender, limit_usd: float, reached: Reached) -> Allowance:
    """A run's own budget."""
    account = Account("usd", RUN, OWN, spender.root_run_id)
    return Allowance(account=account, key=account.key, most=picodollars(limit_usd), reached=reached, ends_at=None)


def microseconds(moment: datetime) -> int:
    """Since 1970; ``moment`` is naive UTC."""
    return (moment - _EPOCH) // _MICROSECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    kind: Kind
    name: str
    per: str
    only: str | None
    period: Period | None
    most: int
    reached: Reached

    def of(self, whose: str, now: datetime) -> Allowance:
        begins_at, ends_at = _bounds(self.period, now)
        begins_us = 0 if begins_at is None else microseconds(begins_at)
        account = Account(self.kind, self.name, self.per, whose, begins_us, self.period or "")
        return Allowance(account=account, key=account.key, most=self.most, reached=self.reached, ends_at=ends_at)


def _rules(budgets: Mapping[str, BudgetSettings], quotas: Mapping[str, QuotaSettings]) -> Iterator[_Rule]:
    for name, said in budgets.items():
        yield _Rule(
            kind="usd",
            name=name,
            per=said.per,
            only=said.only,
            period=said.period,
            most=picodollars(said.usd),
            reached=said.reached,
        )
    for name, quota in quotas.items():
        amounts: tuple[tuple[Kind, int | None], ...] = (("requests", quota.requests), ("tokens", quota.tokens))
        for kind, most in amounts:
            if most is not None:
                yield _Rule(
                    kind=kind,
                    name=name,
                    per=quota.per,
                    only=quota.only,
                    period=quota.period,
                    most=most,
                    reached="reject",
                )


def _whose(per: str, only: str | None, spender: Spender, step: str) -> str | None:
    """Whose account of that kind a call concerns; ``None``: none."""
    if per == "workspace":
        return ""
    if per == "step":
        full = f"{spender.flow}.{step}"
        if not step or only not in {None, step, full}:
            return None
        return only or full
    whose = _named(per, spender)
    return whose if whose and only in {None, whose} else None


def _named(per: str, spender: Spender) -> str | None:
    if per.startswith("tag:"):
        return spender.tags.get(per.removeprefix("tag:"))
    named = {
        "run": spender.root_run_id,
        "flow": spender.flow,
        "notebook": spender.notebook,
        "pipeline": spender.pipeline,
        HEADLESS: spender.pipeline,
        "user": spender.user,
    }
    return named[per]


def _bounds(period: Period | None, now: datetime) -> tuple[datetime, datetime] | tuple[None, None]:
    if period is None:
        return None, None
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return midnight, midnight + timedelta(days=1)
    first = midnight.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)
