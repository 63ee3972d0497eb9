"""Several notebooks at once and graphs of them: a line each, the worst exit code, artifacts from one to the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.ledger import Ledger
from orchestration_nb.pipelines.graphs import nodes_of
from orchestration_nb.pipelines.many import ManyRun, OneEnded, run_dag, run_many
from orchestration_nb.pipelines.options import RunOptions
from orchestration_nb.pipelines.values import Typed
from tests.conftest import REPO
from tests.pipelines.notebooks import outputs, write


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]))


class Heard:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def starts(self, name: str) -> None:
        self.lines.append(f"{name} starts")

    def ended(self, one: OneEnded) -> None:
        self.lines.append(f"{one.name} {one.status}")


def by_name(done: ManyRun) -> dict[str, OneEnded]:
    return {one.name: one for one in done.ended}


def test_one_that_fails_stops_no_other_and_the_worst_exit_code_is_returned(tmp_path: Path) -> None:
    paths = [write(tmp_path, "1 / 0", name="a"), write(tmp_path, "2", name="b")]
    heard = Heard()
    done = run_many(paths, parallel=1, watcher=heard)
    assert heard.lines == ["a.ipynb starts", "a.ipynb failed", "b.ipynb starts", "b.ipynb done"]
    assert done.exit_code == 1
    assert by_name(done)["a.ipynb"].because == "ZeroDivisionError: division by zero"
    copy = by_name(done)["b.ipynb"].copy
    assert copy is not None
    assert copy.is_file()
    assert sorted(Ledger(tmp_path).sql("select status from pipelines")["status"]) == ["done", "failed"]


def test_each_is_given_the_options(tmp_path: Path) -> None:
    cell = "assert (day, rows, name) == ('007', [1], 'x'), (day, rows, name)"
    path = write(tmp_path, cell)
    options = RunOptions(parameters={"day": "007", "rows": [1], "name": Typed("x")}, tags={"team": "a b"}, models="sim")
    done = run_many([path], parallel=2, options=options)
    assert done.exit_code == 0, done.ended[0].because
    assert Ledger(tmp_path).sql("select tags['team'] as team from pipelines")["team"].tolist() == ["a b"]


def test_what_cannot_be_run_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = write(tmp_path, "1")
    with pytest.raises(UsageError, match="There is no notebook"):
        run_many([path, tmp_path / "gone.ipynb"], parallel=1)
    with pytest.raises(UsageError, match="is named twice"):
        run_many([path, path], parallel=1)
    with pytest.raises(UsageError, match="0 notebooks at once"):
        run_many([path], parallel=0)
    with pytest.raises(UsageError, match="one notebook alone"):
        run_many([path], parallel=1, options=RunOptions(resumes="last"))


GRAPH = """
[dags.nightly.load]
notebook = "load.ipynb"
parameters = {rows = 3}
[dags.nightly.score]
notebook = "score.ipynb"
after = ["load"]
[dags.nightly.broken]
notebook = "broken.ipynb"
[dags.nightly.report]
notebook = "score.ipynb"
after = ["score", "broken"]
[dags.nightly.mail]
notebook = "score.ipynb"
after = ["report"]
"""


def graph(folder: Path, text: str = GRAPH) -> None:
    write(folder, "from orchestration_nb import artifacts\nartifacts.save('scored', [rows])", name="load")
    write(folder, "from orchestration_nb import artifacts\nassert artifacts.load('scored') == [3]", name="score")
    write(folder, "raise ValueError('no')", name="broken")
    (folder / "orchestrate.toml").write_text(text)


def test_a_graph_passes_artifacts_on_and_a_failed_node_skips_those_behind_it(tmp_path: Path) -> None:
    graph(tmp_path)
    heard = Heard()
    done = run_dag("nightly", folder=tmp_path, parallel=2, watcher=heard)
    assert {name: one.status for name, one in by_name(done).items()} == {
        "load": "done",
        "score": "done",
        "broken": "failed",
        "report": "skipped",
        "mail": "skipped",
    }
    assert by_name(done)["report"].because == "'broken' is not done"
    assert done.exit_code == 1
    assert heard.lines.index("load done") < heard.lines.index("score starts")
    pipelines = Ledger(tmp_path).sql("select dag from pipelines")["dag"]
    assert pipelines.tolist() == [done.dag] * 3
    assert str(done.dag).startswith("nightly:")


def test_dates_of_a_graphs_settings_are_texts_as_in_a_file_of_parameters(tmp_path: Path) -> None:
    given = "{day = 2026-01-31, at = 07:30:00, many = [{since = 2026-01-31T07:30:00Z}], top = 3}"
    path = write(tmp_path, "print(day, at, many, top)", name="day")
    (tmp_path / "orchestrate.toml").write_text(f'[dags.a.x]\nnotebook = "day.ipynb"\nparameters = {given}\n')
    done = run_dag("a", folder=tmp_path, parallel=1)
    (one,) = done.ended
    assert one.copy is not None, one.because
    assert outputs(one.copy, 1) == "2026-01-31 07:30:00 [{'since': '2026-01-31T07:30:00+00:00'}] 3\n"
    with pytest.raises(UsageError, match="The parameter 'day' cannot be object"):
        run_many([path], parallel=1, options=RunOptions(parameters={"day": object()}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[dags.a.x]\nnotebook = "load.ipynb"\nafter = ["y"]\n', "dags.a.x is after 'y', which is not there"),
        ('[dags.a.x]\nnotebook = "gone.ipynb"\n', "there is no notebook 'gone.ipynb'"),
        ('[dags.b.x]\nnotebook = "load.ipynb"\n', "There is no graph of notebooks 'a'"),
        (
            '[dags.a.x]\nnotebook = "load.ipynb"\nafter = ["y"]\n[dags.a.y]\nnotebook = "load.ipynb"\nafter = ["x"]\n',
            "goes in a circle: (x after y after x|y after x after y)",
        ),
    ],
)
def test_a_graph_that_is_none_is_refused_with_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    graph(tmp_path, text)
    with pytest.raises(UsageError, match=said):
        nodes_of(tmp_path, "a")


def test_a_signal_cancels_those_that_run_and_begins_no_other(tmp_path: Path) -> None:
    sleeping = "open('begun', 'w').close()\nimport time\ntime.sleep(60)"
    paths = [write(tmp_path, sleeping, name="a"), write(tmp_path, "2", name="b")]
    command = [sys.executable, "-m", "orchestration_nb.cli", "run", *map(str, paths), "--parallel", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ends_s = time.monotonic() + 60
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < ends_s
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    lines = out.splitlines()
    assert lines[0].startswith("a.ipynb  cancelled, ")
    assert lines[1].startswith("b.ipynb  cancelled  it had not begun")


def test_as_many_run_at_once_as_is_said_and_no_more(tmp_path: Path) -> None:
    paths = [write(tmp_path, "import time\ntime.sleep(1)", name=f"n{number}") for number in range(3)]
    assert run_many(paths, parallel=2).exit_code == 0
    ran = Ledger(tmp_path).sql("select started_at, finished_at from pipelines")
    assert len(ran) == 3
    at_once = [((ran["started_at"] <= moment) & (moment < ran["finished_at"])).sum() for moment in ran["started_at"]]
    assert max(at_once) == 2
