"""Which notebook or script runs, wherever it is opened."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestration_nb.whence import notebook_path

LAB = {"JPY_SESSION_NAME": "made/lab.ipynb"}


def main_module(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(**variables))


def test_vs_code_says_it_in_a_variable_that_the_session_made_up_does_not_hide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main_module(monkeypatch, __vsc_ipynb_file__=str(tmp_path / "weekly" / "triage.ipynb"))
    assert notebook_path(tmp_path, {}) == "weekly/triage.ipynb"
    assert notebook_path(tmp_path, {"JPY_SESSION_NAME": "triage-jvsc-1f2e.ipynb"}) == "weekly/triage.ipynb"
    assert notebook_path(tmp_path / "elsewhere", {}) == str(tmp_path / "weekly" / "triage.ipynb")


def test_a_headless_runner_knows_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main_module(monkeypatch, __vsc_ipynb_file__=str(tmp_path / "other.ipynb"))
    assert notebook_path(tmp_path, {"ORCHESTRATE_NOTEBOOK": "run.ipynb", **LAB}) == "run.ipynb"


def test_jupyterlab_says_it_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main_module(monkeypatch)
    assert notebook_path(tmp_path, LAB) == "made/lab.ipynb"


def test_a_script_is_the_file_that_was_started_and_a_terminal_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    main_module(monkeypatch, __file__=str(tmp_path / "nightly.py"))
    assert notebook_path(tmp_path, {}) == "nightly.py"
    main_module(monkeypatch)
    assert notebook_path(tmp_path, {}) is None
