"""The replies that all processes of a workspace share, and who asks what right now.

To look an entry up and, where there is none, to claim the question is one transaction; to keep the reply and to end
the claim is another.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, Protocol

from orchestration_nb.clock import Clock
from orchestration_nb.errors import WorkspaceError
from orchestration_nb.state import cache, claims
from orchestration_nb.state.cache import Entry
from orchestration_nb.state.claims import Claim
from orchestration_nb.state.desk import Desk
from orchestration_nb.state.owners import Owners
from orchestration_nb.state.seal import Seal

if TYPE_CHECKING:
    from orchestration_nb.secrecy import Secrecy

MOST_BYTES: Final = 2**30
"""The largest that the file may grow; then what was used longest ago goes."""
PATIENCE_S: Final = 300.0
"""How long a question is left to another process that lives and does not renew its claim: it is stopped, or hangs."""
RENEW_S: Final = 60.0
"""How often a process renews its claims while it waits for the answers, be it hours as in a batch."""
_STRIKES: Final = 3
_LOOKED_AT_EVERY: Final = 16
"""Replies kept between two looks at the size of the file: a look costs as much as a reply."""
_DAY_US: Final = 86_400_000_000
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC, as the clock's
_MICROSECOND: Final = timedelta(microseconds=1)

_log = logging.getLogger(__name__)

Turn = Literal["ours", "theirs"]
"""Who asks a question that nobody has answered: this process, which has just claimed it, or another one."""


class Rider(Protocol):
    """What else is done in the transaction that claims a question, where it is ours to ask."""

    def take(self, connection: sqlite3.Connection) -> None:
        """Does it; may be called again where the transaction has to begin anew."""

    def committed(self) -> None:
        """The transaction has ended well."""


class Replies:
    """The entries and claims of a workspace; used from the engine's loop alone.

    A cache may cost money by not being there, and must never cost a run: when the file cannot be used three times in a
    row, that is reported once, and the cache not used any more by this process.

    Args:
        desk: Runs the transactions.
        owners: Knows which processes live.
        clock: Tells the time.
        seal: Tells own entries from those that came with the folder.
        keep_days: Days an entry may be used, or ``None`` for ever.
        most_bytes: The largest that the file may grow.
        secrecy: Keeps replies with secrets in them out of the file; ``None`` where there are none.
    """

    def __init__(
        self,
        desk: Desk,
        owners: Owners,
        clock: Clock,
        seal: Seal,
        *,
        keep_days: int | None = 30,
        most_bytes: int = MOST_BYTES,
        secrecy: Secrecy | None = None,
    ) -> None:
        self._desk = desk
        self._owners = owners
        self._clock = clock
        self._seal = seal
        self._keep_us = None if keep_days is None else keep_days * _DAY_US
        self._most_bytes = most_bytes
        self._secrecy = secrecy
        self._claimed: dict[str, Claim] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._kept = self._strikes = 0
        self._warned = False
        self.trouble: str | None = None
        """Why the cache is off, in one sentence, or ``None`` while it is on."""

    async def find(self, key: str) -> Entry | None:
        """The entry of that key, or ``None``; nothing is claimed."""
        if self.trouble is None:
            try:
                return await self._desk.submit(lambda connection: self._find(connection, key, self._now_us()))
            except (sqlite3.Error, WorkspaceError) as error:
                self._count_strike(error)
        return None

    async def find_or_claim(self, key: str, rider: Rider | None = None) -> Entry | Turn:
        """The entry of that key; where there is none, who asks the question.

        A claim that is ``"ours"`` ends with :meth:`keep` or :meth:`release`; ``rider`` then goes along with it.
        """
        if self.trouble is not None:
            return "ours"
        try:
            wanted = self._claimed[key] = Claim(key, self._owners.me, self._now_us())
            work = functools.partial(self._find_or_claim, wanted=wanted, rider=rider)
            if rider is None:
                found = await self._desk.submit(work)
            else:
                found = await self._desk.submit(work, functools.partial(_tell, rider), apart=True)
                if found == "theirs":  # it may be our own claim, whose end was posted just now
                    found = await self._desk.submit(work, functools.partial(_tell, rider))
        except asyncio.CancelledError:
            self.release(key)  # it may have been claimed all the same
            raise
        except (sqlite3.Error, WorkspaceError) as error:
            self._count_strike(error)
            found = "ours"
        else:
            self._strikes = 0
        if found != "ours":
            self._claimed.pop(key, None)
        elif self._renewing is None or self._renewing.done():
            self._renewing = asyncio.ensure_future(self._renew())
        return found

    async def _renew(self) -> None:
        """Renews the claims for as long as there are any."""
        while self._claimed and self.trouble is None:
            await self._clock.sleep(RENEW_S)
            held, now_us = list(self._claimed.values()), self._now_us()
            self._claimed = {each.key: replace(each, claimed_us=now_us) for each in held}
            self._desk.post(functools.partial(claims.renew, held=held, now_us=now_us))

    async def answered(self, keys: Sequence[str]) -> set[str]:
        """Of these questions, those with a reply that may be used; looking claims nothing and leaves no trace."""
        if self.trouble is not None:
            return set()
        oldest_us = self._oldest_us(self._now_us())

        def look(connection: sqlite3.Connection) -> set[str]:
            found = ((key, cache.find(connection, key, oldest_us=oldest_us)) for key in keys)
            return {key for key, entry in found if entry is not None and self._seal.open(key, entry.reply) is not None}

        try:
            return await self._desk.submit(look)
        except (sqlite3.Error, WorkspaceError):
            return set()

    def keep(self, key: str, reply: bytes) -> None:
        """Keeps a reply, soon, and ends the claim; a key that is there gets the new reply.

        One with a secret in it is not kept: it would be the wrong one without, and must not be written with it.
        """
        if self.trouble is not None:
            return
        if self._secrecy is not None and self._secrecy.finds(reply):
            self.release(key)
            return
        now_us, held, sealed = self._now_us(), self._claimed.pop(key, None), self._seal.close(key, reply)
        self._kept += 1
        looks = self._kept % _LOOKED_AT_EVERY == 1

        def insert(connection: sqlite3.Connection) -> None:
            cache.keep(connection, key, sealed, now_us=now_us)
            if held is not None:
                claims.release(connection, held)
            if looks:
                cache.make_room(connection, most_bytes=self._most_bytes, oldest_us=self._oldest_us(now_us))

        self._desk.post(insert)

    def release(self, key: str) -> None:
        """Ends the claim of a question that was not answered; without one, nothing happens."""
        held = self._claimed.pop(key, None)
        if held is not None and self.trouble is None:
            self._desk.post(lambda connection: claims.release(connection, held))

    def note_use(self, keys: Sequence[str]) -> None:
        """These were used just now: they are the last to be evicted."""
        if self.trouble is None:
            now_us, used = self._now_us(), list(keys)
            self._desk.post(lambda connection: cache.note_use(connection, used, now_us=now_us))

    async def flush(self) -> None:
        """Returns when everything that was kept is in the file, if the file can be written."""
        if self.trouble is None:
            try:
                await self._desk.flush()
            except WorkspaceError as error:
                self._count_strike(error)

    def _find_or_claim(self, connection: sqlite3.Connection, wanted: Claim, rider: Rider | None) -> Entry | Turn:
        held = self._find(connection, wanted.key, wanted.claimed_us)
        if held is not None:
            return held
        if not claims.claim(connection, wanted, is_void=self._is_void(wanted.claimed_us)):
            return "theirs"
        if rider is not None:
            rider.take(connection)
        return "ours"

    def _find(self, connection: sqlite3.Connection, key: str, now_us: int) -> Entry | None:
        held = cache.find(connection, key, oldest_us=self._oldest_us(now_us))
        if held is None:
            return None
        reply = self._seal.open(key, held.reply)
        if reply is None:
            self._warn_of_strange()
            return None
        return Entry(reply, held.created_us, held.used_us)

    def _is_void(self, now_us: int) -> Callable[[Claim], bool]:
        def is_void(held: Claim) -> bool:
            return now_us - held.claimed_us > PATIENCE_S * 1e6 or not self._owners.alive(held.owner)

        return is_void

    def _oldest_us(self, now_us: int) -> int:
        return 0 if self._keep_us is None else now_us - self._keep_us

    def _warn_of_strange(self) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("The cache holds replies that came with the folder or from another user: they are not used.")

    def _count_strike(self, error: Exception) -> None:
        self._strikes += 1
        if self._strikes >= _STRIKES and self.trouble is None:
            self.trouble = f"The cache of replies is off: {error}"
            _log.warning(self.trouble)

    def _now_us(self) -> int:
        return (self._clock.now() - _EPOCH) // _MICROSECOND


def _tell(rider: Rider, found: Entry | Turn) -> None:
    if found == "ours":
        rider.committed()
