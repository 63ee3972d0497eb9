from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from tests.notebook.shell import Shell


@pytest.mark.parametrize(
    ("written", "offered"),
    [
        ("%%orchestrate triage --ov", ["--over"]),
        ("%%orchestrate triage --b", ["--budget", "--batch", "--background"]),
        ("%%orchestrate triage --on-b", ["--on-budget"]),
        ("%%orchestrate triage --on-budget p", ["pause"]),
        ("%%orchestrate triage --tag team=support --t", ["--tag"]),
        ("%%orchestrate triage --over ", ["tickets"]),
        ("%%orchestrate triage --over=ti", ["tickets"]),
        ("%%orchestrate triage --model st", ["strong"]),
        ("%%orchestrate triage --model fake/", ["fake/large", "fake/small"]),
        ("%%orchestrate triage --strategy ca", ["cascade", "cascade("]),
        ("%%orchestrate triage --strategy hed", ["hedged("]),
        ("%%orchestrate triage --on-error ", ["keep", "stop"]),
        ("%orchestrate la", ["last"]),
        ("rows = %orchestrate sq", ["sql"]),
        ("%orchestrate last e", ["errors"]),
        ("%orchestrate use fa", ["fast="]),
        ("%orchestrate use fast=fake/s", ["fake/small"]),
        ('%%orchestrate triage\nqueue = llm(body, model="str', ["strong"]),
        ("%%orchestrate triage\nqueue = llm(body, strategy='ca", ["cascade", "cascade("]),
    ],
)
def test_what_can_come_next(shell: Shell, tickets: pd.DataFrame, written: Any, offered: Any) -> None:
    assert shell.complete(written) == offered


@pytest.mark.parametrize("written", ["reply = llm(bo", 'reply = llm(f"{bo', "n = len(bo"])
def test_columns_are_offered_in_the_body(shell: Shell, tickets: pd.DataFrame, written: str) -> None:
    tickets["no identifier"] = 1
    offered = shell.complete(f"%%orchestrate triage --over tickets\n{written}")
    assert "body" in offered
    assert "no identifier" not in offered
    assert "body" not in shell.complete(f"%%orchestrate triage\n{written}")
    assert "body" not in shell.complete("%%orchestrate triage --over tickets\nreply = item.bo")


def test_a_flag_is_offered_once(shell: Shell, tickets: pd.DataFrame) -> None:
    assert "--fresh" not in shell.complete("%%orchestrate triage --fresh --")


def test_nothing_is_offered_elsewhere(shell: Shell, tickets: pd.DataFrame) -> None:
    assert "--over" not in shell.complete("x = --")
    assert "fast" not in shell.complete('print(model="fa')


def test_frames_alone_are_offered_for_over(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.names["number"] = 3
    assert shell.complete("%%orchestrate triage --over ") == ["tickets"]
