"""A process that is killed at any moment of a batch neither loses an answer nor has one paid twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.conftest import REPO
from tests.engine.batch_victim import ITEMS, MOMENTS

pytestmark = pytest.mark.slow


def process(workspace: Path, *moment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "tests.engine.batch_victim", str(workspace), *moment],
        cwd=REPO,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        timeout=60,
        check=False,
    )


def handed_over(workspace: Path) -> list[int]:
    """The sizes of the batches that the provider has."""
    found = (workspace / ".orchestrate" / "sim").glob("batch-*")
    return [orjson.loads(path.read_bytes())["request_counts"]["total"] for path in found]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a process answers that nobody kills."""
    done = process(tmp_path_factory.mktemp("elsewhere"))
    assert done.returncode == 0, done.stderr.decode()
    answers: list[str] = orjson.loads(done.stdout)
    assert len(answers) == ITEMS
    return answers


@pytest.mark.parametrize("moment", MOMENTS)
def test_whoever_goes_on_gets_every_answer_of_the_one_batch(
    tmp_path: Path, undisturbed: list[str], moment: str
) -> None:
    killed = process(tmp_path, moment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    resumed = process(tmp_path)
    assert resumed.returncode == 0, resumed.stderr.decode()
    assert orjson.loads(resumed.stdout) == undisturbed
    assert handed_over(tmp_path) == [ITEMS]


def test_two_processes_that_are_killed_one_after_the_other_leave_one_batch(tmp_path: Path) -> None:
    for moment in ("before its id is written down", "while it is under way", "while its results are read"):
        assert process(tmp_path, moment).returncode == -signal.SIGKILL
    assert len(orjson.loads(process(tmp_path).stdout)) == ITEMS
    assert handed_over(tmp_path) == [ITEMS]
