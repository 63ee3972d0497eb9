"""What strategies would have come to where recorded replies are missing, estimated from logged random choices."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from orchestration_nb.calls import Reply, Request, Strategy
from orchestration_nb.comparing.logged import AsLogged, LoggedChoice
from orchestration_nb.errors import CallError, TooLittleSupportError, UsageError
from orchestration_nb.evals.bank import MissingReply, RecordedBank, Resolve
from orchestration_nb.evals.draws import possible_draws
from orchestration_nb.evals.off_policy import ChoiceLog, Estimate, Method, doubly_robust, ips, snips
from orchestration_nb.evals.outcomes import Answer
from orchestration_nb.evals.virtual_time import Banked, Fetch
from orchestration_nb.tuning.context import context_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """What a strategy would have come to on average, from choices that another one made at random."""

    strategy: str
    logged: int
    """Items whose choice was logged; the estimates are of these."""
    quality: Mapping[Method, Estimate] = field(default_factory=dict)
    """By method; empty where nothing can be estimated."""
    cost_usd: Mapping[Method, Estimate] = field(default_factory=dict)
    """US dollars an item."""
    refusal: str = ""
    """Why nothing is estimated."""

    @property
    def sentence(self) -> str:
        """The estimates in words, or why there are none."""
        if self.refusal:
            return f"{self.strategy} is not estimated for the rest. {self.refusal}"
        quality, cost = self.quality["doubly robust"], self.cost_usd["doubly robust"]
        return (
            f"{self.strategy} is estimated from {self.logged:,} logged random choices, worth "
            f"{quality.effective_items:,.0f} of its own: quality {quality.value:.3f} ({quality.low:.3f} to "
            f"{quality.high:.3f}), cost per 1,000 items ${1000 * cost.value:.4g} (${1000 * max(cost.low, 0):.4g} to "
            f"${1000 * cost.high:.4g}; doubly robust, {quality.level:.0%} intervals)."
        )


@dataclass(frozen=True, slots=True)
class _Logged:
    """One item whose choice was logged."""

    request: Request
    choice: LoggedChoice
    quality: float
    cost_usd: float


def estimates(
    strategies: Mapping[str, Strategy],
    logged: AsLogged,
    answers: Mapping[int, Answer],
    bank: RecordedBank,
    resolve: Resolve,
) -> dict[str, Estimated]:
    """Estimates strategies from what was chosen at random and recorded.

    Args:
        strategies: By name.
        logged: The choices.
        answers: What came of them, by item.
        bank: The recorded replies.
        resolve: Name or alias to the model.
    """
    try:
        items = _items(logged, answers)
    except UsageError as refusal:
        return {name: Estimated(strategy=name, logged=0, refusal=str(refusal)) for name in strategies}
    with ThreadPoolExecutor(1, "orchestrate-draws") as thread:  # which has no loop of its own, as a notebook's has
        return {
            name: thread.submit(_estimated, name, strategy, items, bank, resolve).result()
            for name, strategy in strategies.items()
        }


def _items(logged: AsLogged, answers: Mapping[int, Answer]) -> list[_Logged]:
    if any(item < 0 or len(choices) > 1 for item, choices in logged.choices.items()):
        raise UsageError(
            "An item has more than one question that strategies answer, so no single choice can be weighed."
        )
    items = []
    for item, ((request, choice),) in sorted(logged.choices.items()):
        answer = answers.get(item)
        if answer is not None and answer.status != "missing":
            quality = 0.0 if np.isnan(answer.quality) else answer.quality
            items.append(_Logged(request, choice, quality, answer.cost_usd))
    return items


def _estimated(
    name: str, strategy: Strategy, items: Sequence[_Logged], bank: RecordedBank, resolve: Resolve
) -> Estimated:
    try:
        if hasattr(strategy, "learn"):
            raise UsageError("It learns as it goes, so that it does not choose by one rule that could be weighed.")  # noqa: TRY301
        chances = _chances(strategy, items, bank, resolve)
        logs = [_log(items, chances, reward) for reward in ("quality", "cost_usd")]
        quality, cost_usd = ({each.method: each for each in (ips(log), snips(log), doubly_robust(log))} for log in logs)
    except (UsageError, TooLittleSupportError) as refusal:
        said = f"{refusal} {refusal.hint}" if isinstance(refusal, TooLittleSupportError) else str(refusal)
        return Estimated(strategy=name, logged=len(items), refusal=said.strip())
    return Estimated(strategy=name, logged=len(items), quality=quality, cost_usd=cost_usd)


def _chances(
    strategy: Strategy, items: Sequence[_Logged], bank: RecordedBank, resolve: Resolve
) -> list[dict[str, float]]:
    """For each item: model to the chance that the strategy asks it.

    Raises:
        UsageError: If it asks several models for an item, or none.
    """
    chances: list[dict[str, float]] = []
    several = 0
    for item in items:
        chance: dict[str, float] = {}
        asks_several = False
        for draw in possible_draws(strategy, item.request, _teller(item, bank, resolve)):
            if not draw.asked:
                raise UsageError("It asks no model for some items, so that there is no choice to weigh.")
            asks_several = asks_several or len(draw.asked) > 1
            model = resolve(draw.asked[0]).name
            chance[model] = chance.get(model, 0.0) + draw.chance
        several += asks_several
        chances.append(chance)
    if several:
        raise UsageError(
            f"It asks several models for an item (seen for {several:,} of {len(items):,}), so there is no single "
            "choice to weigh."
        )
    return chances


def _teller(item: _Logged, bank: RecordedBank, resolve: Resolve) -> Fetch:
    """The recorded answers to an item's question; the failure that was logged is one."""
    find = bank.teller(item.request, _nobody)

    def fetch(model: str, *, sample: int, wait: bool, instead: Collection[str]) -> Future[Banked]:
        if item.choice.error is None or resolve(model).name != item.choice.model:
            return find(model, sample=sample, wait=wait, instead=instead)
        future: Future[Banked] = Future()
        future.set_result(Banked(reply=None, error=CallError(item.choice.error), latency_ms=0.0, most_usd=0.0))
        return future

    return fetch


async def _nobody(model: str, **_: object) -> Reply:
    raise MissingReply(model)


def _log(items: Sequence[_Logged], chances: Sequence[Mapping[str, float]], reward: str) -> ChoiceLog:
    names = sorted({name for chance in chances for name in chance}.union(*(item.choice.candidates for item in items)))
    place = {name: number for number, name in enumerate(names)}
    target, possible = np.zeros((len(items), len(names))), np.zeros((len(items), len(names)), dtype=bool)
    for row, (item, chance) in enumerate(zip(items, chances, strict=True)):
        for name, share in chance.items():
            target[row, place[name]] = share
        possible[row, [place[name] for name in item.choice.candidates]] = True
    return ChoiceLog(
        chosen=np.array([place[item.choice.model] for item in items], dtype=np.intp),
        propensity=np.array([item.choice.propensity for item in items]),
        reward=np.array([getattr(item, reward) for item in items], dtype=np.float64),
        target=target,
        features=np.array([context_of(item.request) for item in items]) if items else None,
        possible=possible,
        is_quality=reward == "quality",
    )
