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
from orchestration_nb.evals.curves import Escalation, apgr
from orchestration_nb.tuning.features import GROUPS, PROMPT_GROUPS, Features, Floats, Places, Readings, Seen, read
from orchestration_nb.tuning.regression import Heads, Platt, fit_heads, fit_platt, log_loss
from orchestration_nb.tuning.signs import said
from orchestration_nb.tuning.thresholds import DEFAULT_LEVEL, Realised, Threshold, realised, threshold_for

MINIMUM_LABELS: Final = 100
"""Scored items below which nothing is fitted: the bound on a threshold would be wider than what it decides."""
FORMAT_VERSION: Final = 1
"""Of what is saved."""
_FOLDS = 10
_TRIAL_FOLDS = 3
_FREEDOMS = (0.05, 0.5)
"""How freely a model's weights on the prompt may leave the shared ones: hardly, or well."""
_FREEDOM_OF_REPLIES = 1.0
"""What a cheap reply shows says much of its own model, and little of another."""


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
    _read: dict[tuple[tuple[str, ...], tuple[str, ...]], Readings] = field(default_factory=dict, repr=False)
    """What was read already, so that several fits on parts of the same items read each item once."""

    def readings(self, models: Sequence[str], groups: Sequence[str] = GROUPS) -> Readings:
        """What features read of the items and of the replies of ``models``."""
        key = tuple(models), tuple(groups)
        if key not in self._read:
            self._read[key] = read(self.seen(models), groups)
        return self._read[key]

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

    def costs(self, model: str) -> Floats:
        """The list price of a model's replies, missing ones as 0."""
        return np.nan_to_num(np.asarray(self.cost_usd[model], dtype=np.float64))

    def take(self, places: Places) -> Examples:
        """Some of the items, such as one half of them."""
        return Examples(
            prompts=[self.prompts[place] for place in places],
            quality={model: np.asarray(each)[places] for model, each in self.quality.items()},
            cost_usd={model: np.asarray(each)[places] for model, each in self.cost_usd.items()},
            replies={model: [each[place] for place in places] for model, each in self.replies.items()},
            steps=[self.steps[place] for place in places] if self.steps else (),
            slices=[self.slices[place] for place in places] if self.slices else (),
            _read={key: each.take(np.asarray(places)) for key, each in self._read.items()},
        )

    def fingerprint(self) -> str:
        """A digest of prompts and scores, by which a saved strategy says what it was fitted on."""
        digest = hashlib.sha256()
        for prompt in self.prompts:
            digest.update(prompt.encode(errors="replace") + b"\0")
        for model in sorted(self.quality):
            digest.update(model.encode() + np.asarray(self.quality[model], dtype=np.float64).tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """Items that a fit had not seen: both ways that each can go, with the gain that is expected of the strong model."""

    ways: Escalation
    cost_strong_usd: Floats
    """Of asking the strong model at once, per item."""

    def at(self, threshold: float) -> Realised:
        """What comes of a threshold on these items."""
        return realised(self.ways, self.cost_strong_usd, threshold)

    def threshold(self, target: float, level: float) -> Threshold:
        """The threshold for a target, on a lower confidence bound."""
        return threshold_for(self.ways, self.cost_strong_usd, target, level=level)

    @property
    def apgr(self) -> float | None:
        """Area under the recovered share of the quality gap, over the share of items escalated."""
        return apgr(self.ways.quality_kept, self.ways.quality_escalated, self.ways.scores)


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
    held_out: HeldOut | None = field(default=None, repr=False)
    """Those items, so that other thresholds can be set without fitting again; not saved."""

    @property
    def models(self) -> tuple[str, ...]:
        """All that it may ask."""
        return (*self.cheap, self.strong)

    def chances(self, seen: Sequence[Seen]) -> Floats:
        """The chance of a good reply, as (items, models), in the order of :attr:`models`."""
        return self._chances(read(seen, self.features.groups))

    def _chances(self, readings: Readings) -> Floats:
        return self.calibration.chances(self.heads.logits(self.features.rows(readings)))

    def gains(self, seen: Sequence[Seen]) -> Floats:
        """What the strong model is expected to add to the best of the cheap ones, per item."""
        return gains_of(self.chances(seen))

    def at(self, target: float, *, level: float = DEFAULT_LEVEL) -> LearnedRouter:
        """The same with a threshold for another target.

        Raises:
            UsageError: If it was loaded from a file: the items that a threshold is set on are not saved.
        """
        if self.held_out is None:
            raise UsageError(
                "A saved strategy keeps the target that it was fitted to.",
                hint="Fit it again with target=..., and save.",
            )
        threshold = self.held_out.threshold(target, level)
        return replace(self, threshold=threshold, figures=_figures(self.held_out, threshold))

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

    def on(self, examples: Examples) -> HeldOut:
        """What it would do with examples that it was not fitted on."""
        readings = examples.readings(self.cheap if self.reads_replies else (), self.features.groups)
        return _held_out(examples, self.cheap, self.strong, self.reads_replies, self._chances(readings))

    def seen(self, examples: Examples) -> list[Seen]:
        """What it reads of examples."""
        return examples.seen(self.cheap if self.reads_replies else ())


async def _route(router: LearnedRouter, request: Request, ask: Ask) -> Reply:
    place, reason = _judged(router, Seen(prompt=request.prompt, step=request.origin.step))
    request.decision.reason = reason
    return await ask(router.models[place], sample=request.sample)


async def _cascade(router: LearnedRouter, request: Request, ask: Ask) -> Reply:
    came = await asyncio.gather(*(ask(model, sample=request.sample) for model in router.cheap), return_exceptions=True)
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
        return await ask(router.strong, sample=request.sample)
    except CallError as error:
        if not replies:
            raise
        request.decision.reason += f"; {router.strong} failed ({type(error).__name__}): {replies[best].model} answers"
        return replies[best]


def _judged(router: LearnedRouter, seen: Seen) -> tuple[int, str]:
    """The place of the model that the item should go to, and why."""
    chances = router.chances([seen])
    gain, best = float(gains_of(chances)[0]), int(chances[0, :-1].argmax())
    goes = gain >= router.threshold.value
    place = len(router.cheap) if goes else best
    told = ", ".join(f"{model} {chance:.2f}" for model, chance in zip(router.models, chances[0], strict=True))
    side = "at least" if goes else "below"
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
        UsageError: If there are too few labels, if a model has none, or SciPy is missing.
    """
    _check(examples, cheap, strong)
    reads_replies = not set(groups) <= set(PROMPT_GROUPS) and all(model in examples.replies for model in cheap)
    lessons = _lessons(examples, (*cheap, strong), examples.readings(cheap if reads_replies else (), groups))
    logits, own = _cross_fitted(lessons, seed)
    calibration = fit_platt(logits, lessons.quality)
    features, heads = _fitted(lessons, np.arange(lessons.readings.items), own)
    held_out = _held_out(examples, tuple(cheap), strong, reads_replies, calibration.chances(logits))
    threshold = held_out.threshold(target, level)
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
        held_out=held_out,
    )


def folds(count: int, number: int, *, seed: int) -> list[tuple[Places, Places]]:
    """Seeded folds of ``count`` items, as (train, test) places; identical for the same seed."""
    parts = np.array_split(np.random.default_rng(seed).permutation(count), number)
    return [(np.concatenate(parts[:k] + parts[k + 1 :]), part) for k, part in enumerate(parts)]


def gains_of(chances: Floats) -> Floats:
    """What the last model is expected to add to the best of those before it."""
    return np.asarray(chances[:, -1] - chances[:, :-1].max(axis=1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Lessons:
    """What is learned from, as arrays."""

    readings: Readings
    quality: Floats
    """(items, models), of the models that may be asked."""
    rest: Floats | None
    """(items, other models)"""


def _lessons(examples: Examples, models: Sequence[str], readings: Readings) -> _Lessons:
    others = [examples.scores(model) for model in examples.quality if model not in models]
    return _Lessons(
        readings=readings,
        quality=np.stack([examples.scores(model) for model in models], axis=1),
        rest=np.stack(others, axis=1) if others else None,
    )


def _cross_fitted(lessons: _Lessons, seed: int) -> tuple[Floats, float]:
    """Log odds of each item by a fit that had not seen it, and how freely the models' weights may differ.

    The latter is chosen on the first folds, by the log loss there.
    """
    parts = folds(lessons.readings.items, _FOLDS, seed=seed)
    trial, rest = parts[:_TRIAL_FOLDS], parts[_TRIAL_FOLDS:]
    tried = np.concatenate([test for _, test in trial])
    logits, loss, own = np.zeros_like(lessons.quality), np.inf, _FREEDOMS[0]
    for freedom in _FREEDOMS:
        found = np.concatenate([_unseen(lessons, part, freedom) for part in trial])
        if (lost := log_loss(1 / (1 + np.exp(-found)), lessons.quality[tried])) < loss:
            loss, own, logits[tried] = lost, freedom, found
    for part in rest:
        logits[part[1]] = _unseen(lessons, part, own)
    return logits, own


def _unseen(lessons: _Lessons, part: tuple[Places, Places], own: float) -> Floats:
    train, test = part
    features, heads = _fitted(lessons, train, own)
    return heads.logits(features.rows(lessons.readings.take(test)))


def _fitted(lessons: _Lessons, places: Places, own: float) -> tuple[Features, Heads]:
    some = lessons.readings.take(places)
    features = Features.learn(some)
    freedom = np.full(features.width, _FREEDOM_OF_REPLIES)
    freedom[: features.prompt_columns] = own
    rest = None if lessons.rest is None else lessons.rest[places]
    return features, fit_heads(features.rows(some), freedom, lessons.quality[places], rest)


def _held_out(examples: Examples, cheap: tuple[str, ...], strong: str, reads_replies: bool, chances: Floats) -> HeldOut:
    """Both ways each item can go: a cascade pays all its cheap calls, a router only the model that it picks."""
    quality = np.stack([examples.scores(model) for model in cheap], axis=1)
    cost = np.stack([examples.costs(model) for model in cheap], axis=1)
    best, every = chances[:, :-1].argmax(axis=1), np.arange(len(chances))
    paid = cost.sum(axis=1) if reads_replies else np.zeros(len(chances))
    ways = Escalation(
        scores=gains_of(chances),
        quality_kept=quality[every, best],
        quality_escalated=examples.scores(strong),
        cost_kept=paid if reads_replies else cost[every, best],
        cost_escalated=paid + examples.costs(strong),
    )
    return HeldOut(ways=ways, cost_strong_usd=examples.costs(strong))


def _figures(items: HeldOut, threshold: Threshold) -> dict[str, float]:
    expected, area = threshold.expected, items.apgr
    return {
        "items": float(len(items.cost_strong_usd)),
        "apgr": float("nan") if area is None else area,
        "kept": expected.kept,
        "saved": expected.saved,
        "escalated": expected.escalated,
        "quality": expected.quality,
        "strong_quality": float(items.ways.quality_escalated.mean()),
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
        for name, held in (("scores", examples.quality), ("costs", examples.cost_usd), ("replies", examples.replies)):
            if model in held and len(held[model]) != len(examples.prompts):
                raise UsageError(f"There are {len(examples.prompts)} prompts and {len(held[model])} {name} of {model}.")
    labels = min(int(np.isfinite(np.asarray(examples.quality[model], dtype=np.float64)).sum()) for model in models)
    if labels < MINIMUM_LABELS:
        raise UsageError(
            f"{labels} scored items are too few to learn from: it takes at least {MINIMUM_LABELS} of each model.",
            hint="Compare the models on more items first; `agreement` and `cascade` need no labels.",
        )
