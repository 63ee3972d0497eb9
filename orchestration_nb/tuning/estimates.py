"""What to expect of each model on a request, and how sure that is: a Bayesian linear regression over all models.

A model's figure is a part that all models share (some questions are hard for everyone) plus a part of its own, so that
a reply of one model says something of the others as well: the hybrid model of LinUCB (Li, Chu, Langford and Schapire,
"A contextual-bandit approach to personalized news article recommendation", 2010, section 3.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What is believed before anything is seen; all of it in the units of the figure."""

    mean: float
    """Of every model, on every request."""
    shared: float
    """Standard deviation of each shared weight."""
    own_level: float
    """Standard deviation of how much one model is better or worse than another throughout."""
    own: float
    """Standard deviation of each further weight of a model's own."""
    noise: float
    """Standard deviation of a figure around what was to be expected; the data soon say it better."""
    noise_weight: float = 10.0
    """Number of figures that the guess of the noise counts for."""


class Regression:
    """Learns one figure per model and request, one observation at a time.

    Args:
        models: Number of models.
        size: Numbers in the row of a request; the first of them is 1.
        prior: What is believed at first.
    """

    def __init__(self, models: int, size: int, prior: Prior) -> None:
        own = np.full(size, prior.own)
        own[0] = prior.own_level
        deviations = np.concatenate([np.full(size, prior.shared), np.tile(own, models)]) / prior.noise
        self._parts = models + 1
        self._size = size
        self._mean = prior.mean
        self._least_noise = prior.noise / 2
        self.covariance = np.diag(deviations**2)
        """Of the weights, in units of the noise's variance; shape ``(parts * size, parts * size)``."""
        self._change = np.empty_like(self.covariance)  # made once: to make it anew takes longer than what is reckoned
        self.weights = np.zeros(len(deviations))
        """The shared part, then each model's own."""
        self.residuals = np.array([prior.noise_weight, prior.noise_weight * prior.noise**2])
        """Number of figures seen and the sum of their squared surprises."""

    @property
    def noise(self) -> float:
        """Standard deviation of a figure around what is to be expected, as far as is known by now."""
        return math.sqrt(float(self.residuals[1] / self.residuals[0]))

    def expected(self, row: Array) -> Array:
        """What to expect of each model on a request; shape ``(models,)``."""
        parts = self.weights.reshape(self._parts, self._size) @ row
        return np.asarray(self._mean + parts[0] + parts[1:])

    def uncertainty(self, row: Array, ahead: list[tuple[int, Array]] | None = None) -> Array:
        """Covariance of what is expected; shape ``(models, models)``, in units of the figure squared.

        Args:
            row: Of the request.
            ahead: Model and row of requests whose figures are on their way. They make sure already what they will
                make sure, though not of what (Desautels, Krause and Burdick 2014).
        """
        blocks = self.covariance.reshape(-1, self._size) @ row
        parts = np.einsum("i,pik->pk", row, blocks.reshape(self._parts, self._size, self._parts))
        between = parts[0, 0] + parts[0, 1:] + parts[1:, [0]] + parts[1:, 1:]
        if ahead:
            known = np.stack([self._place(model, seen) for model, seen in ahead])
            moved = known @ self.covariance
            here = np.stack([self._place(model, row) for model in range(self._parts - 1)])
            gain = moved @ here.T
            between = between - gain.T @ np.linalg.solve(moved @ known.T + np.eye(len(known)), gain)
        # the prior shrinks with the noise: scores without any would leave no doubt of a model that was never tried
        return np.asarray(between * max(self.noise, self._least_noise) ** 2)

    def learn(self, model: int, row: Array, figure: float) -> None:
        """Takes in what one model came to on one request."""
        place = self._place(model, row)
        moved = self.covariance @ place
        spread = 1.0 + float(place @ moved)
        surprise = figure - self._mean - float(place @ self.weights)
        self.residuals += (1.0, surprise**2 / spread)
        self.weights += moved * (surprise / spread)
        np.multiply(moved[:, np.newaxis], moved / spread, out=self._change)
        self.covariance -= self._change

    def _place(self, model: int, row: Array) -> Array:
        place = np.zeros(len(self.weights))
        place[: self._size] = row
        start = (model + 1) * self._size
        place[start : start + self._size] = row
        return place
