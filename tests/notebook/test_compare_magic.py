"""``%orchestrate compare`` in a plain shell: what is started, what is said, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from orchestration_nb.testing import FakeProvider
from tests.notebook.kernel import Answers
from tests.notebook.shell import Shell

LINE = (
    "%orchestrate compare triage --over tickets --strategies careful 'fallback(fast, strong)' --score topic=exact:gold"
)
BEGIN = """\
%%orchestrate triage --over tickets --define
topic = llm(body)"""
CAREFUL = """\
async def careful(request, ask):
    await ask("fast")
    return await ask("strong")"""


@pytest.fixture
def begun(shell: Shell, tickets: pd.DataFrame) -> Shell:
    tickets["gold"] = ["fine", "wrong"] * 15
    tickets["kind"] = ["a", "b", "b"] * 10
    shell.run(BEGIN)
    shell.run(CAREFUL)
    return shell


def test_it_runs_and_shows_a_table_and_sentences(begun: Shell, provider: FakeProvider) -> None:
    result, out = begun.run(f"{LINE} --slices kind --seed 3")
    assert result.success, out.stdout
    (shown,) = out.outputs
    text = shown.data["text/plain"]
    assert "30 items" in text
    assert "careful" in text
    assert "fallback(fast, strong)" in text
    assert "simulated" in text
    assert "oracle" in text
    assert "These items cannot tell" in text
    assert "<table" in shown.data["text/html"]
    assert len(provider.requests) == 60


def test_the_latest_is_the_value_of_the_magic_alone(begun: Shell) -> None:
    begun.run(LINE)
    result, out = begun.run("compared = %orchestrate compare")
    assert result.success
    assert begun.names["compared"].setup.strategies == ("careful", "fallback(fast, strong)")
    assert out.outputs == []
    _, out = begun.run("compared")
    assert "fallback(fast, strong)" in out.outputs[0].data["text/plain"]


def test_it_is_exported_as_one_file(begun: Shell, tmp_path: Path) -> None:
    begun.run(LINE)
    path = tmp_path / "out.html"
    result, out = begun.run(f"%orchestrate compare export {path}")
    assert result.success
    assert "opens with no network" in out.stdout
    assert path.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("compare", "Nothing was compared"),
        ("compare export", "Nothing was compared"),
        ("compare triage", "A comparison needs --over"),
        ("compare triage --over tickets", "A comparison needs --strategies"),
        ("compare triage --over tickets --strategies careful", "A comparison needs --score"),
        ("compare triag --over tickets --strategies careful --score topic=exact:gold", "Did you mean triage?"),
        ("compare --over tickets --strategies careful --score topic=exact:gold", "A comparison needs one flow."),
        ("compare triage --over tickets --strategies carefull --score topic=exact:gold", "no strategy 'carefull'"),
        ("compare triage --over tickets --strategies careful --scores topic=exact:gold", "Did you mean --score?"),
        ("compare triage --over tickets --strategies careful --score topic=exact:gold --margin x", "needs a number"),
        ("compare triage --over tickets --strategies careful --score topic=exact:gold --seed -1", "whole number"),
        ("compare triage --over tickets --strategies careful --score topic=exact:golden", "golden"),
    ],
)
def test_mistakes_are_one_line_and_cost_nothing(begun: Shell, provider: FakeProvider, line: str, said: str) -> None:
    result, out = begun.run(f"%orchestrate {line}")
    assert not result.success
    assert said in out.stdout
    assert "Traceback" not in out.stdout
    assert provider.requests == []


def test_what_can_come_next_is_offered(begun: Shell) -> None:
    assert "compare" in begun.complete("%orchestrate com")
    assert "triage" in begun.complete("%orchestrate compare tri")
    assert begun.complete("%orchestrate compare triage --over tic") == ["tickets"]
    assert "cascade" in begun.complete("%orchestrate compare triage --over tickets --strategies fixed cas")
    assert "--score" in begun.complete("%orchestrate compare triage --over tickets --strategies fixed --sco")
    assert "--over" not in begun.complete("%orchestrate compare triage --over tickets --o")
    assert "strong" in begun.complete("%orchestrate compare triage --models fast str")


def test_an_interrupt_keeps_what_was_answered(begun: Shell, monkeypatch: pytest.MonkeyPatch, answers: Answers) -> None:
    def interrupt(_lines: object, _comparison: object) -> None:
        raise KeyboardInterrupt

    answers.wait_s = 60
    monkeypatch.setattr("orchestration_nb.notebook.compare_screen._Lines.refresh", interrupt)
    result, out = begun.run(LINE)
    assert not result.success
    assert "Cancelled: 0 of 30 items ended before for every strategy." in out.stdout
    assert "Traceback" not in out.stdout
    assert "cancelled" in out.outputs[0].data["text/plain"]


def test_a_log_is_told_how_far_it_is(begun: Shell, monkeypatch: pytest.MonkeyPatch, answers: Answers) -> None:
    answers.wait_s = 0.05
    monkeypatch.setattr("orchestration_nb.notebook.compare_screen.LINE_S", 0.0)
    _, out = begun.run(LINE)
    assert "triage compared: 4 strategies over 0 of 30 items" in out.stdout


def test_in_the_background_the_shell_is_free(begun: Shell, answers: Answers) -> None:
    answers.wait_s = 0.05
    _, out = begun.run(f"{LINE} --background")
    assert "compared in the background" in out.stdout
    begun.run("compared = %orchestrate compare")
    assert begun.names["compared"].status == "running"
    assert begun.names["compared"].wait().status == "done"


def test_an_answer_that_fails_is_an_error_in_the_table(begun: Shell, answers: Answers) -> None:
    answers.error = ValueError("<b>no</b>")
    result, out = begun.run(LINE)
    assert "<b>no</b>" not in "".join(str(shown.data.get("text/html")) for shown in out.outputs)
    assert result is not None
