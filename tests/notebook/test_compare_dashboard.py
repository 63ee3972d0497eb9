"""The dashboard's widgets without a browser: what they hold, and what a click, a slice and a mark do to them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.calls import Ask, Reply, Request
from orchestration_nb.comparing.compare import compare
from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.flows import Flow
from orchestration_nb.notebook.compare_dashboard import Dashboard
from orchestration_nb.testing import FakeProvider, ManualClock, fake_workspace

ITEMS = 20


async def second(request: Request, ask: Ask) -> Reply:
    return await ask("fast", sample=1)


@pytest.fixture
def compared(tmp_path: Path) -> Comparison:
    provider = FakeProvider(lambda request: "yes" if request.prompt.endswith(("1", "2", "3")) else "no")
    flow = Flow.from_source("reply = llm(word)", name="quiz", workspace=fake_workspace(tmp_path, provider))
    table = pd.DataFrame({"word": [f"w{n}" for n in range(ITEMS)], "gold": "yes", "kind": ["a", "b"] * (ITEMS // 2)})
    return compare(flow, over=table, strategies=[second, "fast"], scorer="reply=exact:gold", slices="kind")


@pytest.fixture
def dashboard(compared: Comparison) -> Dashboard:
    return Dashboard(compared, ManualClock())


def test_it_holds_the_figure_the_table_and_the_items(dashboard: Dashboard) -> None:
    head, _, figure, table, told, items = dashboard.whole.children
    assert "quiz: strategies compared" in head.value
    assert list(figure.data[0].customdata) == ["second", "fast"]
    assert "<table" in table.value
    assert "no real money was spent" in told.value
    assert len(items.rows["rows"]) == ITEMS


def test_a_click_on_a_point_lists_its_items_each_time(dashboard: Dashboard) -> None:
    figure, items = dashboard.whole.children[2], dashboard.whole.children[5]
    seen: list[Any] = []
    items.observe(lambda change: seen.append(change["new"]["at"]), names="focus")
    for _ in range(2):
        dashboard._clicked(figure.data[0], SimpleNamespace(point_inds=[1]), None)
    assert seen == [1, 1]


def test_a_slice_is_drawn_alone(dashboard: Dashboard) -> None:
    figure, items = dashboard.whole.children[2], dashboard.whole.children[5]
    dashboard._slices.value = 2
    assert figure.layout.title.text.endswith(f" {ITEMS // 2} items")
    assert "A slice is shown without verdicts" in dashboard.whole.children[4].value
    assert items.slice == "b"
    assert figure.data[0].y[0] == 40.0
    dashboard._slices.value = 0
    assert items.slice == ""
    assert figure.data[0].y[0] == 30.0


def test_what_the_browser_asks_for_is_sent(dashboard: Dashboard) -> None:
    items = dashboard.whole.children[5]
    dashboard._items._heard(None, {"kind": "open", "item": 3}, None)
    assert items.detail["prompt"] == "w3"


def test_a_mark_is_kept_and_one_that_cannot_be_is_told(dashboard: Dashboard, compared: Comparison) -> None:
    items = dashboard.whole.children[5]
    dashboard._items._heard(None, {"kind": "mark", "item": 3, "left": 0, "right": 1, "mark": "better"}, None)
    assert items.marks == [{"item": 3, "strategy": "second", "versus": "fast", "mark": "better"}]
    rows = compared._running.workspace.ledger.sql("from scores where scored_by = 'person'")
    assert rows.label.tolist() == ["better"]
    dashboard._items._heard(None, {"kind": "mark", "item": 99, "left": 0, "right": 1, "mark": "same"}, None)
    assert "to item 99" in dashboard.whole.children[4].value
    assert len(items.marks) == 1


def test_it_is_drawn_again_only_when_something_came_and_time_passed(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(dashboard, "_draw", lambda: drawn.append(1))
    dashboard.refresh()
    assert drawn == []
    dashboard.settle()
    assert drawn == [1]
