"""Of all processes, one tells of a budget in a period."""

from __future__ import annotations

from pathlib import Path

from orchestration_nb.state.burns import claim
from orchestration_nb.state.store import StateFile
from tests.state.files import written


def test_the_first_tells_and_no_other(tmp_path: Path) -> None:
    one, other = StateFile(tmp_path), StateFile(tmp_path)
    asked = [("month", "2026-11-01"), ("month", "2026-11-01"), ("month", "2026-12-01"), ("day", "2026-11-01")]
    answers = [written(file, lambda connection, a=a: claim(connection, *a)) for a in asked for file in (one, other)]  # type: ignore[misc]
    assert answers == [True, False, False, False, True, False, True, False]
