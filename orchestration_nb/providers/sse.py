"""Server-sent events out of bytes, as the HTML standard defines them; comments (pings) are passed over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestration_nb.errors import MalformedReplyError

_MOST_EVENT_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Event:
    """One event."""

    data: bytes
    name: bytes = b""


class Events:
    """Cuts a stream of bytes into events; lines may end in LF, CR or CRLF, and chunks anywhere."""

    __slots__ = ("_data", "_name", "_rest", "_started")

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._name = b""
        self._started = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that ``chunk`` completes.

        Raises:
            MalformedReplyError: If an event has no end.
        """
        rest = self._rest + chunk
        if not self._started and len(rest) >= 3:
            rest = rest.removeprefix(b"\xef\xbb\xbf")
            self._started = True
        # A CR at the end may be the first half of a CRLF: it waits for the next chunk.
        held = b"\r" if rest.endswith(b"\r") else b""
        lines = rest[: len(rest) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + held
        if len(self._rest) > _MOST_EVENT_BYTES:
            raise MalformedReplyError("An event of the streamed reply has no end.", billing="yes")
        for line in lines:
            event = self._line(line)
            if event is not None:
                yield event

    def _line(self, line: bytes) -> Event | None:
        if not line:
            data, name = self._data, self._name
            self._data, self._name = [], b""
            return Event(b"\n".join(data), name) if data else None
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value
        return None
