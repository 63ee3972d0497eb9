"""``orchestrate schedule ...``: what is added, listed, refused, and written for other engines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

from orchestration_nb import cli
from orchestration_nb.clock import SystemClock
from orchestration_nb.pipelines.schedules import ScheduleBook
from tests.pipelines.notebooks import write


class Said(NamedTuple):
    code: int
    out: str
    err: str


Type = Callable[..., Said]


@pytest.fixture
def orchestrate(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Type:
    """Types a command and returns its exit code and what it said."""

    def type_it(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["orchestrate", *words])
        code = cli.main()
        return Said(code, *capfd.readouterr())

    return type_it


def with_parameters(folder: Path) -> Path:
    """A notebook that takes ``limit``, a whole number."""
    path = write(folder, "limit = 10", "print(limit)")
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    notebook.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    return path


def test_a_schedule_is_added_listed_paused_and_removed(tmp_path: Path, orchestrate: Type) -> None:
    path = str(with_parameters(tmp_path))
    rules = ("--cron", "0 6 * * MON-FRI", "--tz", "Europe/Berlin", "-p", "limit=5", "--budget", "2", "--retries", "1")
    added = orchestrate("schedule", "add", path, *rules, "--secret", "TOKEN=env:MY_TOKEN", "--tag", "team=support")
    assert added.code == 0, added.err
    assert added.out.startswith("weekly: at 06:00, Monday to Friday (Europe/Berlin); next due ")
    (listed,) = ScheduleBook(tmp_path).listed()
    assert listed.schedule.secrets == {"TOKEN": "env:MY_TOKEN"}
    assert listed.schedule.parameters == ("limit=5",)

    (row,) = json.loads(orchestrate("schedule", "list", "--format", "json").out)
    assert (row["name"], row["notebook"], row["zone"]) == ("weekly", "weekly.ipynb", "Europe/Berlin")
    assert row["next_due"].endswith("T06:00:00.000")
    assert (row["last_status"], row["state"]) == (None, "on")

    assert orchestrate("schedule", "pause", "weekly").out == "weekly is paused.\n"
    (row,) = json.loads(orchestrate("schedule", "list", "--format", "json").out)
    assert (row["state"], row["next_due"]) == ("paused", None)
    assert orchestrate("schedule", "resume", "weekly").out.startswith("weekly goes on; next due ")

    following = orchestrate("schedule", "next", "weekly", "3").out.splitlines()
    assert len(following) == 3
    assert all(" 06:00 CE" in line and line.endswith(":00 UTC)") for line in following)

    assert orchestrate("schedule", "remove", "weekly").out == "weekly is removed.\n"
    assert "There is no schedule" in orchestrate("schedule", "list", "--format", "table").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cron", "0 25 * * *"), "the hour '25' is not within 0 to 23"),
        (("--cron", "@daily", "--tz", "Mars/Base"), "There is no time zone 'Mars/Base'"),
        (("--cron", "@daily", "--name", "../up"), "is no name of a schedule"),
        (("--cron", "@daily", "-p", "limt=5"), "The notebook has no parameter 'limt'"),
        (("--cron", "@daily", "-p", "limit=five"), "takes int"),
        (("--cron", "@daily", "--params", "nowhere.yaml"), "There is no file of parameters"),
        (("--cron", "@daily", "--budget", "-1"), "budget"),
        (("--cron", "@daily", "--tag", "team"), "--tag wants NAME=VALUE"),
        (("--cron", "@daily", "--overlap", "sometimes"), "sometimes"),
        (("--cron", "@daily", "--retries", "-1"), "retries"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(
    tmp_path: Path, orchestrate: Type, words: tuple[str, ...], said: str
) -> None:
    done = orchestrate("schedule", "add", str(with_parameters(tmp_path)), *words)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.splitlines()) <= 2
    assert not ScheduleBook(tmp_path).listed()


def test_a_secret_that_is_given_by_value_is_refused_and_not_repeated(tmp_path: Path, orchestrate: Type) -> None:
    path = str(with_parameters(tmp_path))
    for words in (("TOKEN=sk-12345",), ("sk-12345",), ("TOKEN=env:",)):
        done = orchestrate("schedule", "add", path, "--cron", "@daily", "--secret", *words)
        assert done.code == 2
        assert "sk-12345" not in done.out + done.err


def test_a_notebook_of_another_place_is_refused(tmp_path: Path, orchestrate: Type) -> None:
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    elsewhere.mkdir()
    here.mkdir()
    path = write(elsewhere, "x = 1")
    write(here, "x = 1")
    (here / "link.ipynb").symlink_to(path)
    for notebook in (path, here / "link.ipynb", here / ".." / "elsewhere" / "weekly.ipynb"):
        done = orchestrate("schedule", "add", str(notebook), "--cron", "@daily", "--workspace", str(here))
        assert done.code == 2
        assert "is not in the workspace" in done.err
    (here / "inner").mkdir()
    inner = write(here / "inner", "x = 1")
    done = orchestrate("schedule", "add", str(inner), "--cron", "@daily", "--workspace", str(here))
    assert "belongs to the workspace" in done.err


def test_names_are_taken_once_and_unknown_ones_are_said(tmp_path: Path, orchestrate: Type) -> None:
    path = str(with_parameters(tmp_path))
    assert orchestrate("schedule", "add", path, "--cron", "@daily").code == 0
    again = orchestrate("schedule", "add", path, "--cron", "@hourly")
    assert again.code == 2
    assert "There is a schedule 'weekly' already" in again.err
    for action in ("pause", "resume", "remove", "next"):
        done = orchestrate("schedule", action, "monthly")
        assert done.code == 2
        assert "There is no schedule 'monthly'.\nThere are weekly." in done.err


def test_the_last_run_is_shown_with_what_it_cost(tmp_path: Path, orchestrate: Type) -> None:
    path = str(write(tmp_path, "x = 1"))
    orchestrate("schedule", "add", path, "--cron", "@daily")
    due = SystemClock().now().replace(hour=0, minute=0, second=0, microsecond=0)
    done = orchestrate("run", path, "--schedule", "weekly", "--due", f"{due.isoformat()}+00:00")
    assert done.code == 0, done.err
    (row,) = json.loads(orchestrate("schedule", "list", "--format", "json").out)
    assert (row["last_status"], row["last_cost_usd"]) == ("done", 0.0)
    assert row["last_due"] == due.isoformat(timespec="milliseconds")
    again = orchestrate("run", path, "--schedule", "weekly", "--due", f"{due.isoformat()}+00:00", "--again")
    assert again.code == 0
    assert again.out == "The run of this due time has ended already: done.\n"


def test_it_is_written_for_another_engine(tmp_path: Path, orchestrate: Type) -> None:
    path = str(with_parameters(tmp_path))
    orchestrate("schedule", "add", path, "--cron", "0 6 * * 1-5", "--tz", "Europe/Berlin")
    printed = orchestrate("schedule", "export", "weekly", "--to", "k8s", "--image", "registry/nb:1")
    assert "image: registry/nb:1" in printed.out
    written = orchestrate("schedule", "export", "weekly", "--to", "systemd", "--out", "units")
    assert written.out.splitlines() == ["units/orchestrate-weekly.service", "units/orchestrate-weekly.timer"]
    assert orchestrate("schedule", "export", "weekly", "--to", "cron", "--image", "x").code == 2
    assert orchestrate("schedule", "export", "weekly", "--to", "jenkins").code == 2
