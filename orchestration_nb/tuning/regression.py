"""The arithmetic of a learned strategy: logistic heads that share what they can, and their calibration.

Fitting takes SciPy (the extra ``learned``); what was fitted is plain arrays, and predicting takes numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from orchestration_nb.errors import UsageError
from orchestration_nb.tuning.features import Floats, Rows
from orchestration_nb.tuning.newton import HeadsLoss, minimised

_STRENGTH: Final = 2.0
"""Inverse of the regularisation, per model that is learned from."""
_INTERCEPT: Final = 2.0
"""Size of the column that carries each model's level, so that it is hardly regularised."""
_TOLERANCE: Final = 1e-2
"""How flat the loss must become, where good and bad replies are alike in number: the rarer the one, the flatter."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heads:
    """Linear weights per model."""

    weights: Floats
    """(models, columns)."""
    levels: Floats
    """(models,)"""

    def logits(self, rows: Rows) -> Floats:
        """Log odds of a good reply, as (items, models)."""
        return rows.times(self.weights) + self.levels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Platt:
    """Calibration of the log odds of each model by a slope and a shift (Platt, 1999)."""

    slopes: Floats
    shifts: Floats

    def chances(self, logits: Floats) -> Floats:
        """Chances of a good reply, from 0 to 1."""
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits * self.slopes + self.shifts, -30, 30))))


def fit_heads(rows: Rows, own: Floats, quality: Floats, rest: Floats | None) -> Heads:
    """Fits a logistic head per model.

    Args:
        rows: The items.
        own: Per column, how freely a model's weight may leave what the models share.
        quality: (items, models), from 0 to 1; what lies between counts as partly good.
        rest: (items, other models), learned from as one more model of that many times the weight, or ``None``.

    Raises:
        UsageError: If SciPy is missing.
    """
    sparse = _scipy_sparse()
    heads, columns = quality.shape[1] + (rest is not None), rows.shape[1]
    labels = quality if rest is None else np.column_stack([quality, rest.mean(axis=1)])
    votes = np.ones(heads)
    if rest is not None:
        votes[-1] = rest.shape[1]
    good, bad = labels * votes, (1 - labels) * votes
    yes, no = np.count_nonzero(good), np.count_nonzero(bad)
    if not (yes and no):  # every reply alike: nothing tells items apart
        level = 5.0 if yes else -5.0
        return Heads(weights=np.zeros((quality.shape[1], columns)), levels=np.full(quality.shape[1], level))
    items = sparse.csr_matrix((rows.values, (rows.rows, rows.columns)), shape=rows.shape)
    strength = _STRENGTH / votes.sum()
    loss = HeadsLoss.of(items, own, _INTERCEPT, strength * good, strength * bad)
    shared, apart, levels = loss.parts(minimised(loss, _TOLERANCE * min(yes, no) / (yes + no)))
    used = quality.shape[1]
    return Heads(weights=shared + own * apart.T[:used], levels=_INTERCEPT * levels[:used])


def log_loss(chances: Floats, quality: Floats) -> float:
    """Mean of minus the log of the chance that was given to what happened."""
    sure = np.clip(chances, 1e-6, 1 - 1e-6)
    return float(-np.mean(quality * np.log(sure) + (1 - quality) * np.log(1 - sure)))


def fit_platt(logits: Floats, quality: Floats) -> Platt:
    """Calibrates log odds on items that their fit had not seen; a slope is never negative."""
    fitted = [_platt(logits[:, model], quality[:, model]) for model in range(logits.shape[1])]
    return Platt(slopes=np.array([slope for slope, _ in fitted]), shifts=np.array([shift for _, shift in fitted]))


def _platt(logit: Floats, quality: Floats, steps: int = 50) -> tuple[float, float]:
    """Newton's method on the log loss, with a weak pull towards leaving the odds as they are."""
    columns = np.column_stack([logit, np.ones_like(logit)])
    found, start = np.array([1.0, 0.0]), np.array([1.0, 0.0])
    for _ in range(steps):
        chance = 1.0 / (1.0 + np.exp(-np.clip(columns @ found, -30, 30)))
        slope = columns.T @ (chance - quality) + (found - start)
        bend = (columns * (chance * (1 - chance))[:, None]).T @ columns + np.eye(2)
        change = np.linalg.solve(bend, slope)
        found = found - change
        if float(np.abs(change).max()) < 1e-8:
            break
    return max(0.0, float(found[0])), float(found[1])


def _scipy_sparse() -> Any:
    try:
        from scipy import sparse  # noqa: PLC0415 - only a fit needs it
    except ImportError as error:
        raise UsageError(
            "Learning a strategy needs SciPy, which is not installed.",
            hint="Install it with: pip install 'orchestration_nb[learned]'",
        ) from error
    return sparse
