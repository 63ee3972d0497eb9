"""Several answers of one model: the one that most of them give, or the one that a judge likes best."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestration_nb.calls import Ask, Reply, Request, Strategy
from orchestration_nb.errors import CallError, StepError, UsageError
from orchestration_nb.routing.making import checked_count, checked_models, made
from orchestration_nb.routing.reading import read_answer
from orchestration_nb.routing.registry import STRATEGIES
from orchestration_nb.routing.together import all_of

Judge = Callable[[Request, Reply], Any]
"""Takes the request and a reply; how good it is, as a number. May be async."""


def majority_vote(model: str, n: int = 5) -> Strategy:
    """The answer that most of n samples of one model give (self-consistency).

    What a reply finally says is its vote. It asks no more samples than can still matter: of 5, three at once, and the
    others only where these three do not agree. Of answers with as many votes the one that was given first wins. A
    sample that fails has no vote.

    Source: Wang et al., Self-Consistency Improves Chain of Thought Reasoning in Language Models (2023).

    Args:
        model: Model or alias; with a temperature above 0, or all samples may be the same.
        n: Most samples, 2 or more.

    Raises:
        UsageError: If no model is named, or n is no such number.
    """
    names = checked_models("majority_vote", (model,), example='majority_vote("fast", n=5)')
    most = checked_count("n", n, least=2, example='majority_vote("fast", n=5)')

    async def by_majority(request: Request, ask: Ask) -> Reply:
        """Asks one model several times and takes the answer that most replies give."""
        request.decision.candidates.extend(names)
        votes = _Votes()
        asked, failure = 0, None
        while (more := votes.needed(most - asked)) > 0:
            first = request.sample * most + asked
            for each in await all_of([ask(model, sample=first + place) for place in range(more)]):
                if isinstance(each, CallError):
                    failure = failure or each
                else:
                    votes.add(each)
            asked += more
        if not votes.groups:
            assert failure is not None
            raise failure
        winner = max(votes.groups, key=lambda group: group.count)  # the first of equals
        failed = asked - sum(group.count for group in votes.groups)
        request.decision.reason = (
            f"{winner.count} of {asked} samples of {model} give this answer"
            + (f", {failed} failed" if failed else "")
            + (f"; the other {most - asked} could not have changed it" if asked < most else "")
        )
        return winner.reply

    return made(by_majority, f"majority_vote({model}, n={most})", names)


@dataclass(slots=True)
class _Group:
    answer: object
    reply: Reply
    """The first that gave it."""
    count: int = 1


class _Votes:
    """Replies by what they finally say."""

    def __init__(self) -> None:
        self.groups: list[_Group] = []

    def add(self, reply: Reply) -> None:
        answer = read_answer(reply)
        for group in self.groups:  # an answer may be a dict or a list, which cannot be hashed
            if group.answer == answer:
                group.count += 1
                return
        self.groups.append(_Group(answer, reply))

    def needed(self, left: int) -> int:
        """The fewest of the samples that are left with which the vote could be decided; 0 once it is."""
        counts = sorted((group.count for group in self.groups), reverse=True)
        lead, second = [*counts, 0, 0][:2]
        return 0 if lead - second > left else min(left, (left - lead + second) // 2 + 1)


def best_of_n(model: str, n: int = 3, judge: Judge | None = None) -> Strategy:
    """The one of n samples of one model that a judge likes best.

    ::

        best_of_n("fast", n=3, judge=lambda request, reply: -len(reply.text))

    A sample that fails is left out; of equals the first is taken. What the judge itself asks is paid as it asks it.

    Args:
        model: Model or alias; with a temperature above 0, or all samples may be the same.
        n: How many samples, 2 or more.
        judge: Takes the request and a reply; how good it is, as a number. May be async.

    Raises:
        UsageError: If no model is named, n is no such number, or there is no judge.
    """
    example = 'best_of_n("fast", n=3, judge=lambda request, reply: ...)'
    names = checked_models("best_of_n", (model,), example=example)
    most = checked_count("n", n, least=2, example=example)
    if judge is None or not callable(judge):
        raise UsageError("best_of_n() needs a judge, which is given in Python.", hint=f"Write strategy={example}.")

    async def by_judge(request: Request, ask: Ask) -> Reply:
        """Asks one model several times and takes the reply that the judge likes best."""
        request.decision.candidates.extend(names)
        came = await all_of([ask(model, sample=request.sample * most + place) for place in range(most)])
        replies = [each for each in came if isinstance(each, Reply)]
        if not replies:
            raise next(each for each in came if isinstance(each, CallError))
        marks = [await _mark(judge, request, reply) for reply in replies]
        best = max(range(len(replies)), key=marks.__getitem__)
        others = ", ".join(f"{mark:g}" for place, mark in enumerate(marks) if place != best)
        request.decision.reason = f"the judge gives it {marks[best]:g}" + (f", the others {others}" if others else "")
        return replies[best]

    return made(by_judge, f"best_of_n({model}, n={most})", names)


async def _mark(judge: Judge, request: Request, reply: Reply) -> float:
    mark = judge(request, reply)
    if inspect.isawaitable(mark):
        mark = await mark
    if not isinstance(mark, int | float):
        raise StepError(f"The judge of best_of_n gave {mark!r}, not a number.", hint="Return a number: more is better.")
    return -math.inf if math.isnan(mark) else float(mark)


STRATEGIES.add_maker(majority_vote)
STRATEGIES.add_maker(best_of_n, in_python=("judge",))
