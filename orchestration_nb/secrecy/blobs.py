"""What stands encoded or compressed in a text: runs of base64, base32 or hexadecimal digits, and streams within.

Only as much is unpacked as a budget allows, so that no small text costs hours; what is larger counts as unread.
"""

from __future__ import annotations

import binascii
import bz2
import lzma
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from orchestration_nb.secrecy.disguises import decoded_base32

DEPTH: Final = 4
"""How many encodings are undone one within the other."""
MOST_UNPACKED: Final = 256 * 2**20
"""Bytes that are unpacked of one text."""
_LEAST_RUN: Final = 16
_GAP: Final = 8
"""Bytes of line ends, quotes and indentation that may stand between two lines of one run."""
_WHOLLY_SEARCHED: Final = 1 << 16
"""A run up to this long is decoded from each of its first four characters on."""
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_OTHERS: Final = bytes(set(range(256)) - set(_ALPHABET))
_FLAGS: Final = bytes(98 if byte in _ALPHABET else 32 for byte in range(256))
_WRAP: Final = re.compile(rb"[ '\"\\\r\t]*\n[ '\"\r\t]*")
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_HEX: Final = re.compile(rb"(?:[0-9A-Fa-f]{2})+")
_BASE32: Final = re.compile(rb"[A-Z2-7]+")
_STREAM: Final = re.compile(rb"\x1f\x8b\x08|x[\x01\x5e\x9c\xda]|BZh[1-9]1AY|\xfd7zXZ\x00|PK\x03\x04")
_MOST_STREAMS: Final = 4096
_PIECE: Final = 1 << 20
_OVERLAP: Final = 4096


@dataclass(slots=True)
class Budget:
    """What may still be unpacked."""

    left: int = MOST_UNPACKED

    def take(self, size: int) -> bool:
        """Whether so many bytes more may be."""
        self.left -= size
        return self.left >= 0


def runs(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Where runs of encoded text stand, and their characters without what wraps them."""
    flags, wanted, at = data.translate(_FLAGS), b"b" * _LEAST_RUN, 0
    while (start := flags.find(wanted, at)) >= 0:
        end = _end(flags, start)
        while True:  # the lines of a wrapped run
            following = flags.find(b"b", end, end + _GAP + 1)
            if following < 0 or _WRAP.fullmatch(data, end, following) is None:
                break
            further = _end(flags, following)
            if further - following < _LEAST_RUN and further - following > end - start:
                break
            end = further
        yield start, end, data[start:end].translate(_STANDARD, _OTHERS)
        at = end + 1


def _end(flags: bytes, start: int) -> int:
    end = flags.find(b" ", start)
    return len(flags) if end < 0 else end


def decoded(run: bytes) -> Iterator[bytes]:
    """What a run may stand for."""
    if _HEX.fullmatch(run):
        yield bytes.fromhex(run.decode())
    if _BASE32.fullmatch(run) and (found := decoded_base32(run)) is not None:
        yield found
    for offset in range(4 if len(run) <= _WHOLLY_SEARCHED else 1):
        part = run[offset : offset + (len(run) - offset) // 4 * 4]
        rest = run[offset + len(part) :]
        try:
            yield binascii.a2b_base64(part + (rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""))
        except binascii.Error:
            continue


def within(data: bytes, budget: Budget, look: Callable[[bytes], str | None]) -> tuple[int, int, str] | None:
    """The first compressed stream in the data of which ``look`` says something: its place, and what was said.

    Raises:
        TooMuch: If the budget is spent.
    """
    for found in islice(_STREAM.finditer(data), _MOST_STREAMS):
        held, stream = b"", _Stream(data, found.start())
        for piece in stream:
            if not budget.take(len(piece)):
                raise TooMuch
            said = look(held + piece)
            if said is not None:
                return found.start(), stream.end(), said
            held = piece[-_OVERLAP:]
    return None


class TooMuch(Exception):  # noqa: N818 - a signal; never leaves this room
    """There is more to unpack than the budget allows."""


class _Stream:
    """A compressed stream, unpacked in pieces of at most a megabyte; one that is broken ends where it breaks."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self._at = data, start
        self._zlib = None
        self._other: bz2.BZ2Decompressor | lzma.LZMADecompressor | None = None
        if data.startswith(b"BZh", start):
            self._other = bz2.BZ2Decompressor()
        elif data.startswith(b"\xfd", start):
            self._other = lzma.LZMADecompressor()
        elif data.startswith(b"PK", start):
            self._at += 30 + sum(struct.unpack("<HH", data[start + 26 : start + 30].ljust(4, b"\0")))
            self._zlib = zlib.decompressobj(-15)
        else:
            self._zlib = zlib.decompressobj(47)

    def end(self) -> int:
        """Where it ends, as far as is known; else the end of the data."""
        held = self._zlib or self._other
        assert held is not None
        return min(self._at, len(self._data)) - len(held.unused_data) if held.eof else len(self._data)

    def __iter__(self) -> Iterator[bytes]:
        try:
            while (piece := self._next()) is not None:
                if piece:
                    yield piece
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
            return

    def _next(self) -> bytes | None:
        """The next piece, which may be empty; ``None`` at the end."""
        if self._zlib is not None:
            feed = self._zlib.unconsumed_tail or self._fed()
            piece = None if self._zlib.eof else self._zlib.decompress(feed, _PIECE)
            return piece or (piece if feed else None)
        assert self._other is not None
        if self._other.eof:
            return None
        feed = self._fed() if self._other.needs_input else b""
        piece = self._other.decompress(feed, _PIECE)
        return piece or (piece if feed else None)

    def _fed(self) -> bytes:
        feed = self._data[self._at : self._at + _PIECE]
        self._at += _PIECE
        return feed
