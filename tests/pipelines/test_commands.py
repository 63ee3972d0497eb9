"""``orchestrate run`` and ``orchestrate resume``: what they say, what they return, and that nothing is paid twice."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from orchestration_nb import Flow, cli
from orchestration_nb.ledger import Ledger
from orchestration_nb.testing import FakeProvider, fake_workspace
from tests.conftest import REPO
from tests.pipelines.notebooks import BEGIN, SMALL_USD, flow, outputs, write


class Said(NamedTuple):
    code: int
    out: str
    err: str


Type = Callable[..., Said]


@pytest.fixture
def orchestrate(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Type:
    """Types a command and returns its exit code and what it, and its kernel, said."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]))

    def type_it(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["orchestrate", *words])
        code = cli.main()
        return Said(code, *capfd.readouterr())

    return type_it


def calls(folder: Path) -> int:
    return int(
        Ledger(folder).sql("select count(*) as n from calls where cache = 'none' and status = 'ok'")["n"].iloc[0]
    )


def test_a_line_a_cell_the_account_of_each_run_and_where_the_copy_is(tmp_path: Path, orchestrate: Type) -> None:
    said = orchestrate("run", str(write(tmp_path, BEGIN, flow())), "--out", str(tmp_path / "copies"))
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0].startswith("[1/2] %load_ext orchestration_nb  ok, ")
    assert lines[1].startswith("[2/2] %%orchestrate triage --over tickets  ok, ")
    assert "triage done: 40 items · 40 ok · 40 calls" in said.out
    assert lines[-1].startswith(f"done: {tmp_path / 'copies'}")
    assert not said.err


@pytest.mark.parametrize(
    ("last", "code", "said"),
    [
        ("raise ValueError('no\\x1b[2Kgood')", 1, "ValueError: no\\x1b[2Kgood"),
        ("%%orchestrate triage --ovr tickets\na = 1", 1, "There is no flag '--ovr'.\nDid you mean --over?"),
        (flow(f"--budget {SMALL_USD}"), 3, "does not cover the next call"),
        ("raise KeyboardInterrupt", 130, "KeyboardInterrupt"),
    ],
)
def test_the_exit_code_says_how_it_ended(tmp_path: Path, orchestrate: Type, last: str, code: int, said: str) -> None:
    done = orchestrate("run", str(write(tmp_path, BEGIN, last)))
    assert done.code == code
    assert said in done.err


def test_wrong_usage_is_2(tmp_path: Path, orchestrate: Type) -> None:
    assert orchestrate("run", "nowhere.ipynb").code == 2
    assert orchestrate("run").code == 2
    assert orchestrate("resume", "--budget", "-1", "last").code == 2


def test_a_run_that_waits_for_its_budget_is_resumed_and_nothing_is_paid_twice(
    tmp_path: Path, orchestrate: Type
) -> None:
    """The same cells, unchanged: the budget of the command line takes the place of the cell's."""
    path = write(tmp_path, BEGIN, flow(f"--budget {SMALL_USD} --on-budget pause --into rows"), "len(rows)")
    first = orchestrate("run", str(path))
    assert first.code == 4
    assert "triage paused: 40 items" in first.out
    paid = calls(tmp_path)
    assert 0 < paid < 40
    (run_id,) = Ledger(tmp_path).sql("select run_id from runs")["run_id"]
    assert f"`orchestrate resume {run_id} --budget USD` goes on with it" in first.err

    again = orchestrate("resume", run_id)
    assert again.code == 4  # not a cent more was given
    assert calls(tmp_path) == paid

    done = orchestrate("resume", run_id[:-6], "--budget", "1")
    assert done.code == 0
    assert f"triage ({run_id}) is paused: {paid} of 40 items are done and are not paid again." in done.out
    assert f"The budget is raised from ${SMALL_USD} to $1.00" in done.out
    assert "triage done: 40 items · 40 ok" in done.out
    assert calls(tmp_path) == 40
    copy = Path(done.out.splitlines()[-1].removeprefix("done: "))
    assert outputs(copy, 2) == "40"
    runs = Ledger(tmp_path).sql("select status, resumes from runs order by run_id")
    assert runs["status"].tolist() == ["paused", "paused", "done"]
    assert runs["resumes"].tolist()[1:] == [run_id, run_id]

    needless = orchestrate("resume", "last")
    assert needless.code == 2
    assert "is done; there is nothing to go on with" in needless.err


def test_rows_that_failed_in_a_notebook_that_is_done_are_gone_on_with(tmp_path: Path, orchestrate: Type) -> None:
    odd = "import os\ntickets['part'] = 1 if os.path.exists('mended') else [0] * 3 + [1] * 37"
    path = write(tmp_path, BEGIN, f"{odd}\nprint(day)", f"{flow('--into rows')}\nshare = 1 / part", "len(rows)")
    notebook = json.loads(path.read_text())
    notebook["cells"][2]["metadata"]["tags"] = ["artifact:rows"]  # rows of which some failed are not restored
    path.write_text(json.dumps(notebook))
    first = orchestrate("run", str(path), "-p", "day=monday")
    assert first.code == 0
    assert "37 ok · 3 failed" in first.out
    (tmp_path / "mended").touch()
    again = orchestrate("resume", "last", "--json")
    assert again.code == 0, again.err
    assert outputs(Path(json.loads(again.out)["copy"]), 2) == "monday\n"
    runs = Ledger(tmp_path).sql("select run_id, items_failed, resumes from runs order by run_id")
    assert runs["items_failed"].tolist() == [3, 0]
    assert runs["resumes"].iloc[1] == runs["run_id"].iloc[0]
    assert calls(tmp_path) == 40  # what was answered is not paid twice
    needless = orchestrate("resume", "last")
    assert needless.code == 2
    assert "is done; there is nothing to go on with" in needless.err


