"""The way to a provider's batch API: its connections, its key, and its errors as those of single calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final

import orjson

from orchestration_nb.calls import Timeouts
from orchestration_nb.catalog import Model
from orchestration_nb.errors import BadRequestError, CallError, MalformedReplyError
from orchestration_nb.providers.batches import of_line
from orchestration_nb.providers.failures import failure, read_json
from orchestration_nb.providers.formats import Format
from orchestration_nb.providers.keys import Key
from orchestration_nb.providers.patience import Patience
from orchestration_nb.providers.wire import Answer, Wire

_TIMEOUTS: Final = Timeouts(connect_s=10.0, first_token_s=120.0, between_tokens_s=120.0, total_s=900.0)
"""Files of hundreds of megabytes take their time."""
_JSON: Final = b"application/json"


class BatchHttp:
    """What both forms do over HTTP, with the key of the provider and its errors as those of single calls.

    Args:
        wire: The connections of the provider.
        format: Reads bodies of errors, and bodies of replies.
        key: The key that may be sent.
    """

    def __init__(self, wire: Wire, format: Format, key: Key) -> None:  # noqa: A002 - the word of the field
        self._wire = wire
        self._key = key
        self.format = format
        self.who = wire.who

    async def get(self, path: str) -> Mapping[str, Any]:
        """Asks for a JSON object.

        Raises:
            CallError: If none came.
        """
        secret = self._key.reveal()
        return self._object(await self._wire.get(path, self._headers(secret), _TIMEOUTS), secret)

    async def post(self, path: str, body: bytes, *, kind: bytes = _JSON) -> Mapping[str, Any]:
        """Sends a body of this content type; the answer is a JSON object.

        Raises:
            CallError: If none came.
        """
        secret = self._key.reveal()
        headers = [*self._headers(secret), (b"content-type", kind)]
        return self._object(await self._wire.post(path, body, headers, _TIMEOUTS), secret)

    async def lines(self, path: str) -> AsyncGenerator[bytes, None]:
        """The lines of a file, however long it is.

        Raises:
            CallError: If it cannot be read to its end.
        """
        secret = self._key.reveal()
        async with (
            Patience(self.who, _TIMEOUTS) as patience,
            self._wire.download(path, self._headers(secret), patience) as stream,
        ):
            if not 200 <= stream.status < 300:
                raise self._failure(
                    Answer(status=stream.status, headers=stream.headers, body=await stream.read()), secret
                )
            rest = b""
            async with aclosing(stream.chunks()) as chunks:
                async for chunk in chunks:
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        if line.strip():
                            yield line
            if rest.strip():
                yield rest

    def line_failure(self, model: Model, *, status: int, body: object, request_id: str | None = None) -> CallError:
        """The error of a line that says what a single call would have been answered."""
        said = orjson.dumps(body)
        headers = [(b"x-request-id", request_id.encode("latin-1", "replace"))] if request_id else []
        answer = Answer(status=status, headers=headers, body=said)
        return of_line(failure(answer, self.format.complaint(said), who=self.who, model=model.name))

    def _headers(self, secret: str) -> list[tuple[bytes, bytes]]:
        return self.format.headers(secret) if secret else []

    def _object(self, answer: Answer, secret: str) -> Mapping[str, Any]:
        if not 200 <= answer.status < 300:
            raise self._failure(answer, secret)
        said = read_json(answer.body)
        if not isinstance(said, dict):
            raise MalformedReplyError(f"{self.who} answered about a batch with something that is no JSON object.")
        return said

    def _failure(self, answer: Answer, secret: str) -> CallError:
        error = failure(answer, self.format.complaint(answer.body), who=self.who, model="", secret=secret)
        if answer.status == 404:  # of a single call this would mean the model
            return BadRequestError(str(error), http_status=404)
        return error
