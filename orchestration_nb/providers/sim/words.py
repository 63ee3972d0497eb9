"""Words and sentences of a prompt: the little that a simulated model understands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\d\.)\s+|\n+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|_")
_STEM = 5
_LOOKED_AT = 20_000
"""Characters at either end of a prompt that are looked at."""

_STOP_WORDS = (
    "a an and any are as at be been but by can could did do does for from had has have he her his how i if in into "
    "is it its me my no not of on or our out please she should so some than that the their them then there these they "
    "this those to was we were what when where which who whom whose why will with would you your"
)
_STOP = frozenset(_STOP_WORDS.split())

_ALSO: Mapping[str, str] = {
    "billing": "invoice charge charged payment paid bill card debit receipt vat fee amount price subscription "
    "statement rechnung abgebucht facture débité montant factura cobrado cargo",
    "bug": "crash crashes error fails broken app login page button freeze loads website update blank firmware "
    "stürzt fehler webseite plante erreur aplicación fallo",
    "refund": "return returned back refunded damaged cancel cancelled compensated label repay repaid wrong late "
    "erstatten zurück rücksendung rembourser renvoyer devolver reembolso",
    "shipping": "parcel delivery delivered courier tracking arrived late package shipped",
    "account": "login password email profile account settings name",
    "technical": "crash error app website login update firmware broken",
    "sales": "offer quote price buy order demo discount",
    "urgent": "urgent today immediately asap unacceptable priority annoyed deadline thursday",
    "high": "urgent today immediately unacceptable priority annoyed third",
    "low": "hurry whenever someday minor know",
    "angry": "unacceptable annoyed angry third nobody never worst ridiculous terrible",
    "positive": "good great love lovely happy excellent thanks perfect nice wonderful fine",
    "negative": "bad terrible broken annoyed angry unacceptable poor worst disappointed wrong late damaged never",
    "spam": "free winner prize click offer lottery",
}
"""Words that speak for an option although they share no stem with it."""


def stem(word: str) -> str:
    """The beginning of a word, by which its forms are matched."""
    word = word.casefold()
    if len(word) > _STEM:
        return word[:_STEM]
    return word.removesuffix("s") if len(word) > 3 else word


def content_stems(text: str) -> list[str]:
    """Stems of the words of `text` that carry meaning, in order."""
    words = (word.casefold() for word in _WORD.findall(_CAMEL.sub(" ", text[:_LOOKED_AT])))
    return [stem(word) for word in words if word not in _STOP]


def related(text: str) -> frozenset[str]:
    """Stems of `text` and of the words that speak for the same."""
    own = content_stems(text)
    also = [stem(word) for key, words in _ALSO.items() if stem(key) in own for word in words.split()]
    return frozenset((*own, *also))


def best_sentences(sentences: Iterable[str], about: str, count: int) -> list[str]:
    """The `count` sentences that share the most words with `about` and with each other, in the order of the text."""
    wanted = frozenset(content_stems(about))
    listed = list(sentences)
    stems = [frozenset(content_stems(sentence)) for sentence in listed]
    seen = Counter(one for some in stems for one in some)
    # Beside the words that are asked for, those count that come up again: they are what the text is about.
    scores = [2 * len(wanted & some) + sum(seen[one] > 1 for one in some) for some in stems]
    chosen = sorted(range(len(listed)), key=lambda i: (-scores[i], i))[:count]
    return [listed[i] for i in sorted(chosen)]


@dataclass(frozen=True)
class Task:
    """A prompt, parted into what is asked and the text that it is asked about."""

    instruction: str
    material: str
    bare: bool = False
    """There is no material but the instruction itself."""

    @cached_property
    def sentences(self) -> list[str]:
        """Sentences of the material that are more than a greeting or a name."""
        parts = (part.strip(" \t-*>") for part in _SENTENCE_END.split(self.material[:_LOOKED_AT]))
        return [part for part in parts if len(part.split()) > 2 and not part.endswith(",")]

    @cached_property
    def stems(self) -> list[str]:
        """Stems of the material."""
        return content_stems(self.material)


def ends_of(text: str) -> str:
    """A text as far as it is looked at: both ends of a very long one."""
    return text if len(text) <= 2 * _LOOKED_AT else f"{text[:_LOOKED_AT]}\n{text[-_LOOKED_AT:]}"


def part(text: str, material: str | None = None) -> Task:
    """Parts a prompt into instruction and material.

    Args:
        text: The whole prompt.
        material: The text it is about, where that is known (a shipped ticket).
    """
    if material is not None:
        return Task(text.replace(material, " ").strip(), material)
    head, _, rest = text.strip().partition("\n")
    if rest.strip():
        before, _, last = text.strip().rpartition("\n")
        asks_last = last.rstrip().endswith("?") and not head.rstrip().endswith(("?", ":"))
        return Task(last, before) if asks_last else Task(head, rest)
    for mark in ("? ", ": "):
        question, found, rest = head.partition(mark)
        if found and len(question.split()) <= 25 and len(rest.split()) >= 3:
            return Task(question + mark.strip(), rest)
    return Task(head, head, bare=True)
