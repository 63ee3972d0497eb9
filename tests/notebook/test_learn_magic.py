"""``%orchestrate learn``: what is learned and said, and what is refused in a line."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.notebook.shell import Shell

COMPARE = "%orchestrate compare triage --over many --strategies fast strong --score topic=exact:gold"


@pytest.fixture
def begun(shell: Shell) -> Shell:
    bodies = [f"ticket {number}" for number in range(120)]
    shell.names["many"] = pd.DataFrame({"body": bodies, "gold": ["fine", "wrong"] * 60})
    shell.run("%%orchestrate triage --over many --define\ntopic = llm(body)")
    return shell


def test_it_learns_from_the_last_comparison_and_the_next_run_takes_it(begun: Shell) -> None:
    begun.run(COMPARE)
    result, out = begun.run("%orchestrate learn mine from last --cheap fast --strong strong --target .9")
    assert result.success, out.stdout
    assert "mine asks fast first" in out.stdout
    assert "at 90% confidence" in out.stdout
    assert "Use it with --strategy mine." in out.stdout
    result, out = begun.run("%%orchestrate again --over many --strategy mine\ntopic = llm(body)")
    assert result.success, out.stdout
    result, _ = begun.run("%orchestrate sql SELECT count(*) AS n FROM requests WHERE strategy = 'mine'")
    assert result.result["n"][0] == 120


def test_it_learns_from_scored_runs_of_the_ledger(begun: Shell) -> None:
    for model in ("fast", "strong"):
        begun.run(f"%%orchestrate triage --over many --model {model} --score topic=exact:gold\ntopic = llm(body)")
    result, out = begun.run(
        "%orchestrate learn mine from ledger --flow triage --score topic --cheap fast --strong strong"
    )
    assert result.success, out.stdout
    assert (
        "learned from 120 questions of flow triage to which the ledger holds answers of fast and strong" in out.stdout
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("learn", "needs a name and a comparison"),
        ("learn mine last", "needs a name and a comparison"),
        ("learn mine from last", "There is no comparison 'last' in the ledger."),
        ("learn mine from last --target 97", "--target needs a share up to 1, not '97'."),
        ("learn mine from last --targets .9", "Did you mean --target?"),
        ("learn mine from ledger --flow triage", "Learning from the ledger needs --flow and --score."),
        ("learn mine from last --score topic", "--flow and --score go together with `from ledger`."),
        ("learn mine from ledger --flow triage --score topic", "holds no scored replies of step 'topic'"),
    ],
)
def test_what_is_wrong_is_one_line(begun: Shell, line: str, said: str) -> None:
    result, out = begun.run(f"%orchestrate {line}")
    text = out.stdout + out.stderr + str(result.error_in_exec or "")
    assert said in text
    assert "Traceback" not in text
