"""What is said when a budget or quota refuses a call, or passes a mark."""

from __future__ import annotations

from datetime import datetime

from orchestration_nb.cost.allowances import HEADLESS, Allowance
from orchestration_nb.cost.sums import dollars, in_dollars
from orchestration_nb.errors import CostError, OverBudgetError, OverQuotaError
from orchestration_nb.events import BudgetAlert
from orchestration_nb.ids import RunId
from orchestration_nb.state.accounts import Passed, Short


def refusal(short: Short, allowance: Allowance) -> CostError:
    """Why a call is refused."""
    if allowance.account.kind == "usd":
        return _over_budget(short, allowance)
    return _over_quota(short, allowance)


def _over_budget(short: Short, allowance: Allowance) -> OverBudgetError:
    name, most = allowance.account.name, dollars(in_dollars(short.most))
    which = f"budget of {most}" if allowance.is_own else f"budget {allowance.label} of {most}"
    hint = "Raise it with --budget USD (or budget= in Python)"
    if allowance.account.per == HEADLESS:
        which = f"budget of {most} for this run of the notebook"
        hint = "Raise it with --budget USD of `orchestrate run` or `orchestrate resume`"
    elif not allowance.is_own:
        hint = f"Raise usd of [budgets.{name}] in orchestrate.toml"
    spent, most_of_call = dollars(in_dollars(short.spent)), dollars(in_dollars(short.charge.amount))
    return OverBudgetError(
        f"The {which} does not cover the next call: {spent} is spent and the call could cost up to {most_of_call}."
        + _anew(allowance.ends_at),
        hint=f"{hint}, or lower max_tokens. What is finished is kept and is not paid again.",
        budget=allowance.label,
        pauses=short.charge.pauses,
    )


def _over_quota(short: Short, allowance: Allowance) -> OverQuotaError:
    account = allowance.account
    said = f"The quota {allowance.label} of {short.most:,} {account.kind} "
    if account.kind == "requests":
        said += f"is used up: {short.spent:,} were sent."
    else:
        said += f"does not cover the next call: {short.spent:,} are used and the call could take up to "
        said += f"{short.charge.amount:,}."
    return OverQuotaError(
        said + _anew(allowance.ends_at),
        hint=f"Raise {account.kind} of [quotas.{account.name}] in orchestrate.toml. What is finished is kept.",
        quota=allowance.label,
    )


def _anew(ends_at: datetime | None) -> str:
    return "" if ends_at is None else f" It begins anew on {ends_at.day} {ends_at:%B %Y} at 00:00 UTC."


def marks_passed(passed: Passed, label: str, *, run_id: RunId | None, now: datetime) -> list[BudgetAlert]:
    """One alert for each mark."""
    spent_usd, limit_usd = in_dollars(passed.spent), in_dollars(passed.most)
    return [
        BudgetAlert(
            kind="share",
            budget=label,
            share=passed.spent / passed.most if passed.most else 1.0,
            spent_usd=spent_usd,
            limit_usd=limit_usd,
            message=f"{mark} % of the budget {label} is spent: {dollars(spent_usd)} of {dollars(limit_usd)}.",
            run_id=run_id,
            raised_at=now,
        )
        for mark in passed.marks
    ]


def reached(short: Short, allowance: Allowance, *, run_id: RunId | None, now: datetime) -> BudgetAlert:
    """The alert of a budget that refuses for the first time."""
    spent_usd, limit_usd = in_dollars(short.spent), in_dollars(short.most)
    what = "the run waits" if short.charge.pauses else "calls are refused"
    return BudgetAlert(
        kind="reached",
        budget=allowance.label,
        share=short.spent / short.most if short.most else 1.0,
        spent_usd=spent_usd,
        limit_usd=limit_usd,
        message=f"The budget {allowance.label} is reached, and {what}: {dollars(spent_usd)} of {dollars(limit_usd)} is "
        "spent.",
        run_id=run_id,
        raised_at=now,
    )