def test_parameters_come_from_a_file_and_the_line_and_json_is_all_that_is_printed(
    tmp_path: Path, orchestrate: Type
) -> None:
    path = write(tmp_path, "day = 'today'  # which day\ntop: int = 3\nlimit = None", "print(day, top, limit)")
    notebook = json.loads(path.read_text())
    notebook["cells"][0]["metadata"]["tags"] = ["parameters"]
    path.write_text(json.dumps(notebook))
    (tmp_path / "given.yaml").write_text("day: 2026-01-31\ntop: 4\n")

    listed = orchestrate("inspect", str(path), "--format", "json")
    assert listed.code == 0
    assert [list(row.values()) for row in json.loads(listed.out)] == [
        ["day", "str", "'today'", "which day"],
        ["top", "int", "3", ""],
        ["limit", "Any", "None", ""],
    ]
    assert "which day" in orchestrate("inspect", str(path), "--format", "table").out

    given = ["run", str(path), "--params", str(tmp_path / "given.yaml"), "-p", "top=5", "--tag", "team=a", "--json"]
    told = orchestrate(*given, "--models", "sim", "--budget", "1")
    assert told.code == 0, told.err
    done = json.loads(told.out)
    assert outputs(Path(done["copy"]), 2) == "2026-01-31 5 None\n"
    assert (done["status"], done["exit_code"], done["error"], done["attempts"]) == ("done", 0, None, 1)
    assert [(cell["cell"], cell["title"], cell["status"]) for cell in done["cells"]] == [
        (1, "day = 'today'  # which day", "ok"),
        (2, "# Parameters", "ok"),
        (3, "print(day, top, limit)", "ok"),
    ]

    near = orchestrate("run", str(path), "-p", "tap=5")
    assert (near.code, near.out) == (2, "")
    assert "has no parameter 'tap'" in near.err
    assert "Did you mean 'top'?" in near.err
    for wrong in (["-p", "top=five"], ["--tag", "team"], ["--timeout", "0"], ["--models", "real"], ["--retries", "-1"]):
        assert orchestrate("run", str(path), *wrong).code == 2


def test_a_pipeline_run_is_resumed_by_its_id_with_what_it_was_given(tmp_path: Path, orchestrate: Type) -> None:
    path = write(tmp_path, "print(1 / (factor - 2))")
    failed = orchestrate("run", str(path), "-p", "factor=2", "--models", "sim")
    assert failed.code == 1
    assert failed.out.startswith("All models are simulated: nothing is paid")
    (pipeline_id,) = Ledger(tmp_path).sql("select pipeline_id from pipelines")["pipeline_id"]
    write(tmp_path, "print(factor)")
    again = orchestrate("resume", pipeline_id, "--json")
    assert again.code == 0
    done = json.loads(again.out)
    assert done["root"] == pipeline_id
    assert outputs(Path(done["copy"]), 1) == "2\n"


def test_a_parameter_that_held_a_secret_is_given_again_to_go_on(
    tmp_path: Path, orchestrate: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASS", "hunter2secret")
    monkeypatch.setenv("PIN", "73190")
    path = write(tmp_path, "print(pin, kept, len(url))\nassert pin != 73190")
    given = ["-p", "url=postgres://u:hunter2secret@db/x", "-p", "pin=73190", "-p", "kept=[1]"]
    assert orchestrate("run", str(path), *given, "--secret", "PASS=env:PASS", "--secret", "PIN=env:PIN").code == 1
    (pipeline_id,) = Ledger(tmp_path).sql("select pipeline_id from pipelines")["pipeline_id"]

    refused = orchestrate("resume", pipeline_id)
    assert (refused.code, refused.out) == (2, "")
    assert "The parameter 'pin' held a secret and was not kept." in refused.err
    assert f"orchestrate run weekly.ipynb --resume {pipeline_id} -p pin=VALUE -p url=VALUE" in refused.err
    again = orchestrate("run", str(path), "--resume", "last", "-p", "url=x", "-p", "pin=2027", "--json")
    assert again.code == 0, again.err
    assert outputs(Path(json.loads(again.out)["copy"]), 1) == "2027 [1] 1\n"


def test_what_the_runner_itself_has_to_say_is_said_and_cells_are_told_with_their_calls(
    tmp_path: Path, orchestrate: Type
) -> None:
    told = orchestrate("run", str(write(tmp_path, BEGIN, flow(), "import os\nos._exit(1)")))
    assert told.code == 1
    assert "[2/3] %%orchestrate triage --over tickets  ok, " in told.out
    assert " s · 40 calls · $0.0002" in told.out
    assert "The kernel died: it ended itself with exit code 1." in told.err


def test_a_run_of_no_notebook_is_told_what_to_write_instead(tmp_path: Path, orchestrate: Type) -> None:
    workspace = fake_workspace(tmp_path, FakeProvider(lambda _request: "fine"))
    source = Flow.from_source("a = llm('x')\nb = 1 / 0", name="triage", workspace=workspace)
    run = source.run()
    said = orchestrate("resume", run.id)
    assert said.code == 2
    assert "not by a notebook" in said.err
    assert f'resumes="{run.id}"' in said.err


def test_a_notebook_that_has_gone_is_said(tmp_path: Path, orchestrate: Type) -> None:
    path = write(tmp_path, BEGIN, flow(f"--budget {SMALL_USD} --on-budget pause"))
    orchestrate("run", str(path))
    path.unlink()
    said = orchestrate("resume", "last", "--budget", "1")
    assert said.code == 2
    assert "The notebook weekly.ipynb" in said.err
