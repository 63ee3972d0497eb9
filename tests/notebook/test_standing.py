from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from orchestration_nb.engine.loop import wait
from orchestration_nb.events import CircuitChanged, CircuitState
from orchestration_nb.flows import Flow
from orchestration_nb.notebook.standing import bar, recorded_standing, standing_bundle, standing_of, standing_text
from orchestration_nb.pages.figures import usd
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
        token="t1" * 12,
        provider="openai",
        model="openai/gpt-4.1",
        provider_id=None,
        status="submitting",
        owner=house.owners.me,
        size=2,
        created_at=NOON,
        waiting=2,
        run_id="0193f00aa55e",
        flow="triage",
    )
    store = BatchStore(house.desk)
    wait(house.engine.submit(store.begin(batch, ["a", "b"])))
    wait(house.engine.submit(store.taken("t1" * 12, "batch_<7>")))


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
        (
            *("t1t1t1t1", "openai/gpt-4.1", "2", "2", "triage", "0193f00aa55e", "at the provider"),
            *("2026-03-01 12:00:00 UTC", "batch_<7>"),
        ),
    ]
    assert recorded_standing(house) == [table]
    bundle = standing_bundle([table])
    assert "batch_&lt;7&gt;" in bundle["text/html"]
    assert "Batches\n\nbatch" in standing_text([table]) == bundle["text/plain"]


def test_budgets_and_quotas_stand_with_a_bar_and_their_period(workspace: Path) -> None:
    (workspace / "orchestrate.toml").write_text(
        "[sim]\nlatency_scale = 0\n"
        "[budgets.month]\nusd = 0.001\nperiod = 'month'\nreached = 'alert'\n"
        "[quotas.each-user]\nrequests = 50\nper = 'user'\n"
    )
    house = Workspace(workspace)
    flow = Flow.from_source("topic = llm(f'What is it? {body}', max_tokens=20)", name="triage", workspace=house)
    run = flow.map([{"body": f"a bill of {number} dollars"} for number in range(25)])
    spent_usd = run.progress.billed_usd
    for tables in (standing_of(house), recorded_standing(Workspace(workspace))):
        (table,) = [table for table in tables if table.title == "Budgets and quotas"]
        rows = {row[0]: row for row in table.rows}
        month, user = rows["month"], rows[f"each-user ({house.user})"]
        assert month[1:4] == (usd(spent_usd), "$0.0010", "")
        assert month[4] == bar(spent_usd / 0.001)
        assert month[5].endswith("-01 00:00 UTC")
        assert month[6] == "alert"
        assert user[1:5] == ("25 requests", "50 requests", "", "██████░░░░░░ 50 %")
        assert user[5] == "never"


@pytest.mark.parametrize(
    ("share", "drawn"),
    [(0, "░░░░░░░░░░░░ 0 %"), (0.004, "░░░░░░░░░░░░ 0 %"), (1, "████████████ 100 %"), (8.4, "████████████ 840 %")],
)
def test_a_bar_never_leaves_its_place(share: float, drawn: str) -> None:
    assert bar(share) == drawn
