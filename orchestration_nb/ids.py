"""Time-ordered ids: sorting by id sorts by time, over all processes of a workspace."""

from __future__ import annotations

import itertools
import os
import time
from typing import NewType

RunId = NewType("RunId", str)
RequestId = NewType("RequestId", str)
CallId = NewType("CallId", str)
PipelineId = NewType("PipelineId", str)

_count = itertools.count(int.from_bytes(os.urandom(2), "big"))
_process = os.urandom(4).hex()


def _forget_parent() -> None:
    global _process  # noqa: PLW0603 - a forked child must not write its parent's ids
    _process = os.urandom(4).hex()


os.register_at_fork(after_in_child=_forget_parent)


def new_id() -> str:
    """A new id of 24 hexadecimal digits: milliseconds (12), a counter (4), the process (8).

    Two ids of one process in one millisecond keep their order, except where the counter wraps; they are unique up to
    65,536 a millisecond.
    """
    return f"{time.time_ns() // 1_000_000:012x}{next(_count) & 0xFFFF:04x}{_process}"
