"""The folder of a workspace, and the lock between its processes."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from orchestration_nb.errors import WorkspaceError
from orchestration_nb.state import locked, private_folder


class TestFolder:
    def test_is_private_whatever_it_was(self, tmp_path: Path) -> None:
        (tmp_path / ".orchestrate").mkdir(mode=0o755)
        assert private_folder(tmp_path).stat().st_mode & 0o777 == 0o700

    def test_is_invisible_to_git(self, tmp_path: Path) -> None:
        private_folder(tmp_path).joinpath("ledger.duckdb").write_text("x")
        for command in (["init", "-q"], ["add", "-A"]):
            subprocess.run(["git", *command], cwd=tmp_path, check=True)
        listed = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path, check=True, capture_output=True)
        assert listed.stdout == b""

    def test_an_ignore_file_of_the_user_stays(self, tmp_path: Path) -> None:
        private_folder(tmp_path).joinpath(".gitignore").write_text("*.log\n")
        assert private_folder(tmp_path).joinpath(".gitignore").read_text() == "*.log\n"


class TestLock:
    def test_held_alone_keeps_everybody_out(self, tmp_path: Path) -> None:
        path = tmp_path / "x.lock"
        with locked(path, alone=True, limit_s=1):
            for alone in (True, False):
                with (
                    pytest.raises(WorkspaceError, match=r"was held by another process for 0 seconds\.$"),
                    locked(path, alone=alone, limit_s=0),
                ):
                    pytest.fail("two hold it")

    def test_shared_lets_others_share(self, tmp_path: Path) -> None:
        path = tmp_path / "x.lock"
        with (
            locked(path, alone=False, limit_s=1),
            locked(path, alone=False, limit_s=0),
            pytest.raises(WorkspaceError),
            locked(path, alone=True, limit_s=0),
        ):
            pytest.fail("two share it")

    def test_is_waited_for(self, tmp_path: Path) -> None:
        path = tmp_path / "x.lock"
        held, never = threading.Event(), threading.Event()
        about_to_leave: list[bool] = []

        def hold() -> None:
            with locked(path, alone=True, limit_s=1):
                held.set()
                never.wait(0.05)
                about_to_leave.append(True)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        with locked(path, alone=True, limit_s=5):
            assert about_to_leave == [True]
        thread.join()

    def test_a_folder_that_is_not_there_is_one_sentence(self, tmp_path: Path) -> None:
        with (
            pytest.raises(WorkspaceError, match=r"cannot be written: .*\.$"),
            locked(tmp_path / "no" / "x", alone=True, limit_s=0),
        ):
            pass
