r"""A text as it is, and as it reads once its escapes are undone: ``%2F``, ``&amp;``, ``\u0041``, ``\x41``, ``=41``.

Each view knows where in the text each of its bytes comes from, so that what is found in it is cut out of the text.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

_ESCAPE: Final = re.compile(  # its first byte is one of few, which is what makes it quick
    rb"[\\%&\x1bUu\xc2\xcd\xe1-\xe3\xef\xf3](?:"
    rb"(?<=\\)(?:(?P<pair>u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2})"
    rb"|x(?P<byte>[0-9A-Fa-f]{2})|u(?P<code>[0-9A-Fa-f]{4})|(?:U|u\{)(?P<long>[0-9A-Fa-f]{1,8})\}?"
    rb"|(?P<octal>[0-3]?[0-7]{2})|(?P<letter>[\x09-\x7e]))"
    rb"|(?<=%)(?:(?P<percent>[0-9A-Fa-f]{2})|u(?P<percent_code>[0-9A-Fa-f]{4}))"
    rb"|(?<=&)(?:\#[xX](?P<entity_hex>[0-9A-Fa-f]{1,7});?|\#(?P<entity>[0-9]{1,8});?"
    rb"|(?P<named>[A-Za-z][A-Za-z0-9]{1,30};))"
    rb"|(?<=\x1b)(?P<colour>\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)|[@-Z\\-_])"
    rb"|(?<=[Uu])\+(?P<plus_code>[0-9A-Fa-f]{4,6})"
    rb"|(?<=\xe2)(?P<unseen>\x80[\x80-\x8f\xa8-\xaf]|\x81[\x9f-\xaf])"
    rb"|(?<=\xef)(?P<mark>\xbb\xbf|\xb8[\x80-\x8f])"
    rb"|(?P<joiner>(?<=\xc2)[\xa0\xad]|(?<=\xcd)\x8f|(?<=\xe1)\xa0\x8e|(?<=\xe3)\x80\x80"
    rb"|(?<=\xf3)\xa0[\x80-\x87][\x80-\xbf])"
    rb"|(?<=\xef)(?P<wide>\xbc[\x81-\xbf]|\xbd[\x80-\x9e]))"
)
_TAG: Final = re.compile(rb"<(?P<tag>[/!A-Za-z][^<>]{0,4096})>")
_QUOTED: Final = re.compile(rb"=(?:(?P<byte>[0-9A-F]{2})|(?P<tag>\r?\n))")
_MARKS: Final = bytes(set(range(128)) - set(b"\\%&\x1b"))
_LETTERS: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f", b"a": b"\a", b"v": b"\v"}
_NESTED: Final = 3


@dataclass(slots=True, eq=False)
class View:
    """A text in one reading."""

    data: bytes
    parent: View | None = None
    _here: list[int] = field(default_factory=list)
    """Where each piece begins in this view, and below where in the parent; pieces are verbatim but for the marked."""
    _there: list[int] = field(default_factory=list)
    _undone: bytearray = field(default_factory=bytearray)
    """1 for a piece that stands for an escape as a whole."""

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Where in the text the bytes from ``start`` to ``end`` of this view come from."""
        if self.parent is None:
            return start, end
        first, last = bisect_right(self._here, start) - 1, bisect_right(self._here, end - 1) - 1
        begins = self._there[first] + (0 if self._undone[first] else start - self._here[first])
        ends = self._there[last + 1] if self._undone[last] else self._there[last] + end - self._here[last]
        return self.parent.source(begins, ends)


def views(data: bytes) -> Iterator[View]:
    """The readings of a text that differ from one another, the text itself first."""
    plain = View(data)
    yield plain
    reading, without = plain, None
    for _ in range(_NESTED):
        anew = _undo(reading, _ESCAPE, _meant) if _has_escapes(reading.data) else None
        if without is None:
            without = _undo(anew or plain, _TAG, _meant) if b"<" in data else None
            if without is not None:
                yield without
                twice = _undo(without, _ESCAPE, _meant)
                if twice is not None:
                    yield twice
        if anew is None:
            break
        yield anew
        reading = anew
    if b"=" in data and (quoted := _undo(plain, _QUOTED, _meant)) is not None:
        yield quoted


def _has_escapes(data: bytes) -> bool:
    return bool(data.translate(None, _MARKS)) or b"U+" in data or b"u+" in data


def _undo(view: View, pattern: re.Pattern[bytes], meant: Callable[[re.Match[bytes]], bytes]) -> View | None:
    data, pieces, here, there, undone = view.data, [], [], [], bytearray()
    at = length = 0
    for found in pattern.finditer(data):
        start, end = found.span()
        if start > at:
            pieces.append(data[at:start])
            here.append(length)
            there.append(at)
            undone.append(0)
            length += start - at
        said = meant(found)
        pieces.append(said)
        here.append(length)
        there.append(start)
        undone.append(1)
        length += len(said)
        at = end
    if not here:
        return None
    pieces.append(data[at:])
    here.append(length)
    there.append(at)
    undone.append(0)
    here.append(length + len(data) - at)
    there.append(len(data))
    undone.append(0)
    return View(b"".join(pieces), view, here, there, undone)


def _meant(found: re.Match[bytes]) -> bytes:
    kind, text = found.lastgroup or "", found[found.lastgroup or 0]
    return _MEANINGS[kind](text)


def _character(code: int) -> bytes:
    return chr(code).encode("utf-8", "surrogatepass") if code <= 0x10FFFF else b""


def _of_hex(text: bytes) -> bytes:
    return _character(int(text, 16))


def _of_byte(text: bytes) -> bytes:
    return bytes((int(text, 16),))


def _of_pair(text: bytes) -> bytes:
    high, low = int(text[1:5], 16), int(text[7:11], 16)
    return _character(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


def _nothing(_text: bytes) -> bytes:
    return b""


_MEANINGS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "pair": _of_pair,
    "byte": _of_byte,
    "percent": _of_byte,
    **dict.fromkeys(("code", "percent_code", "plus_code", "long", "entity_hex"), _of_hex),
    "octal": lambda text: bytes((int(text, 8) & 255,)),
    "letter": lambda text: _LETTERS.get(text, text),
    "entity": lambda text: _character(int(text)),
    "named": lambda text: html.unescape(f"&{text.decode()}").encode(),
    **dict.fromkeys(("colour", "unseen", "mark", "joiner", "tag"), _nothing),
    "wide": lambda text: _character(ord((b"\xef" + text).decode()) - 0xFEE0),
}
