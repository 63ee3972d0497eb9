"""What a provider is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from orchestration_nb.calls import RawReply, Request, Timeouts
from orchestration_nb.catalog import Model
from orchestration_nb.providers.formats import Embedded


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """Whether a provider's models can be asked now."""

    usable: bool
    why: str
    """What is missing, or an empty string."""
    where: str
    """The host that is asked."""


class Provider(Protocol):
    """Where models are asked. Used from one event loop."""

    @property
    def name(self) -> str:
        """The part of a model's name before the slash."""

    async def send(self, model: Model, request: Request, *, timeouts: Timeouts) -> RawReply:
        """Asks one model once.

        Raises:
            CallError: If no usable reply came; ``billing`` says whether it may have cost something.
        """

    def availability(self) -> Availability:
        """Whether models can be asked now, and what is missing."""

    def models(self) -> Sequence[Model]:
        """Models to list; a provider may answer for others too."""

    async def close(self) -> None:
        """Ends what is held open."""


@runtime_checkable
class Embedder(Protocol):
    """A provider whose models embed."""

    async def embed(self, model: Model, texts: Sequence[str], *, timeouts: Timeouts) -> Embedded:
        """Turns texts into vectors, in as many requests as it takes.

        Raises:
            CallError: If no usable vectors came.
        """
