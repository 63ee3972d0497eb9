"""How much memory a process has had."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_mb() -> int:
    """The most that this process has had.

    Linux's ``getrusage`` begins with the peak of the process that started this one, such as a whole test session's.
    """
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 1024)
