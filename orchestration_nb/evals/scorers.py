"""The scorers that have a name: each holds what a step gave against a column of the item.

Any Python function of (value, item) is a scorer too. ``similarity`` is the ratio of ``difflib.SequenceMatcher`` over
words (twice the words that match in order, by the words of both): standard library, no model, no download.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from orchestration_nb.errors import UsageError
from orchestration_nb.evals.fields import data_in, leaves_of, value_at
from orchestration_nb.evals.matching import Tolerance, number_from, plain_data, same_answer, same_data, text_of
from orchestration_nb.evals.scores import Score, Scorer, StepScorer, as_score
from orchestration_nb.flow.adapters import shortened
from orchestration_nb.flow.refusals import misspelt
from orchestration_nb.routing.answers import stated_answer
from orchestration_nb.routing.values import NO_DATA, number_of, plain_words

__all__ = [
    "GoldScorer", "LabelScorer", "Score", "Scorer", "StepScorer", "as_score", "exact", "includes", "json_fields",
    "label", "numeric", "regex", "similarity",
]  # fmt: skip

_BETWEEN_WORDS: Final = re.compile(r"(?<=\w)[\s_/&-]+(?=\w)|_")
_AROUND_WORDS: Final = " .,;:!?'\"()[]{}*`"
_LONGEST_SEARCHED: Final = 100_000
"""Characters of a reply that a pattern is searched in."""
_MOST_WORDS: Final = 2_000
"""Words that are compared for similarity: the time grows with the product of both lengths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldScorer:
    """Holds a value against the gold value in a column of the item."""

    name: str
    column: str
    compare: Callable[[Any, Any], Score]
    """(value of the step, gold value) -> score."""
    complaint: Callable[[Any], str | None] | None = None
    """Why a gold value cannot be used, or ``None``."""

    def __call__(self, value: Any, item: Mapping[str, Any]) -> Score:
        """Scores one value."""
        return self.compare(value, _gold(item, self.column, self.name))

    def ready(self, items: Sequence[Mapping[str, Any]]) -> GoldScorer:
        """Itself, when every item has a gold value that it can use.

        Raises:
            UsageError: One has not; the sentence says which.
        """
        for place, gold in enumerate(_golds(items, self.column, self.name)):
            if self.complaint is not None and (why := self.complaint(gold)):
                which = f"the value {shortened(repr(gold))} of the column {self.column!r} (item {place})"
                raise UsageError(
                    f"{self.name} cannot use {which}: {why}.",
                    hint="Mend the column, choose another one, or another scorer.",
                )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelScorer:
    """Reads a label out of a value and holds it against its gold column, where there is one."""

    column: str | None
    labels: tuple[str, ...] = ()
    """The labels that there are; those of the gold column when the items were checked."""

    def __call__(self, value: Any, item: Mapping[str, Any]) -> Score:
        """Scores one value: its label, and whether it is the gold one."""
        found = self._read(value)
        if self.column is None:
            return Score(label=found)
        gold = _plain_label(_gold(item, self.column, "label"))
        passed = found == gold
        return Score(label=found, passed=passed, reason="" if passed else f"{shortened(found)!r} instead of {gold!r}")

    def ready(self, items: Sequence[Mapping[str, Any]]) -> LabelScorer:
        """The same scorer, knowing the labels of the gold column.

        Raises:
            UsageError: A gold label is missing, or two differ in their signs alone.
        """
        if self.column is None:
            return self
        golds = _plain_labels(_golds(items, self.column, "label"))
        return self if self.labels else replace(self, labels=tuple(sorted(golds)))

    def _read(self, value: Any) -> str:
        text = text_of(value)
        stated = stated_answer(text)
        for words in [text] if stated is None else [stated, text]:
            whole = _plain_label(words)
            if whole in self.labels:
                return whole
            named = {each for each in self.labels if re.search(rf"\b{re.escape(each)}\b", whole)}
            named = {each for each in named if not any(each != other and each in other for other in named)}
            if len(named) == 1:
                return named.pop()
        return shortened(_plain_label(text if stated is None else stated))


def exact(column: str, *, case: bool = False) -> GoldScorer:
    """Right when the value, or the answer that the reply states, is the gold one.

    Data compare as data and numbers as numbers; outer quotes, a full stop, white space and (unless ``case``) capital
    letters don't matter.
    """
    return GoldScorer(name="exact", column=column, compare=lambda value, gold: _passed(
        same_answer(value, gold, case=case), value, gold
    ))  # fmt: skip


