from __future__ import annotations

from tests.notebook.shell import Shell


def test_why_tells_of_the_last_run_and_strategies_are_listed(shell: Shell) -> None:
    shell.run('%%orchestrate asks --strategy "weighted(fast=1, strong=1)"\nreply = llm("hello")')
    _, out = shell.run("%orchestrate why last:0")
    assert (
        "The strategy weighted(fast=1, strong=1) chose among fast and strong, by lot with a chance of 0.5" in out.stdout
    )
    _, again = shell.run("%orchestrate why last")
    assert again.stdout == out.stdout
    _, wrong = shell.run("%orchestrate why nothing")
    assert "no request 'nothing'" in wrong.stdout + wrong.stderr
    _, listed = shell.run("%orchestrate strategies")
    text = listed.outputs[0].data["text/plain"]
    assert "hedged(model" in text
    assert "round_robin(*models)" in text
