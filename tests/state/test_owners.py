"""Which processes live is known for sure, however they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestration_nb.errors import StateError
from orchestration_nb.state.owners import Owners
from orchestration_nb.testing import ManualClock
from tests.conftest import REPO

Enter = Callable[[], Owners]
OTHER = """
import sys
from pathlib import Path
from orchestration_nb.state.owners import Owners
print(Owners(Path(sys.argv[1])).me, flush=True)
{then}
"""


@pytest.fixture
def enter(tmp_path: Path) -> Iterator[Enter]:
    """Another owner of the same workspace; let go of at the end."""
    entered: list[Owners] = []

    def enter_one() -> Owners:
        entered.append(Owners(tmp_path))
        return entered[-1]

    yield enter_one
    for owners in entered:
        owners.close()


STAYS = "import time; time.sleep(60)"


def begin(workspace: Path, then: str) -> subprocess.Popen[str]:
    """A process that is about to enter."""
    command = [sys.executable, "-c", OTHER.format(then=then), str(workspace)]
    return subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True)


def other_process(workspace: Path, then: str) -> tuple[subprocess.Popen[str], str]:
    """A process that has entered, and its token."""
    process = begin(workspace, then)
    return process, token_of(process)


def token_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_process_knows_itself_and_those_beside_it(enter: Enter) -> None:
    one, two = enter(), enter()
    assert one.me == one.me != two.me
    assert one.alive(one.me)
    assert one.alive(two.me)
    assert two.alive(one.me)


def test_a_token_that_nobody_holds_is_dead(enter: Enter) -> None:
    assert enter().dead(["never-there"]) == {"never-there"}


def test_a_killed_process_is_dead_and_a_living_one_is_not(enter: Enter, tmp_path: Path) -> None:
    killed, killed_token = other_process(tmp_path, STAYS)
    living, living_token = other_process(tmp_path, STAYS)
    try:
        assert enter().dead([killed_token, living_token]) == set()
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert enter().dead([killed_token, living_token]) == {killed_token}
    finally:
        for process in (killed, living):
            process.kill()
            process.communicate()


def test_an_answer_is_believed_for_a_fifth_of_a_second(tmp_path: Path, enter: Enter) -> None:
    clock, other = ManualClock(), enter()
    owners = Owners(tmp_path, clock)
    token = other.me
    assert owners.alive(token)
    other.close()
    assert owners.alive(token)
    clock._elapsed_s = 0.21
    assert not owners.alive(token)


def test_a_forked_child_is_an_owner_of_its_own_and_does_not_keep_its_parent_alive(enter: Enter, tmp_path: Path) -> None:
    then = """
import os, time
owners = Owners(Path(sys.argv[1]))
parent = owners.me
if os.fork() == 0:
    print(parent, owners.me, os.getpid(), flush=True)
    time.sleep(60)
time.sleep(60)
"""
    process, _ = other_process(tmp_path, then)
    assert process.stdout is not None
    parent, child, child_pid = process.stdout.readline().split()
    try:
        assert parent != child
        assert enter().dead([parent, child]) == set()
        process.kill()
        process.wait()
        assert enter().dead([parent, child]) == {parent}
    finally:
        os.kill(int(child_pid), signal.SIGKILL)
        process.communicate()


def test_what_the_dead_left_behind_is_swept_and_the_living_stay(enter: Enter, tmp_path: Path) -> None:
    process, token = other_process(tmp_path, "")
    process.communicate()
    first = enter().me
    names = {path.name for path in (tmp_path / ".orchestrate" / "owners").iterdir()}
    assert names == {first}
    second = enter().me
    assert {path.name for path in (tmp_path / ".orchestrate" / "owners").iterdir()} == {first, second}
    assert token not in names


def test_many_that_begin_at_once_do_not_sweep_each_other(enter: Enter, tmp_path: Path) -> None:
    others = [begin(tmp_path, STAYS) for _ in range(4)]
    try:
        assert enter().dead([token_of(process) for process in others]) == set()
    finally:
        for process in others:
            process.kill()
            process.communicate()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / ".orchestrate").write_text("in the way")
    with pytest.raises(StateError, match="cannot be written or locked"):
        _ = Owners(tmp_path).me


def test_it_is_cheap(enter: Enter) -> None:
    one, two = enter(), enter()
    token = two.me
    began = time.process_time()
    for _ in range(1000):
        one.alive(token)
    assert time.process_time() - began < 0.1
