"""A model is down for a while: others answer, it is left alone, and it is used again as soon as it is back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb import Flow, Run, Workspace
from orchestration_nb.calls import Request, Timeouts
from orchestration_nb.catalog import Model
from tests.resilience.sim_process import MODELS, Server, sim_process

PROBE_S = 1.5
SETTINGS = (
    MODELS
    + f"""
[breaker]
probe_after_s = {PROBE_S}
[retry]
first_wait_s = 0.05
"""
)
STEP = 'answer = llm(f"What is {number} + 2?", max_tokens=32)'


def workspace_of(server: Server, folder: Path, more: str = "") -> Workspace:
    (folder / "orchestrate.toml").write_text(SETTINGS.format(address=server.address) + more)
    return Workspace(folder)


def start(workspace: Workspace, items: int, *, concurrency: int, **options: Any) -> Run:
    flow = Flow.from_source(STEP, name="sums", workspace=workspace)
    table = pd.DataFrame({"number": range(items)})
    return flow.start(table, budget=1000.0, concurrency=concurrency, **options)


def until(holds: Callable[[], bool], most_s: float = 30) -> None:
    ends = time.monotonic() + most_s
    while not holds():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.01)


def changes(workspace: Workspace, model: str) -> list[tuple[str, float]]:
    rows = workspace.ledger.sql(
        "select state, epoch(changed_at) as happened from circuits where model = ? order by happened", [model]
    )
    return list(zip(rows["state"], rows["happened"], strict=True))


def watch_sending(workspace: Workspace) -> list[tuple[float, str]]:
    """Notes when each attempt leaves for which model: what left before a change may arrive after it."""
    provider: Any = workspace.providers["house"]
    send, sent = provider.send, []

    async def noted(model: Model, request: Request, *, timeouts: Timeouts) -> Any:
        sent.append((time.time(), model.wire_name))
        return await send(model, request, timeouts=timeouts)

    provider.send = noted
    return sent


def state(workspace: Workspace, model: str) -> str:
    held = workspace.services.circuits.states().get(model)  # type: ignore[attr-defined]
    return held.state if held else "closed"


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["overloaded", "failed", "reset"])
def test_an_outage_of_the_first_model(tmp_path: Path, fault: str) -> None:
    with sim_process(0.05) as server:
        workspace = workspace_of(server, tmp_path)
        sent = watch_sending(workspace)
        run = start(workspace, 4000, concurrency=32, strategy="fallback(house/small, house/medium)")
        until(lambda: run.progress.done > 300)
        server.tell(f"down small {fault}")
        until(lambda: state(workspace, "house/small") == "open")
        time.sleep(2.5 * PROBE_S)
        back_at = time.time()
        server.tell("up small")
        until(lambda: state(workspace, "house/small") == "closed")
        answered = sum(model == "small" for _, model, _ in server.tell("log"))
        until(lambda: sum(model == "small" for _, model, _ in server.tell("log")) > answered + 20)
        run.wait()
        log = server.tell("log")
    ok = (run.results["_status"] == "ok").mean()
    assert ok >= 0.995
    told = changes(workspace, "house/small")
    opened_at = next(at for what, at in told if what == "open")
    closed_at = next(at for what, at in told if what == "closed")
    assert sum(model == "small" and opened_at < at < back_at for at, model in sent) <= 10
    late = [at for at, model, met in log if model == "small" and met and at > opened_at]
    assert len(late) <= 10 + 32, "with those that were under way"
    assert closed_at - back_at <= PROBE_S + 1.0, "one probe interval, the probe's own answer, and a busy machine"
    reasons = set(workspace.ledger.sql("select distinct reason from requests")["reason"])
    assert "house/small is unavailable; house/medium answers" in reasons
    assert "house/small answers" in reasons


@pytest.mark.slow
def test_a_thousand_calls_on_a_half_open_circuit_send_one_until_it_is_answered(tmp_path: Path) -> None:
    with sim_process(1.0) as server:
        workspace = workspace_of(server, tmp_path)
        server.tell("down small overloaded")
        broken = start(workspace, 40, concurrency=40, model="house/small")
        until(lambda: state(workspace, "house/small") == "open")
        server.tell("up small")
        before = len(server.tell("log"))
        run = start(workspace, 1000, concurrency=1000, model="house/small", fresh=True)
        run.wait()
        broken.wait()
        arrived = [at for at, _, _ in server.tell("log")][before:]
    assert (run.results["_status"] == "ok").all(), run.results["_error"].dropna().iloc[0]
    probe, second = arrived[:2]
    assert second - probe > 0.3, "the shortest answer takes longer than this"
    assert [what for what, _ in changes(workspace, "house/small")] == ["open", "half_open", "closed"]


@pytest.mark.slow
def test_where_all_are_away_the_first_to_come_back_is_used_and_no_item_fails(tmp_path: Path) -> None:
    with sim_process(0.02) as server:
        workspace = workspace_of(server, tmp_path)
        server.tell("down small failed")
        server.tell("down medium failed")
        run = start(workspace, 200, concurrency=50, strategy="fallback(house/small, house/medium)")
        until(lambda: {state(workspace, f"house/{name}") for name in ("small", "medium")} == {"open"})
        time.sleep(1.5 * PROBE_S)
        server.tell("up medium")
        run.wait()
    assert (run.results["_status"] == "ok").all(), run.results["_error"].dropna().iloc[0]
    assert set(run.calls.query("status == 'ok'")["model"]) == {"house/medium"}


def test_a_single_model_that_comes_back_within_the_deadline_fails_no_item(tmp_path: Path) -> None:
    with sim_process(0.02) as server:
        workspace = workspace_of(server, tmp_path)
        server.tell("down small overloaded")
        run = start(workspace, 60, concurrency=30, model="house/small")
        until(lambda: state(workspace, "house/small") == "open")
        server.tell("up small")
        run.wait()
    assert (run.results["_status"] == "ok").all(), run.results["_error"].dropna().iloc[0]


def test_an_outage_past_the_deadline_fails_with_a_sentence(tmp_path: Path) -> None:
    with sim_process(0.02) as server:
        workspace = workspace_of(server, tmp_path, "deadline_s = 1.0\n")
        server.tell("down small overloaded")
        server.tell("down medium overloaded")
        started = time.monotonic()
        run = start(workspace, 60, concurrency=30, strategy="fallback(house/small, house/medium)")
        run.wait()
    assert (run.results["_status"] == "failed").all()
    assert time.monotonic() - started < 8
    said = " ".join(run.results["_error"])
    assert "None of house/" in said or "No more time is left" in said


def test_a_run_that_is_cancelled_while_it_probes_leaves_the_place_to_others(tmp_path: Path) -> None:
    with sim_process(0.02) as server:
        workspace = workspace_of(server, tmp_path)
        server.tell("down small overloaded")
        first = start(workspace, 40, concurrency=40, model="house/small")
        until(lambda: state(workspace, "house/small") == "open")
        server.tell("down small hang")
        until(lambda: state(workspace, "house/small") == "half_open")
        first.cancel()
        first.wait()
        server.tell("up small")
        second = start(workspace, 40, concurrency=40, model="house/small", fresh=True)
        second.wait()
    assert (second.results["_status"] == "ok").all(), second.results["_error"].dropna().iloc[0]


def test_fallbacks_of_the_file_answer_by_kind(tmp_path: Path) -> None:
    with sim_process(0.0) as server:
        more = '[models."house/large"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 2\nfallback = ["house/medium"]\n'
        workspace = workspace_of(server, tmp_path, "attempts = 2\n" + more)
        server.tell("down large failed")
        run = start(workspace, 5, concurrency=5, model="house/large")
        run.wait()
    assert (run.results["_status"] == "ok").all()
    rows = workspace.ledger.sql("select model, reason from requests")
    assert set(rows["model"]) == {"house/medium"}
    assert rows["reason"].str.endswith("house/large failed (ServerFailedError); house/medium answers").all()
