"""``replay/...`` from the workspace's own ledger: the same questions, the recorded replies, nothing sent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import duckdb
import pandas as pd
import pytest

from orchestration_nb.calls import Ask, RawReply, Request, Usage
from orchestration_nb.errors import NoRecordedReplyError, NotAuthorisedError, UnknownModelError
from orchestration_nb.flows import Flow
from orchestration_nb.messages import ToolCall
from orchestration_nb.runs import Run
from orchestration_nb.testing import FakeProvider, fake_workspace
from orchestration_nb.workspace import Workspace
from tests.conftest import REPO

ROWS = pd.DataFrame({"body": [f"I was charged twice, order {number}." for number in range(12)]})
TRIAGE = """
queue: Literal["billing", "bug", "refund"] = llm(f"Which queue does this belong to? {body}")
points = [llm(f"One word on {word}: {body}", system="Be brief.") for word in ("mood", "matter")]
reply = llm(f"Queue {queue}. Answer: {body}", temperature=0.5, max_tokens=64)
"""


def flow(workspace: Workspace, text: str = "reply = llm(body)") -> Flow:
    return Flow.from_source(text, name="triage", namespace={"Literal": Literal}, workspace=workspace)


def replayed(workspace: Workspace, text: str, model: str = "replay/fake/small") -> Run:
    return flow(workspace, text).map(ROWS.head(1), model=model, fresh=True)


def is_missing(run: Run) -> bool:
    return isinstance(run.first_error, NoRecordedReplyError)


def test_a_run_is_replayed_to_the_same_results_at_the_same_cost_with_nothing_sent(workspace: Path) -> None:
    first = flow(Workspace(workspace, environ={}), TRIAGE).map(ROWS, model="sim/small")
    assert first.status == "done"
    assert set(first.results["_status"]) == {"ok"}
    later = Workspace(workspace, environ={})

    class Silent(FakeProvider):
        async def send(self, *_: Any, **__: Any) -> RawReply:
            raise AssertionError("something was sent")

    later.providers["sim"] = Silent(lambda request: "never", name="sim")
    second = flow(later, TRIAGE).map(ROWS, model="replay/sim/small")
    names = ["queue", "points", "reply", "_status"]
    assert second.results[names].to_dict("records") == first.results[names].to_dict("records")
    assert second.results["_cost_usd"].to_list() == pytest.approx(first.results["_cost_usd"].to_list(), abs=1e-15)
    assert second.cost_usd == second.billed_usd == pytest.approx(first.cost_usd, abs=1e-15)
    same = """
        SELECT count(*) AS calls, sum(input_tokens) AS read, sum(output_tokens) AS written,
            max(input_usd_per_mtok) AS usd, round(sum(latency_ms), 3) AS ms, bool_and(simulated) AS simulated,
            list(reply ORDER BY prompt, reply) AS said
        FROM calls JOIN texts USING (call_id) WHERE run_id = ? AND model = ?"""
    before, after = (
        later.ledger.sql(same, [run.id, model]).iloc[0].to_dict()
        for run, model in ((first, "sim/small"), (second, "replay/sim/small"))
    )
    assert list(after.pop("said")) == list(before.pop("said"))
    assert after == before
    assert (after["calls"], after["usd"], after["simulated"]) == (48, 0.075, True)


def test_only_the_very_question_is_answered(tmp_path: Path) -> None:
    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: f"system {request.system}"))
    with_system = 'reply = llm(body, system="Be brief.")'
    flow(workspace, with_system).map(ROWS.head(1), model="fake/small")
    assert replayed(workspace, with_system).results["reply"][0] == "system Be brief."
    reads_alike = 'reply = llm(f"system: Be brief.\\n\\nuser: {body}")'  # as the ledger's text of the call reads
    others = [
        *("reply = llm(body)", reads_alike, 'reply = llm(body, system="Be long.")'),
        *('reply = llm(body + " ", system="Be brief.")', 'reply = llm(body, system="Be brief.", temperature=0)'),
        *('reply = llm(body, system="Be brief.", max_tokens=9)', 'reply: bool = llm(body, system="Be brief.")'),
    ]
    for text in others:
        assert is_missing(replayed(workspace, text)), text
    flow(workspace, reads_alike).map(ROWS.head(1), model="fake/small")
    assert replayed(workspace, reads_alike).results["reply"][0] == "system None"
    assert replayed(workspace, with_system).results["reply"][0] == "system Be brief."


def test_each_sample_has_its_own_recording(tmp_path: Path) -> None:
    def asking(name: str, samples: tuple[int, ...]) -> Any:
        async def joined(request: Request, ask: Ask) -> Any:
            replies = [await ask(name, sample=number) for number in samples]
            said.append([reply.text for reply in replies])
            return replies[0]

        return joined

    said: list[list[str]] = []
    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: f"answer {request.sample}"))
    flow(workspace).map(ROWS.head(1), strategy=asking("fake/small", (0, 2)))
    # The strategy is the first to name the model: nobody has looked at the ledger yet.
    flow(workspace).map(ROWS.head(1), strategy=asking("replay/fake/small", (2, 0)))
    assert said == [["answer 0", "answer 2"], ["answer 2", "answer 0"]]
    assert is_missing(flow(workspace).map(ROWS.head(1), strategy=asking("replay/fake/small", (1,))))
    unknown = flow(workspace).map(ROWS.head(1), strategy=asking("replay/fake/medium", (0,))).first_error
    assert isinstance(unknown, UnknownModelError)


def test_the_newest_recording_answers_and_neither_failures_nor_replays_are_recordings(tmp_path: Path) -> None:
    texts = ["first", "second"]
    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: texts.pop(0)))
    for _ in range(2):
        flow(workspace).map(ROWS.head(1), model="fake/small", fresh=True)
    flow(workspace).map(ROWS.head(1), model="fake/small")  # from the cache
    assert flow(workspace).map(ROWS.head(1), model="fake/small", fresh=True).results["_status"][0] == "failed"
    assert replayed(workspace, "reply = llm(body)").results["reply"][0] == "second"
    listed = [row for row in workspace.models() if row.name.startswith("replay/")]
    assert [(row.name, row.usable, row.simulated, row.why) for row in listed] == [
        ("replay/fake/small", True, True, "this workspace's ledger")
    ]
    assert listed[0].price is not None
    assert (listed[0].price.input_usd_per_mtok, listed[0].price.output_usd_per_mtok) == (1.0, 2.0)
    with pytest.raises(UnknownModelError):
        workspace.usable("replay/replay/fake/small")


def test_what_was_replayed_before_comes_from_the_recordings_again_and_not_from_the_cache(tmp_path: Path) -> None:
    texts = ["first", "second"]
    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: texts.pop(0)))
    flow(workspace).map(ROWS.head(1), model="fake/small", fresh=True)
    once = flow(workspace).map(ROWS.head(1), model="replay/fake/small")
    flow(workspace).map(ROWS.head(1), model="fake/small", fresh=True)
    later = fake_workspace(tmp_path, FakeProvider(lambda request: texts.pop(0)))
    planned = flow(later).plan(ROWS.head(1), model="replay/fake/small")
    again = flow(later).map(ROWS.head(1), model="replay/fake/small")
    assert (once.results["reply"][0], again.results["reply"][0]) == ("first", "second")
    assert again.cost_usd == once.cost_usd > 0
    assert planned.cost_usd.expected > 0


def test_a_reply_that_asked_for_tools_is_no_recording(tmp_path: Path) -> None:
    call = ToolCall(id="1", name="look", arguments={})
    asked = RawReply(text="", usage=Usage(), finish_reason="tool_calls", tool_calls=(call,))
    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: asked))
    assert flow(workspace).map(ROWS.head(1), model="fake/small").results["_status"][0] == "ok"
    with pytest.raises(UnknownModelError):
        workspace.usable("replay/fake/small")


def test_what_is_recorded_after_a_replay_is_found_by_the_next(tmp_path: Path) -> None:
    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: request.prompt.upper()))
    flow(workspace).map(ROWS.head(2), model="fake/small")
    before = flow(workspace).map(ROWS.head(3), model="replay/fake/small")
    assert before.results["_status"].to_list() == ["ok", "ok", "failed"]
    flow(workspace).map(ROWS.head(3), model="fake/small")
    after = flow(workspace).map(ROWS.head(3), model="replay/fake/small")
    assert after.results["reply"].to_list() == ROWS["body"].head(3).str.upper().to_list()


def test_a_call_keeps_the_cost_of_its_own_day(tmp_path: Path) -> None:
    price = '[models."fake/small"]\ninput_usd_per_mtok = {0}\noutput_usd_per_mtok = {0}\n'
    costs = []
    for number in range(2):
        workspace = fake_workspace(tmp_path, FakeProvider(lambda request: "hi"))
        (tmp_path / "orchestrate.toml").write_text(price.format(number + 5))
        dearer = Workspace(tmp_path, environ={})
        dearer.providers["fake"] = workspace.providers["fake"]
        costs.append(flow(dearer).map(ROWS[number : number + 1], model="fake/small").cost_usd)
    assert costs == pytest.approx([15 * 5 / 1e6, 15 * 6 / 1e6])
    workspace = Workspace(tmp_path, environ={})
    run = flow(workspace).map(ROWS.head(2), model="replay/fake/small")
    assert run.results["_cost_usd"].to_list() == pytest.approx(costs)
    rows = workspace.ledger.sql(
        "SELECT input_usd_per_mtok AS usd FROM calls WHERE run_id = ? ORDER BY cost_usd", [run.id]
    )
    assert rows["usd"].isna().to_list() == [True, False]  # the price shown is the one that makes the cost, or none


def test_an_alias_may_stand_for_a_recorded_model(tmp_path: Path) -> None:
    flow(fake_workspace(tmp_path, FakeProvider(lambda request: "hi"))).map(ROWS.head(1), model="fake/small")
    (tmp_path / "orchestrate.toml").write_text(
        '[aliases]\nmedium = "replay/fake/small"\n'
        '[models."replay/fake/small"]\ninput_usd_per_mtok = 3.0\noutput_usd_per_mtok = 4.0\n'
    )
    workspace = Workspace(tmp_path, environ={})
    assert flow(workspace).map(ROWS.head(1)).results["reply"][0] == "hi"
    (row,) = (row for row in workspace.models() if row.name == "replay/fake/small")
    assert (row.aliases, row.usable, row.simulated) == (("medium",), True, True)
    assert row.price is not None
    assert row.price.input_usd_per_mtok == 3.0


def test_without_a_ledger_it_says_so_and_makes_none(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, environ={})
    with pytest.raises(NotAuthorisedError, match=r"nothing is recorded in this workspace's ledger yet"):
        workspace.usable("replay/openai/gpt-4.1-mini")
    assert not any(row.name.startswith("replay/") for row in workspace.models())
    assert not (tmp_path / ".orchestrate").exists()


def test_a_ledger_that_cannot_be_read_says_why_and_the_models_are_listed_all_the_same(tmp_path: Path) -> None:
    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: "hi"))
    flow(workspace).map(ROWS.head(1), model="fake/small")
    workspace.ledger.merge()
    with duckdb.connect(str(tmp_path / ".orchestrate" / "ledger.duckdb")) as connection:
        connection.execute("UPDATE ledger_version SET version = 999")
    assert any(row.usable for row in workspace.models())
    with pytest.raises(NotAuthorisedError, match="version 999"):
        workspace.usable("replay/fake/small")


def test_a_workspace_starts_without_opening_its_ledger(tmp_path: Path) -> None:
    flow(fake_workspace(tmp_path, FakeProvider(lambda request: "hi"))).map(ROWS.head(1), model="fake/small")
    script = (
        "import sys; from orchestration_nb.workspace import Workspace\n"
        "workspace = Workspace(sys.argv[1], environ={}); print('duckdb' in sys.modules)\n"
        "workspace.usable('replay/fake/small'); print('duckdb' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
