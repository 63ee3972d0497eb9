"""What a bandit knows: quality and cost of each model by request, and how it chooses on them."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from orchestration_nb.calls import Ask, Reply, Request
from orchestration_nb.errors import CallError, WorkspaceError
from orchestration_nb.ids import RequestId
from orchestration_nb.tuning.context import CONTEXT_SIZE, context_of
from orchestration_nb.tuning.estimates import Array, Prior, Regression

QUALITY = Prior(mean=0.5, shared=0.5, own_level=0.3, own=0.2, noise=0.5)
"""Scores from 0 to 1: two models differ by some .3, and by some .2 more or less for one sign of the request or another.
The noise is the most that a score of yes or no can have."""
LOG_COST = Prior(mean=math.log(1e-4), shared=1.0, own_level=4.0, own=0.3, noise=0.5)
"""Logarithm of US dollars: models differ by orders of magnitude, and grow dearer on the same requests."""

_LEAST_USD = 1e-9
"""What a free reply counts as, whose logarithm could not be taken."""
_OPEN = 10_000
"""Answers that still wait for a score and whose model is remembered; the score of an older one is told by the reply."""
_AHEAD = 32
"""Of them, the newest ones that LinUCB counts as good as known."""
_DRAWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is to be expected of each model on a request, before one is chosen."""

    quality: Array
    cost_usd: Array
    reward: Array
    uncertainty: Array
    """Covariance of the quality; shape ``(models, models)``."""

    def deviation(self) -> Array:
        """Standard deviation of each model's quality, as far as it is not known."""
        return np.sqrt(np.maximum(np.diag(self.uncertainty), 0.0))


Rule = Callable[[Forecast], Array]
"""Gives each model its chance to be asked, from what is expected; the chances sum to 1."""


def greedy(forecast: Forecast) -> Array:
    """The model of the best expectation."""
    return _only(forecast.reward)


def linucb(forecast: Forecast) -> Array:
    """The model that could be best: expectation plus one standard deviation (Li et al. 2010, their alpha being 1)."""
    return _only(forecast.reward + forecast.deviation())


def thompson(forecast: Forecast) -> Array:
    """Each model by the chance that it is the best (Thompson 1933), reckoned from draws and so known exactly.

    To draw one belief and take its best model is the same thing, but its propensity could only be guessed afterwards.
    """
    models = len(forecast.reward)
    values, axes = np.linalg.eigh(forecast.uncertainty)
    root = axes * np.sqrt(np.maximum(values, 0.0))
    beliefs = forecast.reward + _draws(models) @ root.T
    return np.bincount(beliefs.argmax(axis=1), minlength=models) / len(beliefs)


_RULES: dict[str, Rule] = {"linucb": linucb, "thompson": thompson, "epsilon_greedy": greedy}
_NORMAL: dict[int, Array] = {}


def _draws(models: int) -> Array:
    """Standard normal draws and their opposites, the same ones for each decision, which is thus repeatable."""
    if models not in _NORMAL:
        half = np.random.default_rng(models).standard_normal((_DRAWS, models))
        _NORMAL[models] = np.concatenate([half, -half])
    return _NORMAL[models]


def _only(values: Array) -> Array:
    best = values >= values.max() - 1e-12
    return np.asarray(best / best.sum())


