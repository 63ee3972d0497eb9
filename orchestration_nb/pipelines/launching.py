"""How a due run comes to life: a process of its own, which runs only while the claim that began it holds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.errors import OrchestrationError, UsageError
from orchestration_nb.pipelines.outcome import EXIT_CODES
from orchestration_nb.pipelines.schedules import BUSY_S, Schedule, microseconds
from orchestration_nb.state import private_folder
from orchestration_nb.state import schedules as works
from orchestration_nb.state.owners import Owners
from orchestration_nb.state.store import StateFile

CLAIM: Final = "ORCHESTRATE_CLAIM"
"""Variable of the environment that tells the process of a run which claim it was begun for."""
LOGS: Final = "schedules"
"""Where the runs' own words are kept: a folder of ``.orchestrate/``."""
_STATUS_OF_CODE: Final = {code: status for status, code in EXIT_CODES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One run that is to be begun."""

    schedule: Schedule
    due_at: datetime
    """Naive UTC."""
    claim: str
    deaths: int
    """How many runs for this due time have vanished: if any did, the last one is gone on with."""


class Child(Protocol):
    """The process of a run."""

    def code(self) -> int | None:
        """Its exit code, negative where a signal killed it; ``None`` while it lives."""

    def cancel(self) -> None:
        """Asks it to cancel what is under way, to book it and to end."""


class Launcher(Protocol):
    """Begins runs."""

    def launch(self, start: Start) -> Child:
        """Begins one in a process of its own, without waiting for it.

        Raises:
            OrchestrationError: If it cannot be begun.
        """


class ProcessLauncher:
    """Begins each run as ``orchestrate run``, in a session of its own, so that it outlives its scheduler.

    Args:
        folder: The workspace.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def launch(self, start: Start) -> Child:
        """Begins one; what it says goes to a file of ``.orchestrate/schedules``."""
        log = log_file(self._folder, start.schedule.name, start.due_at)
        command = [sys.executable, "-m", "orchestration_nb.cli", *run_arguments(start.schedule, self._folder)]
        command += ["--due", start.due_at.replace(tzinfo=UTC).isoformat()]
        if start.deaths:
            command.append("--again")
        try:
            log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with log.open("ab") as out:
                process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                    command,
                    cwd=self._folder,
                    env={**os.environ, CLAIM: start.claim},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise OrchestrationError(f"{start.schedule.name} could not be begun: {error.strerror or error}.") from error
        return _Process(process)


class _Process:
    """A process that was begun here."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def code(self) -> int | None:
        """Its exit code."""
        return self._process.poll()

    def cancel(self) -> None:
        """Sends SIGTERM, which a headless run takes as the wish to cancel."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)


def run_arguments(schedule: Schedule, folder: Path | str, *, retries: bool = True) -> list[str]:
    """``run NOTEBOOK`` and its flags, as words.

    Args:
        schedule: What runs.
        folder: What its paths are relative to.
        retries: Whether the run itself tries again; else whoever begins it does.
    """
    words = ["run", f"{folder}/{schedule.notebook}", "--schedule", schedule.name]
    for parameter in schedule.parameters:
        words += ["-p", parameter]
    if schedule.params_file is not None:
        words += ["--params", f"{folder}/{schedule.params_file}"]
    if schedule.budget_usd is not None:  # all its digits: fewer would round it up, above what was asked
        words += ["--budget", f"{schedule.budget_usd:.15g}"]
    if schedule.timeout_s is not None:
        words += ["--timeout", f"{schedule.timeout_s:.15g}"]
    if retries and schedule.retries:
        words += ["--retries", str(schedule.retries)]
    for name, source in schedule.secrets.items():
        words += ["--secret", f"{name}={source}"]
    for name, value in schedule.tags.items():
        words += ["--tag", f"{name}={value}"]
    return words


def log_file(folder: Path, name: str, due_at: datetime) -> Path:
    """Where a run's own words are kept."""
    return private_folder(folder) / LOGS / f"{name}-{due_at:%Y%m%dT%H%M%S}.log"


def status_of_code(code: int) -> str:
    """How a run ended, by its exit code; what a shell makes of a signal included."""
    return "refused" if code == 2 else str(_STATUS_OF_CODE.get(code, "failed"))


class Enrolled:
    """A run that is known to the schedulers while it lives."""

    def __init__(self) -> None:
        self.status = "failed"
        """How it ended; said by whoever runs it."""


@contextmanager
def enrolled(
    folder: Path, environ: MutableMapping[str, str] = os.environ, clock: Clock | None = None
) -> Iterator[Enrolled]:
    """Holds a due time for this process while the block runs, and says at its end how it went.

    Where nobody has claimed anything (somebody runs the notebook by hand, or another engine does), it does nothing.

    Args:
        folder: The workspace.
        environ: Says which claim; it is taken out, so that nothing that is begun from here has it too.
        clock: Tells the time.

    Raises:
        UsageError: If the claim no longer holds: another process has taken the due time over.
        StateError: If the state of the workspace cannot be written.
    """
    claim, run, clock = environ.pop(CLAIM, None), Enrolled(), clock or SystemClock()
    if claim is None:
        yield run
        return
    file, owners = StateFile(folder, busy_s=BUSY_S), Owners(folder)
    try:
        token, now_us = owners.me, microseconds(clock.now())
        if file.transact(lambda connection: works.enrol(connection, claim, token=token, now_us=now_us)) is None:
            raise UsageError("This due time was taken over by another process: nothing was run.")
        try:
            yield run
        except UsageError:
            run.status = "refused"
            raise
        finally:
            now_us = microseconds(clock.now())
            file.transact(lambda connection: works.end(connection, claim, status=run.status, now_us=now_us))
    finally:
        owners.close()
        file.close()


def last_pipeline(folder: Path, schedule: str, due_at: datetime) -> tuple[str | None, int | None]:
    """The pipeline run that was begun last for a due time, by the ledger, and its exit code.

    It has one where it ended, and was killed before it could say so; one that failed or vanished is gone on with.
    """
    from orchestration_nb.ledger import Ledger  # noqa: PLC0415 - loads DuckDB and pandas

    ledger = Ledger(folder)
    if not ledger.is_begun():
        return None, None
    found = ledger.sql(
        "select pipeline_id, status from pipelines where schedule = $name and due_at = $due "
        "order by pipeline_id desc limit 1",
        {"name": schedule, "due": due_at},
    )
    if found.empty:
        return None, None
    codes = {str(status): code for status, code in EXIT_CODES.items() if status != "failed"}
    return str(found["pipeline_id"].iloc[0]), codes.get(str(found["status"].iloc[0]))
