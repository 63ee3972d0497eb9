"""Two headless runs side by side: what changed in the notebook and around it, and what difference that made.

Differences of quality, cost and latency are paired: the same item, by flow and position, in both runs. Where too few
items are shared to say how sure a difference is, there is no interval, and it is said why.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, Literal

from orchestration_nb.ledger import Ledger, PipelineDetails
from orchestration_nb.ledger.pipelines import Row

Measure = Literal["quality", "cost_usd", "latency_ms"]
MEASURES: Final[tuple[Measure, ...]] = ("quality", "cost_usd", "latency_ms")
LEAST_ITEMS: Final = 4
"""Below this no interval is given."""
LEVEL: Final = 0.95
"""Of the intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellChange:
    """A code cell that is not the same in both runs."""

    what: Literal["added", "removed", "changed"]
    left: int | None
    """Its number in the first run, from 1 among the code cells; ``None`` where it is not there."""
    right: int | None
    title: str
    lines: tuple[str, ...]
    """The change as lines that begin with ``-``, ``+`` or a space; empty where the executed notebooks are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something else that differs."""

    name: str
    left: str
    """An empty string where there is none."""
    right: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """How one measure differs on the items that both runs share."""

    flow: str
    measure: Measure
    items: int
    """Pairs that both have the measure."""
    same_prompts: int
    """Of these, those whose prompts were the same to the letter."""
    left: float
    """Mean of the first run: a share from 0 to 1, US dollars, or milliseconds."""
    right: float
    low: float | None
    """Lower end of the 95 % interval of ``right - left``; ``None`` where there are too few items to tell."""
    high: float | None

    @property
    def difference(self) -> float:
        """``right - left``."""
        return self.right - self.left

    @property
    def is_shown(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineDiff:
    """Two headless runs side by side."""

    left: PipelineDetails
    right: PipelineDetails
    cells: tuple[CellChange, ...]
    settings: tuple[Change, ...]
    """Parameters, tags, budget, strategy of each flow, version."""
    models: tuple[Change, ...]
    """Models with their prices, where the two runs do not agree."""
    differences: tuple[PairedDifference, ...]


def diff(ledger: Ledger, left: str, right: str, *, workspace: Path) -> PipelineDiff:
    """Compares two headless runs.

    Args:
        ledger: Knows both.
        left: Id of the first, its beginning or end, or ``last``.
        right: Of the second.
        workspace: The folder to which the ledger's paths are relative.

    Raises:
        UsageError: If no run is meant, or more than one.
        WorkspaceError: If the ledger cannot be read.
    """
    first, second = ledger.pipeline(left), ledger.pipeline(right)
    shared = ledger.shared_items(str(first.run["pipeline_id"]), str(second.run["pipeline_id"]))
    return PipelineDiff(
        left=first,
        right=second,
        cells=tuple(_cells(first, second, workspace)),
        settings=tuple(_changes(_settings(first), _settings(second))),
        models=tuple(_changes(_prices(first), _prices(second))),
        differences=tuple(_differences(shared)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    """A code cell of one run."""

    number: int
    title: str
    digest: str
    source: str | None
    """``None`` where the executed copy is gone, so that only what ran is known, by its digest."""


def _cells(first: PipelineDetails, second: PipelineDetails, workspace: Path) -> list[CellChange]:
    left, right = (_code(details, workspace) for details in (first, second))
    if any(cell.source is None for cell in (*left, *right)):  # compared by what the ledger knows of both
        left, right = (_started(details) for details in (first, second))
    matcher = difflib.SequenceMatcher(
        a=[cell.digest for cell in left], b=[cell.digest for cell in right], autojunk=False
    )
    return [
        _change(ours, theirs)
        for what, a, b, c, d in matcher.get_opcodes()
        if what != "equal"
        for ours, theirs in zip_longest(left[a:b], right[c:d])
    ]


def _change(ours: _Code | None, theirs: _Code | None) -> CellChange:
    one = theirs or ours
    assert one is not None
    lines: list[str] = []
    if one.source is not None:
        before, after = ((cell.source or "").splitlines() if cell is not None else [] for cell in (ours, theirs))
        unified = difflib.unified_diff(before, after, lineterm="", n=1)
        lines = [line for line in unified if not line.startswith(("---", "+++", "@@"))]
    return CellChange(
        what="changed" if ours and theirs else "removed" if ours else "added",
        left=ours.number if ours else None,
        right=theirs.number if theirs else None,
        title=one.title,
        lines=tuple(lines),
    )


def _code(details: PipelineDetails, workspace: Path) -> list[_Code]:
    """The code cells of a run's executed copy, those that never ran among them; else what the ledger knows."""
    try:
        notebook = json.loads((workspace / str(details.run["copy"])).read_text(encoding="utf-8"))
        sources = [_joined(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError):  # gone, or somebody has written something else there
        return _started(details)
    kept = (source for source in sources if source.strip())
    return [
        _Code(number=number, title=source.strip().partition("\n")[0].strip(), digest=source, source=source)
        for number, source in enumerate(kept, start=1)
    ]


def _started(details: PipelineDetails) -> list[_Code]:
    return [
        _Code(number=cell["cell"], title=str(cell["title"]), digest=str(cell["digest"]), source=None)
        for cell in details.cells
    ]


def _joined(source: str | list[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


def _settings(details: PipelineDetails) -> dict[str, str]:
    run = details.run
    said = {"notebook": str(run["notebook"]), "version": str(run["package_version"])}
    said |= {f"parameter {name}": str(value) for name, value in (run["parameters"] or {}).items()}
    said |= {f"secret {name}": str(where) for name, where in (run["secrets"] or {}).items()}
    said |= {f"tag {name}": str(value) for name, value in (run["tags"] or {}).items()}
    if run["budget_usd"] is not None:
        said["budget"] = f"${run['budget_usd']:g}"
    for row in details.flows:
        said[f"strategy of {row['flow']}"] = str(row["strategy"] or row["model"] or "")
        if row["items"] is not None:
            said[f"items of {row['flow']}"] = f"{row['items']:,}"
    return said


def _prices(details: PipelineDetails) -> dict[str, str]:
    return {f"{row['model']}{' (simulated)' if row['simulated'] else ''}": _price(row) for row in details.models}


def _price(row: Row) -> str:
    prices = [row["input_usd_per_mtok"], row["output_usd_per_mtok"]]
    return " / ".join("?" if price is None else f"${price:g}" for price in prices) + " per million tokens, in / out"


def _changes(left: Mapping[str, str], right: Mapping[str, str]) -> list[Change]:
    names = dict.fromkeys([*left, *right])
    both = ((name, left.get(name, ""), right.get(name, "")) for name in names)
    return [Change(name=name, left=ours, right=theirs) for name, ours, theirs in both if ours != theirs]


def _differences(shared: Sequence[Row]) -> list[PairedDifference]:
    flows = dict.fromkeys(str(row["flow"]) for row in shared)
    found = (
        _difference(flow, measure, [row for row in shared if row["flow"] == flow])
        for flow in flows
        for measure in MEASURES
    )
    return [one for one in found if one is not None]


def _difference(flow: str, measure: Measure, rows: Sequence[Row]) -> PairedDifference | None:
    pairs = [row for row in rows if row[f"left_{measure}"] is not None and row[f"right_{measure}"] is not None]
    if not pairs:
        return None
    left, right = ([float(row[f"{side}_{measure}"]) for row in pairs] for side in ("left", "right"))
    low = high = None
    if len(pairs) >= LEAST_ITEMS:
        low, high = _interval(left, right)
    return PairedDifference(
        flow=flow,
        measure=measure,
        items=len(pairs),
        same_prompts=sum(bool(row["same_prompts"]) for row in pairs),
        left=sum(left) / len(pairs),
        right=sum(right) / len(pairs),
        low=low,
        high=high,
    )


def _interval(left: list[float], right: list[float]) -> tuple[float, float]:
    from orchestration_nb.evals.intervals import difference  # noqa: PLC0415 - loads numpy

    interval: Any = difference(right, left, level=LEVEL)
    return interval.low, interval.high
