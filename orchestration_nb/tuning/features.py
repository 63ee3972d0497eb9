"""What a learned strategy reads off a prompt and off cheap replies, as numbers of general meaning.

Nothing here knows any data set: words and pairs of words (hashed, so that what is saved holds no text), lengths,
digits, code, the step; of replies the stated answer, hedging, second thoughts, a broken end; of several replies how far
they agree. Each group of columns is scaled to a norm of about one, so that none outweighs the others by its number.
"""

from __future__ import annotations

import functools
import itertools
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from orchestration_nb.tuning.signs import Said, agreement, reply_signs, surface, words_of

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Group = Literal["words", "place", "surface", "reply", "agreement"]
"""Words and pairs of words; step and slice; lengths, digits, code; each cheap reply; how they agree."""

PROMPT_GROUPS: Final[tuple[Group, ...]] = ("words", "place", "surface")
"""Those that are known before any model is asked."""
GROUPS: Final[tuple[Group, ...]] = (*PROMPT_GROUPS, "reply", "agreement")

SURFACE: Final = "surface"
_BUCKETS: Final = 1 << 20
_RAREST = 3
"""Items that a word must stand in; what is rarer says nothing that would hold elsewhere."""
_COMMONEST = 0.9
_MOST_COLUMNS = 20_000
_BAGS = 2
"""Words and pairs of words; the step and the slice."""
_PLACE = 1
"""The second of them."""
_FAR = 3.0
"""Standard deviations beyond which a number counts no further: an outlier must not decide alone."""
_LONGEST = 50_000
"""Characters of a prompt or reply that are read: the rest of a flood says no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of one item when a strategy decides."""

    prompt: str
    step: str = ""
    slice: str = ""
    replies: tuple[Said, ...] = ()
    """Of the cheap models that were asked, in their order; empty where the prompt alone decides."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """A sparse matrix with a row per item: ``values[k]`` stands in row ``rows[k]`` and column ``columns[k]``."""

    shape: tuple[int, int]
    rows: Places
    columns: Places
    values: Floats

    def times(self, weights: Floats) -> Floats:
        """The product with ``weights`` (models, columns), as (items, models)."""
        products = [np.bincount(self.rows, self.values * each[self.columns], self.shape[0]) for each in weights]
        return np.stack(products, axis=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Readings:
    """Items as read, once, before anything is learned: counted words and plain numbers."""

    items: int
    groups: tuple[str, ...]
    rows: Places
    """Item of each counted word."""
    bags: Places
    """Group of it: words are scaled apart from the step and the slice."""
    buckets: Places
    """Its hash."""
    counts: Floats
    plain: Floats
    """(items, numbers)"""
    sizes: tuple[int, ...]
    """Numbers in each block that is scaled on its own."""

    def take(self, places: Places) -> Readings:
        """Some of the items, in the order of ``places``."""
        new = np.full(self.items, -1)
        new[places] = np.arange(len(places))
        kept = new[self.rows] >= 0
        return replace(
            self,
            items=len(places),
            rows=new[self.rows[kept]],
            bags=self.bags[kept],
            buckets=self.buckets[kept],
            counts=self.counts[kept],
            plain=self.plain[places],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """Turns items into rows of numbers, as learned from other items."""

    groups: tuple[str, ...]
    buckets: Places
    """The hashes of words that have a column, ascending."""
    rarity: Floats
    """Inverse document frequency of each of them."""
    mean: Floats
    """Of each plain number, those of all blocks beside each other."""
    deviation: Floats
    """Its standard deviation; 0 where it never varies."""
    root: Floats
    """The root of the size of its block."""

    @classmethod
    def learn(cls, read: Readings) -> Features:
        """Learns which words count, and how the numbers spread."""
        found, documents = np.unique(read.buckets, return_counts=True)
        fit = (documents >= _RAREST) & (documents <= _COMMONEST * read.items)
        found, documents = found[fit], documents[fit]
        kept = np.sort(np.argsort(-documents, kind="stable")[:_MOST_COLUMNS])
        deviation = read.plain.std(axis=0)
        return cls(
            groups=read.groups,
            buckets=found[kept],
            rarity=np.log((1 + read.items) / (1 + documents[kept])) + 1,
            mean=read.plain.mean(axis=0),
            deviation=np.where(deviation > 1e-9, deviation, 0.0),
            root=np.repeat(np.sqrt(read.sizes), read.sizes),
        )

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.buckets) + len(self.mean)

    @property
    def prompt_columns(self) -> int:
        """How many of them, from the first on, are known before any model is asked."""
        return len(self.buckets) + (len(surface("")) if SURFACE in self.groups else 0)

    def rows(self, read: Readings) -> Rows:
        """The items as numbers."""
        at = np.searchsorted(self.buckets, read.buckets)
        known = at < len(self.buckets)
        known[known] = self.buckets[at[known]] == read.buckets[known]
        rows, columns = read.rows[known], at[known]
        weights = (1 + np.log(read.counts[known])) * self.rarity[columns]
        bag = rows * _BAGS + read.bags[known]
        norms = np.sqrt(np.bincount(bag, weights**2, read.items * _BAGS))
        plain = self._standard(read.plain)
        dense = np.nonzero(plain)
        return Rows(
            shape=(read.items, self.width),
            rows=np.concatenate([rows, dense[0]]),
            columns=np.concatenate([columns, dense[1] + len(self.buckets)]),
            values=np.concatenate([weights / norms[bag], plain[dense]]),
        )

    def _standard(self, plain: Floats) -> Floats:
        varies = self.deviation > 0
        scaled = np.where(varies, (plain - self.mean) / np.where(varies, self.deviation, 1.0), 0.0)
        return np.asarray(np.clip(scaled, -_FAR, _FAR) / self.root)


def read(seen: Sequence[Seen], groups: Sequence[str] = GROUPS) -> Readings:
    """Reads items.

    Args:
        seen: All with replies of the same models.
        groups: Which groups of columns to read; what there are no replies for is left out.
    """
    replies = len(seen[0].replies)
    needed = {"reply": 1, "agreement": 2}
    used = tuple(group for group in GROUPS if group in groups and replies >= needed.get(group, 0))
    rows: list[int] = []
    bags: list[int] = []
    buckets: list[int] = []
    counts: list[int] = []
    for row, each in enumerate(seen):
        for bag, words in _bags(each, used):
            rows += [row] * len(words)
            bags += [bag] * len(words)
            buckets += words.keys()
            counts += words.values()
    blocks = [list(_blocks(each, used)) for each in seen]
    plain = [list(itertools.chain.from_iterable(each)) for each in blocks]
    return Readings(
        items=len(seen),
        groups=used,
        rows=np.array(rows, dtype=np.int64),
        bags=np.array(bags, dtype=np.int64),
        buckets=np.array(buckets, dtype=np.int64),
        counts=np.array(counts, dtype=np.float64),
        plain=np.array(plain, dtype=np.float64).reshape(len(seen), -1),
        sizes=tuple(len(block) for block in blocks[0]),
    )


def read_by_slice(seen: Seen, slices: Sequence[str], groups: Sequence[str] = GROUPS) -> Readings:
    """Reads one item once, as if it belonged to each of some slices: a row for each of them."""
    one, times = read([seen], groups), len(slices)
    buckets = np.tile(one.buckets, times)
    own = (one.bags == _PLACE) & (one.buckets == _slice_bucket(seen.slice))
    if own.any():
        buckets[np.tile(own, times)] = [_slice_bucket(name) for name in slices]
    return replace(
        one,
        items=times,
        rows=np.repeat(np.arange(times), len(one.rows)),
        bags=np.tile(one.bags, times),
        buckets=buckets,
        counts=np.tile(one.counts, times),
        plain=np.repeat(one.plain, times, axis=0),
    )


def _bags(seen: Seen, groups: Sequence[str]) -> Iterator[tuple[int, Counter[int]]]:
    """The words of an item, hashed and counted, a bag for each group that has some."""
    if "words" in groups:
        yield 0, Counter(map(_bucket, words_of(seen.prompt[:_LONGEST])))
    if "place" in groups:
        yield _PLACE, Counter([_bucket(f"step\0{seen.step}"), _slice_bucket(seen.slice)])


def _slice_bucket(name: str) -> int:
    return _bucket(f"slice\0{name}")


@functools.lru_cache(maxsize=1 << 16)
def _bucket(word: str) -> int:
    return zlib.crc32(word.encode(errors="replace")) % _BUCKETS


def _blocks(seen: Seen, groups: Sequence[str]) -> Iterator[list[float]]:
    """The plain numbers of an item, in the blocks that are scaled on their own."""
    prompt = seen.prompt[:_LONGEST]
    if SURFACE in groups:
        yield surface(prompt)
    if "reply" in groups:
        yield from (reply_signs(reply, prompt) for reply in seen.replies)
    if "agreement" in groups:
        yield from (agreement(left, right) for left, right in itertools.combinations(seen.replies, 2))
