"""The files of the journal: those that are still to be merged, and those that were.

A file whose process has ended and whose last line is merged moves to ``journal/merged/``, where no merge looks for
news. It is kept, as it is, so that a damaged ledger can be made anew from the journal alone; retention deletes it when
its last line is too old.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestration_nb.ledger.journal import is_held

SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the journal, as it stands now."""

    path: Path
    held: bool
    """Whether a living process writes it; looked up before the size."""
    size: int

    @property
    def name(self) -> str:
        """The file's name, under which the ledger knows it."""
        return self.path.name


def open_segments(journal: Path) -> list[Segment]:
    """The files that may hold something new, in the order in which a process wrote its own."""
    paths = sorted(journal.glob(f"*{SUFFIX}"), key=lambda path: (len(path.name), path.name))
    return [segment for segment in map(_look_at, paths) if segment.size]


def merged_segments(journal: Path) -> Iterator[Path]:
    """The files that were merged to the end."""
    return (journal / "merged").glob(f"*{SUFFIX}")


def put_away(path: Path) -> None:
    """Moves a file that was merged to the end."""
    folder = path.parent / "merged"
    folder.mkdir(mode=0o700, exist_ok=True)
    path.rename(folder / path.name)


def bring_back(journal: Path) -> None:
    """Moves all merged files back, to be merged into a new ledger."""
    for path in list(merged_segments(journal)):
        path.rename(journal / path.name)


def _look_at(path: Path) -> Segment:
    try:
        if path.stat().st_size == 0:  # its process has made it and not yet locked it
            return Segment(path, held=True, size=0)
        held = is_held(path)  # before the size: what nobody holds does not grow any more
        return Segment(path, held, path.stat().st_size)
    except FileNotFoundError:  # another process has just put it away
        return Segment(path, held=False, size=0)
