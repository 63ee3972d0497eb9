"""How each simulated model tells a solution: in passing, at length, or in order."""

from __future__ import annotations

from orchestration_nb.providers.sim.bank import Question, Solution
from orchestration_nb.providers.sim.dice import pick

CHECKED_BELOW = 2.2
"""A margin below which a model goes through its solution a second time, as real ones do where they are unsure."""

_OPENINGS = {
    "small": (
        "Let's work it out from what is given.",
        "Here is how I get there, step by step.",
        "We can go through the question in order and keep track of the results.",
        "I'll take the facts one after the other.",
    ),
    "medium": (
        "To answer this question, we look at what is given and what is asked, and then go through it step by step.",
        "Let's break the problem down into smaller steps, solve each of them, and put the results together at the end.",
        "We can solve this by working through the information in the order in which it is needed.",
    ),
    "large": (
        "Let me work through this step by step.",
        "I'll solve this in order.",
        "Let me go through what is given.",
        "I will work through this carefully.",
    ),
}
_RESTATING = {
    "small": 'The question was: "{}"',
    "medium": "The problem says:\n\n> {}\n\nLet us look at each part of it in turn.",
    "large": "The question to be answered is this one: {}",
}
_ENDINGS = {
    "small": "So, putting all of this together, the answer that I get in the end is {}.",
    "medium": "**Conclusion**\nAfter going through all of the steps above, we find that the final answer is **{}**.",
    "large": "All the steps lead to the same place, so the result is {}.",
}
_LINKS = ("First", "Then", "Next", "After that", "From there", "Now", "Then")


def tell(model: str, question: Question, solution: Solution, margin: float, sample: str) -> str:
    """The reply of `model`: what is asked, the steps in its manner, then a last line `Answer: ...`."""
    opening = pick(_OPENINGS[model], "opening", question.question_id, model, sample)
    parts = [f"{opening} {_RESTATING[model].format(_asked(question.prompt))}", _STEPS[model](solution)]
    if margin < CHECKED_BELOW:
        parts.append(_CHECKS[model](solution))
    parts += [_ENDINGS[model].format(solution.answer), f"Answer: {solution.answer}"]
    return "\n\n".join(parts)


def _asked(prompt: str) -> str:
    """The question as one repeats it: all of a short one, of others the part that asks."""
    if "\n" not in prompt:
        return prompt
    asking = [line for line in prompt.splitlines() if line.endswith("?")]
    return asking[-1] if asking else prompt.splitlines()[0]


def brief(solution: Solution) -> str:
    """The solution in one line, for a field that asks for reasons."""
    return "; ".join(solution.steps)


def _halves(step: str) -> tuple[str, str]:
    what, colon, result = step.partition(": ")
    return (what, result) if colon else ("", what)


def _small_steps(solution: Solution) -> str:
    told = []
    for number, step in enumerate(solution.steps):
        what, result = _halves(step)
        link = _LINKS[min(number, 1 + number % (len(_LINKS) - 1))]
        told.append(f"{link}, {what[:1].lower()}{what[1:]}: {result}." if what else f"{result}.")
    return " ".join(told)


def _small_check(solution: Solution) -> str:
    results = ", then ".join(step[:1].lower() + step[1:] for step in solution.steps)
    return f"Going over it once more, to be on the safe side: {results}. That leads to {solution.answer} again."


def _medium_steps(solution: Solution) -> str:
    told = []
    for number, step in enumerate(solution.steps, 1):
        what, result = _halves(step)
        title = what or "What is known"
        told.append(f"**Step {number}: {title}**\n   - From what we have so far, we get:\n     {result}")
    return "\n\n".join(told)


def _medium_check(solution: Solution) -> str:
    lines = "\n".join(f"- {step}" for step in solution.steps)
    return (
        f"**Verification**\nTo make sure that nothing was missed, here are the steps once more in short:\n{lines}\n"
        f"The steps fit together, and therefore the result of this problem is {solution.answer}."
    )


def _large_steps(solution: Solution) -> str:
    told = []
    for number, step in enumerate(solution.steps, 1):
        what, result = _halves(step)
        told.append(f"{number}) {what or 'What is known'}\n   * {result}")
    return "\n".join(told)


def _large_check(solution: Solution) -> str:
    lines = "\n".join(f"   * {step}" for step in solution.steps)
    return f"Let me verify this by going back over the steps:\n{lines}\nThat is consistent with {solution.answer}."


_STEPS = {"small": _small_steps, "medium": _medium_steps, "large": _large_steps}
_CHECKS = {"small": _small_check, "medium": _medium_check, "large": _large_check}
