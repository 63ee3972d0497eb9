"""The exact cache: the same question to the same model is paid once.

Two floors: entries in memory, and behind them the workspace's state store, which outlives the process. Writes to the
store are gathered and flushed together, off the engine's loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import orjson

from orchestration_nb.calls import FinishReason, RawReply, Request, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.clock import Clock
from orchestration_nb.messages import Image, Text, ToolCall

MEMORY_BYTES: Final = 64 * 1024 * 1024
FLUSH_AT: Final = 128
FLUSH_AFTER_S: Final = 0.25


class CacheStore(Protocol):
    """Where entries outlive the process: :class:`orchestration_nb.state.State`."""

    def cached(self, key: str, *, now: datetime) -> bytes | None:
        """The entry, or ``None``."""

    def remember(self, entries: Sequence[tuple[str, bytes, datetime]]) -> None:
        """Keeps entries of (key, entry, created at)."""


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


class ExactCache:
    """Replies by the digest of their question; used from the engine's loop alone.

    Args:
        store: What outlives the process.
        clock: Tells the time.
        memory_bytes: Most bytes of reply text kept in memory; the store has a bound of its own.
    """

    def __init__(self, store: CacheStore, clock: Clock, *, memory_bytes: int = MEMORY_BYTES) -> None:
        self._store = store
        self._clock = clock
        self._memory: OrderedDict[str, CachedReply] = OrderedDict()
        self._memory_bytes = 0
        self._most_bytes = memory_bytes
        self._unsaved: dict[str, tuple[CachedReply, datetime]] = {}
        self._saving: dict[str, tuple[CachedReply, datetime]] = {}
        self._flush_timer: asyncio.TimerHandle | None = None
        self._flush_task: asyncio.Task[None] | None = None

    def get(self, key: str) -> CachedReply | None:
        """The reply to that question, or ``None``."""
        held = self._memory.get(key)
        if held is not None:
            self._memory.move_to_end(key)
            return held
        unsaved = self._unsaved.get(key) or self._saving.get(key)
        if unsaved is not None:
            return unsaved[0]
        entry = self._store.cached(key, now=self._clock.now())
        reply = CachedReply.load(entry) if entry is not None else None
        if reply is not None:
            self._keep(key, reply)
        return reply

    def put(self, key: str, reply: CachedReply) -> None:
        """Keeps a reply; it is in memory at once and in the store within a quarter of a second."""
        self._keep(key, reply)
        self._unsaved[key] = (reply, self._clock.now())
        if len(self._unsaved) >= FLUSH_AT:
            self._begin_flush()
        elif self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(FLUSH_AFTER_S, self._begin_flush)

    async def flush(self) -> None:
        """Returns when everything is in the store."""
        while self._unsaved or self._flush_task is not None:
            self._begin_flush()
            if self._flush_task is not None:
                await asyncio.shield(self._flush_task)

    def _keep(self, key: str, reply: CachedReply) -> None:
        before = self._memory.pop(key, None)
        if before is not None:
            self._memory_bytes -= len(before.text) + 512
        self._memory_bytes += len(reply.text) + 512
        self._memory[key] = reply
        while self._memory_bytes > self._most_bytes and len(self._memory) > 1:
            _, dropped = self._memory.popitem(last=False)
            self._memory_bytes -= len(dropped.text) + 512

    def _begin_flush(self) -> None:
        if self._flush_task is not None:
            return  # what has come since is saved when it ends
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if self._unsaved:
            self._saving, self._unsaved = self._unsaved, {}
            self._flush_task = asyncio.ensure_future(self._save())

    async def _save(self) -> None:
        try:
            await asyncio.to_thread(self._write, self._saving)
        finally:
            self._saving, self._flush_task = {}, None
            if self._unsaved:
                self._begin_flush()

    def _write(self, batch: Mapping[str, tuple[CachedReply, datetime]]) -> None:
        dumped = [(key, reply.dump(), created) for key, (reply, created) in batch.items()]
        self._store.remember([(key, entry, created) for key, entry, created in dumped if entry is not None])
