"""What is said to a model and by it: messages and their parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["user", "assistant", "tool"]
"""Who speaks. The system prompt is no message: it stands in ``Request.system``."""


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A picture, as bytes or as an address; exactly one of the two."""

    data: bytes | None = None
    """The file's bytes."""
    url: str | None = None
    """An ``https`` address that the provider fetches."""
    media_type: str = "image/png"
    """The MIME type of ``data``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A model asks for a tool."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What the tool said."""

    call_id: str
    name: str
    content: str


Part = Text | Image | ToolCall | ToolResult
"""One piece of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The words of the message, its other parts left out."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What a model may call."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of the arguments (an object)."""


def user(text: str, images: tuple[Image, ...] = ()) -> Message:
    """A user's turn: images first, as the providers advise, then the words.

    A lone surrogate, which no wire format can carry, becomes the replacement character.
    """
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return Message(role="user", parts=(*images, Text(text)))
