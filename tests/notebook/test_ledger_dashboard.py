"""``%orchestrate dashboard``: the widgets follow the ledger, the static outputs say the same, names stay data."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from typer.testing import CliRunner

from orchestration_nb.cli import app
from orchestration_nb.ledger import JournalFile, Ledger, Scope
from orchestration_nb.notebook.ledger_dashboard import LOOK_S, SELDOM_S, Dashboard
from orchestration_nb.notebook.ledger_figure import SLOTS, TRACES_OF_A_GROUP, ledger_figure
from orchestration_nb.notebook.ledger_magic import start_following
from orchestration_nb.notebook.ledger_page import dashboard_page, saved_bundles, static_bundle, static_figure
from orchestration_nb.notebook.ledger_svg import svg
from orchestration_nb.notebook.waterfall import trace_sentence, waterfall
from orchestration_nb.testing import ManualClock, settle
from tests.ledger import happened
from tests.notebook.ledger_days import HOSTILE, MODELS, NOW, days
from tests.notebook.shell import Shell

SVG = "{http://www.w3.org/2000/svg}"
TIMED = re.compile(r"Drawn \d\d \w{3} \d\d:\d\d:\d\d UTC in \d+\.\d\d s \(ledger \d+\.\d\d s\)")


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
        bundle = static_bundle(metrics, "Drawn just now.")
        assert "Drawn just now." in bundle["text/html"]
        assert "$27.00 (simulated, no money)" in bundle["text/plain"]
        assert '<span class="chip sim">' in bundle["text/html"]


class TestKept:
    def test_the_picture_shows_what_the_figure_shows(self, tmp_path: Path) -> None:
        metrics = days(tmp_path).metrics(Scope())
        picture = ET.fromstring(svg(ledger_figure(metrics)))
        boxes = [one for one in picture.iter(f"{SVG}rect") if not one.get("fill", "").startswith("url")]
        bars = [one for one in boxes if float(one.get("height", "0")) != 11]
        assert len(bars) == 18, "a bar for each model and day"
        heights = [sum(float(bar.get("height", "0")) for bar in bars[place : place + 6]) for place in (0, 6, 12)]
        assert heights == pytest.approx([heights[2] * 5, heights[2] * 3, heights[2]], rel=0.02), "15, 9 and 3 dollars"
        lines = [one for one in picture.iter(f"{SVG}path") if one.get("stroke-width") == "1.5"]
        assert len(lines) == 3 * 3, "latency, errors and cache hits of each model"
        assert len({line.get("stroke-dasharray") for line in lines}) == 3
        words = [text.text or "" for text in picture.iter(f"{SVG}text")]
        assert any("● </script><img" in word for word in words), "a name is text"
        assert any(word.startswith("Spent, each") for word in words)

    def test_a_saved_notebook_has_figure_tables_and_time(self, tmp_path: Path) -> None:
        metrics = days(tmp_path).metrics(Scope())
        tables, figure = saved_bundles(metrics, "Drawn just now.")
        assert tables["text/html"].startswith('<div class="onb-saved">')
        assert "Drawn just now." in tables["text/html"]
        assert "Drawn just now." in tables["text/plain"]
        assert set(figure) == {"application/vnd.plotly.v1+json", "image/svg+xml", "text/plain"}

    def test_an_empty_ledger_has_a_picture_too(self, tmp_path: Path) -> None:
        JournalFile(tmp_path).close()
        ET.fromstring(svg(ledger_figure(Ledger(tmp_path).metrics(Scope()))))


class TestPage:
    def test_it_holds_all_and_lets_nothing_run_but_its_two_scripts(self, tmp_path: Path) -> None:
        text = dashboard_page(days(tmp_path), Scope())
        assert TIMED.search(text), "what drawing took"
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
        assert sum(board.figure.get_state()["_widget_data"][0]["y"]) == before + 7.0, "for pages that are opened later"
        assert TIMED.search(board.said.value)
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
        assert board.requests.widget.layout.display == "none"
        board.runs.open(board.runs.ids[1])
        assert "0000000000000005" in board.run.value
        assert board.requests.widget.layout.display == ""
        assert len(board.requests.ids) == 3
        board.requests.open(board.requests.ids[0])
        (fall,) = board.waterfall.children
        assert [len(trace.x) for trace in fall.data] == [0, 1, 1, 1, 0]
        assert "1 call, 2 attempts" in board.request.value
        board.refresh()
        assert board.runs.chosen == board.runs.ids[1], "a refresh keeps what was chosen"
        board.runs.open("")
        assert (board.run.value, board.requests.ids, board.waterfall.children) == ("", [], ())

    async def test_it_follows_what_is_journalled(self, tmp_path: Path) -> None:
        clock, journal = ManualClock(), JournalFile(tmp_path)
        board = Dashboard(Ledger(tmp_path, clock=clock), Scope(), clock)
        following = asyncio.create_task(board.follow())
        journal.write(happened.run_started("r" * 16, started_at=clock.now()))
        journal.write(happened.call("r" * 16, started_at=clock.now()))
        await seen(clock, lambda: "1 call in" in board.head.value)
        assert "A run goes on, which this follows." in board.said.value
        assert board.runs.widget.rows[0][1][2] == "running"
        board.runs.open(board.runs.ids[0])
        assert ">running<" in board.run.value
        before = board.said.value
        await clock.advance(SELDOM_S)
        assert board.said.value == before, "nothing was journalled, nothing is read"
        journal.write(happened.run_finished("r" * 16, finished_at=clock.now()))
        journal.close()
        await seen(clock, lambda: ">done<" in board.run.value and "goes on" not in board.said.value)
        following.cancel()

    async def test_it_says_when_it_can_follow_no_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = ManualClock()
        board = Dashboard(days(tmp_path), Scope(), clock)
        monkeypatch.setattr(board, "follow", broken)
        task = start_following(board)
        with pytest.raises(RuntimeError):
            await task
        await settle()
        assert "This follows no more: RuntimeError: out of paint" in board.said.value

    def test_a_sentence_of_a_request(self, tmp_path: Path) -> None:
        ledger = days(tmp_path, simulated=True)
        request = ledger.requests(ledger.metrics(Scope()).runs["run_id"][0])["request_id"][0]
        assert "simulated, no money" in trace_sentence(ledger.trace(request))


async def broken() -> None:
    raise RuntimeError("out of paint")


async def seen(clock: ManualClock, reached: Callable[[], bool]) -> None:
    """Lets time pass until something shows; the ledger is read in a thread, which no clock moves."""
    for _ in range(500):
        if reached():
            return
        await clock.advance(LOOK_S)
        await asyncio.sleep(0.02)
    raise AssertionError("not seen")


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
