"""A strategy learned from scored replies: per model the chance of a good reply, and a threshold on what is gained.

Two forms. A **router** reads the prompt and picks a model before any is asked. A **cascade** asks its cheap models at
once, reads their replies and how far they agree, and then takes the best of them or asks the strong one.

The chances are those of one regularised logistic regression over all models: weights that every model shares (what is
hard for one is mostly hard for all) and smaller ones of its own, after Evgeniou and Pontil (2004). Other models' scores
on the same questions therefore sharpen it. Chances are then calibrated on items that the fit had not seen.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestration_nb.calls import Ask, Reply, Request, Strategy
from orchestration_nb.errors import CallError, UsageError
from orchestration_nb.tuning.features import GROUPS, PROMPT_GROUPS, Features, Floats, Places, Readings, Seen, read
from orchestration_nb.tuning.regression import Heads, Platt, fit_heads, fit_platt
from orchestration_nb.tuning.signs import said
from orchestration_nb.tuning.thresholds import DEFAULT_LEVEL, Escalation, Threshold, threshold_for

MINIMUM_LABELS: Final = 100
"""Scored items below which nothing is fitted: the bound on a threshold would be wider than what it decides."""
FORMAT_VERSION: Final = 1
"""Of what is saved."""
_FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """Scored items to learn from; each sequence has one place per item."""

    prompts: Sequence[str]
    quality: Mapping[str, NDArray[np.float64]]
    """Score of each model's reply from 0 to 1; nan (no reply, no score) counts as 0."""
    cost_usd: Mapping[str, NDArray[np.float64]]
    """List price of each model's reply."""
    replies: Mapping[str, Sequence[Reply]] = field(default_factory=dict)
    """Of the cheap models of a cascade."""
    steps: Sequence[str] = ()
    slices: Sequence[str] = ()

    def seen(self, models: Sequence[str]) -> list[Seen]:
        """What a strategy sees that has the replies of ``models``."""
        read = [tuple(map(said, row)) for row in zip(*(self.replies[model] for model in models), strict=True)]
        return [
            Seen(
                prompt=prompt,
                step=self.steps[place] if self.steps else "",
                slice=self.slices[place] if self.slices else "",
                replies=read[place] if read else (),
            )
            for place, prompt in enumerate(self.prompts)
        ]

    def scores(self, model: str) -> Floats:
        """The quality of a model's replies, missing ones as 0."""
        return np.clip(np.nan_to_num(np.asarray(self.quality[model], dtype=np.float64)), 0.0, 1.0)

    def fingerprint(self) -> str:
        """A digest of prompts and scores, by which a saved strategy says what it was fitted on."""
        digest = hashlib.sha256()
        for prompt in self.prompts:
            digest.update(prompt.encode(errors="replace") + b"\0")
        for model in sorted(self.quality):
            digest.update(model.encode() + np.asarray(self.quality[model], dtype=np.float64).tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearnedRouter:
    """What was learned: reads an item, and says which model it should go to."""

    cheap: tuple[str, ...]
    """Models or aliases that cost little, in order."""
    strong: str
    reads_replies: bool
    """Whether it is a cascade."""
    features: Features
    heads: Heads
    """One per model: the cheap ones, then the strong one."""
    calibration: Platt
    threshold: Threshold
    fingerprint: str
    """Of the examples it was fitted on."""
    figures: Mapping[str, float]
    """What was measured on items that the fit had not seen."""
    cross_fitted: Escalation | None = field(default=None, repr=False)
    """Those items, so that other thresholds can be set without fitting again; not saved."""

    @property
    def models(self) -> tuple[str, ...]:
        """All that it may ask."""
        return (*self.cheap, self.strong)

    def chances(self, seen: Sequence[Seen]) -> Floats:
        """The chance of a good reply, as (items, models), in the order of :attr:`models`."""
        return self.calibration.chances(self.heads.logits(self.features.rows(read(seen, self.features.groups))))

    def gains(self, seen: Sequence[Seen]) -> Floats:
        """What the strong model is expected to add to the best of the cheap ones, per item."""
        return gains_of(self.chances(seen))

    def at(self, target: float, *, level: float = DEFAULT_LEVEL) -> LearnedRouter:
        """The same with a threshold for another target.

        Raises:
            UsageError: If it was loaded from a file: the items that a threshold is set on are not saved.
        """
        if self.cross_fitted is None:
            raise UsageError(
                "A saved strategy keeps the target that it was fitted to.",
                hint="Fit it again with target=..., and save.",
            )
        threshold = threshold_for(self.cross_fitted, target, level=level)
        return replace(self, threshold=threshold, figures=_figures(self.cross_fitted, threshold))

    def as_strategy(self, name: str = "learned") -> Strategy:
        """The strategy: an async function of ``(request, ask)``.

        Where a cheap model fails, the strong one answers; where the strong one fails after cheap replies came, the best
        of those is given. The decision's reason says so.

        Args:
            name: What it is called in the ledger.
        """

        async def learned(request: Request, ask: Ask) -> Reply:
            """Asks the model that the item needs."""
            request.decision.candidates.extend(self.models)
            return await (_cascade if self.reads_replies else _route)(self, request, ask)

        learned.__name__ = learned.__qualname__ = name
        learned.models = self.models  # type: ignore[attr-defined]
        return learned

    def escalation(self, examples: Examples) -> Escalation:
        """Examples it was not fitted on, ready for :meth:`~orchestration_nb.tuning.thresholds.Escalation.at`."""
        return _escalation(examples, self.cheap, self.strong, self.reads_replies, self.chances(self.seen(examples)))

    def seen(self, examples: Examples) -> list[Seen]:
        """What it reads of examples."""
        return examples.seen(self.cheap if self.reads_replies else ())


async def _route(router: LearnedRouter, request: Request, ask: Ask) -> Reply:
    place, reason = _judged(router, Seen(prompt=request.prompt, step=request.origin.step))
    request.decision.reason = reason
    return await ask(router.models[place])


async def _cascade(router: LearnedRouter, request: Request, ask: Ask) -> Reply:
    came = await asyncio.gather(*(ask(model) for model in router.cheap), return_exceptions=True)
    replies: list[Reply] = []
    for model, each in zip(router.cheap, came, strict=True):
        if isinstance(each, CallError):
            request.decision.reason = f"{model} failed ({type(each).__name__}): {router.strong} answers"
        elif isinstance(each, BaseException):
            raise each
        else:
            replies.append(each)
    best = 0
    if len(replies) == len(router.cheap):
        seen = Seen(prompt=request.prompt, step=request.origin.step, replies=tuple(map(said, replies)))
        place, request.decision.reason = _judged(router, seen)
        if place < len(replies):
            return replies[place]
        best = int(router.chances([seen])[0, :-1].argmax())
    try:
        return await ask(router.strong)
    except CallError as error:
        if not replies:
            raise
        request.decision.reason += f"; {router.strong} failed ({type(error).__name__}): {replies[best].model} answers"
        return replies[best]


def _judged(router: LearnedRouter, seen: Seen) -> tuple[int, str]:
    """The place of the model that the item should go to, and why."""
    chances = router.chances([seen])
    gain, best = float(gains_of(chances)[0]), int(chances[0, :-1].argmax())
    place = len(router.cheap) if gain > router.threshold.value else best
    told = ", ".join(f"{model} {chance:.2f}" for model, chance in zip(router.models, chances[0], strict=True))
    side = "above" if gain > router.threshold.value else "not above"
    return place, (
        f"chance of a good reply: {told}; {router.strong} would add {gain:.3f}, {side} {router.threshold.value:.3f}: "
        f"{router.models[place]} answers"
    )


def fit(
    examples: Examples,
    *,
    cheap: Sequence[str],
    strong: str,
    target: float = 0.97,
    level: float = DEFAULT_LEVEL,
    groups: Sequence[str] = GROUPS,
    seed: int = 0,
) -> LearnedRouter:
    """Learns when a cheap model will do.

    With replies of all cheap models among the examples it makes a cascade, else a router that decides on the prompt.

    Args:
        examples: Scored items; models beside those named are learned from as well.
        cheap: The models to try first. A router with several takes the one with the best chance.
        strong: The model whose quality is to be kept.
        target: Share of that quality to keep.
        level: Confidence of the bound that the threshold is set on.
        groups: Which features to read; see :data:`~orchestration_nb.tuning.features.GROUPS`.
        seed: Of the folds.

    Raises:
        UsageError: If there are too few labels, if a model has none, or scikit-learn is missing.
    """
    _check(examples, cheap, strong)
    reads_replies = not set(groups) <= set(PROMPT_GROUPS) and all(model in examples.replies for model in cheap)
    readings = read(examples.seen(cheap if reads_replies else ()), groups)
    models = (*cheap, strong)
    others = [model for model in examples.quality if model not in models]
    quality = np.stack([examples.scores(model) for model in models], axis=1)
    rest = np.stack([examples.scores(model) for model in others], axis=1) if others else None
    logits = np.empty_like(quality)
    for train, test in folds(readings.items, _FOLDS, seed=seed):
        features, heads = _fitted(readings, quality, rest, train)
        logits[test] = heads.logits(features.rows(readings.take(test)))
    calibration = fit_platt(logits, quality)
    features, heads = _fitted(readings, quality, rest, np.arange(readings.items))
    held_out = _escalation(examples, tuple(cheap), strong, reads_replies, calibration.chances(logits))
    threshold = threshold_for(held_out, target, level=level)
    return LearnedRouter(
        cheap=tuple(cheap),
        strong=strong,
        reads_replies=reads_replies,
        features=features,
        heads=heads,
        calibration=calibration,
        threshold=threshold,
        fingerprint=examples.fingerprint(),
        figures=_figures(held_out, threshold),
        cross_fitted=held_out,
    )


def folds(count: int, number: int, *, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Seeded folds of ``count`` items, as (train, test) places; identical for the same seed."""
    parts = np.array_split(np.random.default_rng(seed).permutation(count), number)
    return [(np.concatenate(parts[:k] + parts[k + 1 :]), part) for k, part in enumerate(parts)]


def gains_of(chances: Floats) -> Floats:
    """What the last model is expected to add to the best of those before it."""
    return np.asarray(chances[:, -1] - chances[:, :-1].max(axis=1))


def _fitted(readings: Readings, quality: Floats, rest: Floats | None, places: Places) -> tuple[Features, Heads]:
    some = readings.take(places)
    features = Features.learn(some)
    others = None if rest is None else rest[places]
    return features, fit_heads(features.rows(some), features.own, quality[places], others)


def _escalation(
    examples: Examples, cheap: tuple[str, ...], strong: str, reads_replies: bool, chances: Floats
) -> Escalation:
    """Both ways each item can go: a cascade pays all its cheap calls, a router only the model that it picks."""
    quality = np.stack([examples.scores(model) for model in cheap], axis=1)
    cost = np.stack([np.nan_to_num(np.asarray(examples.cost_usd[model], dtype=np.float64)) for model in cheap], axis=1)
    strong_cost = np.nan_to_num(np.asarray(examples.cost_usd[strong], dtype=np.float64))
    best = chances[:, :-1].argmax(axis=1)
    every = np.arange(len(best))
    paid = cost.sum(axis=1) if reads_replies else np.zeros(len(best))
    return Escalation(
        gain=gains_of(chances),
        cheap_quality=quality[every, best],
        strong_quality=examples.scores(strong),
        cheap_cost_usd=paid if reads_replies else cost[every, best],
        strong_cost_usd=paid + strong_cost,
        reference_cost_usd=strong_cost,
    )


def _figures(items: Escalation, threshold: Threshold) -> dict[str, float]:
    expected = threshold.expected
    return {
        "items": float(len(items.gain)),
        "kept": expected.kept,
        "saved": expected.saved,
        "escalated": expected.escalated,
        "quality": expected.quality,
        "strong_quality": float(items.strong_quality.mean()),
        "cost_usd": expected.cost_usd,
    }


def _check(examples: Examples, cheap: Sequence[str], strong: str) -> None:
    models = (*cheap, strong)
    if not cheap or len(set(models)) < len(models):
        raise UsageError(
            "A learned strategy needs at least one cheap model, and a strong one that is none of them.",
            hint='Write fit(examples, cheap=["fast", "medium"], strong="strong").',
        )
    for model in models:
        if model not in examples.quality or model not in examples.cost_usd:
            raise UsageError(
                f"The examples hold no scores and costs of {model}.", hint=f"They hold: {', '.join(examples.quality)}."
            )
    labels = min(int(np.isfinite(np.asarray(examples.quality[model], dtype=np.float64)).sum()) for model in models)
    if labels < MINIMUM_LABELS:
        raise UsageError(
            f"{labels} scored items are too few to learn from: it takes at least {MINIMUM_LABELS} of each model.",
            hint="Compare the models on more items first; `agreement` and `cascade` need no labels.",
        )
