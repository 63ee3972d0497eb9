from __future__ import annotations

import sys
import types
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.catalog import Model, Price
from orchestration_nb.errors import QueryError
from tests.notebook.shell import Shell


class Ledger:
    """Answers with what it was asked."""

    def sql(self, text: Any) -> None:
        if text == "SELEC":
            raise QueryError("The ledger does not understand the query: syntax error.")
        return pd.DataFrame({"asked": [text]})

    def runs(self, limit: Any) -> None:
        return pd.DataFrame({"limit": [limit]})


@pytest.fixture(autouse=True)
def workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    held = types.SimpleNamespace(ledger=Ledger(), used=[])
    held.discover = list
    price = Price(input_usd_per_mtok=0.4, output_usd_per_mtok=1.6)
    held.models = lambda: [
        types.SimpleNamespace(
            name="sim/small", aliases=("fast",), usable=True, why="in this process", price=price, simulated=True
        ),
        types.SimpleNamespace(
            name="openai/gpt", aliases=(), usable=False, why="OPENAI_API_KEY is not set", price=None, simulated=False
        ),
    ]

    def use(alias: Any, model: Any) -> None:
        held.used.append((alias, model))
        return Model(provider="openai", wire_name="gpt", simulated=False)

    held.use = use
    module = types.ModuleType("orchestration_nb.workspace")
    module.Workspace = types.SimpleNamespace(current=lambda: held)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "orchestration_nb.workspace", module)
    return held


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("SELECT * FROM calls", "SELECT * FROM calls"),
        ('"SELECT 1"', "SELECT 1"),
        ("SELECT 'a', {'b': 1}, $x FROM \"t\"", "SELECT 'a', {'b': 1}, $x FROM \"t\""),
        ("'a' || 'b'", "'a' || 'b'"),
    ],
)
def test_sql_reaches_the_ledger_unchanged_and_can_be_assigned(shell: Shell, written: Any, asked: Any) -> None:
    result, _ = shell.run(f"rows = %orchestrate sql {written}")
    assert result.success
    assert shell.names["rows"]["asked"][0] == asked


def test_sql_that_is_refused_is_one_line(shell: Shell) -> None:
    _, out = shell.run("%orchestrate sql SELEC")
    assert "does not understand" in out.stdout
    assert "Traceback" not in out.stdout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sql", "needs a query"),
        ("runs many", "'many' is no number of runs"),
        ("use fast", "needs ALIAS=MODEL"),
        ("use fast=", "needs ALIAS=MODEL"),
        ("use fast = openai/gpt", "needs ALIAS=MODEL"),
        ("last", "No run was started in this notebook yet."),
        ("cancel", "No run is under way"),
        ("pause triage", "No run 'triage' is under way."),
        ("modles", "Did you mean models?"),
        ("xyzzy", "There are: help, models"),
    ],
)
def test_mistakes_are_one_line(shell: Shell, line: Any, said: Any) -> None:
    result, out = shell.run(f"%orchestrate {line}")
    assert not result.success
    assert said in out.stdout
    assert "Traceback" not in out.stdout


def test_models_say_what_can_be_used_and_why_not(shell: Shell) -> None:
    _, out = shell.run("%orchestrate models")
    text = out.outputs[0].data["text/plain"].splitlines()
    assert text[2].split() == ["sim/small", "fast", "yes", "in", "this", "process", "0.4", "/", "1.6", "simulated"]
    assert "OPENAI_API_KEY is not set" in text[3]
    assert "<table" in out.outputs[0].data["text/html"]


def test_use_points_an_alias_and_says_whether_money_is_real(shell: Shell, workspace: Any) -> None:
    _, out = shell.run("%orchestrate use fast=openai/gpt")
    assert workspace.used == [("fast", "openai/gpt")]
    assert "billed by its provider" in out.stdout


def test_runs(shell: Shell) -> None:
    assert shell.run("%orchestrate runs")[0].result["limit"][0] == 20
    assert shell.run("%orchestrate runs 3")[0].result["limit"][0] == 3


def test_last_shows_parts_of_the_last_run(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run("%%orchestrate triage --over tickets\nqueue = llm(body)")
    assert len(shell.run("%orchestrate last results")[0].result) == 30
    assert shell.run("%orchestrate last errors")[0].result.empty
    _, out = shell.run("%orchestrate last")
    assert "triage done" in out.outputs[0].data["text/plain"]
    assert "Did you mean errors?" in shell.run("%orchestrate last error")[1].stdout


def test_background_runs_can_be_steered_without_buttons(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.names.update(ticks=10_000, tick_s=0.01, engine=True)
    _, out = shell.run("%%orchestrate triage --over tickets --background\nqueue = llm(body)")
    assert "`%orchestrate cancel`" in out.stdout
    run = shell.names["triage"].last
    shell.run("%orchestrate pause")
    assert run.status == "paused"
    shell.run("%orchestrate resume triage")
    assert run.status == "running"
    _, out = shell.run("%orchestrate status")
    assert "triage running" in out.outputs[0].data["text/plain"]
    shell.run(f"%orchestrate cancel {run.id[:10]}")
    assert run.status == "cancelled"
    assert "No run is under way" in shell.run("%orchestrate cancel")[1].stdout


def test_of_two_background_runs_one_must_be_named(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.names.update(ticks=10_000, tick_s=0.01, engine=True)
    for name in ("one", "two"):
        shell.run(f"%%orchestrate {name} --over tickets --background\nqueue = llm(body)")
    assert "More than one run is under way." in shell.run("%orchestrate cancel")[1].stdout
    assert "Did you mean one?" in shell.run("%orchestrate cancel onee")[1].stdout
    for name in ("one", "two"):
        shell.run(f"%orchestrate cancel {name}")
        assert shell.names[name].last.status == "cancelled"
