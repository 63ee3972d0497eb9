"""``replay/...``: recorded replies in place of models, at no cost.

Where the replies come from is a matter of :class:`Recordings`: Parquet files, or the workspace's own ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestration_nb.calls import RawReply, Request, Timeouts
from orchestration_nb.catalog import Model, Price
from orchestration_nb.errors import NoRecordedReplyError
from orchestration_nb.ids import RunId
from orchestration_nb.providers.provider import Availability

Lookup = Callable[[Request], RawReply | None]
"""The recorded reply to a request, or ``None``; quick."""


class Recordings(Protocol):
    """Where recorded replies come from."""

    def availability(self) -> Availability:
        """Whether there is anything to read, and what is missing; nothing is opened."""

    def models(self) -> Mapping[str, Price | None]:
        """The models that were recorded, by the name that follows ``replay/``; read anew each time.

        Raises:
            NoRecordedReplyError: If the recordings cannot be read.
        """

    def replies(self, name: str) -> Lookup:
        """Reads all that was recorded of one model. Slow: not for the engine's loop.

        Raises:
            NoRecordedReplyError: If the recordings cannot be read.
        """


@dataclass(frozen=True, slots=True)
class _Read:
    """The replies of one model, and the run that they were read for."""

    find: Lookup
    run_id: RunId


class ReplayProvider:
    """Answers from recorded replies.

    They are read when the first is wanted, and anew, once a run, where one is missing: it may have been recorded since.

    Args:
        recordings: Where they are.
    """

    name = "replay"

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings
        self._models: tuple[Model, ...] | None = None
        self._trouble = ""
        self._read: dict[str, _Read] = {}
        self._reading: asyncio.Lock | None = None

    @property
    def looked(self) -> bool:
        """Whether the list of models was read in this process."""
        return self._models is not None

    async def send(self, model: Model, request: Request, *, timeouts: Timeouts) -> RawReply:  # noqa: ARG002
        """The recorded reply to the request.

        Raises:
            NoRecordedReplyError: If there is none.
        """
        read = self._read.get(model.wire_name)
        reply = read.find(request) if read else None
        if reply is None:
            reply = (await self._read_for(model.wire_name, request.origin.run_id))(request)
        if reply is None:
            raise NoRecordedReplyError(
                f"{model.name} has no recorded reply to the prompt {request.prompt[:80]!r}.",
                hint="The question must be the recorded one to the letter. Where it was recorded in the ledger, its "
                "system prompt, images, schema, temperature and max_tokens are part of it.",
            )
        return reply

    async def _read_for(self, name: str, run_id: RunId) -> Lookup:
        if self._reading is None:
            self._reading = asyncio.Lock()
        async with self._reading:
            read = self._read.get(name)
            if read is None or read.run_id != run_id:
                read = _Read(await asyncio.to_thread(self._recordings.replies, name), run_id)
                self._read[name] = read
            return read.find

    def look(self) -> None:
        """Reads which models were recorded; where that fails, the availability says why."""
        self._trouble = ""
        try:
            recorded = self._recordings.models() if self._recordings.availability().usable else {}
        except NoRecordedReplyError as error:
            recorded, self._trouble = {}, str(error).rstrip(".")
        self._models = tuple(_model(name, price) for name, price in recorded.items())

    def availability(self) -> Availability:
        """Usable where something was recorded."""
        here = self._recordings.availability()
        why = here.why or self._trouble
        return Availability(usable=not why, why=why, where=here.where)

    def models(self) -> Sequence[Model]:
        """The models that were recorded, with their prices, as they were at the last look."""
        return self._models or ()

    async def close(self) -> None:
        """Nothing is open."""


def _model(name: str, price: Price | None) -> Model:
    return Model(provider="replay", wire_name=name, price=price, abilities=frozenset(), simulated=True, recorded=True)
