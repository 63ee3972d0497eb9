"""Two headless runs side by side: what changed, and what difference it made on the items that both share."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration_nb import Workspace
from orchestration_nb.errors import UsageError
from orchestration_nb.lookback.diff import PipelineDiff, diff
from orchestration_nb.lookback.words import diff_sentences, diff_tables
from tests.lookback.conftest import RunIt


def compared(left: str, right: str) -> PipelineDiff:
    return diff(Workspace.current().ledger, left, right, workspace=Path.cwd())


def test_equal_runs_differ_in_nothing(run_it: RunIt) -> None:
    found = compared(run_it(), run_it())
    assert (found.cells, found.settings, found.models) == ((), (), ())
    by_measure = {one.measure: one for one in found.differences}
    assert by_measure["cost_usd"].difference == 0
    assert by_measure["cost_usd"].items == by_measure["cost_usd"].same_prompts == 12
    assert by_measure["quality"].difference == 0
    assert not by_measure["quality"].is_shown
    assert "Nothing differs" in diff_sentences(found)[1]


def test_another_model_is_said_with_its_price_and_what_it_costs_more(run_it: RunIt) -> None:
    found = compared(run_it(), run_it(model="strong", facts={"parameters": {"limit": "50"}}))
    assert [(one.name, one.left, one.right) for one in found.settings] == [("parameter limit", "", "50")]
    assert [one.name for one in found.models] == ["sim/small (simulated)", "sim/large (simulated)"]
    assert found.models[1].left == ""
    assert found.models[1].right.startswith("$3 / $15 per million")
    cost = next(one for one in found.differences if one.measure == "cost_usd")
    assert cost.is_shown
    assert cost.low is not None
    assert 0 < cost.low <= cost.difference == pytest.approx(cost.right - cost.left)
    calls = Workspace.current().ledger.sql(
        """select r.pipeline_id, sum(c.cost_usd) / 12 as usd
           from calls c join runs r using (run_id) group by 1 order by 1"""
    )
    assert [cost.left, cost.right] == pytest.approx(calls.usd.tolist())
    assert any("cost of an item" in line and "12 items" in line for line in diff_sentences(found))


def test_a_changed_cell_shows_its_lines(run_it: RunIt) -> None:
    found = compared(run_it(last="print('a')\nprint('b')"), run_it(last="print('a')\nprint('c')"))
    [cell] = found.cells
    assert (cell.what, cell.left, cell.right) == ("changed", 3, 3)
    assert cell.lines == (" print('a')", "-print('b')", "+print('c')")
    [table] = [table for table in diff_tables(found) if table.title == "Cells"]
    assert table.rows == (("3", "changed", " print('a')\n-print('b')\n+print('c')"),)


def test_runs_without_scores_have_no_difference_of_quality(run_it: RunIt) -> None:
    found = compared(run_it(score=None), run_it())
    assert {one.measure for one in found.differences} == {"cost_usd", "latency_ms"}


def test_runs_that_share_no_item_have_no_pairs(run_it: RunIt) -> None:
    found = compared(run_it(), run_it(flow="other"))
    assert found.differences == ()
    assert any("share no item" in line for line in diff_sentences(found))
    assert ("items of triage", "12", "") in [(one.name, one.left, one.right) for one in found.settings]


@pytest.mark.usefixtures("workspace")
def test_a_run_that_is_not_there_is_said() -> None:
    with pytest.raises(UsageError, match="no headless run 'nothing'"):
        compared("nothing", "last")
