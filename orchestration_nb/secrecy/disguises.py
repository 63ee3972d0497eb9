r"""What a secret may look like in a text: the needles that are looked for.

A needle is compared with a text from which what stands between characters was taken out (spaces, line ends, quotes,
commas, and for ``words`` all other punctuation) and in which case does not count. So one needle finds a secret that is
wrapped, spaced out, put into a list of characters or in capitals. Escapes (``%2F``, ``&amp;``, ``\u0041``, ``\x41``)
are undone by :mod:`.views` beforehand; what is compressed, by :mod:`.blobs`.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

Skeleton = Literal["words", "marks"]
"""What of a text is compared: letters and digits, or all but white space, quotes, commas, plus signs, backslashes."""

GRAM: Final = 8
"""Characters in a row that must agree before anything is looked at more closely."""
PIECE: Final = 64
"""A longer secret is looked for in pieces of this many characters, so that any of them is found."""
_LEAST_PART: Final = 8
_FRAME: Final = re.compile(r"-----[A-Z0-9 ]+-----")
"""What says what kind of key stands between, which is no secret."""
_SHARE_OF_WORDS: Final = 0.6
_UPPER: Final = bytes(range(65, 91))
_LETTERS: Final = bytes(range(48, 58)) + _UPPER + bytes(range(97, 123))
_BETWEEN: Final = bytes(range(33)) + b"\x7f\"'`,\\+"
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_TO_UU: Final = bytes.maketrans(_BASE64, b"`" + bytes(range(33, 96)))
_TO_HEX32: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHIJKLMNOPQRSTUV")
_ROT47: Final = {33 + number: 33 + (number + 47) % 94 for number in range(94)}
_SMALL: Final = bytes.maketrans(_UPPER, _UPPER.lower())
_DROPPED: Final = {"words": bytes(set(range(128)) - set(_LETTERS)), "marks": _BETWEEN}


@dataclass(frozen=True, slots=True)
class Needle:
    """Bytes to be found in a skeleton."""

    name: str
    """Which secret it stands for."""
    skeleton: Skeleton
    text: bytes
    plain: bytes = b""
    """The value as it stands, where the needle is the value itself: its marks at either end belong to it."""
    coded: bool = False
    """Whether what stands directly beside it may hold the rest of its first and last character."""

    @property
    def least(self) -> int:
        """How many characters in a row give it away: somewhat less than half of them, and never fewer than a gram."""
        return max(GRAM, 2 * len(self.text) // 5)


def bones(text: bytes, skeleton: Skeleton) -> bytes:
    """What of ``text`` is compared with needles of that kind, in small letters."""
    return text.translate(_SMALL, _DROPPED[skeleton])


def kept(skeleton: Skeleton) -> frozenset[int]:
    """The bytes that :func:`bones` leaves in."""
    return frozenset(range(256)) - frozenset(_DROPPED[skeleton])


def needles(name: str, value: str) -> Iterator[Needle]:
    """All that is looked for because of one secret; those too short for a gram are for :func:`short_forms`."""
    body = _FRAME.sub("", value) or value
    pieces = [body[start : start + PIECE] for start in range(0, len(body), PIECE)]
    for number, piece in enumerate(pieces):
        outer = number in {0, len(pieces) - 1}
        yield from _distinct(_of_piece(name, piece, thorough=outer))
    for part in parts(value):
        for start in range(0, len(part), PIECE):
            yield from _distinct(_of_piece(name, part[start : start + PIECE], thorough=False))


def short_forms(value: str) -> Iterator[bytes]:
    """What a short secret looks like, to be found letter by letter as it stands: no gram of its fits in a skeleton."""
    if min(len(bones(value.encode("utf-8", "surrogatepass"), "marks")), len(value)) >= GRAM:
        return
    for turned in (value, value[::-1], codecs.encode(value, "rot13"), value.upper(), value.lower()):
        yield turned.encode("utf-8", "surrogatepass")
    data = value.encode("utf-8", "surrogatepass")
    for form in _base64s(data):
        if len(form) >= 5:
            yield form
    yield b"".join(b"%d, " % byte for byte in data).rstrip(b", ")


def parts(value: str) -> Iterator[str]:
    """What of a secret is one by itself: the lines of a key, the password of an address, the leaves of JSON."""
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= 2 * _LEAST_PART and not _FRAME.fullmatch(line))
    if "://" in value:
        yield from _password(value)
    if value.count(".") == 2 and value.startswith("eyJ"):  # a JSON web token: the first part is no secret
        yield from (part for part in value.split(".")[1:] if len(part) >= _LEAST_PART)
    if value.lstrip()[:1] in {"{", "["}:
        try:
            yield from (leaf for leaf in _leaves(json.loads(value)) if len(leaf) >= _LEAST_PART)
        except (ValueError, RecursionError):
            return


def _password(address: str) -> Iterator[str]:
    try:
        held = urlsplit(address).password
    except ValueError:
        return
    for word in {held or "", unquote(held or "")}:
        if len(word) >= _LEAST_PART:
            yield word


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from parts(value) if "\n" in value else (value,)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part)


def _distinct(found: Iterable[Needle]) -> Iterator[Needle]:
    seen: set[tuple[str, bytes]] = set()
    for needle in found:
        if len(needle.text) >= GRAM and (needle.skeleton, needle.text) not in seen:
            seen.add((needle.skeleton, needle.text))
            yield needle


def _of_piece(name: str, piece: str, *, thorough: bool) -> Iterator[Needle]:
    data = piece.encode("utf-8", "surrogatepass")
    for turned in _turns(piece) if thorough else (piece, piece[::-1]):
        yield from _as_written(name, turned.encode("utf-8", "surrogatepass"), own=turned == piece)
        for form in _base64s(turned.encode("utf-8", "surrogatepass")):
            yield _coded(name, form, "words")
        yield _coded(name, turned.encode("utf-8", "surrogatepass").hex().encode(), "words")
    for form in _numbers(data):
        yield _coded(name, form, "words")
    if not thorough:
        return
    for wide in _widths(piece):
        for form in (*_base64s(wide), *_base32s(wide), wide.hex().encode(), *_numbers(wide)):
            yield _coded(name, form, "words")
        yield from _as_written(name, wide, own=False)  # in a view, \\xe9 is a byte
        for form in (*_base85s(wide), *(each.translate(_TO_UU) for each in _base64s(wide))):
            yield _coded(name, form, "marks")
    for form in _indexed(piece):
        yield _coded(name, form, "words")


def _coded(name: str, form: bytes, skeleton: Skeleton) -> Needle:
    return Needle(name, skeleton, bones(form, skeleton), coded=True)


def _as_written(name: str, data: bytes, *, own: bool) -> Iterator[Needle]:
    words, marks = bones(data, "words"), bones(data, "marks")
    plain = data if own else b""
    if len(words) >= _SHARE_OF_WORDS * len(data):  # else too little is left that tells it from other words
        yield Needle(name, "words", words, plain)
    yield Needle(name, "marks", marks, plain)


def _turns(value: str) -> tuple[str, ...]:
    rot13 = codecs.encode(value, "rot13")
    cases = (value, value.lower(), value.upper(), value.swapcase(), value.title())
    return tuple(dict.fromkeys((*cases, value[::-1], rot13, rot13[::-1], value.translate(_ROT47))))


def _widths(value: str) -> Iterator[bytes]:
    """The value as bytes: one, two, four or eight for a character, or floats."""
    yield value.encode("utf-8", "surrogatepass")
    for encoding in ("latin-1", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        try:
            yield value.encode(encoding)
        except UnicodeEncodeError:
            continue
    codes = [ord(character) for character in value]
    yield struct.pack(f"<{len(codes)}q", *codes)
    yield struct.pack(f"<{len(codes)}d", *codes)


def _aligned(encode: Callable[[bytes], bytes], data: bytes, bits: int, group: int) -> Iterator[bytes]:
    """What stays the same of an encoding wherever in a longer text the data stands; ``bits`` a character."""
    for before in range(group):
        form = encode(bytes(before) + data)
        yield form[-(-8 * before // bits) : 8 * (before + len(data)) // bits]


def _base64s(data: bytes) -> Iterator[bytes]:
    return _aligned(base64.b64encode, data, 6, 3)


def _base32s(data: bytes) -> Iterator[bytes]:
    for form in _aligned(base64.b32encode, data, 5, 5):
        yield form
        yield form.translate(_TO_HEX32)


def _base85s(data: bytes) -> Iterator[bytes]:
    """Base85 has no bits: what stays are whole groups of four bytes."""
    for encode in (base64.b85encode, base64.a85encode):
        for skipped in range(4):
            whole = data[skipped : skipped + (len(data) - skipped) // 4 * 4]
            yield encode(whole)


def _numbers(data: bytes) -> Iterator[bytes]:
    """Its bytes as numbers one after the other, and all of them as one number."""
    for pattern in ("{:d}", "0x{:x}", "0x{:02x}", "{:o}", "{:03o}", "0o{:o}", "{:08b}", "{:b}", "0b{:b}"):
        yield "".join(map(pattern.format, data)).encode()
    if len(data) <= PIECE:
        yield str(int.from_bytes(data, "big")).encode()
        yield str(int.from_bytes(data, "little")).encode()


def _indexed(value: str) -> Iterator[bytes]:
    """A column of characters as pandas shows it, or ``enumerate`` lists it."""
    for first in (0, 1):
        yield "".join(f"{number}{character}" for number, character in enumerate(value, first)).encode(
            "utf-8", "surrogatepass"
        )


def decoded_base32(run: bytes) -> bytes | None:
    """The bytes of base32 text without its padding, or ``None`` where it is none."""
    try:
        return base64.b32decode(run + b"=" * (-len(run) % 8))
    except (binascii.Error, ValueError):
        return None
