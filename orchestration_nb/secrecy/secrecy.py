"""Texts without the secrets that stand in them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

from orchestration_nb.errors import UsageError
from orchestration_nb.secrecy.blobs import DEPTH, Budget, TooMuch, decoded, runs, within
from orchestration_nb.secrecy.disguises import Needle, Skeleton, bones, kept, needles, short_forms
from orchestration_nb.secrecy.search import Found, Needles
from orchestration_nb.secrecy.views import View, views

SHORTEST: Final = 4
"""Characters that a secret must have: to take a shorter one out would wreck every text."""
_BLOCK: Final = 4 * 2**20
_OVERLAP: Final = 1 << 16
_PART: Final = 1 << 16
_MARK: Final = re.compile(r"\[secret [A-Za-z_]\w*\]")
_DOTS: Final = re.compile(rb"[\s'\"\[]{0,3}(?:\.{2,}|\xe2\x80\xa6|\\u2026|&hellip;|&#8230;)")
_DOTS_BEFORE: Final = re.compile(rb"(?:\.{2,}|\xe2\x80\xa6|\\u2026|&hellip;|&#8230;)[\s'\"\]]{0,3}\Z")
_REST: Final = re.compile(rb"[^\s'\"<>]{1,64}")
_CODED: Final = re.compile(rb"[A-Za-z0-9+/=_-]{0,8}")
_CODED_BEFORE: Final = re.compile(rb"[A-Za-z0-9+/=_-]{0,8}\Z")
_UNREAD: Final = "withheld"
_KINDS: Final[tuple[Skeleton, ...]] = ("words", "marks")


class Span(NamedTuple):
    """A part of a text that gives a secret away."""

    start: int
    end: int
    name: str


class Secrecy:
    """Finds secrets in texts, in whatever disguise that needs no key to undo, and puts their names in their place.

    Args:
        values: Name to value.

    Raises:
        UsageError: If a value is too short to be taken out of texts.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            if len(value) < SHORTEST:
                raise UsageError(
                    f"The secret {name} has fewer than {SHORTEST} characters: to take it out would wreck every text.",
                    hint="Use a longer one, or hand it over as a parameter if it is no secret.",
                )
        self._values = dict(values)
        held = [needle for name, value in values.items() for needle in needles(name, value)]
        self._needles = {kind: Needles([each for each in held if each.skeleton == kind]) for kind in _KINDS}
        self._short = self._short_pattern()

    def __repr__(self) -> str:
        return f"<Secrecy of {', '.join(self._values)}>"

    def __reduce__(self) -> str:
        raise TypeError("Secrets are not pickled.")

    @property
    def names(self) -> tuple[str, ...]:
        """What the secrets are called."""
        return tuple(self._values)

    def text(self, text: str) -> str:
        """The text with ``[secret NAME]`` where a secret stood."""
        return self.texts([text])[0]

    def data(self, data: bytes) -> bytes:
        """The same for bytes that are text in UTF-8."""
        spans = self._spans(data)
        return data if not spans else _cut(data, spans)

    def texts(self, texts: Sequence[str]) -> list[str]:
        """Texts that stand one after the other, such as the parts of an output: a secret may lie across several."""
        pieces = [text.encode("utf-8", "surrogatepass") for text in texts]
        spans = self._spans(b"\n".join(pieces))
        if not spans:
            return list(texts)
        begins = accumulate((len(piece) + 1 for piece in pieces), initial=0)
        cut = _cut_all(list(zip(begins, pieces, strict=False)), spans)
        return [
            text if anew is None else anew.decode("utf-8", "replace") for text, anew in zip(texts, cut, strict=True)
        ]

    def value(self, value: Any, *, numbers: bool = False) -> Any:
        """A value of JSON (texts, numbers, lists, mappings) without secrets; the same object where none was in it.

        Args:
            value: The value; mappings come back as ``dict``, tuples as ``list``.
            numbers: Whether whole numbers in a row may be the characters of a secret; they become ``None`` then.
        """
        leaves = list(_leaves(value, numbers))
        clean = self.texts(leaves)
        return value if clean == leaves else _rebuilt(value, iter(clean), numbers)

    def finds(self, data: bytes | str) -> bool:
        """Whether a secret stands in the data, be it text or a file of any kind."""
        raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        return bool(self._spans(raw, first=True))

    def _short_pattern(self) -> re.Pattern[bytes] | None:
        forms = [(name, form) for name, value in self._values.items() for form in short_forms(value)]
        self._short_names = {form: name for name, form in reversed(forms)}
        longest_first = sorted(self._short_names, key=len, reverse=True)
        return re.compile(b"|".join(map(re.escape, longest_first))) if forms else None

    def _spans(self, data: bytes, *, first: bool = False, depth: int = 0, budget: Budget | None = None) -> list[Span]:
        """Where secrets stand in the data, merged, from left to right; ``first``: one is enough."""
        found: list[Span] = []
        for start in range(0, max(len(data), 1), _BLOCK):
            block = data[start : start + _BLOCK + _OVERLAP]
            found += (Span(start + each.start, start + each.end, each.name) for each in self._in_block(block))
            if first and found:
                return found
        found += self._encoded(data, depth, budget or Budget())
        return _merged(found)

    def _in_block(self, block: bytes) -> Iterator[Span]:
        for view in views(block):
            for start, end, name in self._in_view(view):
                yield Span(*view.source(start, end), name)
            if view.parent is not None and len(block) <= _OVERLAP:
                for start, end, name in self._encoded(view.data, 0, Budget(_BLOCK)):
                    yield Span(*view.source(start, end), name)

    def _in_view(self, view: View) -> Iterator[Span]:
        if self._short is not None:
            for match in self._short.finditer(view.data):
                yield Span(*match.span(), self._short_names[match[0]])
        for kind in _KINDS:
            places: _Places | None = None
            for found in self._needles[kind].find(bones(view.data, kind)):
                if found.enough or found.at_an_end:
                    places = places or _Places(view.data, kind)
                    span = _widened(view.data, places.at(found.start), places.at(found.end - 1) + 1, found)
                    if span is not None:
                        yield span

    def _encoded(self, data: bytes, depth: int, budget: Budget) -> Iterator[Span]:
        """Where secrets stand in what is encoded or compressed."""
        if depth >= DEPTH:
            return
        for start, end, run in runs(data):
            for inner in decoded(run):
                name = self._name_in(inner, depth + 1, budget)
                if name is not None:
                    yield Span(start, end, name)
                    break
        try:
            found = within(data, budget, lambda piece: self._name_in(piece, depth + 1, budget))
        except TooMuch:
            found = 0, len(data), _UNREAD
        if found is not None:
            yield Span(*found)

    def _name_in(self, data: bytes, depth: int, budget: Budget) -> str | None:
        """The secret that stands in the data."""
        if not budget.take(len(data)):
            return _UNREAD
        spans = self._spans(data, first=True, depth=depth, budget=budget)
        return spans[0].name if spans else None


