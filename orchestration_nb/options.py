"""What a run may be told beside its flow and its table."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypedDict, get_args

from orchestration_nb.config import Reached
from orchestration_nb.engine.run import OnError
from orchestration_nb.errors import UsageError

MOST_IN_FLIGHT: Final = 4096


class RunOptions(TypedDict, total=False):
    """How a flow is run; all may be left out."""

    strategy: str | Callable[..., Any] | None
    """Which models are asked by steps that name none; ``None``: ``fixed``."""
    model: str | None
    """The model or alias for steps that name none; not together with ``strategy``."""
    budget: float | None
    """US dollars; ``None``: the setting ``budget_usd`` (5 unless set)."""
    concurrency: int | None
    """Most calls in flight; ``None``: the setting."""
    sample: int | None
    """Run over so many rows, drawn with ``seed``."""
    seed: int
    """Makes the sample and the random choices of strategies repeatable; 0 unless set."""
    on_error: OnError
    """``keep`` (an item that fails stands in its row) or ``stop``."""
    fresh: bool
    """Pay again for what the cache holds."""
    tags: Mapping[str, str]
    """Kept with the run in the ledger; budgets and quotas can hold for a tag."""
    on_budget: Reached | None
    """What happens when the run's budget is reached: ``reject`` (calls fail), ``pause`` (the run waits for a person) or
    ``alert`` (it is said, and the run goes on); ``None``: the setting ``reached``."""
    degrade: bool
    """A step without an answer yields its ``default=``, or ``None``, marked ``degraded``."""
    batch: bool
    """Ask through the providers' batch APIs: half the price, hours instead of seconds."""
    score: str | Callable[..., Any] | Sequence[Any] | None
    """What scores the items as they end: ``STEP=SCORER:COLUMN``, a function of (value, item), or a list of such."""
    resumes: str | None
    """A run of this flow to go on with, by its id or ``last``: both spend the same budget."""


def check_options(options: RunOptions) -> None:
    """Refuses what a run cannot be told, before anything is asked.

    Raises:
        UsageError: If there is no such option, or its value cannot be used.
    """
    for name in options:
        if name not in RunOptions.__annotations__:
            near = difflib.get_close_matches(name, RunOptions.__annotations__, n=1)
            listing = f"There are: {', '.join(RunOptions.__annotations__)}."
            hint = f"Did you mean {near[0]!r}? {listing}" if near else listing
            raise UsageError(f"A run has no option {name!r}.", hint=hint)
    _check_who(options.get("model"), options.get("strategy"))
    on_error, tags = options.get("on_error", "keep"), options.get("tags")
    if on_error not in get_args(OnError):
        raise UsageError(f"on_error={on_error!r} means nothing.", hint="Write keep or stop.")
    if options.get("on_budget") not in {None, *get_args(Reached)}:
        raise UsageError(f"on_budget={options['on_budget']!r} means nothing.", hint="Write reject, pause or alert.")
    if not (tags is None or isinstance(tags, Mapping)):
        raise UsageError(f"tags={tags!r} cannot be kept.", hint='Write tags={"team": "support"}.')
    if not _is_whole(seed := options.get("seed", 0)) or not 0 <= seed < 2**32:
        raise UsageError(f"A seed of {seed!r} is none.", hint="Use a whole number from 0 to 4294967295.")
    sample = options.get("sample")
    if not (sample is None or (_is_whole(sample) and sample >= 1)):
        raise UsageError(f"A sample of {sample} rows is none.", hint="Use --sample with a number from 1.")


def _check_who(model: object, strategy: object) -> None:
    if not (model is None or isinstance(model, str)):
        raise UsageError(f"model={model!r} names no model.", hint='Write its name or alias, such as model="fast".')
    if not (strategy is None or isinstance(strategy, str) or callable(strategy)):
        raise UsageError(f"strategy={strategy!r} is none.", hint="Name one, or give an async function(request, ask).")


def amount(options: RunOptions, otherwise: float) -> float:
    """The budget in US dollars.

    Raises:
        UsageError: If it is no number from 0.
    """
    given = options.get("budget")
    budget = otherwise if given is None else given
    if not isinstance(budget, numbers.Real) or isinstance(budget, bool) or not 0 <= float(budget) < math.inf:
        raise UsageError(f"A budget of {budget} dollars is none.", hint="Use a number from 0, such as --budget 2.50.")
    return float(budget)


def count(options: RunOptions, otherwise: int) -> int:
    """How many calls may be in flight.

    Raises:
        UsageError: If it is no whole number from 1 to 4096.
    """
    given = options.get("concurrency")
    concurrency = otherwise if given is None else given
    if not _is_whole(concurrency) or not 1 <= concurrency <= MOST_IN_FLIGHT:
        raise UsageError(
            f"{concurrency} calls in flight are not possible.", hint=f"Use --concurrency from 1 to {MOST_IN_FLIGHT}."
        )
    return int(concurrency)


def _is_whole(number: object) -> bool:
    return isinstance(number, numbers.Integral) and not isinstance(number, bool)
