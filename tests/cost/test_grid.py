"""The budget grid: however many calls are in flight, from however many processes, a budget is never passed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from orchestration_nb import Flow, Workspace
from orchestration_nb.calls import RawReply, Request, Usage
from orchestration_nb.testing import FakeProvider, fake_workspace
from tests.conftest import REPO

STEP = "reply = llm(f'Question {number:06}: how did revenue develop, and why?', max_tokens=1000)"
MOST_USD = 0.00215
"""What one call may cost: 1,000 tokens out at $2 a million, and the bound of the prompt."""
BUDGET_USD = 100 * MOST_USD
SETTINGS = f"""
budget_usd = 1000.0
[budgets.shared]
usd = {BUDGET_USD}
period = "month"
"""


def provider(share: float) -> FakeProvider:
    """Answers after 20 to 60 milliseconds, with that share of the tokens that it may write."""

    async def answer(request: Request) -> RawReply:
        await asyncio.sleep(0.02 + hash(request.id) % 40 / 1000)
        tokens = Usage(input_tokens=20, output_tokens=int(request.max_tokens * share))
        return RawReply(text="fine", usage=tokens)

    return FakeProvider(answer)


def holds(workspace: Workspace) -> int:
    """How many holds there are."""
    work = workspace.desk.submit(lambda connection: connection.execute("select count(*) from holds").fetchone())
    count: int = workspace.engine.submit(work).result(30)[0]
    return count


@pytest.mark.slow
@pytest.mark.parametrize(("calls", "in_flight"), [(200, 1), (400, 8), (400, 40), (400, 100)])
def test_one_process_spends_its_budget_and_no_more(tmp_path: Path, calls: int, in_flight: int) -> None:
    share = 200 / calls
    workspace = fake_workspace(tmp_path, provider(share))
    flow = Flow.from_source(STEP, name="grid", workspace=workspace)
    run = flow.map(pd.DataFrame({"number": range(calls)}), budget=BUDGET_USD, concurrency=in_flight)
    spent = run.calls["billed_usd"].sum() / BUDGET_USD
    print(f"{calls} calls, {in_flight} in flight: {spent:.3f} of the budget")
    assert 0.9 <= spent <= 1.0
    assert run.results["_status"].eq("ok").sum() == run.calls["billed_usd"].gt(0).sum()
    assert holds(workspace) == 0


WORKER = """
import sys, time
from pathlib import Path
import pandas as pd
from orchestration_nb import Flow
from orchestration_nb.testing import fake_workspace
from tests.cost.test_grid import STEP, provider
workspace = fake_workspace(Path(sys.argv[1]), provider(0.5))
flow = Flow.from_source(STEP, name="grid", workspace=workspace)
first, in_flight = int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
run = flow.start(pd.DataFrame({"number": range(first, first + 100)}), concurrency=in_flight)
while run.progress.calls < 10 and run.status == "running":
    time.sleep(0.005)
print("under way", flush=True)
run.wait()
"""


def workers(folder: Path, in_flight: int) -> list[subprocess.Popen[str]]:
    """Four processes that begin at the same moment."""
    (folder / "orchestrate.toml").write_text(SETTINGS)
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), str(place * 100), str(in_flight)],
            cwd=REPO,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for place in range(4)
    ]
    for process in begun:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in begun:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return begun


@pytest.mark.slow
@pytest.mark.parametrize("kills", [False, True])
@pytest.mark.parametrize("in_flight", [25, 100])
def test_four_processes_spend_one_budget_and_no_more(tmp_path: Path, in_flight: int, kills: bool) -> None:
    begun = workers(tmp_path, in_flight)
    try:
        if kills:
            assert begun[0].stdout is not None
            assert begun[0].stdout.readline() == "under way\n"
            begun[0].send_signal(signal.SIGKILL)
        for process in begun:
            process.communicate(timeout=120)
    finally:
        for process in begun:
            process.kill()
    workspace = fake_workspace(tmp_path, provider(0.5))
    lost = workspace.engine.submit(workspace.budgets.recover()).result(30)
    [shared] = workspace.engine.submit(workspace.budgets.standings()).result(30)
    print(f"4 processes, {in_flight} in flight each: {shared.share:.3f} of the budget, {len(lost)} recovered at last")
    assert 0.9 <= shared.share <= 1.0
    assert shared.held == 0.0
    assert holds(workspace) == 0
    recorded = float(workspace.ledger.sql("select sum(billed_usd) as usd from calls")["usd"].iloc[0])
    assert recorded <= shared.spent + 1e-9
    if not kills:  # of those killed, what was being settled in the last moment is reckoned at its maximum
        assert recorded == pytest.approx(shared.spent)
