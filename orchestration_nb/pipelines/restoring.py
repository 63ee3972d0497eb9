"""What a resumed notebook need not run again: cells that say what they leave behind.

A cell that is tagged ``artifact:scored`` leaves its variable ``scored`` behind, and nothing else that a later cell
uses. When it has ended well, the variable is kept as a named artifact. When the notebook is resumed, the variable is
loaded instead of running the cell, as long as the cell, those above it and the parameters are what they were. All
other cells run again; what they asked is answered from the journal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from orchestration_nb.artifacts import is_whole
from orchestration_nb.ids import PipelineId
from orchestration_nb.ledger import Ledger
from orchestration_nb.pipelines.dependence import loads_into_the_kernel, makes, uses
from orchestration_nb.pipelines.files import code_cells
from orchestration_nb.pipelines.leaving import MODULE, left_behind
from orchestration_nb.pipelines.outcome import NotebookRun
from orchestration_nb.pipelines.record import digest_of
from orchestration_nb.pipelines.seams import RestoredCell, Resumed, Resumption
from orchestration_nb.terminal import records

_CELLS: Final = """
select pipeline_id, cell, digest from cells
where status in ('ok', 'restored') and pipeline_id in (
    select pipeline_id from pipelines where pipeline_id = $root or resumes = $root)
"""
_ARTIFACTS: Final = """
select pipeline_id, cell, name, arg_max(path, saved_at) as path, arg_max(format, saved_at) as format,
    arg_max(digest, saved_at) as digest
from artifacts
where cell is not null and pipeline_id in (
    select pipeline_id from pipelines where pipeline_id = $root or resumes = $root)
group by all order by pipeline_id desc
"""
_FAILED: Final = """
select min(cell) as cell from (
    select x.cell, r.flow, arg_max(r.items_failed, r.run_id) as failed
    from cell_runs as x join runs as r using (run_id)
    where x.pipeline_id in (select pipeline_id from pipelines where pipeline_id = $root or resumes = $root)
    group by all)
