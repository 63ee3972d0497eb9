"""``%orchestrate what-if`` in a plain shell: what is shown, that nothing is asked, and what is refused."""

from __future__ import annotations

import pandas as pd
import pytest

from orchestration_nb.testing import FakeProvider
from tests.notebook.shell import Shell

LINE = "%orchestrate what-if triage --over tickets --strategies fast careful --score topic=exact:gold"
CAREFUL = """\
async def careful(request, ask):
    await ask("fast")
    return await ask("strong")"""


@pytest.fixture
def begun(shell: Shell, tickets: pd.DataFrame) -> Shell:
    tickets["gold"] = "<b>fine</b>"
    shell.run("%%orchestrate triage --over tickets --define\ntopic = llm(body)")
    shell.run(CAREFUL)
    shell.run("triage.map(tickets, model='fast')\ntriage.map(tickets.head(10), model='strong')")
    return shell


def test_it_says_what_can_be_told_and_asks_nothing(begun: Shell, provider: FakeProvider) -> None:
    asked = len(provider.requests)
    result, out = begun.run(f"{LINE} --seed 3")
    assert result.success, out.stdout
    text = out.outputs[0].data["text/plain"]
    assert "30 of 30 items can be told for fast: quality" in text
    assert "10 of 30 items can be told for careful" in text
    assert "10 of 30 items can be told for all of them" in text
    assert "nothing was asked or paid" in text
    assert "<li>" in out.outputs[0].data["text/html"]
    assert "careful" in out.outputs[1].data["text/plain"]
    assert len(provider.requests) == asked


def test_its_value_can_be_kept(begun: Shell) -> None:
    result, _ = begun.run(f"told = {LINE}")
    assert result.success
    assert begun.names["told"].common == 10


def test_without_a_scorer_the_scores_of_the_ledger_serve(begun: Shell) -> None:
    line = LINE.partition(" --score")[0]
    _, out = begun.run(line)
    assert "The ledger holds no scores of triage" in out.stdout + out.stderr
    begun.run("triage.map(tickets, model='fast', score='topic=exact:gold')")
    result, out = begun.run(line)
    assert result.success, out.stdout
    assert "(ledger:topic=exact:gold)" in out.outputs[0].data["text/plain"]
    assert "30 of 30 items can be told for fast: quality" in out.outputs[0].data["text/plain"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"{LINE} --budget 1", "--budget"),
        ("%orchestrate what-if triage --over tickets --score topic=exact:gold", "--strategies"),
        ("%orchestrate what-if nothing --over tickets --strategies fast --score topic=exact:gold", "no flow"),
    ],
)
def test_what_cannot_be_read_is_said(begun: Shell, line: str, said: str) -> None:
    _, out = begun.run(line)
    assert said in out.stdout + out.stderr
