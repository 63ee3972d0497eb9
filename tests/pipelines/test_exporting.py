"""What other engines are given: the same words reach the run whatever stands in them, and the rules are kept."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from orchestration_nb.errors import UsageError
from orchestration_nb.pipelines import export_airflow, export_cron, export_systemd, launching
from orchestration_nb.pipelines.export_github import utc_lines
from orchestration_nb.pipelines.export_kubernetes import resource_name
from orchestration_nb.pipelines.export_systemd import calendar_lines
from orchestration_nb.pipelines.exporting import Engine, export_schedule, write_files
from orchestration_nb.pipelines.schedules import Schedule
from tests.pipelines import reckoning
from tests.pipelines.hostile_schedules import HOSTILE, hostile
from tests.pipelines.reckoning import utc

ENGINES: tuple[Engine, ...] = ("airflow", "k8s", "systemd", "cron", "github-actions")
NOW = utc(2026, 2, 1)
PLAIN = Schedule(name="weekly", notebook="weekly.ipynb", cron="0 6 * * MON-FRI", zone="Europe/Berlin")
SECRETS = {"TOKEN": "env:MY_TOKEN", "PASSWORD": "file:/run/secrets/pass word", "OTHER": "keyring:mail/ada"}


def export(schedule: Schedule, engine: Engine, folder: Path = Path("/srv/my work's")) -> str:
    return "\n".join(export_schedule(schedule, engine, folder=folder, now=NOW).values())


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """A program in Python's place that writes down what words it was given."""
    program, told = tmp_path / "python", tmp_path / "told.json"
    program.write_text(f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open({str(told)!r}, 'w'))\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for module in (export_airflow, export_cron, export_systemd):
        monkeypatch.setattr(module.sys, "executable", str(program))
    return lambda: list(json.loads(told.read_text()))


def words(schedule: Schedule, folder: Path | str, *, retries: bool = True) -> list[str]:
    return ["-m", "orchestration_nb.cli", *launching.run_arguments(schedule, folder, retries=retries)]


def as_cron_runs(table: str) -> str:
    """The command of a crontab's only line, as cron hands it to the shell: ``%`` ends it, ``\\%`` does not."""
    (line,) = [line for line in table.splitlines() if line and not line.startswith(("#", "CRON_TZ="))]
    command = line.split(" ", 5)[5]
    found, place = "", 0
    while place < len(command) and command[place] != "%":
        if command[place : place + 2] == "\\%":
            place += 1
        found += command[place]
        place += 1
    return found


@pytest.mark.parametrize("overlap", ["skip", "queue", "allow"])
def test_cron_hands_on_every_word(tmp_path: Path, recorder: Callable[[], list[str]], overlap: Any) -> None:
    folder = tmp_path / "my work's 100% $(touch pwned)"
    (folder / ".orchestrate").mkdir(parents=True)
    schedule = hostile(tmp_path, overlap=overlap)
    table = export(schedule, "cron", folder)
    assert "CRON_TZ=Europe/Berlin\n30 6 * * 1-5 " in table
    subprocess.run(["/bin/sh", "-c", as_cron_runs(table)], cwd=tmp_path, check=True)
    assert recorder() == words(schedule, folder)
    assert not list(tmp_path.rglob("pwned"))


def test_cron_skips_while_the_run_before_is_under_way(tmp_path: Path, recorder: Callable[[], list[str]]) -> None:
    (tmp_path / ".orchestrate").mkdir()
    command = as_cron_runs(export(PLAIN, "cron", tmp_path))
    lock = tmp_path / ".orchestrate" / "cron-weekly.lock"
    held = subprocess.run(["flock", str(lock), "/bin/sh", "-c", command], cwd=tmp_path, check=False)
    assert held.returncode == 1
    assert not (tmp_path / "told.json").exists()
    subprocess.run(["/bin/sh", "-c", command], check=True)
    assert recorder()


def test_github_hands_on_every_word(tmp_path: Path, recorder: Callable[[], list[str]]) -> None:
    schedule = hostile(tmp_path)
    steps = yaml.safe_load(export(schedule, "github-actions"))["jobs"]["run"]["steps"]
    (run,) = [step["run"] for step in steps if step.get("name") == "Run"]
    evaluated = run.replace("${{ '${{' }}", "\0")
    assert "${{" not in evaluated, "an expression of ours is evaluated by GitHub"
    subprocess.run(["/bin/bash", "-e", "-c", evaluated.replace("\0", "${{")], cwd=tmp_path, check=True)
    assert recorder() == words(schedule, ".")
    assert not list(tmp_path.rglob("pwned"))


