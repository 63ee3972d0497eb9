from __future__ import annotations

import io
import types
from typing import Any

import pytest
from IPython.utils.capture import capture_output

from orchestration_nb.clock import SystemClock
from orchestration_nb.errors import OverBudgetError
from orchestration_nb.notebook import screen as screens
from orchestration_nb.notebook.screen import LineScreen, OutputScreen, TerminalScreen, screen_for
from tests.notebook.scripted import Flow
from tests.notebook.shell import Shell
from tests.notebook.test_account import tickets


class HandClock(SystemClock):
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every drawing: bundle, id, whether it went over an older one."""
    calls: list[tuple[Any, str, bool]] = []
    monkeypatch.setattr(
        screens, "display", lambda value, *, raw, display_id, update: calls.append((value, display_id, update))
    )
    return calls


def a_run() -> Any:
    return Flow("queue = llm(body)", "triage", {"ticks": 10}).start(tickets())


def test_an_output_is_drawn_five_times_a_second_in_one_place(clock: HandClock, drawn: list[Any]) -> None:
    shown, run = OutputScreen(clock), a_run()
    for _ in range(40):  # two seconds of a wait that looks up every 50 ms
        shown.refresh(run)
        clock.now_s += 0.05
    assert 9 <= len(drawn) <= 11
    assert len({place for _, place, _ in drawn}) == 1
    assert [update for _, _, update in drawn] == [False] + [True] * (len(drawn) - 1)


def test_an_output_settles_into_the_account(clock: HandClock, drawn: list[Any]) -> None:
    shown, run = OutputScreen(clock), a_run()
    shown.refresh(run)
    run.wait()
    shown.settle(run)
    bundle, _, update = drawn[-1]
    assert update
    assert set(bundle) == {"text/html", "text/plain"}
    assert "triage done" in bundle["text/plain"]
    assert "<table" in bundle["text/html"]


def test_two_outputs_have_two_places(clock: HandClock, drawn: list[Any]) -> None:
    run = a_run()
    OutputScreen(clock).refresh(run)
    OutputScreen(clock).refresh(run)
    assert drawn[0][1] != drawn[1][1]


def test_a_terminal_has_one_line_written_over(clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    out, run = io.StringIO(), a_run()
    shown = TerminalScreen(clock, out)
    for _ in range(8):
        shown.refresh(run)
        clock.now_s += 0.05
    assert "\n" not in out.getvalue()
    lines = [line.removesuffix("\x1b[K") for line in out.getvalue().split("\r")[1:]]
    assert len(lines) == 2
    assert all(len(line) < 60 for line in lines)
    run.wait()
    shown.settle(run)
    assert out.getvalue().split("\r")[-1].startswith("\x1b[Ktriage done")


def test_a_log_gets_few_lines(clock: HandClock) -> None:
    out, run = io.StringIO(), a_run()
    shown = LineScreen(clock, out)
    for _ in range(20 * 300):  # five minutes
        shown.refresh(run)
        clock.now_s += 0.05
    lines = out.getvalue().splitlines()
    assert 5 <= len(lines) <= 9
    assert all(line.startswith("triage running") for line in lines)


def test_a_quick_run_logs_its_account_alone(clock: HandClock) -> None:
    out, run = io.StringIO(), a_run()
    shown = LineScreen(clock, out)
    shown.refresh(run)
    run.wait()
    shown.settle(run)
    assert out.getvalue().startswith("triage done")
    assert "\x1b" not in out.getvalue()


def test_the_screen_fits_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(screen_for(types.SimpleNamespace(kernel=object())), OutputScreen)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert isinstance(screen_for(types.SimpleNamespace()), LineScreen)


def test_a_terminal_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdout", Terminal())
    assert isinstance(screen_for(types.SimpleNamespace()), TerminalScreen)


def test_what_is_shown_is_a_display_with_an_id(shell: Shell, clock: HandClock) -> None:
    with capture_output() as out:
        OutputScreen(clock).refresh(a_run())
    assert out.outputs[0].data["text/plain"].startswith("triage running")


def test_before_a_question_the_run_is_shown_as_it_stands(clock: HandClock, drawn: list[Any]) -> None:
    run, notebook = a_run(), OutputScreen(clock)
    notebook.refresh(run)
    run.wait_for_budget(OverBudgetError("The budget of $2.00 is spent.", pauses=True))
    notebook.stand(run)  # although it was drawn a moment ago
    assert "The budget of $2.00 is spent." in drawn[-1][0]["text/plain"]
    terminal, log = io.StringIO(), io.StringIO()
    TerminalScreen(clock, terminal).stand(run)
    LineScreen(clock, log).stand(run)
    assert terminal.getvalue().endswith("The budget of $2.00 is spent.\x1b[K\n")
    assert log.getvalue().startswith("triage paused: ")
    assert log.getvalue().endswith("The budget of $2.00 is spent.\n")