class _Places:
    """Where the bytes of a skeleton stand in the data from which it was made."""

    def __init__(self, data: bytes, kind: Skeleton) -> None:
        self._data, self._kind = data, kind
        parts = (data[start : start + _PART] for start in range(0, len(data), _PART))
        self._counts = list(accumulate((len(bones(part, kind)) for part in parts), initial=0))
        self._part, self._held = -1, [0]

    def at(self, number: int) -> int:
        """The place of the skeleton's byte with that number, both from 0."""
        from bisect import bisect_right  # noqa: PLC0415

        part = bisect_right(self._counts, number) - 1
        if part != self._part:
            keep = kept(self._kind)
            piece = self._data[part * _PART : (part + 1) * _PART]
            self._part, self._held = part, [place for place, byte in enumerate(piece) if byte in keep]
        return part * _PART + self._held[number - self._counts[part]]


def is_scrubbed(text: str) -> bool:
    """Whether a secret was taken out of the text: it is not what was said, and must not be used as if it were."""
    return _MARK.search(text) is not None


def _widened(data: bytes, start: int, end: int, found: Found) -> Span | None:
    """The part of a reading that is to go, with what belongs to it on either side; ``None``: it may stay."""
    needle = found.needle
    if needle.coded:
        begins = _CODED_BEFORE.search(data[max(start - 8, 0) : start])
        ends = _CODED.match(data, end)
        return Span(start - len(begins[0] if begins else b""), ends.end() if ends else end, needle.name)
    if found.enough:
        return Span(*_with_marks(data, start, end, found), needle.name)
    dots = _DOTS.match(data, end)
    if dots is not None:
        rest = _REST.match(data, dots.end())
        last = rest.end() if rest is not None and _is_end(needle, rest[0]) else end
        return Span(start, last, needle.name)
    if _DOTS_BEFORE.search(data[max(start - 10, 0) : start]) is not None:
        return Span(start, end, needle.name)
    return None


