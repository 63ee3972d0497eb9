"""Pictures of a notebook's outputs, in whose files a secret may stand beside what they show."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from orchestration_nb.secrecy import Secrecy


_PNG: Final = b"\x89PNG\r\n\x1a\n"
_SHOWN: Final = frozenset({
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"pHYs", b"bKGD",
    b"acTL", b"fcTL", b"fdAT",
})  # fmt: skip
"""What of a PNG file makes the picture; all else tells of it."""


def is_binary(mime: str) -> bool:
    """Whether a notebook holds data of this type as base64."""
    return (mime.startswith(("image/", "audio/", "video/", "font/")) and mime != "image/svg+xml") or mime in _BINARY


_BINARY: Final = frozenset({"application/pdf", "application/octet-stream", "application/zip"})


def without_secrets(data: str, secrecy: Secrecy) -> str | None:
    """Base64 of a picture or another file in which no secret stands, or ``None`` where it cannot be taken out.

    A PNG loses what it says of itself where a secret stands in it; other files are kept whole or not at all.
    """
    try:
        raw = base64.b64decode(data)
    except (binascii.Error, ValueError):
        return secrecy.text(data)
    if not secrecy.finds(raw):
        return secrecy.text(data)
    if raw.startswith(_PNG):
        bare = _PNG + b"".join(chunk for kind, chunk in _chunks(raw) if kind in _SHOWN)
        if not secrecy.finds(bare):
            return base64.b64encode(bare).decode()
    return None


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG)
    while at + 12 <= len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, end = png[at + 4 : at + 8], at + 12 + length
        yield kind, png[at:end]
        if kind == b"IEND":  # what comes after it is no part of the picture
            return
        at = end
