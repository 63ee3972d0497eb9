"""What-if where replies are missing: a strategy's mean reward, from what another one chose at random and recorded.

A log holds for each item which action was chosen, with which probability, and what came of it. A strategy that would
have chosen otherwise is estimated by weighing the items with how much more often it would have chosen the same:

- ``ips``: the weighted mean (Horvitz and Thompson 1952). Unbiased, and noisy.
- ``snips``: the same over the sum of the weights (Hajek; Swaminathan and Joachims 2015). Nearly always the better one.
- ``doubly_robust``: a model of the reward, corrected by the weighted residuals (Dudik, Langford and Li 2011), each item
  by a model that has not seen it (cross-fitting, Chernozhukov et al. 2018). Usually the most precise.

Qualities within 0 and 1 get Wilson's form of the interval, other rewards the normal one. Where the log says too little
about the strategy, no number is given at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from orchestration_nb.errors import TooLittleSupportError, UsageError

Floats = NDArray[np.float64]
Method = Literal["ips", "snips", "doubly robust"]

LEAST_EFFECTIVE_ITEMS = 100.0
"""Below so many items' worth of evidence an estimate is refused: its interval would no longer hold what it promises."""
MOST_UNSEEN_SHARE = 0.01
"""Of a strategy's choices, how many may be such as the log could never have made."""

_FOLDS = 5
_PENALTIES = np.array([0.001, 0.01, 0.1, 1.0, 10.0, math.inf])
"""Of the ridge, per item and in units of the features' variance; endless means the mean alone."""
_LEAST_FOR_RIDGE = 10
"""Items of an action below which its mean stands for its model."""
_SURE_ERRORS = 5.0
"""Standard errors by which the weights must miss their mean of 1 to say that log and strategy don't fit."""
_CLEAR_GAP = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChoiceLog:
    """Recorded choices of n items among k actions (models, or whatever a strategy chooses from), each item once.

    Raises:
        UsageError: If the shapes differ, a propensity is not in (0, 1], a reward is no number, or the target's rows
            are no probabilities.
    """

    chosen: NDArray[np.intp]
    """Of shape n: the number of the action that was taken."""
    propensity: Floats
    """Of shape n: the probability with which it was taken, as logged."""
    reward: Floats
    """Of shape n: what came of it: quality, cost, latency; a missing answer as whatever it counts for."""
    target: Floats
    """Of shape n x k: the probabilities with which the strategy in question would have taken each action."""
    features: Floats | None = None
    """Of shape n x d: what a model of the reward may read; without them it knows each action's mean."""
    possible: NDArray[np.bool_] | None = None
    """Of shape n x k: whether the log could have taken the action (the recorded candidates); ``None``: not known."""
    is_quality: bool = True
    """Whether the reward is a quality; a cost may lie between 0 and 1 too, and yet 1 is no bound of it."""

    def __post_init__(self) -> None:
        """Refuses what no estimate can be made of."""
        n = len(self.reward)
        if n == 0:
            raise UsageError("The log holds no items.", hint="Record some with a strategy that calls `choose`.")
        shapes = {"chosen": self.chosen.shape == (n,), "propensity": self.propensity.shape == (n,)}
        shapes["target"] = self.target.ndim == 2 and len(self.target) == n
        shapes["features"] = self.features is None or (self.features.ndim == 2 and len(self.features) == n)
        shapes["possible"] = self.possible is None or self.possible.shape == self.target.shape
        if wrong := [name for name, fits in shapes.items() if not fits]:
            raise UsageError(f"The log has {n} rewards, and {' and '.join(wrong)} of another shape.")
        self._check_numbers()

    def _check_numbers(self) -> None:
        if not np.all((self.propensity > 0) & (self.propensity <= 1)):
            raise UsageError(
                "A logged propensity is not above 0 and at most 1.",
                hint="Keep the items whose model was chosen with `request.choose`.",
            )
        if not np.all((self.chosen >= 0) & (self.chosen < self.target.shape[1])):
            raise UsageError(f"A logged action is none of the target's {self.target.shape[1]}.")
        if np.any(self.target < 0) or not np.allclose(self.target.sum(axis=1), 1.0, atol=1e-6):
            raise UsageError("The strategy's probabilities of an item are negative or don't add up to 1.")
        if not np.all(np.isfinite(self.reward)) or not (self.features is None or np.all(np.isfinite(self.features))):
            raise UsageError("A reward or a feature of the log is no number.", hint="Count a missing answer as 0.")

    @property
    def bounded(self) -> bool:
        """Whether the reward is a quality, and each lies between 0 and 1."""
        return self.is_quality and bool(np.all((self.reward >= 0.0) & (self.reward <= 1.0)))

    @property
    def weights(self) -> Floats:
        """Of shape n: how much more often than the log the strategy would have made the logged choice."""
        taken: Floats = self.target[np.arange(len(self.chosen)), self.chosen] / self.propensity
        return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a strategy would have come to, on average per item, and how sure that is."""

    method: Method
    value: float
    standard_error: float
    low: float
    """Of the interval at ``level``."""
    high: float
    level: float
    effective_items: float
    """So many items of the strategy's own would weigh as much (Kish)."""
    items: int

    @property
    def sentence(self) -> str:
        """The estimate in words."""
        return (
            f"About {self.value:.4g}, between {self.low:.4g} and {self.high:.4g} with {self.level:.0%} confidence "
            f"({self.method}; {self.items:,} logged items, worth {self.effective_items:,.0f} of the strategy's own)."
        )


