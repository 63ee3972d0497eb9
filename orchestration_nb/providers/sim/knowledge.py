"""What a simulated model makes of one prompt, before it is put into words or into JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestration_nb.providers.sim.bank import LABELS, Bank, Question, Solution, Ticket
from orchestration_nb.providers.sim.dice import pick
from orchestration_nb.providers.sim.skill import label, margin, slip
from orchestration_nb.providers.sim.words import Task, ends_of, part, related


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """A prompt, and what is known about it."""

    model: str
    sample: str
    digest: str
    """Stands for the whole prompt wherever chance depends on it."""
    task: Task
    question: Question | None
    solution: Solution | None
    """The solution that the model believes in, where the question is one of the bank."""
    margin: float
    """How surely that solution is right."""
    ticket: Ticket | None

    def option(self, options: Sequence[str], hint: str = "") -> str:
        """The option that fits best: by gold label, by the answer, else by the words it shares with the material."""
        for column in LABELS:
            if self.ticket is not None and self._is_about(column, options):
                return label(self.model, self.ticket, column, options, self.sample)
        if self.solution is not None:
            for option in options:
                if option.casefold() == self.solution.answer.casefold():
                    return option
        scores = [self._score(option) for option in options]
        if max(scores) > 0:
            return options[scores.index(max(scores))]
        return pick(options, "option", self.digest, hint, self.model, self.sample)

    def named_options(self, bank: Bank) -> list[str]:
        """Labels between which the instruction asks to choose, such as `billing, bug or refund`."""
        if self.ticket is None:
            return []
        words = [word.strip(".,;:()\"'`?!").casefold() for word in self.task.instruction.split()]
        for column in LABELS:
            named = [word for word in dict.fromkeys(words) if word in bank.vocabulary[column]]
            if len(named) > 1 and self.ticket.labels[column] in named:
                return named
        return []

    def _is_about(self, column: str, options: Sequence[str]) -> bool:
        assert self.ticket is not None
        return len(options) > 1 and self.ticket.labels[column] in {option.casefold() for option in options}

    def _score(self, option: str) -> int:
        wanted = related(option)
        return sum(stem in wanted for stem in self.task.stems)


def know(bank: Bank, texts: Sequence[tuple[str, str]], model: str, sample: str, digest: str) -> Knowledge:
    """Reads a prompt, given as role and text of its messages, as `model` does."""
    text = ends_of("\n".join(text for role, text in texts if role == "user"))
    rules = ends_of("\n".join(text for role, text in texts if role in {"system", "developer"}))
    question, ticket = bank.question_in(text), bank.ticket_in(text)
    surely = margin(model, question, sample) if question else 0.0
    solution = None
    if question is not None:
        solution = question.solutions[0 if surely > 0 else slip(model, question, sample)]
    task = part(text, ticket.body if ticket else None)
    if rules:
        task = replace(task, instruction=f"{rules}\n{task.instruction}")
    return Knowledge(
        model=model,
        sample=sample,
        digest=digest,
        task=task,
        question=question,
        solution=solution,
        margin=surely,
        ticket=ticket,
    )
