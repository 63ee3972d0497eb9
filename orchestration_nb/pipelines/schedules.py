"""The schedules of a workspace: which notebook runs when, and under which rules."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from pydantic import TypeAdapter, ValidationError

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.config import find_workspace
from orchestration_nb.errors import UsageError, WorkspaceError
from orchestration_nb.ids import new_id
from orchestration_nb.pipelines.cron import Cron, read_cron
from orchestration_nb.pipelines.cron_words import in_words
from orchestration_nb.pipelines.due_times import DueTimes, read_zone
from orchestration_nb.pipelines.options import RunOptions
from orchestration_nb.pipelines.parameters import checked, declared
from orchestration_nb.pipelines.values import Typed, read_file
from orchestration_nb.state import schedules as works
from orchestration_nb.state.schedules import DueRow, Overlap, ScheduleRow
from orchestration_nb.state.store import StateFile

CatchUp = Literal["none", "last", "all"]
"""Which of the due times that came while no scheduler ran are made up for."""
BUSY_S: Final = 10.0
"""How long another process's lock on the state is waited for."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SOURCES: Final = ("env:", "file:", "keyring:")
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC, as everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule: what runs, when, and under which rules."""

    name: str
    notebook: str
    """Path relative to the workspace."""
    cron: str
    zone: str
    """Time zone by its name of the tz database."""
    catch_up: CatchUp = "none"
    overlap: Overlap = "skip"
    retries: int = 0
    """How often a run that failed is tried again."""
    jitter_s: float = 0
    """The longest that a run begins later than it is due."""
    parameters: tuple[str, ...] = ()
    """Each ``name=value``, as on the command line."""
    params_file: str | None = None
    """Path relative to the workspace."""
    budget_usd: float | None = None
    timeout_s: float | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Name to where its value comes from."""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """When it runs, in words."""
        return f"{in_words(read_cron(self.cron))} ({self.zone})"

    def read_cron(self) -> Cron:
        """Its expression."""
        return read_cron(self.cron)

    def with_secrets(self, sources: Mapping[str, str]) -> Schedule:
        """The same, with secrets that come from elsewhere."""
        return replace(self, secrets=dict(sources))

    def due_times(self) -> DueTimes:
        """When it is due."""
        return DueTimes(read_cron(self.cron), read_zone(self.zone))

    def start_of(self, due_at: datetime) -> datetime:
        """When a run begins that is due then: later by a part of the jitter that all schedulers reckon alike."""
        if not self.jitter_s:
            return due_at
        digest = hashlib.sha256(f"{self.name}\0{microseconds(due_at)}".encode()).digest()
        return due_at + timedelta(seconds=int.from_bytes(digest[:6], "big") / 2**48 * self.jitter_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A schedule, and how it stands."""

    schedule: Schedule
    row: ScheduleRow
    open: tuple[DueRow, ...]
    """Its due times that wait or run."""
    newest: DueRow | None
    """The last due time that was begun or left out."""


class ScheduleBook:
    """The schedules of a workspace, shared by all of its processes.

    Args:
        folder: The workspace.
        clock: Tells the time.
    """

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        self.folder = folder
        self.clock = clock or SystemClock()
        self.file = StateFile(folder, busy_s=BUSY_S)

    def add(self, schedule: Schedule) -> None:
        """Adds a schedule; its first due time is the next one from now.

        Raises:
            UsageError: If it cannot be used, or another has its name.
            StateError: If the state of the workspace cannot be written.
        """
        _check(schedule, self.folder)
        row = ScheduleRow(
            id=new_id(),
            name=schedule.name,
            about=orjson.dumps(schedule).decode(),
            paused=False,
            looked_us=microseconds(self.clock.now()),
        )
        if not self.file.transact(lambda connection: works.add(connection, row)):
            raise UsageError(
                f"There is a schedule {schedule.name!r} already.",
                hint=f"Give another --name, or remove it: orchestrate schedule remove {schedule.name}",
            )

    def listed(self) -> list[Listed]:
        """All schedules, by name.

        Raises:
            StateError: If the state of the workspace cannot be read.
            WorkspaceError: If a newer version of the package wrote one.
        """
        found = self.file.transact(
            lambda connection: [
                (row, works.open_rows(connection, row.id), works.newest(connection, row.id))
                for row in works.rows(connection)
            ]
        )
        return [
            Listed(schedule=_read(row), row=row, open=tuple(waiting), newest=newest) for row, waiting, newest in found
        ]

    def named(self, name: str) -> Listed:
        """One schedule.

        Raises:
            UsageError: If there is none of that name.
        """
        for each in self.listed():
            if each.schedule.name == name:
                return each
        raise self._unknown(name)

    def pause(self, name: str) -> None:
        """Lets no run of a schedule begin until it is resumed.

        Raises:
            UsageError: If there is none of that name.
        """
        if not self.file.transact(lambda connection: works.pause(connection, name)):
            raise self._unknown(name)

    def resume(self, name: str) -> None:
        """Lets a schedule go on from now.

        Raises:
            UsageError: If there is none of that name.
        """
        now_us = microseconds(self.clock.now())
        if not self.file.transact(lambda connection: works.resume(connection, name, now_us=now_us)):
            raise self._unknown(name)

    def remove(self, name: str) -> None:
        """Forgets a schedule; what runs is not stopped.

        Raises:
            UsageError: If there is none of that name.
        """
        if not self.file.transact(lambda connection: works.remove(connection, name)):
            raise self._unknown(name)

    def close(self) -> None:
        """Closes the file; a later use opens it again."""
        self.file.close()

    def _unknown(self, name: str) -> UsageError:
        names = ", ".join(each.schedule.name for each in self.listed())
        hint = f"There are {names}." if names else "`orchestrate schedule add NOTEBOOK --cron ...` makes one."
        return UsageError(f"There is no schedule {name!r}.", hint=hint)


def microseconds(moment: datetime) -> int:
    """A naive UTC moment as microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(microseconds: int) -> datetime:
    """The same, back."""
    return _EPOCH + timedelta(microseconds=microseconds)


def within(folder: Path, path: Path, what: str) -> str:
    """A file of the workspace, relative to it.

    Raises:
        UsageError: If it is not there, or lies elsewhere.
    """
    found = path.resolve()
    if not found.is_file():
        raise UsageError(f"There is no {what} {str(path)!r}.")
    if not found.is_relative_to(folder.resolve()):
        raise UsageError(
            f"The {what} {str(path)!r} is not in the workspace {folder}.",
            hint="A schedule runs what its own workspace holds: move it there, or add the schedule where it is.",
        )
    return str(found.relative_to(folder.resolve()))


def named_values(texts: list[str], flag: str) -> dict[str, str]:
    """``NAME=value`` texts as a mapping.

    Raises:
        UsageError: If one is not of that form; what stands behind its ``=`` is not repeated.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{flag} wants NAME=VALUE.", hint=f"Such as {flag} team=billing.")
        if name in found:
            raise UsageError(f"{flag} {name!r} is given twice.")
        found[name] = value
    return found


def _check(schedule: Schedule, folder: Path) -> None:
    if not _NAME.fullmatch(schedule.name):
        raise UsageError(
            f"{schedule.name!r} is no name of a schedule.",
            hint="Up to 63 letters, digits, dots, dashes and underscores, a letter or digit first.",
        )
    read_cron(schedule.cron)
    read_zone(schedule.zone)
    within(folder, folder / schedule.notebook, "notebook")
    home = find_workspace((folder / schedule.notebook).parent)
    if home != folder.resolve():
        raise UsageError(
            f"{schedule.notebook} belongs to the workspace {home}, not to {folder}.",
            hint=f"Add the schedule there: --workspace {home}",
        )
    _check_parameters(schedule, folder)
    for name, source in schedule.secrets.items():
        if not _VARIABLE.fullmatch(name):
            raise UsageError(f"{name!r} is no name of a secret.", hint="Letters, digits and underscores, as variables.")
        if not source.startswith(_SOURCES) or not source.partition(":")[2]:
            raise UsageError(
                f"The secret {name} is not given by reference.",
                hint="Say where its value comes from, never the value: env:VARIABLE, file:PATH, keyring:SERVICE/USER.",
            )


def _check_parameters(schedule: Schedule, folder: Path) -> None:
    """Refuses what the runner would refuse when it is due."""
    from orchestration_nb.pipelines.files import read_notebook  # noqa: PLC0415 - loads nbformat

    given: dict[str, Any] = {}
    if schedule.params_file is not None:
        within(folder, folder / schedule.params_file, "file of parameters")
        given |= read_file(folder / schedule.params_file)
    given |= {name: Typed(text) for name, text in named_values(list(schedule.parameters), "-p").items()}
    RunOptions(
        parameters=checked(declared(read_notebook(folder / schedule.notebook)), given),
        budget_usd=schedule.budget_usd,
        timeout_s=schedule.timeout_s,
        retries=schedule.retries,
        tags=schedule.tags,
    )


def _read(row: ScheduleRow) -> Schedule:
    try:
        return _read_text(row.about)
    except ValidationError:
        raise WorkspaceError(
            f"The schedule {row.name!r} cannot be read: another version of orchestration_nb wrote it.",
            hint=f"Update orchestration_nb, or remove it: orchestrate schedule remove {row.name}",
        ) from None


@lru_cache(maxsize=4096)
def _read_text(about: str) -> Schedule:
    return _adapter().validate_json(about)


@cache
def _adapter() -> TypeAdapter[Schedule]:
    return TypeAdapter(Schedule)  # takes milliseconds to make