def effective_sample_size(weights: Floats) -> float:
    """How many unweighted items the weighted ones are worth: (sum of w)^2 / sum of w^2 (Kish 1965)."""
    square = float(np.sum(weights**2))
    return float(np.sum(weights)) ** 2 / square if square > 0 else 0.0


def ips(log: ChoiceLog, *, level: float = 0.95, least_effective_items: float = LEAST_EFFECTIVE_ITEMS) -> Estimate:
    """Estimates by inverse propensity scores.

    Args:
        log: What was chosen, and what the strategy would have chosen.
        level: Of the interval.
        least_effective_items: Below this effective sample size there is a refusal.

    Raises:
        TooLittleSupportError: If the log says too little about the strategy.
    """
    weights = _supported(log, least_effective_items)
    terms = weights * log.reward
    return _estimate("ips", float(terms.mean()), terms, weights, level=level)


def snips(log: ChoiceLog, *, level: float = 0.95, least_effective_items: float = LEAST_EFFECTIVE_ITEMS) -> Estimate:
    """Estimates by self-normalised inverse propensity scores; the standard error is the jackknife's.

    Args:
        log: What was chosen, and what the strategy would have chosen.
        level: Of the interval.
        least_effective_items: Below this effective sample size there is a refusal.

    Raises:
        TooLittleSupportError: If the log says too little about the strategy.
    """
    weights = _supported(log, least_effective_items)
    shares = weights / weights.sum()
    value = float(np.clip(shares @ log.reward, log.reward.min(), log.reward.max()))  # rounding may pass the ends
    terms = value + len(shares) * shares * (log.reward - value) / (1.0 - shares)
    return _estimate("snips", value, terms, weights, level=level, bounded=log.bounded)


def doubly_robust(
    log: ChoiceLog,
    *,
    level: float = 0.95,
    least_effective_items: float = LEAST_EFFECTIVE_ITEMS,
    folds: int = _FOLDS,
    seed: int = 0,
) -> Estimate:
    """Estimates by a cross-fitted model of the reward and the weighted residuals of what was chosen.

    The model is a ridge regression per action on the log's features (its strength by generalised cross-validation), or
    the action's mean where there are no features or few items. The interval holds even where the model is poor.

    Args:
        log: What was chosen, and what the strategy would have chosen.
        level: Of the interval.
        least_effective_items: Below this effective sample size there is a refusal.
        folds: Parts of the items; each is predicted by a model of the others.
        seed: Of the parts.

    Raises:
        TooLittleSupportError: If the log says too little about the strategy.
    """
    weights = _supported(log, least_effective_items)
    rewards = cross_fitted_rewards(log, folds=folds, seed=seed)
    expected = np.sum(log.target * rewards, axis=1)
    terms = expected + weights * (log.reward - rewards[np.arange(len(weights)), log.chosen])
    return _estimate("doubly robust", float(terms.mean()), terms, weights, level=level, bounded=log.bounded)


