"""What a simulated model says to a prompt that is no question of the bank: never more than it knows."""

from __future__ import annotations

import re

from orchestration_nb.providers.sim.knowledge import Knowledge
from orchestration_nb.providers.sim.words import best_sentences

_REPLY = re.compile(r"\b(reply|respond|response|answer to|write back|draft|e-?mail)\b", re.IGNORECASE)
_SUMMARY = re.compile(r"\b(summar\w*|sentences?|in short|shorten|key points?|gist|tl;?dr)\b", re.IGNORECASE)
_TRANSLATE = re.compile(r"\btranslat\w*\b", re.IGNORECASE)
_WHO = re.compile(r"\b(who|what) are you\b|\bwhich (ai|model) are you\b|\byour name\b", re.IGNORECASE)
_FACT = re.compile(r"\b(\w+)\s*[=:]\s*(?:Timestamp\()?('[^']*'|\"[^\"]*\"|-?\d[\w.:-]*|nan|NaT|None|[^\W\d]\w*)")
_COUNT = re.compile(r"\b(one|two|three|four|five|\d)\b[^.\n]{0,20}\b(?:sentence|point|line)", re.IGNORECASE)
_SIGNED = re.compile(r"^\W*([A-Z][\w'-]+)(?: [A-Z][\w'-]+)?\W*$")
_TELLING = re.compile(r"product|item|name|title|quantity|total|amount|status|city", re.IGNORECASE)
_NEXT_STEPS = {
    "billing": "We will compare what was charged with your order.",
    "refund": "We will look at your return and at the money that is due to you.",
    "bug": "We will try to see the same fault here.",
}
_ANY_STEP = "We have noted what you ask for."
_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
_SENTENCES = {"small": 1, "medium": 2, "large": 3}
_SHOWN_FACTS = 4
_QUOTED = 280


def say(known: Knowledge) -> str:
    """A reply in plain words."""
    instruction = known.task.instruction
    if _WHO.search(instruction):
        return _myself(known)
    if _TRANSLATE.search(instruction):
        return f"A simulated model cannot translate. The text begins: {_quoted(known.task.material)}"
    if facts := _facts(known.task.material):
        return _told_facts(facts)
    if known.task.bare:
        return _nothing_to_read(instruction)
    if _REPLY.search(instruction) and not _SUMMARY.search(instruction):
        return _letter(known)
    return _extract(known)


def _myself(known: Knowledge) -> str:
    return (
        f"I am sim/{known.model}, a simulated model: I find words and sentences in the prompt, know the question bank "
        "that ships with orchestration_nb, and nothing else."
    )


def _nothing_to_read(instruction: str) -> str:
    return (
        "A simulated model knows only what stands in the prompt, and there is nothing in it to answer this with: "
        f"{_quoted(instruction)}"
    )


def _quoted(text: str) -> str:
    plain = " ".join(text[: 4 * _QUOTED].split())
    return f'"{plain}"' if len(plain) <= _QUOTED else f'"{plain[:_QUOTED].rsplit(" ", 1)[0]} ..."'


def _facts(text: str) -> list[tuple[str, str]]:
    """`name=value` pairs of a text that consists of little else, such as a row of a table."""
    if "=" not in text[:2000] and not text.lstrip().startswith(("{", "Series(")):
        return []
    found = [(name, value.strip("'\"")) for name, value in _FACT.findall(text[:2000])]
    found = [(name, value) for name, value in found if name != "Index" and value not in {"nan", "NaT", "None"}]
    words = sum(len(value.split()) for _, value in found)
    return found if len(found) > 1 and words * 4 > len(text[:2000].split()) else []


def _told_facts(facts: list[tuple[str, str]]) -> str:
    telling = sorted(facts, key=lambda fact: _TELLING.search(fact[0]) is None)[:_SHOWN_FACTS]
    shown = [f"{name.replace('_', ' ')} {value}" for name, value in facts if (name, value) in telling]
    return (
        f"The record gives {', '.join(shown[:-1])} and {shown[-1]}."
        if len(shown) > 1
        else f"The record gives {shown[0]}."
    )


def _wanted_sentences(known: Knowledge) -> int:
    asked = _COUNT.search(known.task.instruction)
    if asked is None:
        return _SENTENCES[known.model]
    word = asked.group(1).lower()
    return _NUMBERS[word] if word in _NUMBERS else max(1, int(word))


def _extract(known: Knowledge) -> str:
    found = best_sentences(known.task.sentences, known.task.instruction, _wanted_sentences(known))
    return " ".join(found) if found else _quoted(known.task.material)


def _letter(known: Knowledge) -> str:
    lines = [line for line in known.task.material.strip().splitlines() if line.strip()]
    signed = next((match.group(1) for line in reversed(lines[-3:]) if (match := _SIGNED.match(line))), "")
    concern = best_sentences(known.task.sentences, known.task.instruction, 1) or [_quoted(known.task.material)]
    parts = [
        f"Hello{' ' + signed if signed else ''},",
        f'thank you for your message. You write: "{concern[0]}"',
        next((step for queue, step in _NEXT_STEPS.items() if queue in known.task.instruction.lower()), _ANY_STEP),
    ]
    if known.model != "small":
        parts.append("We are sorry for the trouble. A colleague will look into it and come back to you.")
    parts.append("Kind regards\nCustomer service (reply of a simulated model)")
    return "\n\n".join(parts)
