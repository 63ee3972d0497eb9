"""A model by how hard the request looks: four tiers, from signals that are stated.

Each signal that the prompt shows counts some points; the sum makes the tier. It reads the words alone, asks nobody, and
says in the reason which signals it saw.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from orchestration_nb.calls import Ask, Reply, Request, Strategy
from orchestration_nb.routing.fallback import answer_in_order
from orchestration_nb.routing.making import checked_models, made
from orchestration_nb.routing.registry import STRATEGIES

Tier = Literal["SIMPLE", "MEDIUM", "COMPLEX", "REASONING"]

_LONGEST: Final = 100_000
"""Characters of a prompt that are read."""
_CODE: Final = re.compile(
    r"```|^\s*(?:def|class|import|function|public|SELECT|#include)\b|[;{}]\s*$|\w+\([^)]*\)\s*[:{]|=>|::", re.MULTILINE
)
_REASONING: Final = re.compile(
    r"\b(?:"
    r"step[- ]by[- ]step|reason(?:ing)?|proof|prove|derive|deduce|show that|explain why|think (?:carefully|through)"
    r"|work out|trade-?offs?|evaluate|justify|root cause|optimi[sz]e|strategy|schritt für schritt|beweise?|begründe)\b",
    re.IGNORECASE,
)
_MATHS: Final = re.compile(
    r"\\(?:frac|sqrt|sum|int|boxed|cdot|left)|\b(?:equation|integral|derivative|matrix|probability|polynomial|triangle|"
    r"modulo|remainder|theorem|sequence)\b|[=<>^]\s*-?\d",
    re.IGNORECASE,
)
_SIMPLE: Final = re.compile(
    r"\b(?:yes or no|true or false|classify|which (?:queue|label|category|class)|translate|spell|define|"
    r"what is the capital|extract|one word)\b",
    re.IGNORECASE,
)
_NUMBERS: Final = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*")
_PARTS: Final = re.compile(r"^\s*(?:[-*•]|\d+[.)]|[a-z]\))\s+\S", re.MULTILINE)
_THEN: Final = re.compile(r"\b(?:first|then|next|after that|finally|secondly)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How hard a prompt looks."""

    tier: Tier
    points: int
    signals: tuple[str, ...]
    """What was seen, in words."""


def read_complexity(prompt: str) -> Reading:
    """How hard a prompt looks.

    Points: 80 words 1, 250 words 2, 800 words 3; code 2; mathematics 2; a word of reasoning 2, a second one 1 more;
    4 numbers 1, 10 numbers 2; each question beyond the first 1, at most 2; a list of parts, or words such as
    "then" and "finally", 1; a plain task (classify, translate, extract) 2 less. Up to 1 point is SIMPLE, up to 3
    MEDIUM, more COMPLEX; two words of reasoning, or one beside mathematics or code, are REASONING where there are
    4 points.
    """
    text = prompt[-_LONGEST:]
    found = [each for each in (_length(text), *_kinds(text), _numbers(text), _parts(text)) if each[0]]
    points = sum(each[0] for each in found)
    names = tuple(each[1] for each in found)
    reasoning = len({match.casefold() for match in _REASONING.findall(text)})
    hard = reasoning > 1 or (reasoning == 1 and any(name in {"code", "mathematics"} for name in names))
    tier: Tier = "SIMPLE" if points <= 1 else "MEDIUM" if points <= 3 else "REASONING" if hard else "COMPLEX"
    return Reading(tier=tier, points=points, signals=names)


def _length(text: str) -> tuple[int, str]:
    words = len(text.split())
    return sum(words >= least for least in (80, 250, 800)), f"{words:,} words"


def _kinds(text: str) -> list[tuple[int, str]]:
    reasoning = sorted({match.casefold() for match in _REASONING.findall(text)})
    return [
        (2 if _CODE.search(text) else 0, "code"),
        (2 if _MATHS.search(text) else 0, "mathematics"),
        (min(3, len(reasoning) + 1) if reasoning else 0, f"words of reasoning ({', '.join(reasoning[:3])})"),
        (-2 if _SIMPLE.search(text) else 0, "a plain task"),
    ]


def _numbers(text: str) -> tuple[int, str]:
    count = len(_NUMBERS.findall(text))
    return (count >= 4) + (count >= 10), f"{count} numbers"


def _parts(text: str) -> tuple[int, str]:
    questions, listed = text.count("?"), len(_PARTS.findall(text)) >= 2 or len(_THEN.findall(text)) >= 2
    said = [f"{questions} questions"] if questions > 1 else []
    return min(2, max(0, questions - 1)) + listed, " and ".join([*said, *(["several parts"] if listed else [])])


def complexity(
    simple: str = "fast",
    medium: str = "medium",
    complex: str = "strong",  # noqa: A002 - the name of its tier
    reasoning: str = "strong",
) -> Strategy:
    """Each request goes to the model of its tier, by how hard its words look: SIMPLE, MEDIUM, COMPLEX, REASONING.

    The signals are those of :func:`read_complexity`; the reason names those that were seen. Where the tier's model
    cannot answer, those of the harder tiers do, then those of the easier ones.

    Raises:
        UsageError: If one of the four is no model name.
    """
    tiers: dict[Tier, str] = {"SIMPLE": simple, "MEDIUM": medium, "COMPLEX": complex, "REASONING": reasoning}
    given = tuple(tiers.values())
    models = checked_models("complexity", given, example='complexity("fast", "medium", "strong", "strong")')

    async def by_complexity(request: Request, ask: Ask) -> Reply:
        """Asks the model of the tier that the request's words belong to."""
        reading = read_complexity(request.prompt)
        place = list(tiers).index(reading.tier)
        request.decision.candidates.extend(models)
        signals = ", ".join(reading.signals) or "none of the signals"
        request.decision.reason = f"{reading.tier}: {signals}"
        order = dict.fromkeys([*given[place:], *reversed(given[:place])])
        return await answer_in_order(list(order), request, ask)

    usual = given == ("fast", "medium", "strong", "strong")
    return made(by_complexity, "complexity" if usual else f"complexity({', '.join(given)})", models)


STRATEGIES.add_maker(complexity)
STRATEGIES.add(complexity())
