from __future__ import annotations

from typing import Any

import pytest

from orchestration_nb import Flow
from orchestration_nb.errors import UnknownModelError
from tests.notebook.shell import Shell

CELL = "%%orchestrate triage\na = 1"


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Makes every flow fail to be read."""

    def from_source(*_: Any, **__: Any) -> Flow:
        raise error

    monkeypatch.setattr(Flow, "from_source", from_source)


def test_a_users_mistake_is_one_red_line_and_a_hint(shell: Shell) -> None:
    result, out = shell.run("%%orchestrate triage --ovr tickets\na = 1")
    assert out.stdout == "\x1b[31mThere is no flag '--ovr'.\x1b[0m\nDid you mean --over?\n"
    assert "Traceback" not in out.stdout + out.stderr
    assert not result.success


def test_the_error_keeps_its_class_and_words(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, UnknownModelError("There is no model 'gtp'.", hint="Did you mean 'gpt'?"))
    result, out = shell.run(CELL)
    assert isinstance(result.error_in_exec, UnknownModelError)
    assert "There is no model 'gtp'." in out.stdout


def test_our_own_bugs_keep_their_traceback(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError("a bug"))
    result, out = shell.run(CELL)
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert "Traceback" in out.stdout
    assert "from_source" in out.stdout


def test_an_error_cannot_steer_the_terminal_or_fill_it(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, UnknownModelError("\x1b]0;owned\x07" + "x" * 100_000, hint="\x1b[2J"))
    _, out = shell.run(CELL)
    assert "\x07" not in out.stdout
    assert "\x1b[2J" not in out.stdout
    assert len(out.stdout) < 2000


def test_an_exception_group_in_the_context_does_not_bring_the_traceback_back(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = UnknownModelError("There is no model 'gtp'.")
    error.__context__ = ExceptionGroup("several", [ValueError("inside")])
    failing(monkeypatch, error)
    _, out = shell.run(CELL)
    assert "inside" not in out.stdout + out.stderr
    assert "There is no model 'gtp'." in out.stdout


@pytest.mark.parametrize("magic", ["%orchestrate", "%orchestrate help"])
def test_help_lists_everything(shell: Shell, magic: str) -> None:
    from orchestration_nb.notebook.arguments import FLAGS
    from orchestration_nb.notebook.subcommands import SUBCOMMANDS

    _, out = shell.run(magic)
    text = out.outputs[0].data["text/plain"]
    assert all(flag.name in text for flag in FLAGS)
    assert all(f"%orchestrate {name}" in text for name in SUBCOMMANDS)
