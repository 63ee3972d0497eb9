"""The questions behind cached replies, for those who ask the same in other words; gone with their replies.

Each is sealed as the replies are (:mod:`orchestration_nb.state.seal`), and none is used that came with a folder.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestration_nb.state.desk import Desk
from orchestration_nb.state.seal import Seal

if TYPE_CHECKING:
    from orchestration_nb.secrecy import Secrecy

MOST_QUESTIONS: Final = 10_000
"""The most that are kept; then the oldest go."""
_READ_AT_ONCE: Final = 500
_LOOKED_AT_EVERY: Final = 64
_LENGTH: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question whose reply is cached."""

    key: str
    """The cache key of its reply."""
    context: str
    """What must agree to the letter: only questions of one context can be taken for one another."""
    text: str
    vector: bytes
    """Its embedding as 32-bit floats, or nothing."""


class Questions:
    """The questions of a workspace; used from the engine's loop alone.

    Args:
        desk: Runs the transactions.
        seal: Tells own questions from those that came with the folder.
        secrecy: Keeps questions with secrets in them out of the file; ``None`` where there are none.
    """

    def __init__(self, desk: Desk, seal: Seal, secrecy: Secrecy | None = None) -> None:
        self._desk = desk
        self._seal = seal
        self._secrecy = secrecy
        self._kept = 0

    async def newer(self, number: int) -> tuple[int, list[Question]]:
        """Some of the questions that were kept after ``number``, the oldest first, and the number to go on from.

        Raises:
            StateError: If the file cannot be used.
        """
        rows = await self._desk.submit(lambda connection: _newer(connection, number))
        questions = (self._opened(*row[1:]) for row in rows)
        return (rows[-1][0] if rows else number), [question for question in questions if question is not None]

    def keep(self, question: Question) -> None:
        """Keeps a question, soon; one that is there is replaced, and one with a secret in it is not kept."""
        if self._secrecy is not None and self._secrecy.finds(question.text):
            return
        text = question.text.encode("utf-8", "replace")
        entry = _LENGTH.pack(len(question.vector)) + question.vector + text
        row = (question.key, question.context, self._seal.close(f"{question.context}/{question.key}", entry))
        self._kept += 1
        prunes = self._kept % _LOOKED_AT_EVERY == 1

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute("replace into questions (key, context, sealed) values (?, ?, ?)", row)
            if prunes:
                connection.execute(
                    "delete from questions where id <= (select max(id) from questions) - ?", (MOST_QUESTIONS,)
                )

        self._desk.post(insert)

    async def threshold(self, name: str) -> float | None:
        """A threshold that was chosen before, under this name.

        Raises:
            StateError: If the file cannot be used.
        """
        query = "select sealed from thresholds where name = ?"
        row = await self._desk.submit(lambda connection: connection.execute(query, (name,)).fetchone())
        entry = None if row is None else self._seal.open(f"threshold/{name}", row[0])
        return None if entry is None else float(entry)

    def keep_threshold(self, name: str, threshold: float) -> None:
        """Keeps a threshold, soon."""
        row = (name, self._seal.close(f"threshold/{name}", repr(threshold).encode()))
        self._desk.post(lambda connection: connection.execute("replace into thresholds values (?, ?)", row))

    def _opened(self, key: str, context: str, sealed: bytes) -> Question | None:
        entry = self._seal.open(f"{context}/{key}", sealed)
        if entry is None:
            return None
        start = _LENGTH.size
        end = start + _LENGTH.unpack_from(entry)[0]
        return Question(key=key, context=context, text=entry[end:].decode(), vector=entry[start:end])


def _newer(connection: sqlite3.Connection, number: int) -> list[tuple[int, str, str, bytes]]:
    rows: Iterable[tuple[int, str, str, bytes]] = connection.execute(
        "select id, key, context, sealed from questions where id > ? order by id limit ?", (number, _READ_AT_ONCE)
    )
    return list(rows)
