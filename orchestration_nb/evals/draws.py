"""What a strategy could decide for a request: each outcome of its random choices followed, with its chance."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestration_nb.calls import Decision, Request, Strategy
from orchestration_nb.errors import ControlSignal, UsageError
from orchestration_nb.evals.virtual_time import Fetch, alone

MOST_DRAWS: Final = 64
"""Outcomes of one request that are followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One way in which the random choices of a request can go."""

    chance: float
    asked: tuple[str, ...]
    """The models that are asked then, in order, as far as answers are there."""


def possible_draws(strategy: Strategy, request: Request, fetch: Fetch) -> list[Draw]:
    """Runs a strategy once for each outcome of its calls of ``request.choose``; not on a thread that has a loop.

    Of other randomness than ``request.choose`` nothing is known: it goes as it happens to go.

    Args:
        strategy: What decides.
        request: What is asked; its decision is left as it is.
        fetch: Where answers come from. A strategy that wants one that is not there is followed so far and no further.

    Returns:
        The draws; their chances add up to 1.

    Raises:
        UsageError: If there are more than :data:`MOST_DRAWS`.
    """
    draws: list[Draw] = []
    to_follow: list[tuple[int, ...]] = [()]
    while to_follow:
        dice = _Followed(to_follow.pop())
        decision = Decision(seed=request.decision.seed, dice=dice, observe=request.decision.observe)
        came = alone(strategy, replace(request, decision=decision), fetch)
        draws.append(Draw(chance=dice.chance, asked=tuple(asked.model for asked in came.asked)))
        to_follow += dice.others
        if dice.endless or len(draws) + len(to_follow) > MOST_DRAWS:
            raise UsageError(f"Its random choices can go in more than {MOST_DRAWS} ways for one request.")
    return draws


class _Endless(ControlSignal):
    """A strategy goes on choosing as long as the dice fall on their first side."""


class _Followed(random.Random):
    """Dice that fall as they are told, then on the first side; it notes how else they could have fallen."""

    def __init__(self, path: tuple[int, ...]) -> None:
        super().__init__(0)
        self.chance = 1.0
        self.others: list[tuple[int, ...]] = []
        self.endless = False
        """Whether it was thrown so often that it had to be stopped."""
        self._path = path
        self._taken: tuple[int, ...] = ()

    def choices(  # type: ignore[override]
        self, population: Sequence[Any], weights: Sequence[float], **_: Any
    ) -> list[Any]:
        """One side, as a list, as ``random.Random`` gives it."""
        sides = [side for side, weight in enumerate(weights) if weight > 0]
        depth = len(self._taken)
        if depth >= MOST_DRAWS:
            self.endless = True
            raise _Endless
        if depth < len(self._path):
            side = self._path[depth]
        else:
            side = sides[0]
            self.others += [(*self._taken, other) for other in sides[1:]]
        self._taken = (*self._taken, side)
        self.chance *= weights[side] / sum(weights)
        return [population[side]]
