"""Reading HTTP/1.1 requests from a stream of bytes: as much of the protocol as clients of a model server use."""

from __future__ import annotations

from dataclasses import dataclass

_MOST_HEAD = 64 * 1024
_MOST_BODY = 256 * 1024 * 1024


class BadHttpError(Exception):
    """Bytes that are no HTTP request; `status` is what to answer. Never leaves this room."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, complete."""

    method: str
    path: str
    """Without the query."""
    body: bytes
    keep_alive: bool
    query: str = ""
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class _Head:
    method: str
    path: str
    length: int | None
    """Bytes of the body, or ``None`` where it comes in chunks."""
    keep_alive: bool
    expects_continue: bool
    query: str
    content_type: str


class RequestReader:
    """Collects bytes and gives complete requests back; one per connection."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._head: _Head | None = None
        self._chunks = bytearray()
        self._asked_to_continue = False

    def feed(self, data: bytes) -> None:
        """Takes bytes from the connection."""
        self._bytes += data

    @property
    def wants_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body; true once per request."""
        waiting = self._head is not None and self._head.expects_continue and not self._asked_to_continue
        self._asked_to_continue = self._asked_to_continue or waiting
        return waiting

    def next(self) -> HttpRequest | None:
        """The next complete request, or ``None`` if more bytes are needed.

        Raises:
            BadHttpError: If the bytes are no HTTP request, or one that is too large.
        """
        if self._head is None:
            self._head = self._read_head()
            if self._head is None:
                return None
        head = self._head
        body = self._read_chunked() if head.length is None else self._read_plain(head.length)
        if body is None:
            return None
        self._head, self._asked_to_continue = None, False
        return HttpRequest(
            head.method, head.path, body, head.keep_alive, query=head.query, content_type=head.content_type
        )

    def _read_head(self) -> _Head | None:
        end = self._bytes.find(b"\r\n\r\n")
        if end < 0:
            if len(self._bytes) > _MOST_HEAD:
                raise BadHttpError(431, "The headers are too long.")
            return None
        lines = bytes(self._bytes[:end]).decode("latin-1").lstrip("\r\n").split("\r\n")
        del self._bytes[: end + 4]
        parts = lines[0].split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            raise BadHttpError(400, "This is not an HTTP/1.1 request.")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        connection = headers.get("connection", "").lower()
        old = parts[2] == "HTTP/1.0"
        return _Head(
            method=parts[0],
            path=parts[1].partition("?")[0],
            query=parts[1].partition("?")[2],
            content_type=headers.get("content-type", ""),
            length=_length(headers),
            keep_alive="keep-alive" in connection if old else "close" not in connection,
            expects_continue=headers.get("expect", "").lower() == "100-continue",
        )

    def _read_plain(self, length: int) -> bytes | None:
        if len(self._bytes) < length:
            return None
        body = bytes(self._bytes[:length])
        del self._bytes[:length]
        return body

    def _read_chunked(self) -> bytes | None:
        while (end := self._bytes.find(b"\r\n")) >= 0:
            size = _chunk_size(bytes(self._bytes[:end]))
            if len(self._chunks) + size > _MOST_BODY:
                raise BadHttpError(413, "The body is too long.")
            if size == 0:
                trailer = self._bytes.find(b"\r\n\r\n", end)
                if trailer < 0:
                    return None
                del self._bytes[: trailer + 4]
                body, self._chunks = bytes(self._chunks), bytearray()
                return body
            if len(self._bytes) < end + 2 + size + 2:
                return None
            self._chunks += self._bytes[end + 2 : end + 2 + size]
            del self._bytes[: end + 2 + size + 2]
        return None


def _length(headers: dict[str, str]) -> int | None:
    if "transfer-encoding" in headers:
        if headers["transfer-encoding"].lower() != "chunked":
            raise BadHttpError(501, "This transfer encoding is not supported.")
        return None
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise BadHttpError(400, "The content length is no number.")
    length = int(text)
    if length > _MOST_BODY:
        raise BadHttpError(413, "The body is too long.")
    return length


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0].strip() or b"-", 16)
    except ValueError:
        raise BadHttpError(400, "The size of a chunk is no number.") from None
