"""What a headless run's calls come to so far, read from the journals that its kernel writes; nothing is merged."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestration_nb.ledger.lines import LineReader
from orchestration_nb.pipelines.outcome import Spent
from orchestration_nb.state import FOLDER_NAME

_TOLD: Final = (b'["run_started"', b'["call"')
"""How the lines begin that say what was begun and what was paid."""


@dataclass(slots=True)
class _File:
    at: int
    """Up to where it was read."""
    reader: LineReader | None = None
    """``None`` until its first line was read."""


class Meter:
    """Reads on in the workspace's journals from where they stood when it was made; from any thread.

    Args:
        workspace: The folder whose ``.orchestrate/`` holds the journals.
    """

    def __init__(self, workspace: Path) -> None:
        self._folder = workspace / FOLDER_NAME / "journal"
        self._files = {path: _File(path.stat().st_size) for path in self._folder.glob("*.jsonl")}
        self._pipelines: set[str] = set()
        self._runs: set[str] = set()
        self._spent = Spent()
        self._lock = threading.Lock()

    def follow(self, pipeline_id: str) -> None:
        """From now on the runs of this pipeline run count as well."""
        self._pipelines.add(pipeline_id)

    def __call__(self) -> Spent:
        """Up to now."""
        with self._lock:
            for path in self._folder.glob("*.jsonl"):
                self._read_on(path, self._files.setdefault(path, _File(0)))
            return self._spent

    def _read_on(self, path: Path, held: _File) -> None:
        try:
            with path.open("rb") as file:
                first = file.readline() if held.reader is None else b""
                file.seek(held.at)
                text = file.read()
        except OSError:
            return  # merged and moved since
        whole = text.rfind(b"\n") + 1
        if not whole:
            return
        held.reader = held.reader or LineReader.after(first)
        held.at += whole
        for line in text[:whole].splitlines():
            if line.startswith(_TOLD):
                self._take(held.reader, line)

    def _take(self, reader: LineReader, line: bytes) -> None:
        try:
            event: dict[str, Any] = reader.read(line) or {}
        except ValueError:
            return  # the merge reports it
        if event.get("event") == "run_started" and event.get("pipeline_id") in self._pipelines:
            self._runs.add(event["run_id"])
        elif event.get("event") == "call" and event.get("run_id") in self._runs:
            self._spent = Spent(
                calls=self._spent.calls + 1,
                cost_usd=self._spent.cost_usd + (event.get("cost_usd") or 0.0),
                billed_usd=self._spent.billed_usd + (event.get("billed_usd") or 0.0),
                simulated=self._spent.simulated or bool(event.get("simulated")),
            )
