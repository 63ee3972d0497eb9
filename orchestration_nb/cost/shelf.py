"""Questions that may be taken for one another, and which of them are worth comparing with a new one."""

from __future__ import annotations

import heapq
import math
from array import array
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from orchestration_nb.cost.wording import Wording

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMPARED: Final = 64
"""The most questions that are compared with a new one."""
_COUNTED: Final = 5_000
"""Entries of common words are looked through up to about this many."""

Candidate = tuple[str, Wording, float | None]
"""Key, wording, and the cosine of the embeddings where there are any."""


class Shelf:
    """The questions of one context with the same numbers in them.

    Without embeddings the nearest are found by the words they share, rare ones first: how rare a word is, is learned
    from the shelf itself, so that the words of a template that all its questions share do not count.
    """

    def __init__(self) -> None:
        self._wordings: dict[str, Wording] = {}
        self._having: dict[str, set[str]] = defaultdict(set)
        self._vectors = Vectors()

    def __len__(self) -> int:
        return len(self._wordings)

    def add(self, key: str, wording: Wording, vector: bytes) -> None:
        """Puts a question on the shelf."""
        self._wordings[key] = wording
        if vector:
            self._vectors.add(key, vector)
            return
        for word in set(wording.words):
            self._having[word].add(key)

    def drop(self, key: str) -> None:
        """Takes a question from the shelf."""
        wording = self._wordings.pop(key, None)
        self._vectors.drop(key)
        for word in set(wording.words) if wording is not None else ():
            self._having[word].discard(key)

    def near(self, wording: Wording, vector: bytes) -> list[Candidate]:
        """The questions that are worth comparing, at most ``COMPARED``."""
        if vector:
            return [(key, self._wordings[key], cosine) for key, cosine in self._vectors.near(vector)]
        return [(key, self._wordings[key], None) for key in self._sharing(wording)]

    def _sharing(self, wording: Wording) -> list[str]:
        lists = sorted((self._having.get(word, set()) for word in set(wording.words)), key=len)
        scores: defaultdict[str, float] = defaultdict(float)
        counted = 0
        for keys in lists:
            if counted > _COUNTED:
                break
            counted += len(keys)
            weight = math.log((1 + len(self)) / (1 + len(keys))) + 1e-6
            for key in keys:
                scores[key] += weight
        return heapq.nlargest(COMPARED, scores, key=lambda key: (scores[key], key))


class Vectors:
    """Embeddings by key, side by side in one matrix."""

    def __init__(self) -> None:
        self._rows: NDArray[np.float32] | None = None
        self._keys: list[str | None] = []
        self._places: dict[str, int] = {}

    def add(self, key: str, vector: bytes) -> None:
        """Adds an embedding of 32-bit floats; one of another length than the others is left out."""
        import numpy as np  # noqa: PLC0415 - loaded only where somebody embeds

        row = unit(vector)
        if self._rows is None:
            self._rows = np.zeros((16, len(row)), dtype=np.float32)
        if len(row) != self._rows.shape[1]:
            return
        self.drop(key)
        if len(self._keys) == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._places[key] = len(self._keys)
        self._rows[len(self._keys)] = row
        self._keys.append(key)

    def drop(self, key: str) -> None:
        """Takes an embedding out; its row stays empty."""
        place = self._places.pop(key, None)
        if place is not None and self._rows is not None:
            self._keys[place] = None
            self._rows[place] = 0

    def near(self, vector: bytes) -> list[tuple[str, float]]:
        """The nearest keys with their cosines, the nearest first."""
        import numpy as np  # noqa: PLC0415

        row = unit(vector)
        if self._rows is None or len(row) != self._rows.shape[1]:
            return []
        cosines = self._rows[: len(self._keys)] @ row
        count = min(COMPARED, len(cosines))
        nearest = sorted(np.argpartition(cosines, -count)[-count:], key=cosines.__getitem__, reverse=True)
        return [(key, float(cosines[place])) for place in nearest if (key := self._keys[place]) is not None]


def unit(vector: bytes) -> NDArray[np.float32]:
    """An embedding of 32-bit floats as a vector of length 1."""
    import numpy as np  # noqa: PLC0415

    row = np.frombuffer(vector, dtype=np.float32)
    length = float(np.linalg.norm(row))
    return row / length if length > 0 and math.isfinite(length) else np.zeros_like(row)


def packed(vector: Any) -> bytes:
    """A list of numbers as 32-bit floats."""
    return array("f", vector).tobytes()
