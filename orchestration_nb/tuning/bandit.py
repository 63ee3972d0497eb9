"""Strategies that learn while they answer: ``bandit(...)``, and ``epsilon_greedy(...)`` to compare it with.

Each request is answered by one model; what the reply was worth is its reward::

    reward = quality - cost_weight * cost_usd * 1000

Quality is the score, usually from 0 to 1. ``cost_weight`` is in quality per US dollar and thousand requests: .01 says
that one point of quality (.01) is worth a dollar more on each thousand requests.

A score may come at once, much later, in any order, or never. The cost is learned as soon as the reply is there, the
quality when ``learn(request, reply, score)`` is called; a model that cannot answer came to quality 0 on that request.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

from orchestration_nb.calls import Ask, Reply, Request
from orchestration_nb.errors import UsageError
from orchestration_nb.routing.registry import STRATEGIES
from orchestration_nb.tuning.bandit_files import read_learner, write_learner
from orchestration_nb.tuning.learner import Learner

Method = Literal["linucb", "thompson"]
"""How a bandit weighs what it does not know yet."""


class LearningStrategy(Protocol):
    """A strategy that is told what its replies were worth."""

    models: tuple[str, ...]
    """Models or aliases that it chooses from."""

    async def __call__(self, request: Request, ask: Ask) -> Reply:
        """Answers a request by one of the models."""

    def learn(self, request: Request, reply: Reply, score: float) -> None:
        """Takes in what a reply was worth; a score that is not a number says nothing.

        Args:
            request: As it was answered. One that another strategy or process answered teaches as well.
            reply: Its reply; one of a model that is none of ``models`` teaches nothing.
            score: The quality, best from 0 to 1.
        """

    def save(self, folder: Path) -> None:
        """Writes what was learned as JSON and NPZ; :func:`load_bandit` reads it.

        Args:
            folder: Is made where it is missing. What was saved there before is replaced in one go.
        """


def bandit(
    *models: str,
    method: Method = "linucb",
    cost_weight: float = 0.01,
    floor: float = 0.02,
    save_as: str | None = None,
) -> LearningStrategy:
    """A strategy that finds out which model suits which requests, from the scores of its own replies.

    ::

        strategy = bandit("fast", "strong", cost_weight=0.02)
        flow.map(tickets, strategy=strategy)

    It learns for each model, from the words, the form and the step of a request, the quality and the cost to be
    expected (see :mod:`orchestration_nb.tuning.estimates`), and asks the best, or one that could be. Decision, reason
    and propensity are recorded; as each model keeps at least ``floor / len(models)``, what another strategy would have
    come to can be estimated from the ledger.

    Name models in full where an alias may come to stand for another model: what was learned stays with the name.

    Args:
        models: Two or more models or aliases.
        method: ``linucb`` asks the model that could be best, by one standard deviation; with answers under way it
            counts on what these will tell. ``thompson`` asks each by the chance that it is the best, which suits
            scores that come late and in bulk.
        cost_weight: Quality per US dollar and thousand requests; see the module.
        floor: Share of the requests, from 0 to 1, whose model is drawn evenly from all. Where models
            are each other's opposites by request, LinUCB finds that out by these tries alone: give it 0.1 then.
        save_as: A name under which the workspace keeps what was learned: runs that are scored begin with it and save it
            at their end. Of two at the same time, the last one stays.

    Raises:
        UsageError: If fewer than two models are named, or an option is out of its range.
    """
    if method not in get_args(Method):
        raise UsageError(f"method={method!r} is no method of bandit().", hint='Write method="linucb" or "thompson".')
    learner = Learner(_checked("bandit", models, cost_weight, "floor", floor), method, cost_weight, floor)
    if save_as is not None and (not isinstance(save_as, str) or not save_as.isidentifier()):
        raise UsageError(f"save_as={save_as!r} is no name.", hint='Write letters, digits and _: save_as="triage".')
    return strategy_of(learner, save_as=save_as)


def epsilon_greedy(*models: str, epsilon: float = 0.1, cost_weight: float = 0.01) -> LearningStrategy:
    """The plain way to learn, for comparison: mostly the model of the best expectation, now and then any.

    It learns the same as :func:`bandit` from the same requests; only how it tries what it does not know differs.

    Args:
        models: Two or more models or aliases.
        epsilon: Share of the requests, from 0 to 1, whose model is drawn evenly from all.
        cost_weight: Quality per US dollar and thousand requests; see the module.

    Raises:
        UsageError: If fewer than two models are named, or an option is out of its range.
    """
    names = _checked("epsilon_greedy", models, cost_weight, "epsilon", epsilon)
    return strategy_of(Learner(names, "epsilon_greedy", cost_weight, epsilon))


def load_bandit(folder: Path) -> LearningStrategy:
    """The strategy that ``save(folder)`` wrote, with all that it had learned.

    Raises:
        WorkspaceError: If nothing was saved there, what is there is damaged, or a newer version wrote it.
    """
    return strategy_of(read_learner(folder))


def strategy_of(learner: Learner, *, save_as: str | None = None) -> LearningStrategy:
    """The strategy that asks and teaches a learner."""

    async def learning(request: Request, ask: Ask) -> Reply:
        """Asks the model that is, or could be, the best for the request."""
        return await learner.answer(request, ask)

    def save(folder: Path) -> None:
        write_learner(learner, folder)

    def resume(folder: Path) -> None:
        learner.go_on_from(read_learner(folder))

    made: Any = learning
    named = ", ".join(learner.models)
    maker = "epsilon_greedy(" if learner.method == "epsilon_greedy" else "bandit("
    method = f"epsilon={learner.floor:g}" if learner.method == "epsilon_greedy" else f"method={learner.method}"
    made.__name__ = made.__qualname__ = f"{maker}{named}, {method}, cost_weight={learner.cost_weight:g})"
    made.models, made.learn, made.save = learner.models, learner.learn, save
    made.save_as, made.resume = save_as, resume
    return cast("LearningStrategy", made)


def _checked(maker: str, models: tuple[str, ...], cost_weight: float, option: str, share: float) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(models))
    if len(names) < 2 or not all(isinstance(name, str) and name.strip() for name in names):
        raise UsageError(
            f"{maker}({', '.join(map(repr, models))}) does not name two models.",
            hint=f'Write {maker}("fast", "strong").',
        )
    if not (_is_number(cost_weight) and math.isfinite(cost_weight) and cost_weight >= 0):
        raise UsageError(
            f"cost_weight={cost_weight!r} is no weight.",
            hint="It is the quality that a dollar on each thousand requests is worth: 0 or more, such as 0.01.",
        )
    if not (_is_number(share) and 0 <= share <= 1):
        raise UsageError(f"{option}={share!r} is no share.", hint=f"Write a number from 0 to 1, such as {option}=0.1.")
    return names


def _is_number(value: object) -> bool:
    """Whether it is one: what is written as text may be any word."""
    return isinstance(value, int | float) and not isinstance(value, bool)


STRATEGIES.add_maker(bandit)
STRATEGIES.add_maker(epsilon_greedy)
