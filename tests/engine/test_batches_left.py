"""What a run says of batches that it waits for."""

from __future__ import annotations

from datetime import datetime

import pytest

from orchestration_nb.engine.batches_left import Waiting, what_it_waits_for

NOW = datetime.fromisoformat("2026-03-01T15:00:00")
NOON, YESTERDAY = NOW.replace(hour=12, minute=3), datetime.fromisoformat("2026-02-28T23:59:00")


@pytest.mark.parametrize(
    ("waiting", "gathered", "told"),
    [
        ([], 0, ""),
        (
            [Waiting("sim", 300, NOON)],
            0,
            (
                "1 batch of 300 calls is under way at sim since 12:03 UTC; interrupting leaves it, the same cell joins "
                "it again"
            ),
        ),
        (
            [Waiting("openai", 1000, NOON), Waiting("anthropic", 1, YESTERDAY)],
            0,
            (
                "2 batches of 1,001 calls are under way at anthropic, openai since 2026-02-28 23:59 UTC; interrupting "
                "leaves them, the same cell joins them again"
            ),
        ),
        ([Waiting("sim", 1, None)], 0, "a batch of 1 call is being handed over to sim"),
        ([Waiting("sim", 0, None)], 0, ""),
        ([], 1, "1 call is gathered for a batch"),
        (
            [Waiting("sim", 2, NOON)],
            25,
            (
                "1 batch of 2 calls is under way at sim since 12:03 UTC; interrupting leaves it, the same cell joins "
                "it again; 25 calls are gathered for a batch"
            ),
        ),
    ],
)
def test_while_it_waits(waiting: list[Waiting], gathered: int, told: str) -> None:
    assert what_it_waits_for(waiting, gathered, now=NOW) == told
