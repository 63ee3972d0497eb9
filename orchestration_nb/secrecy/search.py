"""Many needles in a long text at once.

Every run of eight characters of every needle stands in a table; the text's own are looked up in it, all at once. What
is in the table is then compared as far as it goes in both directions. The time is that of the text, however many
needles there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestration_nb.secrecy.disguises import GRAM, Needle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK: Final = 1 << 18
_TABLE_BITS: Final = 20
_SPREAD: Final = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True)
class Found:
    """A part of a skeleton that is a needle, or a part of one."""

    start: int
    end: int
    needle: Needle
    offset: int
    """Where in the needle it begins."""

    @property
    def enough(self) -> bool:
        """Whether it gives the secret away."""
        return self.end - self.start >= self.needle.least

    @property
    def at_an_end(self) -> bool:
        """Whether it is the beginning or the end of the secret as it is written: what an abbreviation leaves."""
        written = bool(self.needle.plain)
        return written and (self.offset == 0 or self.offset + self.end - self.start == len(self.needle.text))


class Needles:
    """Needles of one kind of skeleton.

    Args:
        held: The needles, each of at least eight bytes.
    """

    def __init__(self, held: Sequence[Needle]) -> None:
        import numpy as np  # noqa: PLC0415 - loaded only where there are secrets

        self._places: dict[int, list[tuple[Needle, int]]] = defaultdict(list)
        for needle in held:
            for offset in _looked_up(needle):
                gram = needle.text[offset : offset + GRAM]
                self._places[int.from_bytes(gram, "little")].append((needle, offset))
        self._grams = np.array(sorted(self._places), dtype=np.uint64)
        self._table = np.zeros(1 << _TABLE_BITS, dtype=np.bool_)
        self._table[self._hashed(self._grams)] = True

    def find(self, skeleton: bytes) -> Iterator[Found]:
        """All parts of at least eight bytes, from left to right; none begins within one that is enough."""
        covered = 0
        for place, gram in self._hits(skeleton):
            if place < covered:
                continue
            best = max(
                (_grown(skeleton, place, needle, offset) for needle, offset in self._places[gram]),
                key=lambda found: (found.enough, found.end - found.start),
            )
            yield best
            if best.enough:
                covered = best.end - GRAM + 1

    def _hits(self, skeleton: bytes) -> Iterator[tuple[int, int]]:
        import numpy as np  # noqa: PLC0415

        count = len(skeleton) - GRAM + 1
        if count <= 0 or not len(self._grams):
            return
        every = np.ndarray(shape=(count,), dtype="<u8", buffer=skeleton, strides=(1,))
        for start in range(0, count, _BLOCK):
            block = every[start : start + _BLOCK].astype(np.uint64)
            near = np.flatnonzero(self._table[self._hashed(block)])
            if len(near):
                grams = block[near]
                at = np.searchsorted(self._grams, grams)
                at[at == len(self._grams)] = 0
                exact = self._grams[at] == grams
                yield from zip((near[exact] + start).tolist(), grams[exact].tolist(), strict=True)

    @staticmethod
    def _hashed(grams: NDArray[np.uint64]) -> NDArray[np.uint64]:
        import numpy as np  # noqa: PLC0415

        return (grams * np.uint64(_SPREAD)) >> np.uint64(64 - _TABLE_BITS)


def _looked_up(needle: Needle) -> Iterator[int]:
    """Where in a needle the runs begin that stand in the table: enough that one is in whatever gives it away.

    Of a value as it is written that is every run, for abbreviations leave no more than one.
    """
    step, last = 1 if needle.plain else needle.least - GRAM + 1, len(needle.text) - GRAM
    for offset in range(0, last + 1, step):
        start = offset
        while start < last and len(set(needle.text[start : start + GRAM])) == 1:  # a row of zeros says nothing
            start += 1
        yield start


def _grown(skeleton: bytes, place: int, needle: Needle, offset: int) -> Found:
    """The longest part of the skeleton around ``place`` that agrees with the needle around ``offset``."""
    text = needle.text
    back = 0
    while back < min(place, offset) and skeleton[place - back - 1] == text[offset - back - 1]:
        back += 1
    most, on = min(len(skeleton) - place, len(text) - offset), GRAM
    if skeleton[place : place + most] == text[offset : offset + most]:
        on = most
    while on < most and skeleton[place + on] == text[offset + on]:
        on += 1
    return Found(place - back, place + on, needle, offset - back)
