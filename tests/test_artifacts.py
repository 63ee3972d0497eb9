"""Named artifacts: kept as files that anybody can read, loaded as they were, the right one of several."""

from __future__ import annotations

import datetime as dt
import json
import math
import stat
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from orchestration_nb import artifacts, ledger
from orchestration_nb.errors import UsageError, WorkspaceError
from orchestration_nb.ids import PipelineId
from orchestration_nb.ledger import JournalFile
from orchestration_nb.pipeline_events import PipelineStarted

FRAME = pd.DataFrame({"body": ["a bill", None], "score": pd.array([1, None], dtype="Int64"), "tags": [["a"], []]})


def saved() -> pd.DataFrame:
    return ledger().sql("select * from artifacts order by saved_at")


def files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / ".orchestrate" / "artifacts").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("value", "suffix"),
    [
        (FRAME, ".parquet"),
        ("two\r\nlines\n", ".txt"),
        ({"a": [1, 2.5, None, True], "b": {"c": "ü"}}, ".json"),
        ([], ".json"),
        (3, ".json"),
        (None, ".json"),
    ],
)
def test_what_is_saved_is_loaded_and_stands_in_the_ledger(workspace: Path, value: Any, suffix: str) -> None:
    artifacts.save("scored", value)
    back = artifacts.load("scored")
    if isinstance(value, pd.DataFrame):
        pd.testing.assert_frame_equal(back, value)
    else:
        assert back == value
        assert type(back) is type(value)
    (path,) = files(workspace)
    assert path.suffix == suffix
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    row = saved().iloc[0]
    assert path == workspace / ".orchestrate" / row["path"]
    assert row["bytes"] == path.stat().st_size
    assert (row["name"], row["pipeline_id"]) == ("scored", None)


def test_the_newest_of_a_name_is_loaded(workspace: Path) -> None:
    for number in (1, 2, 1):
        artifacts.save("scored", number)
    assert artifacts.load("scored") == 1
    assert len(saved()) == 3


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "1st", "x" * 65, "ä", "a.json", "a\n"])
def test_names_that_could_lead_elsewhere_are_refused(workspace: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of an artifact"):
        artifacts.save(name, 1)
    with pytest.raises(UsageError, match="cannot be the name of an artifact"):
        artifacts.load(name)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ((1, 2), "would come back different"),
        (math.nan, "would come back different"),
        ({1: "a"}, "Dict key must be str"),
        ({"at": dt.datetime(2026, 1, 31)}, "would come back different"),  # noqa: DTZ001
        (object(), "not JSON serializable"),
        (2**70, "exceeds 64-bit"),
        (pd.Series([1]), "to_frame"),
        (pd.DataFrame({"a": [(1, 2)]}), "row 0 is"),
        ("\ud800", "no valid text"),
        (threading.Lock(), "not JSON serializable"),
    ],
)
def test_what_would_come_back_different_is_refused_and_leaves_nothing(workspace: Path, value: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        artifacts.save("scored", value)
    assert said in f"{caught.value} {caught.value.hint}"
    assert not (workspace / ".orchestrate" / "artifacts").exists() or not files(workspace)


def test_a_file_that_was_changed_or_is_gone_is_not_loaded(workspace: Path) -> None:
    artifacts.save("scored", {"a": 1})
    (path,) = files(workspace)
    path.write_text('{"a":2}')
    with pytest.raises(WorkspaceError, match="was changed since it was saved"):
        artifacts.load("scored")
    path.unlink()
    with pytest.raises(WorkspaceError, match="is not there any more"):
        artifacts.load("scored")


def test_what_was_never_saved_is_said(workspace: Path) -> None:
    with pytest.raises(UsageError, match="No artifact 'scored' was saved"):
        artifacts.load("scored")
    artifacts.save("scored", 1)
    with pytest.raises(UsageError, match="by the pipeline run 'p1'"):
        artifacts.load("scored", run="p1")


def test_a_row_of_the_ledger_leads_nowhere_but_into_the_folder(workspace: Path) -> None:
    artifacts.save("scored", 1)
    (workspace / "secret.txt").write_text("x")
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    with pytest.raises(WorkspaceError, match="changed"):
        artifacts.read(workspace, "../secret.txt", "text", digest)


class Runs:
    """Pipeline runs as the kernel and the ledger know them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch

    def begin(self, name: str, *, root: str | None = None, dag: str | None = None) -> None:
        journal = JournalFile(self.folder)
        journal.write(
            PipelineStarted(
                pipeline_id=PipelineId(name),
                notebook="a.ipynb",
                digest="",
                cells=1,
                resumes=None if root is None else PipelineId(root),
                dag=dag,
                copy="",
                started_at=dt.datetime(2026, 1, 31),  # noqa: DTZ001
                pid=1,
                package_version="",
            )
        )
        journal.close()
        self.monkeypatch.setenv("ORCHESTRATE_PIPELINE", name)
        self.monkeypatch.setenv("ORCHESTRATE_PIPELINE_ROOT", root or name)


@pytest.fixture
def runs(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(workspace, monkeypatch)


def test_a_pipeline_finds_its_own_and_those_of_the_run_that_it_resumes_first(runs: Runs) -> None:
    runs.begin("p1")
    artifacts.save("scored", "first")
    runs.begin("other")
    artifacts.save("scored", "another pipeline's")
    runs.begin("p2", root="p1")
    assert artifacts.load("scored") == "first"
    artifacts.save("scored", "second")
    assert artifacts.load("scored") == "second"
    assert artifacts.load("scored", run="p1") == "first"
    runs.begin("later")
    assert artifacts.load("scored") == "second"


def test_a_graph_of_notebooks_finds_those_of_its_own_run_first(runs: Runs) -> None:
    runs.begin("a1", dag="nightly:1")
    artifacts.save("scored", "of the first night")
    runs.begin("a2", dag="nightly:2")
    artifacts.save("scored", "of the second night")
    runs.begin("b1", dag="nightly:1")
    assert artifacts.load("scored") == "of the first night"


def test_a_run_that_is_named_by_too_little_is_asked_for_more(runs: Runs) -> None:
    for name in ("p-a", "p-b"):
        runs.begin(name)
        artifacts.save("scored", name)
    with pytest.raises(UsageError, match="More than one pipeline run"):
        artifacts.load("scored", run="p-")
    assert artifacts.load("scored", run="-b") == "p-b"


def test_variables_of_a_cell_are_kept_and_put_back(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.begin("p1")
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(scored=FRAME, total=3, other=object()))
    artifacts.keep_of_cell(4, ("scored", "total"))
    rows = saved()
    assert rows["cell"].tolist() == [4, 4]
    found = {row["name"]: (row["path"], row["format"], row["digest"]) for row in rows.to_dict("records")}
    anew = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "__main__", anew)
    artifacts.put_back(found)
    pd.testing.assert_frame_equal(anew.scored, FRAME)
    assert anew.total == 3
    with pytest.raises(UsageError, match="leaves 'gone' behind, and there is no such variable"):
        artifacts.keep_of_cell(4, ("gone",))


def test_nothing_is_pickled(workspace: Path) -> None:
    artifacts.save("frame", FRAME)
    artifacts.save("tree", {"a": [1]})
    for path in files(workspace):
        assert path.read_bytes()[:4] == b"PAR1" or json.loads(path.read_bytes()) == {"a": [1]}
