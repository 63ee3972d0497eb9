from __future__ import annotations

import asyncio
import types
from typing import Any

import pytest

from orchestration_nb.clock import SystemClock
from orchestration_nb.errors import OverBudgetError
from orchestration_nb.notebook import background
from orchestration_nb.notebook.background import ControlledScreen, follow
from orchestration_nb.notebook.session import Session
from tests.notebook.scripted import Flow
from tests.notebook.test_account import tickets


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every drawing."""
    values: list[Any] = []

    def draw(value: Any, *, raw: bool, display_id: str, update: bool) -> None:
        values.append(value)

    monkeypatch.setattr("orchestration_nb.notebook.screen.display", draw)
    return values


class QuickClock(SystemClock):
    """A clock whose sleeps end at once."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> SystemClock:
    return QuickClock()


def a_run(**script: Any) -> Any:
    return Flow("queue = llm(body)", "triage", {"ticks": 5, **script}).start(tickets())


def session() -> Session:
    return Session(shell=types.SimpleNamespace(kernel=object(), user_ns={}))


def buttons(screen: ControlledScreen) -> dict[str, Any]:
    """The buttons that can be seen."""
    return {part.description: part for part in screen._buttons.children if part.layout.display != "none"}


async def end_of(followers: set[asyncio.Task[None]]) -> None:
    await asyncio.gather(*followers)


async def test_the_display_follows_the_run_and_settles_without_widgets(drawn: list[Any], clock: SystemClock) -> None:
    here, run = session(), a_run()
    follow(here, run, into="rows", clock=clock)
    assert type(drawn[0]).__name__ == "VBox"
    assert "rows" not in here.namespace
    run.wait()
    await end_of(background._followers)
    assert len(here.namespace["rows"]) == 30
    assert "triage done" in drawn[-1]["text/plain"]
    assert "<table" in drawn[-1]["text/html"]


async def test_cancel_is_obeyed(drawn: list[Any], clock: SystemClock) -> None:
    run = a_run(ticks=1000)
    screen = ControlledScreen(run, clock)
    screen.open()
    shown = buttons(screen)
    shown["Cancel"].click()
    assert run.status == "cancelled"
    assert shown["Cancel"].disabled
    assert shown["Pause"].disabled


async def test_pause_and_resume(drawn: list[Any], clock: SystemClock) -> None:
    run = a_run(ticks=1000)
    screen = ControlledScreen(run, clock)
    screen.open()
    buttons(screen)["Pause"].click()
    assert run.status == "paused"
    buttons(screen)["Resume"].click()
    assert run.status == "running"
    assert "Pause" in buttons(screen)


async def test_what_is_said_is_escaped_in_the_widget_too(drawn: list[Any], clock: SystemClock) -> None:
    run = a_run(ticks=1000)
    run.progress.waits_because = "<img src=x onerror=alert(1)>"
    screen = ControlledScreen(run, clock)
    screen.open()
    assert "<img" not in screen._card.value
    assert "&lt;img" in screen._card.value


async def test_a_run_that_waits_for_its_budget_is_given_more(drawn: list[Any], clock: SystemClock) -> None:
    run = a_run(ticks=1000)
    screen = ControlledScreen(run, clock)
    screen.open()
    assert set(buttons(screen)) == {"Pause", "Cancel"}
    run.wait_for_budget(OverBudgetError("The budget of <b>$2</b> is spent.", pauses=True))
    screen.refresh(run)
    assert set(buttons(screen)) == {"", "Continue", "Cancel"}  # the field has no description
    assert "The budget of &lt;b&gt;$2&lt;/b&gt; is spent." in screen._card.value
    assert "0 of 30 items done, 30 left." in screen._card.value
    (field,) = [part for part in screen._buttons.children if hasattr(part, "placeholder")]
    for typed, said in (("", "needs a number"), ("<i>", "not &#x27;&lt;i&gt;"), ("0.001", "More is spent already.")):
        field.value = typed
        buttons(screen)["Continue"].click()
        assert said in screen._more.answer.value
        assert run.status == "paused"
    field.value = "$3.50"
    buttons(screen)["Continue"].click()
    assert run.status == "running"
    assert not screen._more.answer.value
    assert set(buttons(screen)) == {"Pause", "Cancel"}


async def test_a_run_that_was_left_paused_has_ended(drawn: list[Any], clock: SystemClock) -> None:
    here, run = session(), a_run(ticks=1000)
    follow(here, run, into="rows", clock=clock)
    run.leave()
    await end_of(background._followers)
    assert len(here.namespace["rows"]) == 30
    assert "triage paused: " in drawn[-1]["text/plain"]
