from __future__ import annotations

import pandas as pd

from orchestration_nb.rollouts import rollouts
from tests.notebook.shell import Shell

FLOW = "%%orchestrate triage --over tickets {flags}\nreply = llm(body)"
START = "%orchestrate rollout start fast over strong --flow triage --score reply=right {flags}"
RIGHT = "def right(value, item): return value == 'fine'"


def test_a_rollout_is_begun_run_and_shown_in_a_sentence(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run(RIGHT)
    shell.run(FLOW.format(flags="--define"))
    result, out = shell.run(START.format(flags="--margin 0.05"))
    assert result.success
    told = out.outputs[0].data["text/plain"]
    assert "fast over strong" in told
    assert "Begun in the shadow: no items yet." in told
    assert "--strategy rollout(triage)" in told
    _, out = shell.run(FLOW.format(flags="--strategy rollout(triage)"))
    assert "Rollout of fast: Only 30 items on one side so far: too few to decide anything." in out.stdout
    assert "Score of reply by right: 1.000" in out.stdout
    _, out = shell.run("%orchestrate rollout")
    told = out.outputs[0].data["text/plain"]
    assert "shadow" in told
    assert "30 / 30" in told
    assert "too few to decide anything" in told
    assert "the shadow cost $" in told
    assert rollouts()[0].rollout.settings.margin == 0.05


def test_one_command_promotes_and_one_rolls_back(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run(FLOW.format(flags="--define"))
    shell.run(START.format(flags="--no-shadow --share 0.5"))
    assert rollouts()[0].stage == "canary"
    _, out = shell.run("%orchestrate rollout promote triage")
    assert "Promoted by a person" in out.outputs[0].data["text/plain"]
    _, out = shell.run(f"%orchestrate rollout rollback {rollouts()[0].id}")
    assert "Rolled back by a person" in out.outputs[0].data["text/plain"]


def test_mistakes_are_one_line(shell: Shell, tickets: pd.DataFrame) -> None:
    shell.run(FLOW.format(flags="--define"))
    for line, why in {
        "rollout": "There is no rollout here yet",
        "rollout begin fast over strong": "cannot be read",
        "rollout start fast strong --flow triage": "needs a candidate",
        "rollout start fast over strong --flow other --score reply=right": "There is no flow 'other'",
        "rollout start fast over strong --flow triage --score reply=right --share 0.9": "canary_share",
        "rollout promote nothing": "No rollout is called",
    }.items():
        result, out = shell.run(f"%orchestrate {line}")
        assert not result.success
        assert why in out.stdout + out.stderr
