"""What may be handed over as pictures, and that text never becomes a file's path."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.flow.images import read_images
from orchestration_nb.messages import Image

PNG = b"\x89PNG\r\n\x1a\n...."
WEBP = b"RIFF\x00\x00\x00\x00WEBP"


@pytest.mark.parametrize(
    ("data", "media_type"),
    [(PNG, "image/png"), (b"\xff\xd8\xff..", "image/jpeg"), (b"GIF89a", "image/gif"), (WEBP, "image/webp")],
)
def test_bytes_are_told_apart(data: bytes, media_type: str) -> None:
    assert read_images(data) == (Image(data=data, media_type=media_type),)
    assert read_images(bytearray(data)) == (Image(data=data, media_type=media_type),)


def test_files_addresses_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(PNG)
    address = "data:image/png;base64," + base64.b64encode(PNG).decode()
    given = Image(data=PNG)
    assert read_images([path, "https://example.com/a.png", address, given]) == (
        Image(data=PNG), Image(url="https://example.com/a.png"), Image(data=PNG), given,
    )  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        "/etc/passwd", "http://example.com/a.png", "file:///etc/passwd", "data:image/png;base64,???", b"text", 3, None,
        [None], "data:image/png;base64," + base64.b64encode(b"text").decode(), Path("/no/such/file.png"),
    ],
)  # fmt: skip
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        read_images(value)
    assert "pathlib.Path" in caught.value.hint


def test_a_file_that_is_no_picture_is_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_text("key=1")
    with pytest.raises(UsageError, match="no picture"):
        read_images(path)
