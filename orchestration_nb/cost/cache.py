"""The exact cache: the same question to the same model is paid once.

Two floors: entries in memory, and behind them the workspace's state store, which outlives the process and is shared by
all processes of the workspace. A question is looked up and claimed there at once, so that of several processes that
ask the same, one pays.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol

import orjson

from orchestration_nb.calls import FinishReason, RawReply, Request, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.clock import Clock
from orchestration_nb.messages import Image, Text, ToolCall

MEMORY_BYTES: Final = 64 * 1024 * 1024
NOTE_EVERY: Final = timedelta(minutes=5)
"""Uses of one entry that are nearer together than this are noted as one: a hit must not cost a write."""
NOTED_AT_ONCE: Final = 1024
FIRST_LOOK_S: Final = 0.05
"""How soon it is looked whether another process has answered; then ever later, up to ``MOST_LOOK_S``."""
MOST_LOOK_S: Final = 0.4
LOOKS: Final = 50
"""Where the other takes long, as in a batch, no look comes sooner than after this part of the time waited so far."""
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC, as the clock's
_NEVER: Final = datetime(9999, 1, 1)  # noqa: DTZ001


class Stored(Protocol):
    """An entry of the store: :class:`orchestration_nb.state.cache.Entry`."""

    @property
    def reply(self) -> bytes:
        """The reply as it was kept."""

    @property
    def created_us(self) -> int:
        """When it was made: microseconds since 1970."""

    @property
    def used_us(self) -> int:
        """When it was last used, as far as was noted."""


class Rider(Protocol):
    """What else is done where a question is claimed: :class:`orchestration_nb.state.replies.Rider`."""

    def take(self, connection: sqlite3.Connection) -> None:
        """Does it, within the transaction."""

    def committed(self) -> None:
        """The transaction has ended well."""


class CacheStore(Protocol):
    """Where entries outlive the process: :class:`orchestration_nb.state.replies.Replies`."""

    async def find_or_claim(self, key: str, rider: Rider | None = None) -> Stored | Literal["ours", "theirs"]:
        """The entry; where there is none, whether this process has claimed the question or another one has.

        ``rider`` goes along with a claim, in its transaction.
        """

    async def answered(self, keys: Sequence[str]) -> set[str]:
        """Of these questions, those with an entry; nothing is claimed."""

    async def find(self, key: str) -> Stored | None:
        """The entry, or ``None``; nothing is claimed."""

    def keep(self, key: str, reply: bytes) -> None:
        """Keeps a reply, soon, and ends the claim."""

    def release(self, key: str) -> None:
        """Ends the claim of a question that was not answered."""

    def note_use(self, keys: Sequence[str]) -> None:
        """These were used just now."""

    async def flush(self) -> None:
        """Returns when everything that was kept is there."""


def cache_key(request: Request, model: Model, *, sample: int, max_tokens: int) -> str:
    """A digest of everything that decides the answer: 32 hexadecimal digits."""
    canonical = [
        1,
        model.name,
        sample,
        max_tokens,
        request.system,
        request.temperature,
        [[message.role, [_canonical_part(part) for part in message.parts]] for message in request.messages],
        request.output and request.output.json_schema,
        [[tool.name, tool.description, tool.parameters] for tool in request.tools],
    ]
    try:
        text = orjson.dumps(canonical, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # integers past 64 bits in a schema, lone surrogates in a system prompt
        text = json.dumps(canonical, sort_keys=True, default=str).encode()
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _canonical_part(part: object) -> Any:
    if isinstance(part, Text):
        return part.text
    if isinstance(part, Image):
        digest = hashlib.blake2b(part.data, digest_size=16).hexdigest() if part.data is not None else None
        return [part.url, part.media_type, digest]
    if isinstance(part, ToolCall):
        return ["call", part.id, part.name, part.arguments]
    return ["result", part.call_id, part.name, part.content]  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedReply:
    """What is kept of a reply."""

    text: str
    usage: Usage
    finish_reason: FinishReason
    model_version: str | None
    latency_ms: float
    """Latency of the call that was paid."""
    tool_calls: tuple[ToolCall, ...] = ()
    cost_usd: float | None = None
    """The cost where it was recorded and not reckoned from tokens and price."""

    @classmethod
    def of(cls, raw: RawReply, latency_ms: float) -> CachedReply:
        """What is kept of a provider's reply that took ``latency_ms`` milliseconds."""
        return cls(
            text=raw.text,
            usage=raw.usage,
            finish_reason=raw.finish_reason,
            model_version=raw.model_version,
            latency_ms=latency_ms,
            tool_calls=raw.tool_calls,
            cost_usd=raw.cost_usd,
        )

    def dump(self) -> bytes | None:
        """As bytes for the store; ``None`` for what JSON cannot hold (half of a surrogate pair)."""
        try:
            return orjson.dumps(self)
        except TypeError:
            return None

    @classmethod
    def load(cls, entry: bytes) -> CachedReply | None:
        """From bytes of the store; ``None`` where they are not what was written."""
        try:
            held = orjson.loads(entry)
            held["usage"] = Usage(**held["usage"])
            held["tool_calls"] = tuple(ToolCall(**call) for call in held["tool_calls"])
            return cls(**held)
        except (orjson.JSONDecodeError, TypeError, KeyError):
            return None


