"""The ledger of a workspace, as everybody outside this room sees it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.errors import LedgerDamagedError, UsageError, WorkspaceError
from orchestration_nb.events import Repriced
from orchestration_nb.ids import PipelineId
from orchestration_nb.ledger import database
from orchestration_nb.ledger.earlier import AskedAgain, EarlierCall, asked_again, earlier_calls
from orchestration_nb.ledger.export import export
from orchestration_nb.ledger.history import History, history
from orchestration_nb.ledger.journal import JournalFile
from orchestration_nb.ledger.merge import MergeReport, merge_into
from orchestration_nb.ledger.metrics import Metrics, Scope, metrics
from orchestration_nb.ledger.pipelines import PipelineDetails, Row, pipeline, pipelines, shared_items
from orchestration_nb.ledger.query import Parameters, answer, columns_by_table
from orchestration_nb.ledger.recorded import RecordedCall, RecordedPrice, recorded_calls, recorded_models
from orchestration_nb.ledger.repricing import Repricing, changes
from orchestration_nb.ledger.retention import prune
from orchestration_nb.ledger.runs import RunDetails, details, newest
from orchestration_nb.ledger.segments import Segment, open_segments
from orchestration_nb.ledger.spend import DAYS, Spend, grouping, spend
from orchestration_nb.ledger.traces import RequestTrace, requests_of, trace
from orchestration_nb.state import locked, private_folder
from orchestration_nb.state.folder import FOLDER_NAME

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class Ledger:
    """Everything that happened in a workspace.

    Nothing is held open between two calls, so that any number of notebooks, headless runs and dashboards can use one
    ledger. May be used from any thread.

    Args:
        workspace: The folder whose ``.orchestrate/`` holds the ledger.
        wait_s: The most seconds to wait for another process.
        clock: Tells when a merge happened.
    """

    def __init__(self, workspace: Path, *, wait_s: float = 30.0, clock: Clock | None = None) -> None:
        self._workspace = workspace
        self._wait_s = wait_s
        self._clock = clock or SystemClock()
        self._merged: list[Segment] | None = None  # what the journal looked like when all of it was merged

    def merge(self) -> MergeReport:
        """Takes in what the journals have to say; a ledger that is damaged is kept aside and made anew from them.

        Raises:
            LedgerNewerError: If a newer version wrote the ledger; it is left as it is.
            WorkspaceError: If the ledger stays locked, or cannot be written.
        """
        folder = self._folder()
        try:
            segments = open_segments(folder / "journal")
        except OSError as error:
            raise WorkspaceError(f"The journal in {folder} cannot be read: {error.strerror or error}.") from error
        if segments == self._merged and (folder / database.FILE_NAME).exists():
            return MergeReport()
        with locked(folder / "ledger.lock", alone=True, limit_s=self._wait_s):
            report = self._merge_alone(folder)
        self._merged = [segment for segment in segments if segment.held]
        if report.bad_lines:
            _log.warning("%d journal lines cannot be used: `select * from bad_lines` shows them.", report.bad_lines)
        return report

    def sql(self, text: str, params: Parameters = ()) -> pd.DataFrame:
        """Answers a question in SQL, after merging. It can neither write nor read a file, nor change a setting.

        Args:
            text: One statement: ``select``, ``with``, ``from``, ``pivot``, ``describe``, ``show`` or ``explain``.
            params: Values for ``?`` or, as a mapping, for ``$name``; never pasted into the text.

        Returns:
            The rows; times are naive UTC. A query is held in memory as a whole: it cannot spill to disk.

        Raises:
            QueryError: If the text is refused or not understood.
            WorkspaceError: If the ledger cannot be read.
        """
        return self._read(lambda connection: answer(connection, text, params))

    def runs(self, limit: int = 20) -> pd.DataFrame:
        """The newest runs, newest first; a run whose process died without a word is ``failed``, and says so.

        Returns:
            ``run_id, flow, status, started_at, seconds, items, items_ok, items_failed, calls, cost_usd, billed_usd,
            simulated, strategy, model, tags, error``. Until a run ends its costs are those of its calls so far.

        Raises:
            WorkspaceError: If the ledger cannot be read.
        """
        return self._read(lambda connection: newest(connection, limit))

    def run(self, name: str) -> RunDetails:
        """What is known of one run.

        Args:
            name: The run's id, the beginning or the end of it, or ``last``.

        Raises:
            UsageError: If no run is meant, or more than one.
            WorkspaceError: If the ledger cannot be read.
        """
        return self._read(lambda connection: details(connection, name))

    def pipelines(self, limit: int = 20, *, notebook: str | None = None) -> list[Row]:
        """The newest headless runs of notebooks, newest first; one whose runner was killed is ``failed``, and says so.

        Args:
            limit: How many at most.
            notebook: Only those of this notebook: its path, relative to the workspace.

        Returns:
            Their rows of the table ``pipelines``, and ``seconds, runs, calls, cost_usd, billed_usd, simulated,
            failed_calls, cache_hits, lost_calls, p50_ms, p95_ms, quality, scores``.

        Raises:
            WorkspaceError: If the ledger cannot be read.
        """
        return self._read(lambda connection: pipelines(connection, limit, notebook=notebook))

    def pipeline(self, name: str) -> PipelineDetails:
        """What is known of one headless run.

        Args:
            name: Its id, the beginning or the end of it, or ``last``.

        Raises:
            UsageError: If no run is meant, or more than one.
            WorkspaceError: If the ledger cannot be read.
        """
        return self._read(lambda connection: pipeline(connection, name))

    def shared_items(self, left: str, right: str) -> list[Row]:
        """The items that two headless runs have in common: :func:`~orchestration_nb.ledger.pipelines.shared_items`.

        Raises:
            WorkspaceError: If the ledger cannot be read.
        """
        return self._read(lambda connection: shared_items(connection, left, right))

    def has_news(self) -> bool:
        """Whether something may have been journalled since this ledger was last read; opens no database."""
        try:
            return open_segments(self._workspace / FOLDER_NAME / "journal") != self._merged
        except OSError:  # reading says what is wrong
            return True

    def is_begun(self) -> bool:
        """Whether there is anything to read; makes no folder and opens no file."""
        folder = self._workspace / FOLDER_NAME
        return (folder / database.FILE_NAME).exists() or (folder / "journal").exists()

    def recorded_models(self) -> dict[str, RecordedPrice]:
        """The models of which replies are recorded, each with the price that its newest call was reckoned with.

        Raises:
            WorkspaceError: If the ledger cannot be read.
        """
        return self._read(recorded_models)

    def recorded_calls(self, model: str) -> list[RecordedCall]:
        """The calls of one model whose replies are recorded, in the order in which they were begun.

        Raises:
            WorkspaceError: If the ledger cannot be read.
        """
        return self._read(lambda connection: recorded_calls(connection, model))

    def earlier_calls(self, root: PipelineId, own: PipelineId, restored: Collection[int] = ()) -> list[EarlierCall]:
        """The calls of the pipeline runs that one goes on with: what was answered, and what was lost in flight.

        Args:
            root: The first of the chain.
            own: The pipeline run that goes on with it.
            restored: Numbers of the code cells that it does not run.

        Raises:
            WorkspaceError: If the ledger cannot be read.
        """
        return self._read(lambda connection: earlier_calls(connection, root=root, own=own, restored=restored))

    def asked_again(self, pipeline_id: str) -> AskedAgain:
        """How many calls of a pipeline run stand for earlier ones of those that it goes on with.

        Raises:
            WorkspaceError: If the ledger cannot be read.
        """
        return self._read(lambda connection: asked_again(connection, pipeline_id))

    def history(self, flow: str, steps: Sequence[str], models: Sequence[str]) -> History:
        """What a flow's earlier runs say of its next one.

        Args:
            flow: Its name.
            steps: Those of its steps that ask models.
            models: Full names of the models that it may ask.

        Raises:
            WorkspaceError: If the ledger cannot be read.
        """
        return self._read(lambda connection: history(connection, flow, steps, models))

    def export(self, folder: Path) -> list[Path]:
        """Writes each table as a Parquet file, replacing files of these names.

        Returns:
            The files.

        Raises:
            WorkspaceError: If the folder cannot be written.
        """
        try:
            return self._read(lambda connection: export(connection, folder), files=True)
        except OSError as error:
            raise WorkspaceError(f"The folder {folder} cannot be written: {error.strerror or error}.") from error

    def prune(self, older_than_days: int) -> dict[str, int]:
        """Deletes the runs that ended more than so many days ago, and the files of the journal that hold only such.

        Returns:
            How many rows of each table went, and under ``segments`` how many files.

        Raises:
            UsageError: If the number of days is negative.
            WorkspaceError: If the ledger cannot be written.
        """
        if older_than_days < 0:
            raise UsageError(f"Keeping {older_than_days} days means nothing.", hint="Give a number of days from 0 up.")
        self.merge()
        folder = self._folder()
        try:
            with locked(folder / "ledger.lock", alone=True, limit_s=self._wait_s):
                before = self._clock.now() - timedelta(days=older_than_days)
                return prune(folder / database.FILE_NAME, before, limit_s=self._wait_s)
        except OSError as error:
            raise WorkspaceError(f"{folder} cannot be pruned: {error.strerror or error}.") from error

    def spend(self, by: str = "model", *, days: int = DAYS) -> Spend:
        """Where the money went in the last days (UTC), today included.

        Args:
            by: ``model``, ``step``, ``flow``, ``user``, ``day``, ``notebook`` or ``tag:NAME``.
            days: How many days; 1 is today alone.

        Raises:
            UsageError: If money cannot be told apart by that, or there is less than one day.
            WorkspaceError: If the ledger cannot be read.
        """
        if days < 1:
            raise UsageError(f"There is no spend of {days} days.", hint="Give a number of days from 1 up.")
        by = grouping([by])
        today = self._clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        since = today - timedelta(days=min(days, 36_500) - 1)
        return self._read(lambda connection: spend(connection, by=by, since=since))

    def metrics(self, scope: Scope) -> Metrics:
        """Spend, latency, errors and cache hits over time, and the runs of that time.

        Args:
            scope: Which calls, and what tells them apart.

        Raises:
            UsageError: If calls cannot be told apart by that.
            WorkspaceError: If the ledger cannot be read.
        """
        return self._read(lambda connection: metrics(connection, scope, self._clock.now()))

    def requests(self, run_id: str) -> pd.DataFrame:
        """The requests of a run, failed ones first, then the slowest first; at most 100.

        Raises:
            WorkspaceError: If the ledger cannot be read.
        """
        return self._read(lambda connection: requests_of(connection, run_id))

    def traces(self, request_ids: Sequence[str]) -> list[RequestTrace]:
        """Several requests as what happened when, in one reading.

        Raises:
            UsageError: If the ledger has no such request.
            WorkspaceError: If the ledger cannot be read.
        """
        return self._read(lambda connection: [trace(connection, request_id) for request_id in request_ids])

    def trace(self, request_id: str) -> RequestTrace:
        """One request as what happened when: calls, attempts, waits.

        Raises:
            UsageError: If the ledger has no such request.
            WorkspaceError: If the ledger cannot be read.
        """
        return self._read(lambda connection: trace(connection, request_id))

    def changes(self, corrections: Sequence[Repriced]) -> Repricing:
        """What :func:`~orchestration_nb.ledger.repricing.corrections` of a model's price would change.

        Raises:
            WorkspaceError: If the ledger cannot be read.
        """
        return self._read(lambda connection: changes(connection, corrections))

    def reprice(self, corrections: Sequence[Repriced]) -> None:
        """Reckons the calls anew that were reckoned with a wrong price, and all that adds them up.

        The corrections are journalled first, so that a ledger made anew comes out the same.

        Raises:
            JournalWriteError: If they could not be written.
            WorkspaceError: If the ledger cannot be written; the next reading then takes them in.
        """
        journal = JournalFile(self._workspace)
        try:
            for correction in corrections:
                journal.write(correction)
        finally:
            journal.close()
        self.merge()

    def tables(self) -> dict[str, list[str]]:
        """The tables and views that SQL can ask, each with its columns."""
        return self._read(columns_by_table)

    def _merge_alone(self, folder: Path) -> MergeReport:
        path = folder / database.FILE_NAME
        now = self._clock.now()
        try:
            return merge_into(path, now=now, limit_s=self._wait_s)
        except LedgerDamagedError:
            aside = self._set_aside(path)
            return replace(merge_into(path, now=now, limit_s=self._wait_s), rebuilt_from=aside)

    def _read(self, ask: Callable[[duckdb.DuckDBPyConnection], _Answer], *, files: bool = False) -> _Answer:
        """Merges, and asks; a ledger that shows its damage only when it is read is made anew, once."""
        self.merge()
        path = self._folder() / database.FILE_NAME
        damaged = _identity(path)
        try:
            return self._ask(ask, path, files=files)
        except LedgerDamagedError:
            with locked(path.with_name("ledger.lock"), alone=True, limit_s=self._wait_s):
                if _identity(path) == damaged:  # else another process has made it anew
                    self._set_aside(path)
            self._merged = None
            self.merge()
            return self._ask(ask, path, files=files)

    def _set_aside(self, path: Path) -> Path:
        aside = database.set_aside(path, self._clock.now())
        _log.warning("The ledger was damaged: it is kept as %s, and made anew from the journal.", aside)
        return aside

    def _ask(self, ask: Callable[[duckdb.DuckDBPyConnection], _Answer], path: Path, *, files: bool) -> _Answer:
        with (
            locked(path.with_name("ledger.lock"), alone=False, limit_s=self._wait_s),
            database.reading(path, limit_s=self._wait_s, files=files) as connection,
        ):
            return ask(connection)

    def _folder(self) -> Path:
        try:
            folder = private_folder(self._workspace)
            (folder / "journal").mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise WorkspaceError(
                f"The workspace {self._workspace} cannot be written: {error.strerror or error}.",
                hint="Give write access, or work in a folder of your own.",
            ) from error
        return folder


def _identity(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None
