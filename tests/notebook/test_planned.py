"""How a plan looks in a notebook: its intervals, its warning, what came of it, and nothing that it quotes runs."""

from __future__ import annotations

import re

import pandas as pd

from orchestration_nb.notebook.account import account_of
from orchestration_nb.notebook.formatters import plan_bundle
from tests.notebook.shell import Shell


def cell(flags: str, body: str) -> str:
    return f"%%orchestrate triage --over tickets {flags}\n{body}"


TWO_STEPS = "topic = llm(body, model='fast')\nreply = llm(topic + body) if len(topic) else None"


def test_a_plan_shows_calls_tokens_money_and_time(shell: Shell, tickets: pd.DataFrame) -> None:
    _, out = shell.run(cell("--plan --budget 2", TWO_STEPS))
    html, text = (out.outputs[0].data[kind] for kind in ("text/html", "text/plain"))
    for words in ("30 items; no call was made", "expected", "of $2.00", "from the prompts", "low to high", "p95"):
        assert words in re.sub("<[^>]+>", "", html)
        assert words in text
    assert html.count("<svg") == 2
    assert html.count("<circle") == 3
    assert "simulated" in html


def test_a_budget_that_will_not_do_stands_out(shell: Shell, tickets: pd.DataFrame) -> None:
    _, out = shell.run(cell("--plan --budget 0.0001", TWO_STEPS))
    assert 'class="line">The expected cost' in out.outputs[0].data["text/html"]
    assert "of 30 items fit as expected" in out.outputs[0].data["text/plain"]
    assert 'class="most"' in out.outputs[0].data["text/html"]


def test_after_the_run_the_plan_shows_what_came_of_it(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run(cell("--plan", TWO_STEPS))
    shell.run(cell("", TWO_STEPS))
    run = shell.names["triage"].last
    assert any("against the plan" in line for line in account_of(run).story)
    bundle = plan_bundle(run.plan)
    assert "It came to $" in bundle["text/plain"]
    assert "actual calls" in bundle["text/plain"]
    assert bundle["text/html"].count('class="was"') == 3


def test_names_of_steps_and_models_are_only_text(shell: Shell, tickets: pd.DataFrame) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    shell.names["tickets"][hostile] = "x"
    _, out = shell.run(cell("--plan", f"reply = llm(item[{hostile!r}], model='fast')\n'{hostile}'"))
    data = out.outputs[0].data if out.outputs else {}
    assert "<img" not in data.get("text/html", "")
