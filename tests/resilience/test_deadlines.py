"""How long a call may take in all, whatever it waits for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pandas as pd

from orchestration_nb import Flow, Run, Workspace
from orchestration_nb.calls import Request
from orchestration_nb.errors import OverloadedError, RateLimitedError
from orchestration_nb.testing import FakeProvider, fake_workspace


def timed(workspace: Workspace, text: str, items: int = 1, **options: Any) -> tuple[Run, float]:
    flow = Flow.from_source(text, name="waits", workspace=workspace)
    started = time.monotonic()
    run = flow.map(pd.DataFrame({"number": range(items)}), **options)
    return run, time.monotonic() - started


def simulated(folder: Path, text: str) -> Workspace:
    (folder / "orchestrate.toml").write_text(text)
    return Workspace(folder)


def test_timeout_bounds_a_call_that_gets_no_answer_and_is_tried_no_second_time(tmp_path: Path) -> None:
    workspace = simulated(tmp_path, "[sim]\nhang = 1.0\n")
    run, took_s = timed(workspace, 'answer = llm(f"{number}", timeout=0.5)')
    assert 0.5 <= took_s < 10, "and not the minutes that an answer may take"
    assert run.results["_status"].tolist() == ["failed"]
    assert len(run.calls["attempts"].iloc[0]) == 1
    assert run.calls["bill_unknown"].all(), "it was sent, and may have been billed"


def test_timeout_bounds_a_call_with_all_its_attempts_and_the_waits_between_them(tmp_path: Path) -> None:
    workspace = simulated(tmp_path, "[sim]\nlatency_scale = 0\nrate_limited = 1.0\n")
    run, took_s = timed(workspace, 'answer = llm(f"{number}", timeout=1.0)')
    assert took_s < 10
    assert "1 s that" in run.results["_error"].iloc[0], "whichever wait met the end of its time"
    assert len(run.calls["attempts"].iloc[0]) > 1


def test_a_later_attempt_has_only_the_time_that_is_left(tmp_path: Path) -> None:
    workspace = simulated(
        tmp_path, "[sim]\nlatency_scale = 0\n[retry]\nattempts = 40\nfirst_wait_s = 0.001\nmost_wait_s = 0.001\n"
    )
    sim: Any = workspace.providers["sim"]
    sim.break_down("small", "hang")
    workspace.services.timeouts = type(workspace.services.timeouts)(total_s=0.3)
    run, took_s = timed(workspace, 'answer = llm(f"{number}", model="fast", timeout=1.0)')
    assert took_s < 8, "and not 40 times the total timeout"
    assert run.results["_status"].tolist() == ["failed"]


def test_timeout_bounds_the_wait_in_line_and_nothing_is_sent(tmp_path: Path) -> None:
    workspace = simulated(tmp_path, "[sim]\nlatency_scale = 1\n")
    text = 'slow = llm(f"first {number}", model="strong")\nquick = llm(f"second {number}", timeout=0.2)'
    run, _ = timed(workspace, text, concurrency=1)
    assert "went by in line" in run.errors["error"].iloc[0]
    assert run.calls["status"].eq("ok").all(), "what was not sent is no call"


def test_what_a_pause_takes_is_nobodys_patience(tmp_path: Path) -> None:
    workspace = simulated(tmp_path, "[sim]\nlatency_scale = 0.1\n")
    flow = Flow.from_source('answer = llm(f"{number}", timeout=1.0)', name="waits", workspace=workspace)
    run = flow.start(pd.DataFrame({"number": range(30)}), concurrency=2)
    while run.progress.done < 3:
        time.sleep(0.01)
    run.pause()
    time.sleep(1.3)
    run.resume()
    assert (run.wait().results["_status"] == "ok").all()


def test_a_wait_past_the_deadline_is_refused_at_once_with_a_sentence(tmp_path: Path) -> None:
    def tomorrow(request: Request) -> Any:
        raise RateLimitedError("Come back tomorrow.", retry_after_s=86_400, http_status=429)

    run, took_s = timed(fake_workspace(tmp_path, FakeProvider(tomorrow)), 'answer = llm(f"{number}")', items=3)
    assert took_s < 30
    assert run.results["_error"].str.contains("asks to wait 86,400 s").all()


def test_a_rate_limit_is_waited_out_and_each_refusal_is_an_attempt(tmp_path: Path) -> None:
    refused = 0

    def at_last(request: Request) -> str:
        nonlocal refused
        if refused < 7:
            refused += 1
            raise RateLimitedError("Slow down.", retry_after_s=0.01, http_status=429)
        return "there you are"

    run, _ = timed(fake_workspace(tmp_path, FakeProvider(at_last)), 'answer = llm(f"{number}")')
    assert run.results["answer"].tolist() == ["there you are"]
    attempts = run.calls["attempts"].iloc[0]
    assert [attempt["http_status"] for attempt in attempts] == [429] * 7 + [None]


def test_a_fallback_has_one_deadline_for_all_its_models(tmp_path: Path) -> None:
    (tmp_path / "orchestrate.toml").write_text("[retry]\ndeadline_s = 2.0\nattempts = 50\nmost_wait_s = 0.2\n")

    def busy(request: Request) -> Any:
        raise OverloadedError("busy", http_status=503)

    workspace = fake_workspace(tmp_path, FakeProvider(busy))
    run, took_s = timed(workspace, 'answer = llm(f"{number}", strategy="fallback(fake/small, fake/large)")')
    assert took_s < 3.9, "and not one each"
    assert run.results["_status"].tolist() == ["failed"]
    assert set(run.calls["model"]) == {"fake/small", "fake/large"}, "each is asked at least once"