def as_kubernetes_expands(argument: str) -> str:
    """What a container is given of an argument: ``$(NAME)`` is replaced, ``$$`` is one dollar."""
    found, place = "", 0
    while place < len(argument):
        if argument[place] == "$" and argument[place + 1 : place + 2] == "$":
            place += 1
        elif argument[place] == "$" and argument[place + 1 : place + 2] == "(":
            return f"{found}EXPANDED"
        found += argument[place]
        place += 1
    return found


def test_kubernetes_hands_on_every_word(tmp_path: Path) -> None:
    schedule = hostile(tmp_path)
    job = yaml.safe_load(export(schedule, "k8s"))["spec"]["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    handed = [*container["command"][1:], *map(as_kubernetes_expands, container["args"])]
    assert handed == words(schedule, "/workspace")


def as_systemd_reads(line: str) -> list[str]:
    """The words of a command in a unit whose words all stand in double quotes: escapes, specifiers, variables."""
    found, place = [], 0
    while place < len(line):
        assert line[place] == '"'
        word, place = "", place + 1
        while line[place] != '"':
            pair = line[place : place + 2]
            if line[place] == "\\":
                word += {"n": "\n", "t": "\t", "\\": "\\", '"': '"'}[pair[1]]
            elif line[place] in "%$":
                assert pair[0] == pair[1], f"{pair} is expanded"
                word += pair[0]
            else:
                word += line[place]
            place += 2 if line[place] in "\\%$" else 1
        found.append(word)
        place += 2
    return found


def test_systemd_hands_on_every_word(tmp_path: Path, recorder: Callable[[], list[str]]) -> None:
    schedule = hostile(tmp_path)
    service = export_schedule(schedule, "systemd", folder=tmp_path, now=NOW)["orchestrate-weekly.service"]
    (command,) = [line.removeprefix("ExecStart=") for line in service.splitlines() if line.startswith("ExecStart=")]
    assert as_systemd_reads(command)[1:] == words(schedule, tmp_path)
    assert len([line for line in service.splitlines() if "pwned" in line]) <= 3  # no value has made a line of its own


def test_airflow_is_given_texts(tmp_path: Path) -> None:
    schedule = hostile(tmp_path)
    tree = ast.parse(export(schedule, "airflow"))
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert values["COMMAND"][1:] == words(schedule, Path("/srv/my work's"), retries=False)
    assert values["WORKSPACE"] == "/srv/my work's"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", HOSTILE)
def test_no_value_makes_a_line_of_its_own_at_the_head(engine: Engine, text: str) -> None:
    schedule = hostile(Path(), notebook=f"{text.replace('/', '')}.ipynb", parameters=(), tags={})
    head = export(schedule, engine).split("\n", 1)[0]
    assert head.startswith("# weekly: at 06:30, Monday to Friday")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_control_character_is_refused(engine: Engine) -> None:
    with pytest.raises(UsageError, match="control character"):
        export(hostile(Path(), parameters=("p=\x1b[2J",)), engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_secrets_are_named_and_never_read(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-value")
    text = export(hostile(Path(), secrets=SECRETS), engine)
    assert "s3cr3t-value" not in text
    assert "TOKEN" in text


def test_secrets_of_kubernetes_are_references() -> None:
    cron = yaml.safe_load(export(hostile(Path(), secrets=SECRETS), "k8s"))
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["env"] == [
        {"name": "MY_TOKEN", "valueFrom": {"secretKeyRef": {"name": "weekly", "key": "MY_TOKEN"}}},
        {"name": "OTHER", "valueFrom": {"secretKeyRef": {"name": "weekly", "key": "OTHER"}}},
    ]
    assert container["volumeMounts"][1]["mountPath"] == "/run/secrets/pass word"
    assert "OTHER=env:OTHER" in container["args"]
    assert pod["volumes"][1]["secret"]["secretName"] == "weekly"


def test_a_budget_is_exported_with_all_its_digits() -> None:
    cron = yaml.safe_load(export(hostile(Path(), budget_usd=12345.67), "k8s"))
    assert cron["metadata"]["annotations"]["orchestrate/budget-usd"] == "12345.67"
    for engine in ENGINES:
        assert "12345.67" in export(hostile(Path(), budget_usd=12345.67), engine)


def test_secrets_of_systemd_and_github_are_references() -> None:
    service = export(hostile(Path(), secrets=SECRETS), "systemd")
    assert 'LoadCredential="PASSWORD:/run/secrets/pass word"\n' in service
    assert ' "--secret" "PASSWORD=file:%d/PASSWORD"\n' in service
    assert "EnvironmentFile=-%E/orchestrate-weekly.env\n" in service
    steps = yaml.safe_load(export(hostile(Path(), secrets=SECRETS), "github-actions"))["jobs"]["run"]["steps"]
    assert steps[-1]["env"] == {name: f"${{{{ secrets.{name} }}}}" for name in ("MY_TOKEN", "PASSWORD", "OTHER")}


def test_exit_codes_and_retries_are_kept() -> None:
    schedule = hostile(Path())
    job = yaml.safe_load(export(schedule, "k8s"))["spec"]["jobTemplate"]["spec"]
    assert job["podFailurePolicy"]["rules"][0] == {
        "action": "FailJob",
        "onExitCodes": {"containerName": "run", "operator": "In", "values": [1, 2, 3, 4, 130]},
    }
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert job["activeDeadlineSeconds"] == 3720
    assert "RestartPreventExitStatus=1 2 3 4 130\n" in export(schedule, "systemd")
    dag = export(schedule, "airflow")
    assert "    retries=2,\n" in dag
    assert "raise AirflowFailException" in dag
    assert "execution_timeout=timedelta(seconds=3720)" in dag
    for engine in ENGINES:
        text = export(schedule, engine)
        assert "--budget" in text
        assert ("--retries" in text) == (engine != "airflow")


@pytest.mark.parametrize(
    ("catch_up", "overlap", "concurrency", "deadline"),
    [
        ("none", "skip", "Forbid", 60),
        ("none", "allow", "Allow", 60),
        ("none", "queue", "Forbid", 86_400),
        ("last", "skip", "Forbid", 86_400),
        ("all", "allow", "Allow", 86_400),
    ],
)
def test_the_rules_of_a_cron_job(catch_up: Any, overlap: Any, concurrency: str, deadline: int) -> None:
    spec = yaml.safe_load(export(hostile(Path(), catch_up=catch_up, overlap=overlap), "k8s"))["spec"]
    assert (spec["timeZone"], spec["schedule"]) == ("Europe/Berlin", "30 6 * * 1-5")
    assert (spec["concurrencyPolicy"], spec["startingDeadlineSeconds"]) == (concurrency, deadline)


def test_what_is_due_often_may_not_be_late_by_a_hundred_times() -> None:
    often = hostile(Path(), cron="*/5 * * * *", catch_up="last")
    assert yaml.safe_load(export(often, "k8s"))["spec"]["startingDeadlineSeconds"] == 90 * 300


def test_what_an_engine_cannot_keep_is_said() -> None:
    schedule = hostile(Path(), catch_up="all", overlap="queue", jitter_s=30)
    for engine in ENGINES:
        head = [line for line in export(schedule, engine).splitlines() if line.startswith("# Not kept here: ")]
        assert any("--jitter 30" in line for line in head) == (engine != "systemd")
        assert any("--catch-up all" in line for line in head) == (engine != "airflow")


def test_names_that_kubernetes_takes() -> None:
    assert resource_name("weekly-2") == "weekly-2"
    odd = {resource_name(name) for name in ("Weekly", "weekly.", "a" * 60, "a" * 61, "weekly", "___", "W")}
    assert len(odd) == 7
    assert all(len(name) <= 52 and name[0].isalnum() and name[-1].isalnum() for name in odd)


def test_times_of_systemd() -> None:
    def lines(cron: str) -> list[str]:
        return calendar_lines(hostile(Path(), cron=cron).read_cron(), "Europe/Berlin")

    assert lines("0 6 * * 1-5") == ["Mon,Tue,Wed,Thu,Fri *-*-* 06:00:00 Europe/Berlin"]
    assert lines("0 0 13 * FRI") == ["*-*-13 00:00:00 Europe/Berlin", "Fri *-*-* 00:00:00 Europe/Berlin"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze, which is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """Its own checks; and it expects the next time when the package does, with an expression of each kind."""
    schedule = hostile(tmp_path, secrets=SECRETS, notebook="weekly.ipynb")
    paths = write_files(export_schedule(schedule, "systemd", folder=tmp_path, now=NOW), tmp_path / "units")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, paths)], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "orchestrate-weekly" in line]
    assert (done.returncode, ours) == (0, [])
    for cron, zone in (("30 2 * * *", "Europe/Berlin"), ("*/20 1-3 * * SUN", "America/New_York"), ("0 0 1 2 *", "UTC")):
        (line,) = calendar_lines(hostile(tmp_path, cron=cron).read_cron(), zone)
        asked = ["systemd-analyze", "calendar", "--base-time=2026-01-10 00:00:00 UTC", line]
        said = subprocess.run(asked, capture_output=True, text=True, check=True, env={"TZ": "UTC"}).stdout
        expected = next(reckoning.due_times(cron, zone, utc(2026, 1, 10), utc(2026, 3, 1)))
        assert f"{expected:%Y-%m-%d %H:%M:%S} UTC" in said


def due_in_utc(lines: dict[str, set[int]], zone: str, begin: datetime, end: datetime) -> set[datetime]:
    """When GitHub begins a run that its first step lets through."""
    place, found = ZoneInfo(zone), set()
    for line, offsets in lines.items():
        for due in reckoning.due_times(line, "UTC", begin, end):
            offset = due.replace(tzinfo=UTC).astimezone(place).utcoffset() or timedelta()
            if round(offset.total_seconds() / 60) in offsets:
                found.add(due)
    return found


@pytest.mark.parametrize(
    ("cron", "zone", "lines"),
    [
        ("0 6 * * 1-5", "Europe/Berlin", ["0 5 * * 1-5", "0 4 * * 1-5"]),
        ("0 6 * * 1-5", "Asia/Kolkata", ["30 0 * * 1-5"]),
        ("0,30 5 * * 1", "Asia/Kolkata", ["30 23 * * 0", "0 0 * * 1"]),
        ("30 0 * * 1", "Europe/Berlin", ["30 23 * * 0", "30 22 * * 0"]),
        ("15 * * * *", "Europe/Berlin", ["15 * * * *"]),
        ("0 22 * * 5", "America/New_York", ["0 2 * * 6", "0 3 * * 6"]),
        ("0 6 1 * *", "UTC", ["0 6 1 * *"]),
        ("0 12 * * *", "Australia/Lord_Howe", ["30 1 * * *", "0 1 * * *"]),
    ],
)
def test_github_is_told_in_utc(cron: str, zone: str, lines: list[str]) -> None:
    schedule = hostile(Path(), cron=cron, zone=zone)
    found = utc_lines(schedule, NOW)
    assert sorted(found) == sorted(lines)
    begin, end = utc(2026, 3, 20), utc(2026, 4, 20)
    assert due_in_utc(found, zone, begin, end) == set(reckoning.due_times(cron, zone, begin, end))


def test_github_cannot_be_told_a_day_of_the_month_that_is_another_one_in_utc() -> None:
    with pytest.raises(UsageError, match="comes on another day of the month") as caught:
        export(hostile(Path(), cron="30 0 1 * *"), "github-actions")
    assert caught.value.hint


def test_the_guard_of_github_lets_through_what_is_meant(tmp_path: Path) -> None:
    steps = yaml.safe_load(export(PLAIN, "github-actions"))["jobs"]["run"]["steps"]
    guard = steps[0]["run"]
    assert all("steps.time.outputs.due == 'yes'" in step["if"] for step in steps[1:])
    for line, offset, due in (("0 4 * * 1-5", "+0200", True), ("0 5 * * 1-5", "+0200", False)):
        date = tmp_path / "date"
        date.write_text(f"#!/bin/sh\necho {offset}\n")
        date.chmod(0o755)
        (tmp_path / "output").write_text("")
        script = guard.replace("${{ github.event.schedule }}", line)
        environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "GITHUB_OUTPUT": str(tmp_path / "output")}
        subprocess.run(["/bin/bash", "-e", "-c", script], env=environ, check=True, capture_output=True)
        assert ("due=yes" in (tmp_path / "output").read_text()) == due


def test_where_the_files_go(tmp_path: Path) -> None:
    files = export_schedule(PLAIN, "systemd", folder=tmp_path, now=NOW)
    assert sorted(path.name for path in write_files(files, tmp_path / "units")) == [
        "orchestrate-weekly.service",
        "orchestrate-weekly.timer",
    ]
    single = export_schedule(PLAIN, "cron", folder=tmp_path, now=NOW)
    assert write_files(single, tmp_path / "table") == [tmp_path / "table"]
    assert write_files(single, tmp_path) == [tmp_path / "weekly.cron"]