@dataclass(slots=True, eq=False)
class _Held:
    """A reply in memory."""

    reply: CachedReply
    until: datetime
    """When it is too old."""
    note_at: datetime
    """When the next use is worth a note in the store."""

    @property
    def size_bytes(self) -> int:
        return len(self.reply.text) + 512


class ExactCache:
    """Replies by the digest of their question; used from the engine's loop alone.

    ::

        held = cache.get(key) or await cache.claim(key)
        if held is None:                 # nobody has answered it, and it is ours to ask
            try:
                cache.put(key, await ...)
            finally:
                cache.release(key)

    Args:
        store: What outlives the process.
        clock: Tells the time.
        keep_days: Days an entry may be used, or ``None`` for ever.
        memory_bytes: Most bytes of reply text kept in memory; the store has a bound of its own.
    """

    def __init__(
        self, store: CacheStore, clock: Clock, *, keep_days: int | None = 30, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self._store = store
        self._clock = clock
        self._keep = None if keep_days is None else timedelta(days=keep_days)
        self._memory: OrderedDict[str, _Held] = OrderedDict()
        self._memory_bytes = 0
        self._most_bytes = memory_bytes
        self._used: list[str] = []
        self._wall = clock.now()
        self._wall_until_s = 0.0

    def get(self, key: str) -> CachedReply | None:
        """The reply to that question if it is in memory; the store is not asked."""
        held = self._memory.get(key)
        if held is None:
            return None
        now = self._now()
        if now > held.until:
            self._drop(key)
            return None
        if now >= held.note_at:
            held.note_at = now + NOTE_EVERY
            self._note(key)
        self._memory.move_to_end(key)
        return held.reply

    async def answered(self, keys: Sequence[str]) -> set[str]:
        """Of these questions, those that can be answered from memory or the store; it counts as no use of them."""
        now = self._now()
        found = {key for key in keys if (held := self._memory.get(key)) is not None and now <= held.until}
        return found | await self._store.answered([key for key in keys if key not in found])

    async def claim(self, key: str, rider: Rider | None = None) -> CachedReply | None:
        """The reply from the store, or ``None``: then nobody has answered the question, and it is ours to ask.

        While another process asks it, this waits; when that one has failed or died, the question is ours. Ours ends
        with :meth:`put`, and in any case with :meth:`release`. One task of a process claims a question at a time.
        ``rider`` goes along with a claim that is made.
        """
        wait_s, began_s = FIRST_LOOK_S, self._clock.monotonic()
        while True:
            found = await self._store.find_or_claim(key, rider)
            if found == "ours":
                return None
            if not isinstance(found, str):
                return self._take(key, found)
            # All who wait look at the same moments, so that their looks share a transaction.
            now_s = self._clock.monotonic()
            await self._clock.sleep((math.floor(now_s / wait_s + 1e-6) + 1) * wait_s - now_s)
            if wait_s < max(MOST_LOOK_S, (now_s - began_s) / LOOKS):
                wait_s = 2 * wait_s

    async def peek(self, key: str) -> CachedReply | None:
        """The reply to that question, from memory or from the store; nothing is claimed."""
        held = self.get(key)
        if held is not None:
            return held
        found = await self._store.find(key)
        return None if found is None else self._take(key, found)

    def put(self, key: str, reply: CachedReply) -> None:
        """Keeps a reply: in memory at once, in the store within a moment. Ends the claim."""
        now = self._clock.now()
        self._hold(key, _Held(reply, self._until(now), now + NOTE_EVERY))
        entry = reply.dump()
        if entry is not None:
            self._store.keep(key, entry)

    def release(self, key: str) -> None:
        """Ends the claim; after :meth:`put` nothing is left to end."""
        self._store.release(key)

    async def flush(self) -> None:
        """Returns when everything is in the store."""
        self._tell_used()
        await self._store.flush()

    def _take(self, key: str, found: Stored) -> CachedReply | None:
        reply = CachedReply.load(found.reply)
        if reply is not None:
            held = _Held(reply, self._until(_moment(found.created_us)), _moment(found.used_us) + NOTE_EVERY)
            self._hold(key, held)
            self.get(key)  # a use like any other
        return reply

    def _now(self) -> datetime:
        """The time, at most a second old: to read it takes as long as the rest of a hit."""
        now_s = self._clock.monotonic()
        if now_s >= self._wall_until_s:
            self._wall, self._wall_until_s = self._clock.now(), now_s + 1.0
        return self._wall

    def _until(self, created: datetime) -> datetime:
        return _NEVER if self._keep is None else created + self._keep

    def _hold(self, key: str, held: _Held) -> None:
        self._drop(key)
        self._memory_bytes += held.size_bytes
        self._memory[key] = held
        while self._memory_bytes > self._most_bytes and len(self._memory) > 1:
            self._drop(next(iter(self._memory)))

    def _drop(self, key: str) -> None:
        dropped = self._memory.pop(key, None)
        if dropped is not None:
            self._memory_bytes -= dropped.size_bytes

    def _note(self, key: str) -> None:
        self._used.append(key)
        if len(self._used) >= NOTED_AT_ONCE:
            self._tell_used()

    def _tell_used(self) -> None:
        if self._used:
            self._store.note_use(self._used)
            self._used = []


def _moment(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)
