"""How good each simulated model is: on which questions of the bank it is right, and which tickets it reads rightly.

The numbers are fitted so that accuracy, agreement and oracle on the bank follow recorded replies of three real models
(a small, a middle and a large one: .692, .784 and .836 right, .865 for the better of small and large). A question has a
hardness that all models share, made of what the prompt shows (kind, difficulty) and of what it doesn't; each model adds
luck of its own, a little of it new with each sample. So larger models are right where smaller ones are, mostly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestration_nb.providers.sim.bank import Question, Ticket
from orchestration_nb.providers.sim.dice import normal, uniform

KIND_HARDNESS: Mapping[str, float] = {
    "arithmetic": -0.5,
    "percentages": -0.2,
    "units": -0.2,
    "tables": -0.1,
    "rates": 0.0,
    "sequences": 0.1,
    "algebra": 0.3,
    "dates": 0.4,
    "code": 0.5,
    "strings": 0.5,
    "counting": 0.6,
    "logic": 0.6,
}
DIFFICULTY = ("easy", "medium", "hard")
OWN_LUCK = 0.45
SAMPLE_LUCK = 0.25
POPULAR_SLIP = 0.33
"""How often a wrong answer is the one that most would give; the others share the rest, so that wrong models mostly
disagree."""

SLIPS_ANEW = 0.4
"""How often a model that is wrong again, in another sample, is wrong in another way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """What one model is able to do, in standard deviations of a question's hidden hardness."""

    ability: float
    """On easy questions of a kind of hardness 0."""
    per_difficulty: float
    """Lost with each step of difficulty."""
    per_kind: float
    """Lost with each unit of a kind's hardness."""
    reading: float
    """On tickets."""
    foreign: float
    """Lost on tickets that are not in English."""


SKILLS: Mapping[str, Skill] = {
    "small": Skill(ability=2.193, per_difficulty=1.2, per_kind=1.4, reading=0.88, foreign=0.5),
    "medium": Skill(ability=2.042, per_difficulty=0.85, per_kind=1.0, reading=1.2, foreign=0.25),
    "large": Skill(ability=1.773, per_difficulty=0.5, per_kind=0.6, reading=1.6, foreign=0.0),
}
"""By model, without the provider's name."""

LABEL_EASE = {"queue": 0.0, "topic": -0.3, "priority": -0.5, "language": 3.0}


def margin(model: str, question: Question, sample: str) -> float:
    """How surely the model is right: above 0 it is, below it is not."""
    skill = SKILLS[model]
    seen = skill.per_difficulty * DIFFICULTY.index(question.difficulty) + skill.per_kind * KIND_HARDNESS[question.kind]
    name = question.question_id
    return (
        skill.ability
        - seen
        + normal("bank", name)
        + OWN_LUCK * normal("bank", name, model)
        + SAMPLE_LUCK * normal("bank", name, model, sample)
    )


def slip(model: str, question: Question, sample: str) -> int:
    """Which of the wrong solutions the model gives, as an index into `question.solutions`."""
    wrong = len(question.solutions) - 1
    name = question.question_id
    anew = uniform("slip anew", name, model, sample) < SLIPS_ANEW
    drawn = uniform("slip", name, model, sample if anew else "")
    if drawn < POPULAR_SLIP or wrong == 1:
        return 1
    return 2 + int((drawn - POPULAR_SLIP) / (1 - POPULAR_SLIP) * (wrong - 1))


def label(model: str, ticket: Ticket, column: str, options: Sequence[str], sample: str) -> str:
    """What the model reads in a ticket: one of `options`, the gold value among them."""
    gold = ticket.labels[column]
    skill = SKILLS[model]
    about = ("ticket", ticket.ticket_id, column)
    score = (
        skill.reading
        + LABEL_EASE[column]
        - (skill.foreign if ticket.labels["language"] != "en" else 0.0)
        + 0.85 * normal(*about)
        + OWN_LUCK * normal(*about, model)
        + SAMPLE_LUCK * normal(*about, model, sample)
    )
    others = [option for option in options if option.casefold() != gold]
    if score > 0 or not others:
        return next(option for option in options if option.casefold() == gold)
    return others[int(uniform("misread", *about, model) * len(others))]
