"""Whether the system killed a process of this control group because its memory ran out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_KILLS: Final = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_PLACES: Final = (("", "memory.events"), ("memory", "memory.oom_control"))
"""Version 2 of Linux's control groups, and version 1: the controllers' name, and the file that counts."""


class MemoryWatch:
    """Counts, from now on, the processes that were killed because the memory of this control group ran out.

    Args:
        of: The file that says to which control groups the process belongs.
        groups: Where the control groups are seen as folders.
    """

    def __init__(self, of: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")) -> None:
        self._files = _files(of, groups)
        self._before = self._kills()

    def ran_out(self) -> bool:
        """Whether one was killed since; false where the system does not tell."""
        return self._kills() > self._before

    def _kills(self) -> int:
        return sum(map(_count, self._files))


def _count(file: Path) -> int:
    try:
        found = _KILLS.search(file.read_text(encoding="ascii"))
    except OSError:
        return 0
    return int(found[1]) if found else 0


def _files(of: Path, groups: Path) -> list[Path]:
    try:
        lines = of.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []  # not Linux
    files = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for name, file in _PLACES:
            if name in controllers.split(","):
                inside = groups / name / path.strip("/") / file
                # Within a container, the group itself is what stands at the top.
                files.append(inside if inside.exists() else groups / name / file)
    return files
