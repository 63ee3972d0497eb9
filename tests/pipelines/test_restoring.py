"""Cells that say what they leave behind are restored when a notebook is resumed, the others run again."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.ids import PipelineId
from orchestration_nb.ledger import Ledger
from orchestration_nb.pipelines import NotebookRun, RunOptions, Unwatched, run_notebook
from orchestration_nb.pipelines.dependence import loads_into_the_kernel, makes
from orchestration_nb.pipelines.holding import hold_chain
from orchestration_nb.pipelines.leaving import left_behind
from tests.conftest import REPO


class Heard(Unwatched):
    def __init__(self) -> None:
        self.sentences: list[str] = []

    def said(self, sentence: str) -> None:
        self.sentences.append(sentence)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")]))


class Notebook:
    """A notebook whose cells leave a trace when they run, and one of which fails until it is mended."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "daily.ipynb"
        self.cells: list[tuple[str, tuple[str, ...]]] = [
            ("import pandas as pd\nbase = 2", ()),
            ("scored = pd.DataFrame({'a': [base, None]})\nprint('scored it')", ("artifact:scored",)),
            ("total = int(scored.a.sum())\nwords = 'x'", ("artifact:total", "artifact:words")),
            ("helper = lambda: total\nkept = 1", ("artifact:kept",)),
            ("if not __import__('os').path.exists('mended'): raise ValueError('not yet')", ()),
            ("assert (total, words, helper(), kept, len(scored)) == (2, 'x', 2, 1, 2)", ()),
        ]
        self.write()

    def write(self) -> None:
        notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
        notebook.cells = [
            nbformat.v4.new_code_cell(  # type: ignore[no-untyped-call]
                f"open('ran', 'a').write('{number} ')\n{source}", metadata={"tags": list(tags)}
            )
            for number, (source, tags) in enumerate(self.cells, start=1)
        ]
        nbformat.write(notebook, self.path)  # type: ignore[no-untyped-call]

    def run(self, **options: Any) -> tuple[NotebookRun, list[str], str]:
        """The run, what was said, and which cells ran."""
        trace, heard = self.folder / "ran", Heard()
        trace.write_text("")
        done = run_notebook(self.path, options=RunOptions(**options), watcher=heard)
        return done, heard.sentences, trace.read_text().strip()

    def mend(self) -> None:
        (self.folder / "mended").touch()


@pytest.fixture
def notebook(workspace: Path) -> Iterator[Notebook]:
    return Notebook(workspace)  # type: ignore[return-value]


def test_what_can_be_is_restored_and_why_the_others_run_again_is_said(notebook: Notebook) -> None:
    done, _, ran = notebook.run()
    assert (done.status, ran) == ("failed", "1 2 3 4 5")
    notebook.mend()
    done, said, ran = notebook.run(resumes="last")
    assert (done.status, ran) == ("done", "1 4 5 6")
    assert [cell.status for cell in done.cells] == ["ok", "restored", "restored", "ok", "ok", "ok"]
    assert said == [
        "4 of 6 cells had ended well and are what they were.",
        "Restored from what was kept: cells 2-3.",
        "Run again, and answered from the journal: cells 1, 4.",
        "Work goes on at cell 5.",
        "Cell 4 is not restored: cell 6 uses 'helper', which it makes and does not name.",
    ]
    copy: Any = nbformat.read(done.copy, as_version=4)  # type: ignore[no-untyped-call]
    assert copy.cells[1].outputs[0].text == "scored it\n"
    assert copy.cells[1].source.endswith("print('scored it')")
    rows = Ledger(notebook.folder).sql("select resumes, attempt, status from pipelines order by pipeline_id")
    assert (
        rows["resumes"].tolist()[1]
        == Ledger(notebook.folder).sql("select min(pipeline_id) as p from pipelines")["p"][0]
    )
    with pytest.raises(UsageError, match="is done; there is nothing to go on with"):
        notebook.run(resumes="last")


def test_only_what_stands_above_the_first_change_is_restored(notebook: Notebook) -> None:
    notebook.run()
    notebook.mend()
    notebook.cells[2] = ("total = int(scored.a.sum())\nwords = 'x'  # changed", notebook.cells[2][1])
    notebook.write()
    _, said, ran = notebook.run(resumes="last")
    assert ran == "1 3 4 5 6"
    assert said[0] == "2 of 6 cells had ended well and are what they were."