def numeric(column: str, *, abs: float = 0.0, rel: float = 0.0) -> GoldScorer:  # noqa: A002 - as math.isclose has it
    """Right when the number that the reply states is the gold one, or near enough.

    Args:
        column: The column of the right number: a number, or a text such as ``$1,200.50``, ``3/4`` or ``12 %``.
        abs: How far off it may be.
        rel: How far off it may be, as a share of the gold number.
    """
    tolerance = Tolerance(absolute=_not_negative(abs, "abs"), relative=_not_negative(rel, "rel"))

    def compare(value: Any, gold: Any) -> Score:
        got, wanted = number_from(value), number_from(gold)
        if wanted is None:
            raise UsageError(f"{shortened(repr(gold))} of the column {column!r} is no number.")
        if got is None:
            return Score(passed=False, reason="the reply states no single number")
        passed = tolerance.allows(got, wanted)
        return Score(passed=passed, reason="" if passed else f"{got} instead of {wanted}")

    def complaint(gold: Any) -> str | None:
        return "it is no number" if number_from(gold) is None or _has_words(gold) else None

    return GoldScorer(name="numeric", column=column, compare=compare, complaint=complaint)


def includes(column: str, *, case: bool = False, words: bool = False, sep: str = "") -> GoldScorer:
    """Whether the reply holds the text of the column; of several texts (a list, or split at ``sep``), which share.

    Args:
        column: The column of the text or texts.
        case: Whether capital letters matter.
        words: Whether only whole words count, so that ``cat`` is not found in ``category``.
        sep: What stands between several texts in a cell.
    """

    def found(part: str, text: str) -> bool:
        part = plain_words(part, case=case)
        return bool(re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text)) if words else part in text

    def compare(value: Any, gold: Any) -> Score:
        parts, several = _several(gold, sep)
        text = plain_words(text_of(value), case=case)
        missing = [part for part in parts if not found(part, text)]
        reason = "" if not missing else f"not in the reply: {shortened(', '.join(missing))}"
        if several:
            return Score(value=1 - len(missing) / len(parts), reason=reason)
        return Score(passed=not missing, reason=reason)

    def complaint(gold: Any) -> str | None:
        parts = _several(gold, sep)[0]
        return None if parts and all(plain_words(part) for part in parts) else "it is empty, and every text holds that"

    return GoldScorer(name="includes", column=column, compare=compare, complaint=complaint)


def regex(column: str = "", *, pattern: str = "", case: bool = False) -> Scorer:
    """Whether a pattern is found in the reply: the one of the item's column, or one for all.

    Args:
        column: The column of the patterns.
        pattern: One pattern for all items, instead of a column.
        case: Whether capital letters matter.

    Raises:
        UsageError: Both or none are given, or the pattern cannot be read.
    """
    if bool(column) == bool(pattern):
        raise UsageError("regex takes a column of patterns or one pattern.", hint=r"Write regex:pattern=^\d+$.")
    flags = 0 if case else re.IGNORECASE

    def compare(value: Any, gold: Any) -> Score:
        passed = re.search(str(gold), text_of(value)[:_LONGEST_SEARCHED], flags) is not None
        return Score(passed=passed, reason="" if passed else f"{shortened(str(gold))} is not found")

    def complaint(gold: Any) -> str | None:
        try:
            re.compile(str(gold), flags)
        except re.error as error:
            return f"it is no pattern ({error})"
        return None

    if column:
        return GoldScorer(name="regex", column=column, compare=compare, complaint=complaint)
    if why := complaint(pattern):
        raise UsageError(f"regex cannot use the pattern {shortened(repr(pattern))}: {why}.")
    return lambda value, item: compare(value, pattern)  # noqa: ARG005


def label(column: str | None = None, *, labels: str | Sequence[str] = ()) -> LabelScorer:
    """The label that the reply gives, and whether it is the gold one.

    Case, punctuation, ``_`` and ``-`` don't matter. In a sentence the label is the only one of the known labels
    that is named.

    Args:
        column: The column of the right label; without one, the labels are only told.
        labels: The labels that there are, as a list or as ``a|b|c``; unless given, those of the column.

    Raises:
        UsageError: Two labels differ in their signs alone, such as ``-1`` and ``1``.
    """
    known = [each for each in (labels.split("|") if isinstance(labels, str) else labels) if text_of(each).strip()]
    return LabelScorer(column=column, labels=_plain_labels(known))


