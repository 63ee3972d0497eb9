"""Files and batches of the simulated server, in the form of OpenAI's: uploaded, run after a while, read back.

As at a real provider they outlive the process that made them, if they are given a folder: a batch goes on by the wall
clock whether or not anybody looks, and what it answers is made when it is first looked at after its end.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.providers.sim import chat_format
from orchestration_nb.providers.sim.answers import answer
from orchestration_nb.providers.sim.chat_format import BadBodyError
from orchestration_nb.providers.sim.dice import uniform
from orchestration_nb.providers.sim.faults import NO_FAULTS, Faults
from orchestration_nb.secrecy import secrecy_of_process

_MOST_LINES = 50_000
_VALIDATING = 0.1
"""Share of its time for which a batch is being looked through."""
_NAME = re.compile(r"(?:file|batch)-[0-9a-f]{24}\Z")
_PART = re.compile(rb"\A(.*?)\r\n\r\n(.*)\r\n\Z", re.DOTALL)
_SAID = {"rate_limited": (429, "Rate limit reached."), "overloaded": (503, "The model is overloaded.")}


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSetting:
    """How simulated batches behave."""

    seconds: float = 0.0
    """How long one takes."""
    folder: Path | None = None
    """Where they are kept, or ``None``: in memory, as long as the server lives."""
    clock: Clock = field(default_factory=SystemClock)


class _Folder(MutableMapping[str, bytes]):
    """Files of a folder, each written whole or not at all; one with a secret of this process in it stays in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._secrecy, self._unwritten = secrecy_of_process(), dict[str, bytes]()

    def __getitem__(self, name: str) -> bytes:
        if name in self._unwritten:
            return self._unwritten[name]
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            raise KeyError(name) from None

    def __setitem__(self, name: str, content: bytes) -> None:
        if self._secrecy is not None and self._secrecy.finds(content):
            self._unwritten[name] = content
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self._folder / f"{name}.{os.getpid()}.partial"
        partial.write_bytes(content)
        partial.replace(self._folder / name)

    def __delitem__(self, name: str) -> None:
        if self._unwritten.pop(name, None) is None:
            (self._folder / name).unlink()

    def __iter__(self) -> Any:
        written = [path.name for path in self._folder.glob("*-*") if _NAME.match(path.name)]
        return iter(sorted({*written, *self._unwritten}))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class SimBatches:
    """What the server knows of files and batches; may be used from any thread.

    Args:
        setting: How batches behave.
        seed: Which of the answers that the models could give.
        faults: The shares of ``rate_limited`` and ``overloaded`` fail single lines.
    """

    def __init__(self, setting: BatchSetting, *, seed: int = 0, faults: Faults = NO_FAULTS) -> None:
        self._seconds = setting.seconds
        self._clock = setting.clock
        self._held: MutableMapping[str, bytes] = {} if setting.folder is None else _Folder(setting.folder)
        self._seed = seed
        self.faults = faults
        """May be replaced at any time, by any thread."""
        self._turn = threading.Lock()

    def answer(self, method: str, path: str, query: str, kind: str, body: bytes) -> bytes | None:
        """The body that answers a request, or ``None``: there is no such path.

        Raises:
            BadBodyError: If the request is refused.
        """
        routes: dict[tuple[str, int], Callable[..., bytes]] = {
            ("POST files", 1): lambda: self._upload(kind, body),
            ("GET files", 3): self._content,
            ("POST batches", 1): lambda: self._create(body),
            ("GET batches", 1): lambda: self._list(query),
            ("GET batches", 2): lambda batch_id: orjson.dumps(self._batch(batch_id)),
            ("POST batches", 3): self._cancel,
        }
        parts = path.strip("/").split("/")[1:]
        route = routes.get((f"{method} {parts[0]}", len(parts))) if parts else None
        if route is None or (len(parts) == 3 and parts[2] not in {"content", "cancel"}):
            return None
        with self._turn:
            return route(*parts[1:2])

    def _now(self) -> float:
        return self._clock.now().replace(tzinfo=UTC).timestamp()

    def _keep(self, name: str, content: Mapping[str, Any] | bytes) -> None:
        self._held[name] = content if isinstance(content, bytes) else orjson.dumps(content)

    def _read(self, name: str) -> bytes:
        content = self._held.get(name) if _NAME.match(name) else None
        if content is None:
            raise BadBodyError(f"No such object: {name[:80]}.", status=404, param="id")
        return content

    def _upload(self, kind: str, body: bytes) -> bytes:
        _, _, edge = kind.partition("boundary=")
        parts = [_PART.match(part) for part in body.split(b"--" + edge.strip('"').encode())[1:-1]] if edge else []
        fields = {b"purpose": b"", b"file": b""}
        for part in filter(None, parts):
            named = re.search(rb'name="([^"]*)"', part[1])
            fields[named[1] if named else b""] = part[2]
        if fields[b"purpose"] != b"batch" or not fields[b"file"].strip():
            raise BadBodyError("A file for a batch needs the purpose batch and a content.", param="purpose")
        name = _new("file")
        self._keep(name, fields[b"file"])
        return orjson.dumps({"id": name, "object": "file", "bytes": len(fields[b"file"]), "purpose": "batch"})

    def _content(self, name: str) -> bytes:
        return self._read(name)

    def _create(self, body: bytes) -> bytes:
        try:
            asked = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise BadBodyError(f"The body is not JSON: {error}.") from None
        if not isinstance(asked, dict) or asked.get("endpoint") != "/v1/chat/completions":
            raise BadBodyError("The endpoint of a batch must be /v1/chat/completions.", param="endpoint")
        if asked.get("completion_window") != "24h":
            raise BadBodyError("The completion_window must be 24h.", param="completion_window")
        lines = self._read(str(asked.get("input_file_id"))).splitlines()
        if len(lines) > _MOST_LINES:
            raise BadBodyError(f"A batch has at most {_MOST_LINES} requests.", param="input_file_id")
        created = self._now()
        batch: dict[str, Any] = {
            "id": _new("batch"),
            "object": "batch",
            "endpoint": asked["endpoint"],
            "input_file_id": asked["input_file_id"],
            "completion_window": "24h",
            "status": "validating",
            "created_at": int(created),
            "expires_at": int(created) + 86_400,
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            "metadata": asked.get("metadata"),
            "simulated_from": created,
        }
        self._keep(batch["id"], batch)
        return orjson.dumps(batch)

    def _list(self, query: str) -> bytes:
        asked = {name: values[-1] for name, values in parse_qs(query).items()}
        limit = int(asked.get("limit", "20")) if asked.get("limit", "20").isdecimal() else 20
        found = [orjson.loads(self._held[name]) for name in list(self._held) if name.startswith("batch-")]
        found.sort(key=lambda batch: -batch["simulated_from"])
        names = [batch["id"] for batch in found]
        start = names.index(asked["after"]) + 1 if asked.get("after") in names else 0
        page = found[start : start + limit]
        return orjson.dumps({"object": "list", "data": page, "has_more": start + limit < len(found)})

    def _batch(self, name: str) -> dict[str, Any]:
        """How a batch stands now; one whose time is over is run first."""
        batch: dict[str, Any] = orjson.loads(self._read(name))
        if batch["status"] in {"completed", "cancelled"}:
            return batch
        share = self._share(batch)
        if share >= 1:
            self._run(batch, share, "completed")
        else:
            batch["status"] = "validating" if share < _VALIDATING else "in_progress"
        return batch

    def _share(self, batch: Mapping[str, Any]) -> float:
        """How much of its time has passed, as a share."""
        return (self._now() - batch["simulated_from"]) / self._seconds if self._seconds > 0 else 1.0

    def _cancel(self, name: str) -> bytes:
        batch = self._batch(name)
        if batch["status"] in {"completed", "cancelled"}:
            raise BadBodyError(f"Cannot cancel a batch with status {batch['status']}.", status=409)
        self._run(batch, self._share(batch), "cancelled")
        return orjson.dumps(batch)

    def _run(self, batch: dict[str, Any], share: float, status: str) -> None:
        """Answers the lines that a batch came to, and writes its files."""
        lines = self._read(batch["input_file_id"]).splitlines()
        reached = min(len(lines), int(len(lines) * share))
        answered = [self._line(orjson.loads(line)) for line in lines[:reached]]
        good = [line for line in answered if line["response"]["status_code"] == 200]
        bad = [line for line in answered if line["response"]["status_code"] != 200]
        left = [_not_run(orjson.loads(line)) for line in lines[reached:]]
        for name, found in (("output_file_id", good), ("error_file_id", [*bad, *left])):
            if found:
                batch[name] = _new("file")
                self._keep(batch[name], b"\n".join(map(orjson.dumps, found)))
        batch["status"] = status
        batch["request_counts"] = {"total": len(lines), "completed": len(good), "failed": len(bad)}
        self._keep(batch["id"], batch)

    def _line(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        custom_id = str(asked.get("custom_id"))
        status, body = self._single(custom_id, orjson.dumps(asked.get("body")))
        response = {"status_code": status, "request_id": f"sim-{custom_id}", "body": orjson.loads(body)}
        return {"id": f"batch_req_{custom_id}", "custom_id": custom_id, "response": response, "error": None}

    def _single(self, custom_id: str, body: bytes) -> tuple[int, bytes]:
        """Status and body as a single call would be answered."""
        drawn = uniform("batch fault", self._seed, custom_id)
        for kind, share in (("rate_limited", self.faults.rate_limited), ("overloaded", self.faults.overloaded)):
            drawn -= share
            if drawn < 0:
                status, message = _SAID[kind]
                return status, chat_format.error(message, kind="server_error", param=None, code=None)
        try:
            asked = chat_format.read_request(body, self._seed)
            return 200, chat_format.completion(asked, answer(asked.prompt), custom_id)
        except BadBodyError as problem:
            said = chat_format.error(str(problem), kind="invalid_request_error", param=problem.param, code=problem.code)
            return problem.status, said
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            # A schema is whatever the client sent, as for a single call.
            message = "Invalid schema in response_format."
            return 400, chat_format.error(message, kind="invalid_request_error", param="response_format", code=None)


def _not_run(asked: Mapping[str, Any]) -> dict[str, Any]:
    error = {"code": "batch_cancelled", "message": "The batch was cancelled before this request was run."}
    return {"id": "batch_req", "custom_id": asked.get("custom_id"), "response": None, "error": error}


def _new(kind: str) -> str:
    return f"{kind}-{os.urandom(12).hex()}"