def test_a_parameter_that_changed_restores_nothing_below_it(notebook: Notebook) -> None:
    notebook.run(parameters={"day": 1})
    notebook.mend()
    done, said, ran = notebook.run(parameters={"day": 2}, resumes="last")
    assert (done.status, ran) == ("done", "1 2 3 4 5 6")
    assert said[0] == "0 of 7 cells had ended well and are what they were."


def test_a_file_that_was_changed_is_not_restored_from(notebook: Notebook) -> None:
    notebook.run()
    notebook.mend()
    (scored,) = (notebook.folder / ".orchestrate" / "artifacts").rglob("scored-*.parquet")
    scored.write_bytes(b"PAR1")
    _, said, ran = notebook.run(resumes="last")
    assert ran == "1 2 4 5 6"
    assert "Cell 2 is not restored: a file of its artifacts was changed or is gone." in said


def test_a_retry_restores_as_well(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration_nb.pipelines.headless.FIRST_WAIT_S", 0.01)
    notebook.cells[4] = ("import pathlib\np = pathlib.Path('once')\nif not p.exists(): p.touch(); 1 / 0", ())
    notebook.write()
    done, said, ran = notebook.run(retries=1)
    assert (done.status, done.attempts) == ("done", 2)
    assert ran == "1 2 3 4 5 1 4 5 6"
    assert "Restored from what was kept: cells 2-3." in said


def test_what_cannot_be_kept_is_said_and_the_cell_has_ended_well(notebook: Notebook) -> None:
    notebook.cells = [("thing = object()", ("artifact:thing",)), ("1 / 0", ())]
    notebook.write()
    done, said, _ = notebook.run()
    assert done.cells[0].status == "ok"
    assert len(said) == 1
    assert said[0].startswith("Nothing is kept of cell 1: The artifact 'thing' (object) cannot be kept: ")


def test_a_tag_that_names_no_variable_is_refused() -> None:
    cell: Any = nbformat.v4.new_code_cell("1", metadata={"tags": ["artifact:my table"]})  # type: ignore[no-untyped-call]
    with pytest.raises(UsageError, match="names no variable that can be kept"):
        left_behind(cell)


def test_a_pipeline_whose_process_lives_is_not_gone_on_with(workspace: Path) -> None:
    root = PipelineId("p1")
    held = hold_chain(workspace, root)
    with pytest.raises(UsageError, match="is still running: a process of it lives"):
        hold_chain(workspace, root, wait_s=0.05)
    timer = threading.Timer(0.1, held.release)
    timer.start()
    again = hold_chain(workspace, root, wait_s=10)
    timer.join()
    again.release()
    assert not list((workspace / ".orchestrate" / "chains").iterdir())


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a = b + 1", {"a"}),
        ("import pandas as pd, os.path\nfrom x import y as z", {"pd", "os", "z"}),
        ("def f(): pass\nclass C: pass", {"f", "C"}),
        ("rows.loc[0, 'x'] = 1\nthing().part.name = 2\ncount += 1\ndel gone", {"rows", "thing", "count", "gone"}),
        ("for i, (j, k) in pairs: pass\nwith open('x') as file: pass", {"i", "j", "k", "file"}),
        ("(n := 3)\nmatch n:\n    case [first, *rest]: pass", {"n", "first", "rest"}),
        ("%%orchestrate triage --over rows --into out\nx = llm('y')", {"triage", "out"}),
        ("%%time\na = 1", {"a"}),
        ("%%bash\necho $HOME", {"bash", "echo", "HOME"}),
        ("a = ", {"a"}),
    ],
)
def test_the_names_that_a_cell_makes(source: str, names: set[str]) -> None:
    assert makes(source) == names


def test_magics_do_to_the_kernel_what_no_artifact_holds() -> None:
    assert loads_into_the_kernel("%load_ext orchestration_nb\nx = 1")
    assert not loads_into_the_kernel("%%orchestrate a\nx = 5 %  y")
    assert not loads_into_the_kernel("x = 5 % y\nz = (1\n  % 2)")
