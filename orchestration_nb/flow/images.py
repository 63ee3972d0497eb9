"""``images=``: what an analyst hands over as pictures -> :class:`~orchestration_nb.messages.Image`."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any, Final

from orchestration_nb.errors import UsageError
from orchestration_nb.messages import Image

_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_HINT: Final = "Give bytes, pathlib.Path(...), an https address, or a list of them (PNG, JPEG, GIF or WebP)."


def read_images(value: Any) -> tuple[Image, ...]:
    """One picture or a list of them, read and told apart by their first bytes.

    Text is never taken for a file's path: a cell of a table could then make a run send any file away.

    Raises:
        UsageError: Something is no picture, or a file cannot be read.
    """
    if isinstance(value, list | tuple):
        return tuple(_image(each) for each in value)
    return (_image(value),)


def _image(value: Any) -> Image:
    if isinstance(value, Image):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return _from_bytes(bytes(value), "The bytes given as images=")
    if isinstance(value, Path):
        return _from_file(value)
    if isinstance(value, str) and value.startswith("https://"):
        return Image(url=value)
    if isinstance(value, str) and value.startswith("data:image/") and ";base64," in value:
        return _from_data_address(value)
    what = f"the text {value[:40]!r}" if isinstance(value, str) else f"a value of type {type(value).__name__}"
    raise UsageError(f"llm(images=...) cannot use {what}.", hint=_HINT)


def _from_bytes(data: bytes, what: str) -> Image:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Image(data=data, media_type="image/webp")
    for magic, media_type in _MAGIC:
        if data.startswith(magic):
            return Image(data=data, media_type=media_type)
    raise UsageError(f"{what} are no picture that models can read.", hint=_HINT)


def _from_file(path: Path) -> Image:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"The picture {str(path)!r} cannot be read: {error.strerror or error}.", hint=_HINT) from None
    return _from_bytes(data, f"The contents of {str(path)!r}")


def _from_data_address(address: str) -> Image:
    try:
        data = base64.b64decode(address.partition(";base64,")[2], validate=True)
    except binascii.Error:
        raise UsageError("The data: address given as images= is not base64.", hint=_HINT) from None
    return _from_bytes(data, "The bytes of the data: address")