def _is_end(needle: Needle, text: bytes) -> bool:
    return len(text) > 1 and needle.plain.lower().endswith(text.lower())


def _with_marks(data: bytes, start: int, end: int, found: Found) -> tuple[int, int]:
    """Takes in the marks of the value on either side, of which a skeleton knows nothing."""
    plain, stays = found.needle.plain, kept(found.needle.skeleton)
    inner = [-1, *(place for place, byte in enumerate(plain) if byte in stays), len(plain)]
    first, last = found.offset + 1, found.offset + found.end - found.start
    if not plain or last >= len(inner) - 1:
        return start, end
    before, after = plain[inner[first - 1] + 1 : inner[first]], plain[inner[last] + 1 : inner[last + 1]]
    while before and start and data[start - 1] == before[-1]:
        start, before = start - 1, before[:-1]
    while after and end < len(data) and data[end] == after[0]:
        end, after = end + 1, after[1:]
    return start, end


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = Span(last.start, max(last.end, span.end), last.name)
        else:
            merged.append(span)
    return merged


def _sign(name: str) -> bytes:
    if name == _UNREAD:
        return b"[withheld: too large to be searched for secrets]"
    return f"[secret {name}]".encode()


def _cut(data: bytes, spans: Sequence[Span]) -> bytes:
    return _cut_all([(0, data)], spans)[0] or b""


def _cut_all(pieces: Sequence[tuple[int, bytes]], spans: Sequence[Span]) -> list[bytes | None]:
    """Cuts the spans out of pieces of a text; each is named in the piece in which it begins.

    Args:
        pieces: Where each begins in the whole, and its bytes.
        spans: Places in the whole, from left to right.

    Returns:
        The pieces without them; ``None`` for one that has none.
    """
    cut: list[bytes | None] = []
    first = 0
    for begins, piece in pieces:
        ends, parts, at, number = begins + len(piece), [], 0, first
        while number < len(spans) and spans[number].start < ends:
            span = spans[number]
            if span.end > begins:
                start = max(span.start - begins, 0)
                parts += [piece[at:start], _sign(span.name) if span.start >= begins else b""]
                at = min(span.end - begins, len(piece))
            first = number if span.end > ends else number + 1
            number += 1
        cut.append(b"".join((*parts, piece[at:])) if parts else None)
    return cut


def _leaves(value: Any, numbers: bool) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield str(key)
            yield from _leaves(part, numbers)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part, numbers)
    elif numbers and _is_whole(value):
        yield str(int(value))


def _is_whole(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value) and value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _rebuilt(value: Any, clean: Iterator[str], numbers: bool) -> Any:
    if isinstance(value, str):
        return next(clean)
    if isinstance(value, Mapping):
        return {next(clean): _rebuilt(part, clean, numbers) for part in value.values()}
    if isinstance(value, list | tuple):
        return [_rebuilt(part, clean, numbers) for part in value]
    if numbers and _is_whole(value):
        return value if next(clean) == str(int(value)) else None
    return value
