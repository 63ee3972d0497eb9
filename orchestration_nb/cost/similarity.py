"""How like two questions are, and how like they must be to be taken for the same.

The threshold is not guessed: it is chosen on labelled pairs for a stated rate of false hits. It holds for questions as
long as those; what is longer was not measured, and must be nearly the same.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from orchestration_nb.cost.contradiction import contradict
from orchestration_nb.cost.residue import residue, subject
from orchestration_nb.cost.shelf import unit
from orchestration_nb.cost.wording import Wording, take_apart
from orchestration_nb.errors import ConfigError

FLOOR: Final = 0.25
"""The lowest threshold for words. Pairs say nothing about questions that nobody would pair, and a cache is full of
them: below this, on half of the shipped intents, more than one question in a hundred has a stranger for a neighbour."""
NEARLY_SAME: Final = 0.9
"""The threshold for questions that are longer than any labelled one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPair:
    """Two questions of which somebody said whether they are the same."""

    left: str
    right: str
    same: bool


def read_pairs(path: Path) -> list[LabelledPair]:
    """The pairs of a CSV file with the columns ``left, right, same``; ``same`` is ``true`` or ``false``.

    Raises:
        ConfigError: If there is no such file, or it does not hold that.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        pairs = [
            LabelledPair(left=row["left"], right=row["right"], same=_SAME[row["same"].strip().lower()]) for row in rows
        ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"The pairs of [semantic_cache] cannot be read from {path}: {error}.") from None
    except (KeyError, AttributeError):
        raise ConfigError(
            f"{path} does not hold labelled pairs.", hint="Its columns are left, right and same (true or false)."
        ) from None
    if not any(not pair.same for pair in pairs):
        raise ConfigError(f"{path} holds no pair that is different, so no rate of false hits can be measured.")
    return pairs


_SAME = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class Weights:
    """What each word weighs: inverse document frequency over questions of the kind that is asked."""

    by_word: Mapping[str, float]
    unknown: float
    """Of a word that stands in none of them."""

    @classmethod
    def of(cls, wordings: Iterable[Wording]) -> Weights:
        """Learned from these."""
        seen: Counter[str] = Counter()
        texts = 0
        for wording in wordings:
            seen.update(set(wording.words))
            texts += 1
        return cls({word: math.log((1 + texts) / (1 + count)) for word, count in seen.items()}, math.log(1 + texts))

    def __getitem__(self, word: str) -> float:
        return self.by_word.get(word, self.unknown)

    def cosine(self, left: Counter[str], right: Counter[str]) -> float:
        """Cosine of two bags of words, each word by its weight."""
        shared = sum(left[word] * right[word] * self[word] ** 2 for word in left.keys() & right.keys())
        if not shared:
            return 0.0
        lengths = (sum((count * self[word]) ** 2 for word, count in bag.items()) for bag in (left, right))
        return min(1.0, shared / math.sqrt(math.prod(lengths)))


@dataclass(frozen=True, slots=True)
class Measure:
    """Says how like two questions are."""

    weights: Weights
    most_words: int
    """Words of the longest labelled question."""
    threshold: float = 0.0

    @classmethod
    def of(cls, pairs: Sequence[LabelledPair]) -> Measure:
        """What the words of these pairs weigh; every likeness counts."""
        wordings = [take_apart(text) for pair in pairs for text in (pair.left, pair.right)]
        return cls(Weights.of(wordings), max(len(wording.words) for wording in wordings))

    def likeness(self, left: Wording, right: Wording, cosine: float | None = None) -> float:
        """How like two questions are, from 0 to 1; 0 where they are not to be taken for the same.

        Names and numbers must agree and then weigh nothing, and neither does what the two share at both ends: it is the
        words that were put differently that are compared. A word more in one of them is another question.

        Args:
            left: One question.
            right: The other.
            cosine: That of their embeddings, where somebody made them: it then counts instead of the words', which
                still may say that the two are different.
        """
        if not left.words or not right.words or contradict(left, right):
            return 0.0
        ours, theirs = residue(left, right)
        if not ours or not theirs:
            return float(not ours and not theirs)
        named = subject(left, right)
        bags = [Counter(word for word in words if word not in named) for words in (ours, theirs)]
        if not any(bags):
            like = float(sorted(ours) == sorted(theirs))
        elif cosine is None:
            like = self.weights.cosine(*bags)
        else:
            in_place = len(ours) < len(left.words) and bags[0].keys().isdisjoint(bags[1])
            like = 0.0 if in_place else min(1.0, max(0.0, cosine))
        longest = max(len(ours), len(theirs))
        needed = self.threshold if longest <= self.most_words else max(self.threshold, NEARLY_SAME)
        return like if like >= needed else 0.0


def threshold_of(scores: Iterable[float], rate: float) -> float:
    """The lowest threshold that at most a share ``rate`` of these scores reach."""
    falling = sorted(scores, reverse=True)
    allowed = int(rate * len(falling))
    return math.nextafter(falling[allowed], 2.0) if allowed < len(falling) else 0.0


def measure_words(pairs: Sequence[LabelledPair], *, rate: float) -> Measure:
    """The measure for words: of the pairs labelled different, at most a share ``rate`` is taken for the same."""
    measure = Measure.of(pairs)
    different = [measure.likeness(take_apart(pair.left), take_apart(pair.right)) for pair in pairs if not pair.same]
    return replace(measure, threshold=max(FLOOR, threshold_of(different, rate)))


def measure_vectors(pairs: Sequence[LabelledPair], vectors: Mapping[str, bytes], *, rate: float) -> Measure:
    """The measure for embeddings: of the pairs labelled different, at most a share ``rate`` is taken for the same.

    The same share is kept among strangers: every left question beside every right question of another pair, whatever
    the rules say of the two.

    Args:
        pairs: Labelled pairs.
        vectors: The embedding of each text of the pairs, as 32-bit floats.
        rate: Share of different questions that may be taken for the same.
    """
    import numpy as np  # noqa: PLC0415 - loaded only where somebody embeds

    measure = Measure.of(pairs)
    left = np.stack([unit(vectors[pair.left]) for pair in pairs])
    right = np.stack([unit(vectors[pair.right]) for pair in pairs])
    cosines = left @ right.T
    different = [
        measure.likeness(take_apart(pair.left), take_apart(pair.right), float(cosines[place, place]))
        for place, pair in enumerate(pairs)
        if not pair.same
    ]
    strangers = cosines[~np.eye(len(pairs), dtype=bool)]
    floor = float(np.quantile(strangers, 1 - rate)) if len(pairs) > 1 else 0.0
    return replace(measure, threshold=max(floor, threshold_of(different, rate)))
