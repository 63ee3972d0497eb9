"""The pipeline run that another one goes on with: which it is, what it was given, and where its chain began."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchestration_nb.errors import UsageError
from orchestration_nb.ids import PipelineId
from orchestration_nb.ledger import Ledger
from orchestration_nb.pipelines.holding import ChainHold
from orchestration_nb.pipelines.seams import Resumed
from orchestration_nb.secrecy import is_scrubbed
from orchestration_nb.terminal import records

_LISTS = '`orchestrate sql "SELECT pipeline_id, notebook, status FROM pipelines"` lists them.'

_CHAIN = "select pipeline_id, status from pipelines where pipeline_id = $root or resumes = $root order by pipeline_id"


def find_pipeline(ledger: Ledger, name: str, notebook: str | None = None) -> dict[str, Any]:
    """The row of ``pipelines`` that is meant.

    Args:
        ledger: Where it stands.
        name: The id, the beginning or the end of it, or ``last``.
        notebook: For ``last``: of this notebook, relative to the workspace.

    Raises:
        UsageError: If there is none, or more than one.
    """
    where = "true" if notebook is None else "notebook = $notebook"
    if name != "last":
        where = "starts_with(pipeline_id, $name) or ends_with(pipeline_id, $name)"
    found = ledger.sql(
        f"select * from pipelines where {where} order by pipeline_id desc limit 2",  # noqa: S608 - our own text
        {"notebook": notebook}
        if name == "last" and notebook is not None
        else ({} if name == "last" else {"name": name}),
    )
    if found.empty:
        what = f"no run of {notebook or 'a notebook'}" if name == "last" else f"no pipeline run {name!r}"
        raise UsageError(f"There is {what} yet." if name == "last" else f"There is {what}.", hint=_LISTS)
    if name != "last" and len(found) > 1:
        raise UsageError(f"More than one pipeline run is meant by {name!r}.", hint="Write more of its id.")
    return records(found)[0]


def earlier_run(
    ledger: Ledger,
    name: str,
    notebook: str,
    *,
    hold: Callable[[PipelineId], ChainHold] | None = None,
    even_if_done: bool = False,
) -> Resumed:
    """What a pipeline run that is resumed was given.

    Args:
        ledger: Where it stands.
        name: As for :func:`find_pipeline`.
        notebook: The notebook that is to go on, relative to the workspace.
        hold: Makes sure that nobody else goes on with it, given the first of the chain.
        even_if_done: Whether one that is done is gone on with, too.

    Raises:
        UsageError: If there is none, it is one of another notebook, it is under way, or it is done.
    """
    row = find_pipeline(ledger, name, notebook)
    which = f"The pipeline run {row['pipeline_id']}"
    if row["notebook"] != notebook:
        raise UsageError(f"{which} is one of {row['notebook']}, not of {notebook}.")
    root = PipelineId(row["resumes"] or row["pipeline_id"])
    _refuse_needless(ledger, root, even_if_done)
    held = None if hold is None else hold(root)
    try:
        if held is not None:
            # While it was waited for, somebody else may have gone on with it.
            _refuse_needless(ledger, root, even_if_done)
        return _gone_on_with(ledger, row, root, held)
    except BaseException:
        if held is not None:
            held.release()
        raise


def _refuse_needless(ledger: Ledger, root: PipelineId, even_if_done: bool) -> None:
    for row in records(ledger.sql(_CHAIN, {"root": root})):
        which = f"The pipeline run {row['pipeline_id']}"
        if row["status"] == "running":
            raise UsageError(f"{which} is under way.", hint="Wait for its end, or stop its process.")
        if row["status"] == "done" and not even_if_done:
            raise UsageError(f"{which} is done; there is nothing to go on with.")


def _gone_on_with(ledger: Ledger, row: Mapping[str, Any], root: PipelineId, held: ChainHold | None) -> Resumed:
    attempts = ledger.sql(
        "select max(attempt) as n from pipelines where pipeline_id = $root or resumes = $root", {"root": root}
    )
    recorded: Mapping[str, str] = row["parameters"] or {}
    lost = frozenset(name for name, value in recorded.items() if is_scrubbed(value))
    return Resumed(
        root=root,
        attempt=int(attempts["n"].iloc[0]) + 1,
        parameters={name: json.loads(value) for name, value in recorded.items() if name not in lost},
        lost=lost,
        tags=dict(row["tags"] or {}),
        secrets=dict(row["secrets"] or {}),
        models=row["models"],
        budget_usd=row["budget_usd"],
        hold=held,
    )


def notebook_of(row: dict[str, Any], workspace: Path) -> Path:
    """The file of a pipeline run's notebook.

    Raises:
        UsageError: If it is not there any more.
    """
    path = workspace / str(row["notebook"])
    if not path.is_file():
        raise UsageError(
            f"The notebook {row['notebook']} of the pipeline run {row['pipeline_id']} is not there any more.",
            hint="Put it back, or run it where it is now.",
        )
    return path
