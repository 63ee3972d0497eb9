"""``ledger.duckdb``: opened for moments only, brought up to date, and set aside when it is damaged.

A handle that stays open would lock every other process out. So whoever writes holds the lock file alone and opens the
file for one merge; whoever reads shares the lock and opens it for one query.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration_nb.errors import LedgerDamagedError, LedgerNewerError, WorkspaceError
from orchestration_nb.ledger.schema import MIGRATIONS

if TYPE_CHECKING:
    import duckdb

FILE_NAME = "ledger.duckdb"
_POLL_S = 0.02
_OFFLINE = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}
_WRITING = {**_OFFLINE, "threads": "1", "memory_limit": "1GB"}  # batches are small: more threads only cost memory
_CLOSED = {**_OFFLINE, "enable_external_access": "false"}
_QUIET = ("set enable_progress_bar = false",)  # of a query that takes long, it would stand among rows in a pipe
_HARDENING = (
    "set global TimeZone = 'UTC'",
    "set disabled_filesystems = 'LocalFileSystem'",  # a query could still read the ledger's own file
    "set lock_configuration = true",
)


_BUSY = ("Could not set lock", "different configuration")
_DAMAGE = ("not a valid DuckDB", "Corrupt database", "checksum", "Could not read enough bytes")


def create(path: Path, *, limit_s: float) -> None:
    """Makes an empty ledger, whole or not at all, so that a process killed meanwhile leaves no damaged one."""
    new = _blank(path)
    with writing(new, limit_s=limit_s):
        pass
    _wal(path).unlink(missing_ok=True)
    new.replace(path)


def rewrite(path: Path, *, limit_s: float) -> None:
    """Writes the ledger anew, without what was deleted from it. Call it with the lock held alone.

    Put off where a part of it is not in its file yet, which closing it should have brought there.

    Raises:
        WorkspaceError: If the disk has no room for a second file; the first is then as it was.
    """
    if _wal(path).exists():
        return
    new = _blank(path)
    with _open(new, read_only=False, limit_s=limit_s) as connection, _understood(path, statements=False):
        connection.execute(f'attach {quoted(path)} as "old" (read_only)')
        connection.execute('copy from database "old" to "new"')
    new.replace(path)


def quoted(path: Path) -> str:
    """A path as a literal of SQL, for statements that take no bound values."""
    return "'" + str(path).replace("'", "''") + "'"


def _blank(path: Path) -> Path:
    """The name of a new file beside the ledger, nothing of which is there."""
    new = path.with_name("new.duckdb")
    new.unlink(missing_ok=True)
    _wal(new).unlink(missing_ok=True)
    return new


def _wal(path: Path) -> Path:
    """The file in which DuckDB keeps what is committed and not yet in the file ``path``."""
    return path.with_name(path.name + ".wal")


@contextmanager
def writing(path: Path, *, limit_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """The ledger, brought to the newest schema, to write while the block runs. Call it with the lock held alone.

    Args:
        path: The file, made where it is missing.
        limit_s: The most seconds to wait for a program that holds the file open.

    Raises:
        LedgerNewerError: If a newer version wrote it; it is left as it is.
        LedgerDamagedError: If it cannot be read.
        WorkspaceError: If it cannot be opened or written for another reason.
    """
    with _open(path, read_only=False, limit_s=limit_s) as connection:
        with _understood(path, statements=False):
            _migrate(connection, path)
        with _understood(path, statements=False):
            yield connection


@contextmanager
def reading(path: Path, *, limit_s: float, files: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """The ledger, to read while the block runs. Call it with the lock shared.

    Args:
        path: The file, which must be there.
        limit_s: The most seconds to wait for a program that holds the file open.
        files: Whether statements may reach files: for our own only, never for a user's.

    Raises:
        LedgerNewerError: If a newer version wrote it.
        LedgerDamagedError: If it cannot be read.
        WorkspaceError: If it cannot be opened for another reason.
    """
    with _open(path, read_only=True, limit_s=limit_s, files=files) as connection:
        with _understood(path):
            _refuse_newer(_version(connection), path)
        with _understood(path):
            yield connection


def set_aside(path: Path, now: datetime) -> Path:
    """Renames a damaged ledger, and what belongs to it, so that a new one can be made.

    Returns:
        Where it is now.
    """
    aside = path.with_name(f"ledger.damaged-{now:%Y%m%dT%H%M%S%f}.duckdb")
    if _wal(path).exists():
        _wal(path).rename(_wal(aside))
    if path.exists():
        path.rename(aside)
    return aside


@contextmanager
def _open(path: Path, *, read_only: bool, limit_s: float, files: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    config = _WRITING if not read_only else _OFFLINE if files else _CLOSED
    connection = _connect(path, read_only=read_only, limit_s=limit_s, config=config)
    try:
        _set(connection, _QUIET)
        if config is _CLOSED:
            _set(connection, _HARDENING)
        yield connection
    finally:
        connection.close()


def _connect(path: Path, *, read_only: bool, limit_s: float, config: Mapping[str, str]) -> duckdb.DuckDBPyConnection:
    import duckdb  # noqa: PLC0415

    waited_s = 0.0
    while True:
        try:
            with _understood(path):
                return duckdb.connect(str(path), read_only=read_only, config=dict(config))
        except _BusyError as error:
            if waited_s >= limit_s:
                raise WorkspaceError(
                    f"Another program has held {path} open for {limit_s:g} seconds.",
                    hint="Close it there (a DuckDB shell, another notebook's duckdb.connect), and ask again.",
                ) from error
        time.sleep(_POLL_S)
        waited_s += _POLL_S


def _set(connection: duckdb.DuckDBPyConnection, statements: Sequence[str]) -> None:
    import duckdb  # noqa: PLC0415

    for statement in statements:
        try:
            connection.execute(statement)
        except duckdb.InvalidInputException as error:
            if "has been locked" not in str(error):  # another thread shares the file with us, and has done it
                raise


def _version(connection: duckdb.DuckDBPyConnection) -> int:
    import duckdb  # noqa: PLC0415

    try:
        return int(connection.execute("select max(version) from ledger_version").fetchall()[0][0])
    except duckdb.CatalogException:  # asking for the names of the tables first takes twenty times as long
        return 0


def _refuse_newer(version: int, path: Path) -> None:
    if version > len(MIGRATIONS):
        raise LedgerNewerError(
            f"{path} has schema version {version}; this version of orchestration_nb knows up to {len(MIGRATIONS)}.",
            hint="Update orchestration_nb. The ledger was left as it is.",
        )


def _migrate(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    version = _version(connection)
    _refuse_newer(version, path)
    if version == len(MIGRATIONS):
        return
    connection.execute("begin")
    if version == 0:
        connection.execute("create table ledger_version (version bigint not null)")
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute(script)
        connection.execute("insert into ledger_version values (?)", [number])
    connection.execute("commit")


class _BusyError(Exception):
    """Another program holds the file."""


@contextmanager
def _understood(path: Path, *, statements: bool = True) -> Iterator[None]:
    """Turns what DuckDB says about the file into our errors; what it says about a user's statement passes."""
    import duckdb  # noqa: PLC0415

    try:
        yield
    except duckdb.Error as error:
        text = str(error).splitlines()[0]
        if any(sign in text for sign in _BUSY):
            raise _BusyError(text) from error
        if "version number" in text and isinstance(error, duckdb.IOException):
            raise LedgerNewerError(
                f"{path} was written by another version of DuckDB: {text}.",
                hint="Update duckdb. The ledger was left as it is.",
            ) from error
        # A query that raises such a text by error() has a type of its own.
        if type(error) in {duckdb.Error, duckdb.IOException} and any(sign in text for sign in _DAMAGE):
            raise LedgerDamagedError(f"{path} is damaged: {text}.") from error
        if isinstance(error, duckdb.SerializationException | duckdb.FatalException):
            raise LedgerDamagedError(f"{path} is damaged: {text}.") from error
        if isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException) or not statements:
            raise WorkspaceError(f"{path} cannot be read or written: {text}.") from error
        raise
