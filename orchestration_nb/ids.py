"""Time-ordered ids: sorting by id sorts by time, over all processes of a workspace."""

from __future__ import annotations

import os
import threading
import time
from typing import NewType

RunId = NewType("RunId", str)
RequestId = NewType("RequestId", str)
CallId = NewType("CallId", str)
PipelineId = NewType("PipelineId", str)

_process = os.urandom(4).hex()
_making = threading.Lock()
_last = 0, int.from_bytes(os.urandom(2), "big")
"""Milliseconds and counter of the newest id; the counter goes on, so that the ends of ids differ as well."""


def _forget_parent() -> None:
    global _process, _making
    _process, _making = os.urandom(4).hex(), threading.Lock()


os.register_at_fork(after_in_child=_forget_parent)


def new_id() -> str:
    """A new id of 24 hexadecimal digits: milliseconds (12), a counter (4), the process (8).

    Those of one process are in the order in which they were made, also where the clock is set back or the counter
    begins anew: then the millisecond is the next one.
    """
    global _last  # noqa: PLW0603 - what makes the next one greater
    with _making:
        last_ms, count = _last
        now_ms, count = max(time.time_ns() // 1_000_000, last_ms), (count + 1) & 0xFFFF
        _last = (now_ms + 1 if count == 0 and now_ms == last_ms else now_ms), count
        return f"{_last[0]:012x}{count:04x}{_process}"
