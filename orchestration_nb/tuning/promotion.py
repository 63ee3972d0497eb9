"""The rule by which a candidate strategy takes over from the incumbent, or does not.

A rollout starts in the **shadow**: each item is answered by the incumbent and asked of the candidate too, which gives
pairs and harms nobody. Then comes the **canary**: the candidate answers a random share of the items, compared with the
incumbent's items of the same time. It ends **promoted**, **rolled_back**, or **undecided** once the most items are in.

- Rolled back, in either stage, as soon as this stage shows that quality is lower, or cost above its limit.
- Promoted, in the canary, as soon as all that was seen shows that quality is higher and cost within its limit, or that
  quality is lower by less than the margin, if at all, and cost is lower by the stated saving.

Shown means: by an interval that holds at every look at once, so that one may look after every item. For a sum of steps
with mean 0, P(it ever passes b before item T) is at most 2 P(it is above b at T) (reflection principle; O'Brien and
Fleming's boundary in continuous time), so that with a fraction f of the items in, the reach is z(alpha / 2) x standard
error / sqrt(f). Each error's alpha is split between two such boundaries: one that is sharp early on and one that is
sharp at the end. The intervals are asymptotic; nothing is decided on the first few items.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from orchestration_nb.errors import UsageError
from orchestration_nb.events import RolloutStage
from orchestration_nb.tuning.looks import Arms, Bounds, quality_reading, ratio_reading, reach, together

Stage = RolloutStage
OPEN: tuple[Stage, ...] = ("shadow", "canary")

_QUALITY, _COST = 0.8, 0.2
"""Of a wrong promotion's alpha, for the quality and for the cost."""
_EARLY = 0.25
"""Of a promotion's alpha, for the boundary at ``watch_items``; the rest is for the one at the end."""
_SHADOW, _CANARY, _DEAR = 0.2, 0.7, 0.05
"""Of a wrong rollback's alpha: for quality in the shadow, for quality in the canary, for cost in each of the two."""
_WATCHED = 0.75
"""Of the canary's alpha for a rollback, for the boundary at ``watch_items``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSettings:
    """How careful a rollout is.

    Raises:
        UsageError: If a number is out of its range.
    """

    canary_share: float = 0.2
    """Of the items, how many the candidate answers in the canary: above 0, at most a half."""
    margin: float = 0.03
    """How much lower the quality of a cheaper candidate may be at most, in quality (0 to 1)."""
    saving: float = 0.05
    """How much less a candidate must cost to be promoted for its cost, as a share of the incumbent's cost."""
    cost_limit: float | None = 1.25
    """How many times the incumbent's cost a better candidate may cost; ``None``: whatever it is."""
    alpha: float = 0.05
    """Chance of a wrong promotion, and of a wrong rollback, over all looks of the whole rollout."""
    shadow_least_items: int = 100
    """Pairs before the canary; 0 leaves the shadow out."""
    shadow_most_items: int = 400
    """Pairs at which the shadow ends even where the quality seems lower by more than the margin."""
    least_items: int = 50
    """Of each side in a stage, before anything is decided there."""
    watch_items: int = 500
    """Of the candidate's in the canary, within which a drop is looked for most sharply."""
    canary_most_items: int = 2000
    """Of the candidate's in the canary; then the rollout ends undecided."""

    def __post_init__(self) -> None:
        """Refuses what no rollout can keep to."""
        ranges = {
            "canary_share": 0 < self.canary_share <= 0.5,
            "margin": 0 <= self.margin < 1,
            "saving": 0 <= self.saving < 1,
            "cost_limit": self.cost_limit is None or self.cost_limit >= 1,
            "alpha": 0 < self.alpha <= 0.5,
            "shadow_most_items": 0 <= self.shadow_least_items <= self.shadow_most_items,
            "watch_items": 2 <= self.least_items <= self.watch_items <= self.canary_most_items,
        }
        for name, right in ranges.items():
            if not right:
                raise UsageError(
                    f"A rollout's {name} cannot be {getattr(self, name)!r}.",
                    hint="Shares are between 0 and a half, and the numbers of items go up: least, watch, most.",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one item came to: both sides in the shadow (a pair), the side that answered in the canary.

    A missing answer counts as quality 0; a quality or cost that nobody knows is ``None``.
    """

    candidate_quality: float | None = None
    """0 to 1."""
    incumbent_quality: float | None = None
    candidate_cost_usd: float | None = None
    incumbent_cost_usd: float | None = None

    def __post_init__(self) -> None:
        """Refuses what is no quality and no cost."""
        for value in (self.candidate_quality, self.incumbent_quality):
            if value is not None and not 0.0 <= value <= 1.0:
                raise UsageError(f"A quality of {value!r} is not between 0 and 1.", hint="Scale the score first.")
        for cost in (self.candidate_cost_usd, self.incumbent_cost_usd):
            if cost is not None and not 0.0 <= cost < math.inf:
                raise UsageError(f"{cost!r} is no cost in dollars.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """All that a stage needs to remember of its items."""

    quality: Arms = field(default_factory=Arms)
    cost_usd: Arms = field(default_factory=Arms)

    def add(self, items: Iterable[Evidence]) -> Sums:
        """The sums with those items."""
        items = list(items)
        quality = [(one.candidate_quality, one.incumbent_quality) for one in items]
        cost = [(one.candidate_cost_usd, one.incumbent_cost_usd) for one in items]
        return Sums(quality=self.quality.add(quality), cost_usd=self.cost_usd.add(cost))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Where a candidate stands; a value, which goes through JSON unchanged."""

    settings: RolloutSettings = field(default_factory=RolloutSettings)
    stage: Stage = "shadow"
    shadow: Sums = field(default_factory=Sums)
    canary: Sums = field(default_factory=Sums)

    def to_json(self) -> str:
        """The rollout as JSON, to be kept."""
        return _ROLLOUT.dump_json(self).decode()

    @staticmethod
    def from_json(text: str) -> Rollout:
        """The rollout that was kept.

        Raises:
            UsageError: If the text is no rollout.
        """
        try:
            return _ROLLOUT.validate_json(text)
        except ValidationError as error:
            first: Mapping[str, Any] = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "its text"
            raise UsageError(f"A kept rollout cannot be read: {where}: {first['msg']}.") from error


_ROLLOUT = TypeAdapter(Rollout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a look came to."""

    stage: Stage
    """From now on."""
    was: Stage
    """Before the look."""
    share: float
    """Of the next items, how many the candidate answers; in the shadow it is asked beside the incumbent."""
    reason: str
    """Why, in a sentence."""
    quality: Bounds
    """Candidate less incumbent. In the canary ``high``, on which a rollback rests, is by the canary alone, and ``low``,
    on which a promotion rests, by the shadow too. Ends of which nothing is known are infinite."""
    cost_ratio: Bounds
    """Candidate's mean cost over the incumbent's; here a rollback rests on ``low`` and a promotion on ``high``."""
    candidate_items: int
    """Of this stage, with a quality."""
    incumbent_items: int

    @property
    def changed(self) -> bool:
        """Whether the stage is another one than before."""
        return self.stage != self.was


def begin(settings: RolloutSettings | None = None) -> Rollout:
    """A rollout before its first item."""
    settings = settings or RolloutSettings()
    return Rollout(settings=settings, stage="shadow" if settings.shadow_least_items else "canary")


def advance(rollout: Rollout, items: Iterable[Evidence] = ()) -> tuple[Rollout, Step]:
    """Takes in what some items came to, and looks once.

    Who answers in the canary must be drawn at random, item by item, with the settings' share from first to last. Pairs
    that come in late, in the canary, count on both sides. What comes in after the end changes nothing: an undecided
    candidate may begin another rollout, but not prolong this one.

    Args:
        rollout: Where the candidate stood.
        items: New items, each given once; one or many.

    Returns:
        Where it stands now, and what was decided and why.
    """
    if rollout.stage == "shadow":
        pairs = [one for one in items if one.candidate_quality is not None and one.incumbent_quality is not None]
        rollout = replace(rollout, shadow=rollout.shadow.add(pairs))
    elif rollout.stage == "canary":
        rollout = replace(rollout, canary=rollout.canary.add(items))
    look = _Look.at(rollout)
    stage, reason = look.verdict()
    share = {"canary": rollout.settings.canary_share, "promoted": 1.0}.get(stage, 0.0)
    step = Step(
        stage=stage,
        was=rollout.stage,
        share=share,
        reason=reason,
        quality=look.quality,
        cost_ratio=look.cost_ratio,
        candidate_items=look.sums.quality.candidate.n,
        incumbent_items=look.sums.quality.incumbent.n,
    )
    return replace(rollout, stage=stage), step


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One look at a rollout: what its stage has shown."""

    settings: RolloutSettings
    stage: Stage
    sums: Sums
    quality: Bounds
    cost_ratio: Bounds

    @staticmethod
    def at(rollout: Rollout) -> _Look:
        in_shadow = rollout.stage == "shadow" or (rollout.stage != "canary" and rollout.canary == Sums())
        sums = rollout.shadow if in_shadow else rollout.canary
        bounds = _shadow_bounds(rollout) if in_shadow else _canary_bounds(rollout)
        return _Look(settings=rollout.settings, stage=rollout.stage, sums=sums, quality=bounds[0], cost_ratio=bounds[1])

    def verdict(self) -> tuple[Stage, str]:
        """The stage from now on, and why."""
        if self.stage not in OPEN:
            return self.stage, f"This rollout has ended: {self.stage.replace('_', ' ')}."
        items, least = self.sums.quality.least_items, self.settings.least_items
        if items < (min(least, self.settings.shadow_most_items) if self.stage == "shadow" else least):
            return self.stage, f"Only {items:,} items on one side so far: too few to decide anything."
        if harm := self._harm():
            return "rolled_back", f"Rolled back: {harm}."
        return self._from_shadow(items) if self.stage == "shadow" else self._from_canary()

    def _harm(self) -> str | None:
        if self.quality.high < 0:
            return f"the candidate's quality is lower ({_points(self.quality)})"
        limit = self.settings.cost_limit
        if limit is not None and self.cost_ratio.low > limit:
            return f"the candidate costs more than {limit:g} times as much ({_times(self.cost_ratio)})"
        return None

    def _from_shadow(self, items: int) -> tuple[Stage, str]:
        settings = self.settings
        seems_fine = self.quality.estimate >= -settings.margin
        if items >= settings.shadow_most_items or (items >= settings.shadow_least_items and seems_fine):
            return "canary", f"To the canary: {items:,} pairs show no harm ({_points(self.quality)})."
        return "shadow", f"Stays in the shadow after {items:,} pairs ({_points(self.quality)})."

    def _from_canary(self) -> tuple[Stage, str]:
        settings, count = self.settings, self.sums.quality.candidate.n
        if gain := self._gain():
            return "promoted", f"Promoted: {gain}."
        told = f"{_points(self.quality)}; {_times(self.cost_ratio)}"
        if count >= settings.canary_most_items:
            return "undecided", f"The incumbent stays: {count:,} of the candidate's items don't tell ({told})."
        return "canary", f"Stays a canary after {count:,} of the candidate's items ({told})."

    def _gain(self) -> str | None:
        settings, cost = self.settings, self.cost_ratio
        if self.quality.low > 0 and (settings.cost_limit is None or cost.high < settings.cost_limit):
            return f"the candidate's quality is higher ({_points(self.quality)}) at a cost within its limit"
        if self.quality.low > -settings.margin and cost.high < 1 - settings.saving:
            return (
                f"the candidate is cheaper ({_times(cost)}), and its quality no lower than the margin of "
                f"{100 * settings.margin:g} points ({_points(self.quality)})"
            )
        return None


def _shadow_bounds(rollout: Rollout) -> tuple[Bounds, Bounds]:
    settings, sums = rollout.settings, rollout.shadow
    last = ((settings.shadow_most_items, 1.0),)
    quality, cost = quality_reading(sums.quality, paired=True), ratio_reading(sums.cost_usd, paired=True)
    harm = reach(quality, settings.alpha * _SHADOW, last)
    dear = reach(cost, settings.alpha * _DEAR, last)
    return Bounds.around(quality, harm), Bounds.around(cost, dear).exponential()


def _canary_bounds(rollout: Rollout) -> tuple[Bounds, Bounds]:
    settings, shadow, canary = rollout.settings, rollout.shadow, rollout.canary
    watched = ((settings.watch_items, _WATCHED), (settings.canary_most_items, 1 - _WATCHED))
    patient = ((settings.watch_items, _EARLY), (settings.canary_most_items, 1 - _EARLY))
    quality, cost = quality_reading(canary.quality), ratio_reading(canary.cost_usd)
    all_quality = together(quality_reading(shadow.quality, paired=True), quality)
    all_cost = together(ratio_reading(shadow.cost_usd, paired=True), cost)
    worse = quality.estimate + reach(quality, settings.alpha * _CANARY, watched)
    better = all_quality.estimate - reach(all_quality, settings.alpha * _QUALITY, patient)
    dear = cost.estimate - reach(cost, settings.alpha * _DEAR, watched)
    cheap = all_cost.estimate + reach(all_cost, settings.alpha * _COST, patient)
    return (
        Bounds(estimate=quality.estimate, low=better, high=worse),
        Bounds(estimate=cost.estimate, low=dear, high=cheap).exponential(),
    )


def _points(quality: Bounds) -> str:
    low, high = (_bound(100 * end, "+.1f") for end in (quality.low, quality.high))
    return f"{100 * quality.estimate:+.1f} points, between {low} and {high}"


def _times(ratio: Bounds) -> str:
    low, high = (_bound(end, ".2f") for end in (ratio.low, ratio.high))
    return f"{ratio.estimate:.2f} times the cost, between {low} and {high}"


def _bound(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "unknown"
