"""A batch of journal lines: read, looked through and sorted by kind, so that one transaction can take them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import orjson

from orchestration_nb.ledger.lines import LineReader
from orchestration_nb.ledger.schema import EVENT_KINDS, LOADS
from orchestration_nb.ledger.segments import Segment

_ASIDE_CHARS = 10_000
"""As much of a bad line is set aside; the file of the journal has the rest."""


@dataclass(slots=True)
class Progress:
    """How far one segment is merged: a row of the table ``segments``."""

    name: str
    merged_bytes: int = 0
    lines: int = 0
    bad_lines: int = 0
    closed: bool = False
    """Merged to the end, and nobody writes it any more."""


@dataclass(slots=True)
class Batch:
    """Lines of one or more segments."""

    now: datetime
    most_bytes: int
    bytes_read: int = 0
    lines: int = 0
    bad_lines: int = 0
    progress: dict[str, Progress] = field(default_factory=dict)
    """The segments that the batch moves on, by name."""
    staged: dict[str, list[bytes]] = field(default_factory=dict)
    """The lines by kind, each a JSON object; ``bad`` are those that cannot be used."""

    def read(self, segment: Segment, progress: Progress) -> bool:
        """Reads on in a segment, as far as the batch has room.

        A last line without its newline is left for later or, where nobody is left to finish it, set aside.

        Args:
            segment: The file.
            progress: How far it was merged; moved on.

        Returns:
            Whether the batch is full and the segment is not at its end: load it and go on with another.
        """
        before = progress.merged_bytes
        with segment.path.open("rb") as file:
            reader = LineReader.after(file.readline())
            file.seek(before)
            while progress.merged_bytes < segment.size and self.bytes_read < self.most_bytes:
                line = file.readline()
                if not line or (segment.held and not line.endswith(b"\n")):
                    break
                self._take(line, reader, progress)
        progress.closed = not segment.held and progress.merged_bytes >= segment.size
        if progress.closed or progress.merged_bytes > before:
            self.progress[progress.name] = progress
        return progress.merged_bytes < segment.size and self.bytes_read >= self.most_bytes

    def set_aside(self, progress: Progress, at_byte: int, why: str, line: bytes) -> None:
        """Takes a line that cannot be used out of the way, and counts it."""
        progress.bad_lines += 1
        self.bad_lines += 1
        text = line[: 4 * _ASIDE_CHARS].decode("utf-8", "replace")[:_ASIDE_CHARS]
        row = {"segment": progress.name, "at_byte": at_byte, "why": why, "line": text, "merged_at": self.now}
        self.stage("bad", row)

    def stage(self, kind: str, row: dict[str, Any]) -> None:
        """Adds one line."""
        self.staged.setdefault(kind, []).append(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))

    def note_progress(self) -> None:
        """Adds a line for each segment; the last thing before the batch is loaded."""
        for progress in self.progress.values():
            self.stage("segment", {**asdict(progress), "merged_at": self.now})

    def _take(self, line: bytes, reader: LineReader, progress: Progress) -> None:
        at_byte = progress.merged_bytes
        progress.merged_bytes += len(line)
        self.bytes_read += len(line)
        try:
            event = reader.read(line)
            if event is None:
                return
            _check(event)
        except ValueError as error:
            why = "The line breaks off." if not line.endswith(b"\n") else f"The line {error}."
            self.set_aside(progress, at_byte, why, line)
            return
        self.stage(event["event"], event | {"segment": progress.name, "at_byte": at_byte})
        progress.lines += 1
        self.lines += 1


def _check(event: dict[str, Any]) -> None:
    if event["event"] not in EVENT_KINDS:
        raise ValueError("is an event of an unknown kind")
    missing = [name for name in LOADS[event["event"]].required if event.get(name) is None]
    if missing:
        raise ValueError(f"has no {missing[0]}")
