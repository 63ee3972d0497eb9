"""``%orchestrate dashboard``: the widgets follow the ledger, the static outputs say the same, names stay data."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from orchestration_nb.cli import app
from orchestration_nb.ledger import JournalFile, Scope
from orchestration_nb.notebook.ledger_dashboard import Dashboard
from orchestration_nb.notebook.ledger_figure import SLOTS, TRACES_OF_A_GROUP, ledger_figure
from orchestration_nb.notebook.ledger_page import dashboard_page, static_bundle, static_figure
from orchestration_nb.notebook.waterfall import trace_sentence, waterfall
from tests.ledger import happened
from tests.notebook.ledger_days import HOSTILE, MODELS, NOW, days
from tests.notebook.shell import Shell


class TestFigure:
    def test_each_group_has_its_lines(self, tmp_path: Path) -> None:
        figure = ledger_figure(days(tmp_path).metrics(Scope()))
        assert len(figure["data"]) == len(MODELS) * TRACES_OF_A_GROUP
        bars = [trace for trace in figure["data"] if trace["type"] == "bar"]
        assert [sum(trace["y"]) for trace in bars] == [15.0, 9.0, 3.0]
        shown = [trace for trace in figure["data"] if trace.get("xaxis") == "x2" and trace["visible"]]
        assert [trace["name"].rpartition(", ")[2] for trace in shown] == ["p95 latency"] * 3

    def test_it_can_be_read_without_colour(self, tmp_path: Path) -> None:
        data = ledger_figure(days(tmp_path).metrics(Scope()))["data"]
        lines = [trace for trace in data if trace.get("xaxis") == "x3"]
        assert len({trace["line"]["dash"] for trace in lines}) == len({t["marker"]["symbol"] for t in lines}) == 3
        bars = [trace for trace in data if trace["type"] == "bar"]
        assert len({trace["marker"]["pattern"]["shape"] for trace in bars}) == 3

    def test_names_are_data(self, tmp_path: Path) -> None:
        ledger = days(tmp_path)
        request = ledger.requests(ledger.metrics(Scope()).runs["run_id"][0])["request_id"][0]
        for figure in (static_figure(ledger.metrics(Scope())), waterfall(ledger.trace(request))):
            text = json.dumps(figure)
            assert "<img" not in text
            assert "$" not in text

    def test_simulated_is_said(self, tmp_path: Path) -> None:
        metrics = days(tmp_path, simulated=True).metrics(Scope())
        titles = [one["text"] for one in ledger_figure(metrics)["layout"]["annotations"]]
        assert titles[0].startswith("Cost, simulated, no money")
        assert all("simulated" in title for title in titles)
        bundle = static_bundle(metrics)
        assert "$27.00 (simulated, no money)" in bundle["text/plain"]
        assert '<span class="chip sim">' in bundle["text/html"]


class TestPage:
    def test_it_holds_all_and_lets_nothing_run_but_its_two_scripts(self, tmp_path: Path) -> None:
        text = dashboard_page(days(tmp_path), Scope())
        assert "default-src 'none'" in text
        assert "<img src=x" not in text
        assert "</script><img" not in text
        # What plotly's own script says it could load is kept from it by the policy.
        assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", text.split("<script>")[0])
        held = json.loads(re.search(r'id="held">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
        assert list(held["lines"]["figures"]) == ["model", "step", "flow", "strategy", "all"]
        assert len(held["request"]["figures"]) == 18

    def test_an_empty_ledger_has_a_page_too(self, tmp_path: Path) -> None:
        JournalFile(tmp_path).close()
        from orchestration_nb.ledger import Ledger

        assert "No call was made in the last 30 days" in dashboard_page(Ledger(tmp_path), Scope())

    def test_the_command_line_writes_it(self, workspace: Path) -> None:
        days(workspace)
        done = CliRunner().invoke(app, ["dashboard", "--html", "ledger.html", "--by", "step"])
        assert done.exit_code == 0, done.output
        assert "ledger.html is written" in done.output
        assert (workspace / "ledger.html").stat().st_size > 1_000_000


class TestWidget:
    def test_a_refresh_draws_what_is_new_and_says_what_it_took(self, tmp_path: Path) -> None:
        board = Dashboard(days(tmp_path), Scope())
        assert len(board.figure.data) == SLOTS * TRACES_OF_A_GROUP
        board.refresh()
        before = sum(board.figure.data[0].y)
        journal = JournalFile(tmp_path)
        journal.write(happened.call("x", model=HOSTILE, started_at=NOW, billed_usd=7.0))
        journal.close()
        board.again.click()
        assert sum(board.figure.data[0].y) == before + 7.0
        assert re.search(r"Refreshed \d\d:\d\d:\d\d UTC in \d+\.\d\d s \(ledger", board.said.value)
        assert "$34.00 spent" in board.head.value

    def test_controls_choose(self, tmp_path: Path) -> None:
        board = Dashboard(days(tmp_path), Scope())
        board.refresh()
        board.by.value = "flow"
        assert [bool(trace.visible) for trace in board.figure.data[::TRACES_OF_A_GROUP]] == [True] + [False] * 8
        board.percentile.value = "p99"
        assert [bool(board.figure.data[place].visible) for place in (1, 2, 3)] == [False, False, True]
        board.refresh()
        assert [bool(board.figure.data[place].visible) for place in (1, 2, 3)] == [False, False, True]
        board.kind.value = "simulated"
        assert "No simulated call was made" in board.head.value

    def test_a_run_and_a_request_open(self, tmp_path: Path) -> None:
        board = Dashboard(days(tmp_path), Scope())
        board.refresh()
        board.runs.value = board.runs.options[1][1]
        assert "0000000000000005" in board.run.value
        assert len(board.requests.options) == 3
        board.requests.value = board.requests.options[0][1]
        (fall,) = board.waterfall.children
        assert [len(trace.x) for trace in fall.data] == [0, 1, 1, 1, 0]
        assert "1 call, 2 attempts" in board.request.value
        board.refresh()
        assert board.runs.value == board.runs.options[1][1], "a refresh keeps what was chosen"

    def test_a_sentence_of_a_request(self, tmp_path: Path) -> None:
        ledger = days(tmp_path, simulated=True)
        request = ledger.requests(ledger.metrics(Scope()).runs["run_id"][0])["request_id"][0]
        assert "simulated, no money" in trace_sentence(ledger.trace(request))


def test_in_a_plain_shell_there_is_a_table(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run("%%orchestrate triage --over tickets\ntopic = llm(body)")
    _, out = shell.run("%orchestrate dashboard by step")
    (shown,) = out.outputs
    assert "30 simulated calls" in shown.data["text/plain"]
    assert "topic" in shown.data["text/plain"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("dashboard by modle", "cannot be told apart by 'modle'"),
        ("dashboard by", "cannot be told apart"),
        ("dashboard --kind both", "--kind is `real` or `simulated`"),
        ("dashboard --html no/such/folder.html", "cannot be written"),
    ],
)
def test_mistakes_are_one_line(shell: Shell, line: str, said: str) -> None:
    result, out = shell.run(f"%orchestrate {line}")
    assert not result.success
    assert said in out.stdout
    assert "Traceback" not in out.stdout