def json_fields(column: str, *, fields: str | Sequence[str] = (), abs: float = 0.0, rel: float = 0.0) -> GoldScorer:  # noqa: A002
    """The share of the gold value's fields that are the same in the reply, however deep; more in the reply is no fault.

    Args:
        column: The column of the right value: a dict, a list, or JSON.
        fields: Only these, as ``a,b.c``; each counts once, whatever it holds. Unless given, every single value counts.
        abs: How far off a number may be.
        rel: The same, as a share of the gold number.
    """
    chosen = [each.strip() for each in fields.split(",") if each.strip()] if isinstance(fields, str) else list(fields)
    tolerance = Tolerance(absolute=_not_negative(abs, "abs"), relative=_not_negative(rel, "rel"))

    def wanted(gold: Any) -> dict[str, Any]:
        value = data_in(gold)
        return {path: value_at(value, path) for path in chosen} if chosen else leaves_of(value)

    def compare(value: Any, gold: Any) -> Score:
        fields, got = wanted(gold), data_in(value)
        if got is NO_DATA:
            return Score(value=0.0, reason="the reply holds no JSON object")
        wrong = [
            path for path, right in fields.items() if not same_data(value_at(got, path), right, tolerance=tolerance)
        ]
        reason = "" if not wrong else f"not as expected: {shortened(', '.join(wrong))}"
        return Score(value=1 - len(wrong) / len(fields), reason=reason)

    def complaint(gold: Any) -> str | None:
        value = data_in(gold)
        if value is NO_DATA or not leaves_of(value):
            return "it is no JSON object with fields"
        missing = [path for path in chosen if value_at(value, path) is NO_DATA]
        return f"it has no field {missing[0]!r}; {misspelt(missing[0], leaves_of(value))}" if missing else None

    return GoldScorer(name="json_fields", column=column, compare=compare, complaint=complaint)


def similarity(column: str, *, by: Literal["words", "characters"] = "words") -> GoldScorer:
    """How like the reply is to the text of the column, from 0 to 1; the order counts, capital letters don't.

    Args:
        column: The column of the expected text.
        by: What is compared. Of longer texts the first 2,000 words or characters are.

    Raises:
        UsageError: ``by`` is something else.
    """
    if by not in {"words", "characters"}:
        raise UsageError(f"similarity compares words or characters, not {by!r}.", hint="Write by=words.")

    def pieces(value: Any) -> Sequence[str]:
        plain = plain_words(text_of(value))
        return (re.findall(r"\w+|[^\w\s]", plain) if by == "words" else plain)[:_MOST_WORDS]

    def compare(value: Any, gold: Any) -> Score:
        return Score(value=difflib.SequenceMatcher(None, pieces(value), pieces(gold), autojunk=False).ratio())

    return GoldScorer(name="similarity", column=column, compare=compare)


def _gold(item: Mapping[str, Any], column: str, name: str) -> Any:
    if column not in item:
        raise UsageError(
            f"{name} needs the column {column!r}, which the items don't have.", hint=misspelt(column, item)
        )
    return item[column]


def _golds(items: Sequence[Mapping[str, Any]], column: str, name: str) -> list[Any]:
    golds = [_gold(item, column, name) for item in items]
    missing = [place for place, gold in enumerate(golds) if _is_missing(gold)]
    if missing:
        which = (
            f"item {missing[0]}" if len(missing) == 1 else f"{len(missing)} items, the first of them item {missing[0]}"
        )
        raise UsageError(
            f"{name} has nothing to compare with: the column {column!r} is empty for {which}.",
            hint="Leave these items out, or fill the column.",
        )
    return golds


def _is_missing(gold: Any) -> bool:
    return gold is None or (isinstance(gold, float) and gold != gold) or type(gold).__name__ in {"NAType", "NaTType"}  # noqa: PLR0124


def _passed(passed: bool, value: Any, gold: Any) -> Score:
    if passed:
        return Score(passed=True)
    text = text_of(value)
    stated = stated_answer(text)
    return Score(
        passed=False,
        reason=f"{shortened(repr(stated if stated is not None else text))} instead of {shortened(repr(gold))}",
    )


def _plain_label(value: Any) -> str:
    return " ".join(re.sub(r"[\W_]+", " ", plain_words(text_of(value))).split())


def _plain_labels(labels: Sequence[Any]) -> tuple[str, ...]:
    """Each label once, as it is looked for in replies.

    Raises:
        UsageError: If labels that differ would be taken for one another.
    """
    spelt: dict[str, str] = {}
    for each in labels:
        text, plain = text_of(each), _plain_label(each)
        with_signs = _BETWEEN_WORDS.sub(" ", plain_words(text)).strip(_AROUND_WORDS)
        other = spelt.setdefault(plain, with_signs)
        if not plain or other != with_signs:
            one, two = shortened(repr(other)), shortened(repr(with_signs))
            why = f"in which {one} and {two} are alike" if plain else f"and {shortened(repr(text))} has none"
            raise UsageError(
                f"label looks at letters and digits alone, {why}.",
                hint="Write exact:COLUMN, which looks at every sign.",
            )
    return tuple(spelt)


def _has_words(gold: Any) -> bool:
    """Whether a gold text is running text, in which a number only happens to stand."""
    return isinstance(gold, str) and stated_answer(gold) is None and number_of(gold) is None


def _several(gold: Any, sep: str) -> tuple[list[str], bool]:
    plain = plain_data(gold)
    if isinstance(plain, list):
        return [text_of(each) for each in plain], True
    text = text_of(plain)
    return ([part for part in text.split(sep) if part.strip()], True) if sep else ([text], False)


def _not_negative(value: float, name: str) -> float:
    if value >= 0:
        return value
    raise UsageError(f"{name} is how far off a number may be: 0 or more, not {value!r}.")
