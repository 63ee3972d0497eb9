"""A fifth of all attempts fail, in one way at a time: the run comes through, and no circuit opens."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from orchestration_nb import Flow, Workspace
from orchestration_nb.providers.sim.faults import KINDS

CALLS = 2000
ATTEMPTS = 4
MOST_FAILED = 8
"""By chance alone 3.2 of the 2,000 fail four times; 429s are not counted as attempts."""
SETTINGS = """
concurrency = {concurrency}
[sim]
latency_scale = 0
{kind} = 0.2
[retry]
attempts = {attempts}
first_wait_s = 0.02
[timeouts]
total_s = {total_s}
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_comes_through_one_kind_of_fault(kind: str, tmp_path: Path) -> None:
    total_s = 2 if kind == "hang" else 60  # on a busy machine an answer takes a while, too
    concurrency = 200 if kind == "hang" else 64  # those that hang wait beside each other
    text = SETTINGS.format(kind=kind, attempts=ATTEMPTS, total_s=total_s, concurrency=concurrency)
    (tmp_path / "orchestrate.toml").write_text(text)
    workspace = Workspace(tmp_path)
    flow = Flow.from_source(
        'answer = llm(f"What is {number} + 2?", model="fast", max_tokens=32)', name="sums", workspace=workspace
    )
    run = flow.map(pd.DataFrame({"number": range(CALLS)}), budget=1000.0)
    assert run.status == "done", run.error
    failed = run.results[run.results["_status"] != "ok"]
    assert len(failed) <= (0 if kind == "rate_limited" else MOST_FAILED), failed["_error"].iloc[0]
    tried = workspace.ledger.sql("select sum(len(attempts)) as attempts from calls")["attempts"].iloc[0]
    assert 1.15 * CALLS < tried < 1.4 * CALLS, "a fifth of the attempts did fail, and each stands in the ledger"
    circuits = workspace.ledger.sql("select state, reason from circuits")
    assert circuits.empty, circuits.to_string()
