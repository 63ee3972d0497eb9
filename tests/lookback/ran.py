"""Headless runs as a runner and its kernel leave them: journalled cells around real runs of simulated models."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

from orchestration_nb import Flow
from orchestration_nb.ids import PipelineId, new_id
from orchestration_nb.ledger import JournalFile
from orchestration_nb.pipeline_events import (
    CellFinished,
    CellStarted,
    NotebookStatus,
    PipelineFinished,
    PipelineStarted,
)

QUESTIONS = pd.DataFrame({"question": [f"What is {number} + {number}?" for number in range(12)]})
ASK = "answer = llm(f'{question}', max_tokens=20)"


@dataclass(kw_only=True)
class Ran:
    """One notebook of three cells: words, a flow over twelve questions, and a last cell."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    name: str = "daily.ipynb"
    model: str = "fast"
    flow: str = "triage"
    score: str | None = "answer=exact:gold"
    last: str = "print('done')"
    fails: bool = False
    outputs: Sequence[Any] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def run(self) -> str:
        """Does it, and returns its id."""
        pipeline_id = PipelineId(new_id())
        sources = ["import pandas as pd", ASK, self.last]
        copy = Path(".orchestrate", "runs", f"{pipeline_id}.ipynb")
        self._write(self.folder / copy, sources)
        journal = JournalFile(self.folder)
        started = PipelineStarted(
            pipeline_id=pipeline_id, notebook=self.name, digest="".join(sources), cells=3, copy=str(copy),
            started_at=now(), pid=1, package_version="0.1.0", **self.facts,
        )  # fmt: skip
        journal.write(started)
        for number, source in enumerate(sources, start=1):
            digest = hashlib.sha256(source.encode()).hexdigest()
            title = source.partition("\n")[0]
            begun = CellStarted(pipeline_id=pipeline_id, cell=number, title=title, digest=digest, started_at=now())
            journal.write(begun)
            if source == ASK:
                self._ask(pipeline_id)
            failed = self.fails and number == 3
            how: dict[str, Any] = {"status": "failed" if failed else "ok"}
            if failed:
                how |= {"error_type": "ValueError", "error": "ValueError: no <b>good</b>"}
            journal.write(CellFinished(pipeline_id=pipeline_id, cell=number, finished_at=now(), **how))
        status: NotebookStatus = "failed" if self.fails else "done"
        error: dict[str, Any] = (
            {"error_type": "ValueError", "error": "ValueError: no <b>good</b>"} if self.fails else {}
        )
        done = 2 if self.fails else 3
        ended = PipelineFinished(pipeline_id=pipeline_id, status=status, cells_done=done, finished_at=now(), **error)
        journal.write(ended)
        journal.close()
        return pipeline_id

    def _ask(self, pipeline_id: str) -> None:
        self.monkeypatch.setenv("ORCHESTRATE_PIPELINE", pipeline_id)
        frame = QUESTIONS.assign(gold=[str(2 * number) for number in range(12)])
        flow = Flow.from_source(ASK, name=self.flow)
        scores: dict[str, Any] = {"score": [self.score]} if self.score else {}
        flow.map(frame, model=self.model, **scores)
        self.monkeypatch.delenv("ORCHESTRATE_PIPELINE")

    def _write(self, path: Path, sources: Sequence[str]) -> None:
        notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
        notebook.cells = [nbformat.v4.new_markdown_cell("# Tickets of the day\n\nSee <script>no</script> below.")]  # type: ignore[no-untyped-call]
        notebook.cells += [nbformat.v4.new_code_cell(source) for source in sources]  # type: ignore[no-untyped-call]
        notebook.cells[-1].outputs = list(self.outputs)
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