def cross_fitted_rewards(log: ChoiceLog, *, folds: int = _FOLDS, seed: int = 0) -> Floats:
    """Predicts every action's reward on every item, by models that have not seen the item: of shape n x k."""
    n, k = log.target.shape
    fold = np.random.default_rng(seed).permutation(n) % min(max(folds, 2), n)
    rewards = np.empty((n, k))
    for number in np.unique(fold):
        held, seen = fold == number, fold != number
        for action in range(k):
            model = _reward_model(log, seen & (log.chosen == action), otherwise=seen)
            rewards[held, action] = model(held)
    return rewards


def _reward_model(log: ChoiceLog, mine: NDArray[np.bool_], *, otherwise: NDArray[np.bool_]) -> Callable[[Any], Floats]:
    rows = mine if mine.any() else otherwise if otherwise.any() else np.ones(len(mine), dtype=bool)
    if log.features is None or not log.features.shape[1] or mine.sum() < _LEAST_FOR_RIDGE:
        mean = float(log.reward[rows].mean())
        return lambda held: np.full(int(np.sum(held)), mean)
    features = log.features
    predict = _ridge(features[rows], log.reward[rows])
    return lambda held: predict(features[held])


def _ridge(features: Floats, reward: Floats) -> Callable[[Floats], Floats]:
    """Ridge with the penalty of the least generalised cross-validation error (Golub, Heath and Wahba 1979)."""
    n, middle, mean = len(reward), features.mean(axis=0), float(reward.mean())
    spread = features.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    left, stretch, right = np.linalg.svd((features - middle) / scale, full_matrices=False)
    along = left.T @ (reward - mean)
    kept = stretch**2 / (stretch**2 + n * _PENALTIES[:, None])  # [penalties, directions]
    free = 1.0 - (1.0 + kept.sum(axis=1)) / n
    errors = np.mean((reward - mean - (kept * along) @ left.T) ** 2, axis=1)
    judged = np.divide(errors, free**2, out=np.full_like(errors, math.inf), where=free > 0)
    chosen = np.divide(kept[judged.argmin()], stretch, out=np.zeros_like(stretch), where=stretch > 0)
    slope = right.T @ (chosen * along) / scale
    low, high = float(reward.min()), float(reward.max())
    return lambda held: np.clip(mean + (held - middle) @ slope, low, high)


def _supported(log: ChoiceLog, least: float) -> Floats:
    weights = log.weights
    effective = effective_sample_size(weights)
    if effective < max(least, 2.0):
        raise TooLittleSupportError(
            f"The log's {len(weights):,} items are worth {effective:,.0f} of the strategy's own, and {least:,.0f} are "
            "needed to estimate what it would have come to.",
            hint="Record more items, or with a strategy that chooses more evenly; or compare the two for real.",
        )
    unseen = 0.0 if log.possible is None else float(np.mean(np.sum(log.target * ~log.possible, axis=1)))
    mean, error = float(weights.mean()), float(weights.std()) / math.sqrt(len(weights))
    if unseen > MOST_UNSEEN_SHARE or 1.0 - mean > max(_CLEAR_GAP, _SURE_ERRORS * error):
        raise TooLittleSupportError(
            f"About {max(unseen, 1.0 - mean):.0%} of what the strategy would have chosen could not be chosen when the "
            "log was recorded, so nothing is known of how that would have gone.",
            hint="Record with a strategy that now and then chooses each of its models.",
        )
    return weights


def _estimate(
    method: Method, value: float, terms: Floats, weights: Floats, *, level: float, bounded: bool = False
) -> Estimate:
    error = float(terms.std(ddof=1)) / math.sqrt(len(terms))
    effective = effective_sample_size(weights)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    low, high = value - z * error, value + z * error
    if bounded and 0.0 <= value <= 1.0:
        low, high = _within_unit(value, error, z, effective)
    return Estimate(
        method=method,
        value=value,
        standard_error=error,
        low=low,
        high=high,
        level=level,
        effective_items=effective,
        items=len(terms),
    )


def _within_unit(value: float, error: float, z: float, effective: float) -> tuple[float, float]:
    """Wilson's interval at the number of items that would have this standard error.

    Near 0 and 1, where a log holds only a few failures (or successes), the plain interval is too short.
    """
    spread = value * (1.0 - value)
    items = spread / error**2 if error > 0 and spread > 0 else effective
    whole = 1.0 + z**2 / items
    middle = (value + z**2 / (2 * items)) / whole
    reach = z / whole * math.sqrt(spread / items + z**2 / (4 * items**2))
    return middle - reach, middle + reach