where failed > 0
"""

Kept = tuple[str, str, str]
"""Path in ``.orchestrate/``, form and digest of an artifact."""


def restored(resumption: Resumption) -> Resumed:
    """Says which cells of a notebook that is resumed are restored, and what is said of it.

    Raises:
        WorkspaceError: If the ledger cannot be read.
    """
    earlier = resumption.earlier
    assert earlier.root is not None
    chain = _Chain.of(Ledger(resumption.workspace), resumption.workspace, earlier.root)
    cells = code_cells(resumption.notebook)
    digests = [digest_of([cell]) for cell in cells]
    done = chain.done(digests)
    if resumption.options.even_if_done and chain.failed is not None:
        done = min(done, chain.failed - 1)  # its rows are asked for again, and what comes of them is another
    plan = _Plan(cells=cells, chain=chain, digests=digests, done=done)
    plan.decide()
    return replace(
        earlier,
        cells={number: plan.restored_cell(number) for number in sorted(plan.found)},
        environ={**earlier.environ, "ORCHESTRATE_PIPELINE_RESTORED": ",".join(map(str, sorted(plan.found)))},
        said=(*earlier.said, *plan.sentences()),
    )


def again_sentence(done: NotebookRun) -> str | None:
    """What is said after a resumed run: what was not sent again, and what was in flight and had to be."""
    if done.root == done.pipeline_id:
        return None
    told = Ledger(done.workspace).asked_again(done.pipeline_id).sentences()
    return f"{'; '.join(told)}." if told else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    """What the pipeline runs that are gone on with have done and kept."""

    workspace: Path
    ended: Mapping[str, Mapping[int, str]]
    """By pipeline run: the digests of the cells that ended well, by number."""
    artifacts: Mapping[tuple[str, int], Mapping[str, Kept]]
    """By pipeline run, newest first, and cell: name to file."""
    copies: Mapping[str, str]
    failed: int | None
    """The first cell of which rows failed when it ran last."""

    @classmethod
    def of(cls, ledger: Ledger, workspace: Path, root: PipelineId) -> _Chain:
        """Reads it from the ledger."""
        ended: dict[str, dict[int, str]] = {}
        for row in ledger.sql(_CELLS, {"root": root}).to_dict("records"):
            ended.setdefault(row["pipeline_id"], {})[int(row["cell"])] = row["digest"]
        kept: dict[tuple[str, int], dict[str, Kept]] = {}
        for row in ledger.sql(_ARTIFACTS, {"root": root}).to_dict("records"):
            place = kept.setdefault((row["pipeline_id"], int(row["cell"])), {})
            place[row["name"]] = (row["path"], row["format"], row["digest"])
        copies = ledger.sql(
            "select pipeline_id, copy from pipelines where pipeline_id = $root or resumes = $root", {"root": root}
        )
        failed = records(ledger.sql(_FAILED, {"root": root}))[0]["cell"]
        return cls(
            workspace=workspace,
            failed=failed,
            ended=ended,
            artifacts=kept,
            copies=dict(zip(copies["pipeline_id"], copies["copy"], strict=True)),
        )

    def done(self, digests: Sequence[str]) -> int:
        """How many cells from the first on ended well in one of the runs, and are what they were."""
        return max((_common(ended, digests) for ended in self.ended.values()), default=0)

    def find(self, number: int, names: Sequence[str], digests: Sequence[str]) -> tuple[str, Mapping[str, Kept]] | str:
        """The run that kept what a cell leaves behind, and the files; else why there is nothing to restore it from."""
        why = "nothing was kept of it"
        for (pipeline, cell), kept in self.artifacts.items():
            if cell != number or not set(names) <= kept.keys():
                continue
            if _common(self.ended.get(pipeline, {}), digests) < number:
                why = "it, a cell above it or a parameter has changed"
                continue
            if all(is_whole(self.workspace, kept[name][0], kept[name][2]) for name in names):
                return pipeline, {name: kept[name] for name in names}
            why = "a file of its artifacts was changed or is gone"
        return why

    def outputs(self, pipeline: str, number: int, digest: str) -> tuple[Sequence[Any], int | None]:
        """What the cell had put out in the executed copy of that run; nothing where that is gone."""
        import nbformat  # noqa: PLC0415

        try:
            copy: Any = nbformat.read(self.workspace / self.copies[pipeline], as_version=4)  # type: ignore[no-untyped-call]
            cell = code_cells(copy)[number - 1]
        except (OSError, ValueError, KeyError, IndexError, nbformat.reader.NotJSONError):
            return (), None
        return (cell.outputs, cell.execution_count) if digest_of([cell]) == digest else ((), None)


def _common(ended: Mapping[int, str], digests: Sequence[str]) -> int:
    """How many cells from the first on have ended with these digests."""
    for number, digest in enumerate(digests, start=1):
        if ended.get(number) != digest:
            return number - 1
    return len(digests)


@dataclass(slots=True, kw_only=True, eq=False)
class _Plan:
    """Which cells are restored."""

    cells: Sequence[Any]
    chain: _Chain
    digests: Sequence[str]
    done: int
    """How many cells from the first on need not be begun anew, if they can be restored."""
    found: dict[int, tuple[str, Mapping[str, Kept]]] = field(default_factory=dict)
    """Cell to the run that kept what it leaves behind, and the files."""
    reasons: dict[int, str] = field(default_factory=dict)
    """Why cells run again that say what they leave behind."""

    def decide(self) -> None:
        """From the last cell up: what a cell must leave behind is what those use that run below it."""
        running = {number: uses(self.cells[number - 1].source) for number in range(self.done + 1, len(self.cells) + 1)}
        for number in range(self.done, 0, -1):
            names = left_behind(self.cells[number - 1])
            reason = self._reason(number, names, running) if names else ""
            if reason:
                self.reasons[number] = reason
            if not names or reason:
                running[number] = uses(self.cells[number - 1].source)

    def _reason(self, number: int, names: Sequence[str], running: Mapping[int, frozenset[str]]) -> str:
        source = self.cells[number - 1].source
        if loads_into_the_kernel(source):
            return "it has a magic whose effect no artifact holds"
        missing = makes(source) - set(names)
        for later in sorted(running):
            used = sorted(missing & running[later])
            if used:
                return f"cell {later} uses {used[0]!r}, which it makes and does not name"
        found = self.chain.find(number, names, self.digests)
        if isinstance(found, str):
            return found
        self.found[number] = found
        return ""

    def restored_cell(self, number: int) -> RestoredCell:
        """What stands for the cell."""
        pipeline, kept = self.found[number]
        outputs, count = self.chain.outputs(pipeline, number, self.digests[number - 1])
        return RestoredCell(source=f"{MODULE}.put_back({dict(kept)!r})", outputs=outputs, execution_count=count)

    def sentences(self) -> list[str]:
        """What is done, and why."""
        whole, again = len(self.cells), [number for number in range(1, self.done + 1) if number not in self.found]
        said = [f"{self.done} of {whole} cells had ended well and are what they were."]
        if self.found:
            said.append(f"Restored from what was kept: {_cells(sorted(self.found))}.")
        if again:
            said.append(f"Run again, and answered from the journal: {_cells(again)}.")
        if self.done < whole:
            said.append(f"Work goes on at cell {self.done + 1}.")
        return [*said, *(f"Cell {number} is not restored: {why}." for number, why in sorted(self.reasons.items()))]


def _cells(numbers: Sequence[int]) -> str:
    """``cells 1-3, 5``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][-1] == number - 1:
            spans[-1][1:] = [number]
        else:
            spans.append([number])
    listed = ", ".join("-".join(map(str, span)) for span in spans)
    return f"cell{'s' if len(numbers) > 1 else ''} {listed}"
