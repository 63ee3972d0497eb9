from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from orchestration_nb.engine.loop import wait
from orchestration_nb.events import CircuitChanged, CircuitState
from orchestration_nb.notebook.standing import recorded_standing, standing_bundle, standing_of, standing_text
from orchestration_nb.state.batches import BatchRow, BatchStore
from orchestration_nb.workspace import Workspace

NOON = datetime.fromisoformat("2026-03-01T12:00:00")


@pytest.fixture
def house(workspace: Path) -> Workspace:
    return Workspace(workspace)


def changed(house: Workspace, state: CircuitState, second: int, reason: str = "60 % of 40 attempts failed") -> None:
    house.services.journal.write(
        CircuitChanged(
            model="sim/medium",
            state=state,
            failure_rate=0.6,
            attempts=40,
            reason=reason,
            changed_at=NOON.replace(second=second),
        )
    )


def hand_over(house: Workspace) -> None:
    batch = BatchRow(
        token="t1",
        provider="openai",
        model="openai/gpt-4.1",
        provider_id=None,
        status="submitting",
        owner=house.owners.me,
        size=2,
        created_at=NOON,
        waiting=2,
    )
    store = BatchStore(house.desk)
    wait(house.engine.submit(store.begin(batch, ["a", "b"])))
    wait(house.engine.submit(store.taken("t1", "batch_<7>")))


def test_of_a_quiet_workspace_there_is_nothing_to_say(house: Workspace) -> None:
    assert standing_of(house) == []
    assert recorded_standing(house) == []


def test_the_ledger_knows_the_last_change_of_each_circuit(house: Workspace) -> None:
    changed(house, "open", 1)
    changed(house, "half_open", 11, reason="")
    (table,) = recorded_standing(house)
    assert table.title == "Circuits, as they last changed"
    assert table.rows == [("sim/medium", "half-open", "60 % of 40", "", "2026-03-01 12:00:11 UTC")]


def test_a_batch_under_way_is_shown_and_escaped(house: Workspace) -> None:
    hand_over(house)
    (table,) = standing_of(house)
    assert table.rows == [
        ("openai/gpt-4.1", "2", "2", "at the provider", "2026-03-01 12:00:00 UTC", "batch_<7>"),
    ]
    assert recorded_standing(house) == [table]
    bundle = standing_bundle([table])
    assert "batch_&lt;7&gt;" in bundle["text/html"]
    assert "Batches\n\nmodel" in standing_text([table]) == bundle["text/plain"]
