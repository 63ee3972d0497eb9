"""Replies that were paid once, as a what-if finds them: in the ledger, and in the folder of ``[replay]``."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from orchestration_nb.calls import RawReply, Reply, Request
from orchestration_nb.catalog import FREE, Model
from orchestration_nb.events import Event
from orchestration_nb.ids import CallId
from orchestration_nb.providers.recorded_files import RecordedFiles
from orchestration_nb.providers.replay import Lookup, Recordings
from orchestration_nb.recordings import RecordedCalls
from orchestration_nb.workspace import Workspace

_NO_CALL: Final = CallId("")


class Recorded:
    """The recorded replies of a workspace, by model and question; may be used from any thread.

    ``replay/NAME`` and the model ``NAME`` itself have the same replies. Latency and cost are those of their own day.

    Args:
        workspace: Whose ledger, and whose ``[replay]`` folder where it names one.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._sources = _sources(workspace)
        self._lookups: dict[str, Sequence[Lookup]] = {}
        self._reading = threading.Lock()

    def find(self, model: Model, request: Request) -> Reply | None:
        """The reply of a model to a request with the number of its sample; ``None`` where none is recorded.

        Raises:
            NoRecordedReplyError: If the recordings cannot be read.
            SchemaNotMetError: If the reply is not of the form that the request asks for.
        """
        for find in self._of(model.wire_name if model.provider == "replay" else model.name):
            raw = find(request)
            if raw is not None:
                return _reply(raw, model, request)
        return None

    def _of(self, name: str) -> Sequence[Lookup]:
        with self._reading:
            if name not in self._lookups:
                self._lookups[name] = [source.replies(name) for source in self._sources]
            return self._lookups[name]


def _sources(workspace: Workspace) -> list[Recordings]:
    sources: list[Recordings] = [RecordedCalls(workspace.ledger, workspace.catalog.models.get)]
    if workspace.settings.replay.folder:
        sources.append(RecordedFiles(workspace.folder / Path(workspace.settings.replay.folder).expanduser()))
    return [source for source in sources if source.availability().usable]


def _reply(raw: RawReply, model: Model, request: Request) -> Reply:
    cost_usd = (model.price or FREE).cost_usd(raw.usage.whole()) if raw.cost_usd is None else raw.cost_usd
    return Reply(
        call_id=_NO_CALL,
        model=model.name,
        text=raw.text,
        value=raw.text if request.output is None else request.output.parse(raw.text),
        usage=raw.usage,
        cost_usd=cost_usd,
        billed_usd=0.0,
        latency_ms=raw.latency_ms or 0.0,
        ttft_ms=raw.ttft_ms,
        simulated=True,
        finish_reason=raw.finish_reason,
    )


class Unrecorded:
    """A journal that writes nothing: a what-if asks nobody, so its runs are not part of what happened."""

    def write(self, event: Event) -> None:
        """Takes an event and forgets it."""
