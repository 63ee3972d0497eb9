"""What each kind of failure means: retried, answered by another model, or failed at once; and whether it was billed."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration_nb import errors
from orchestration_nb.errors import CallError

MEANING: dict[str, tuple[bool, str | None, bool]] = {
    # kind: (retried, fallback that takes over, counts for the circuit)
    "RateLimitedError": (True, "error", False),
    "OverloadedError": (True, "error", True),
    "ServerFailedError": (True, "error", True),
    "CallTimeoutError": (True, "error", True),
    "ConnectionLostError": (True, "error", True),
    "BadReplyError": (True, "error", False),
    "MalformedReplyError": (True, "error", True),
    "TruncatedReplyError": (True, "error", True),
    "SchemaNotMetError": (True, "error", False),
    "ContextTooLongError": (False, "context_window", False),
    "ContentRefusedError": (False, "content_policy", False),
    "BadRequestError": (False, None, False),
    "NotAuthorisedError": (False, "error", False),
    "NoSuchModelError": (False, "error", False),
    "ModelUnavailableError": (False, "error", False),
    "AllModelsUnavailableError": (False, None, False),
    "NoRecordedReplyError": (False, "error", False),
}
MADE_WITH: dict[str, dict[str, Any]] = {"CallTimeoutError": {"phase": "total"}, "SchemaNotMetError": {"reply": "x"}}
BILLED = {"CallTimeoutError": "unknown", "SchemaNotMetError": "yes"}
"""Unless whoever raises it knows better; all others: no."""
AT_ONCE = ["OverBudgetError", "BudgetPausedError", "OverQuotaError", "PriceUnknownError"]


def kinds(root: type[CallError] = CallError) -> set[str]:
    return {name for each in root.__subclasses__() for name in (each.__name__, *kinds(each))}


def made(name: str) -> Any:
    return getattr(errors, name)("It failed.", **MADE_WITH.get(name, {}))


def test_every_kind_of_failed_call_has_its_line_here() -> None:
    assert kinds() == MEANING.keys()


@pytest.mark.parametrize("name", MEANING)
def test_a_kind_says_what_is_done_about_it(name: str) -> None:
    error = made(name)
    assert (error.retryable, error.falls_back, error.opens_circuit) == MEANING[name]
    assert error.billing == BILLED.get(name, "no")


@pytest.mark.parametrize("name", AT_ONCE)
def test_money_is_neither_retried_nor_asked_of_another_model(name: str) -> None:
    assert issubclass(getattr(errors, name), errors.CostError)
    assert not issubclass(getattr(errors, name), CallError)


@pytest.mark.parametrize("name", MEANING)
def test_the_drawn_tree_says_the_same(name: str) -> None:
    assert errors.__doc__ is not None
    line = next(line for line in errors.__doc__.splitlines() if f"── {name} " in line + " ")
    retried, falls_back, _ = MEANING[name]
    if name in {"MalformedReplyError", "TruncatedReplyError", "SchemaNotMetError"}:
        return  # drawn for all three at BadReplyError
    assert ("retried" in line) == retried
    assert line.endswith(falls_back) if falls_back else line.rstrip()[-6:] not in {"_error", "window", "policy"}