class Learner:
    """What a strategy has learned, and how it decides.

    Args:
        models: Models or aliases.
        method: ``linucb``, ``thompson`` or ``epsilon_greedy``.
        cost_weight: Quality per US dollar and thousand requests.
        floor: Share of the requests whose model is drawn evenly from all.
    """

    def __init__(self, models: Sequence[str], method: str, cost_weight: float, floor: float) -> None:
        self.models = tuple(models)
        self.method = method
        self.cost_weight = cost_weight
        self.floor = floor
        self.quality = Regression(len(models), CONTEXT_SIZE, QUALITY)
        self.log_cost = Regression(len(models), CONTEXT_SIZE, LOG_COST)
        self.scores = [0] * len(models)
        """Scores that were learned, by model."""
        self.full_names: dict[str, str] = {}
        """``provider/name`` to the model or alias that it answered for."""
        self._open: dict[RequestId, tuple[int, Array]] = {}
        self.lock = threading.Lock()  # a mark in the notebook comes from another thread than the engine's

    async def answer(self, request: Request, ask: Ask) -> Reply:
        """Chooses a model by what was learned so far, and asks it."""
        row = context_of(request)
        with self.lock:
            forecast = self.forecast(row)
        shares = (1 - self.floor) * _RULES[self.method](forecast) + self.floor / len(self.models)
        model = request.choose(dict(zip(self.models, map(float, shares), strict=True)))
        number = self.models.index(model)
        request.decision.reason = self._reason(forecast, number)
        with self.lock:
            self._open[request.id] = (number, row)
            while len(self._open) > _OPEN:
                del self._open[next(iter(self._open))]
        try:
            reply = await ask(model, sample=request.sample)
        except BaseException as error:
            if isinstance(error, CallError) and error.falls_back is not None:
                self._failed(request)
            self._forgotten(request)
            raise
        self._answered(request, reply, number, row)
        return reply

    def go_on_from(self, saved: Learner) -> None:
        """Takes over what another one had learned of the same models.

        Raises:
            WorkspaceError: If it is of other models.
        """
        if saved.models != self.models:
            raise WorkspaceError(
                f"What was saved is of {', '.join(saved.models)}, not of {', '.join(self.models)}.",
                hint="Give save_as= another name, or name the same models.",
            )
        with self.lock:
            self.quality, self.log_cost = saved.quality, saved.log_cost
            self.scores, self.full_names = saved.scores, saved.full_names

    def forecast(self, row: Array) -> Forecast:
        """What is to be expected of each model on a request of that row."""
        ahead = None
        if self.method == "linucb":
            ahead = list(itertools.islice(reversed(self._open.values()), _AHEAD))
        quality = self.quality.expected(row)
        cost_usd = np.exp(np.clip(self.log_cost.expected(row) + self.log_cost.noise**2 / 2, -30.0, 10.0))
        return Forecast(
            quality=quality,
            cost_usd=cost_usd,
            reward=quality - self.cost_weight * 1000 * cost_usd,
            uncertainty=self.quality.uncertainty(row, ahead),
        )

    def learn(self, request: Request, reply: Reply, score: float) -> None:
        """Takes in what a reply was worth; see :class:`orchestration_nb.tuning.bandit.LearningStrategy`."""
        with self.lock:
            asked = self._open.pop(request.id, None)
            number = asked[0] if asked else self._number_of(reply)
            if number is None or not math.isfinite(score):
                return
            row = asked[1] if asked else context_of(request)
            if asked is None:
                self._paid(number, row, reply)
            self._scored(number, row, float(score))

    def _answered(self, request: Request, reply: Reply, number: int, row: Array) -> None:
        if reply.instead_of is not None:  # the score to come is the stand-in's
            self._failed(request)
            return
        with self.lock:
            self.full_names.setdefault(reply.model, self.models[number])
            self._paid(number, row, reply)

    def _failed(self, request: Request) -> None:
        with self.lock:
            asked = self._open.pop(request.id, None)
            if asked:
                self._scored(*asked, 0.0)

    def _forgotten(self, request: Request) -> None:
        with self.lock:
            self._open.pop(request.id, None)

    def _scored(self, number: int, row: Array, quality: float) -> None:
        self.quality.learn(number, row, quality)
        self.scores[number] += 1

    def _paid(self, number: int, row: Array, reply: Reply) -> None:
        self.log_cost.learn(number, row, math.log(max(reply.cost_usd, _LEAST_USD)))

    def _number_of(self, reply: Reply) -> int | None:
        name = self.full_names.get(reply.model, reply.model)
        return self.models.index(name) if name in self.models else None

    def _reason(self, forecast: Forecast, number: int) -> str:
        best = int(forecast.reward.argmax())
        why = "the best expected" if number == best else f"tried, though {self.models[best]} is expected to be better"
        return (
            f"{self.models[number]}, {why}: quality {forecast.quality[number]:.2f} ± "
            f"{forecast.deviation()[number]:.2f} at ${1000 * forecast.cost_usd[number]:.3g} a thousand requests, "
            f"from {self.scores[number]} scores of its own ({sum(self.scores)} in all)"
        )
