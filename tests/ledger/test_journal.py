"""The journal: what is acknowledged is in the file, whole, and nothing else is."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import orjson
import pytest

from orchestration_nb.errors import JournalWriteError
from orchestration_nb.ledger import JournalFile, Ledger, journal
from orchestration_nb.testing import ManualClock
from tests.ledger import happened
from tests.ledger.conftest import python


def lines(path: Path | None) -> list[bytes]:
    assert path is not None
    return path.read_bytes().splitlines(keepends=True)


def test_a_line_is_an_array_of_the_fields_that_the_first_line_names(tmp_path: Path) -> None:
    written = JournalFile(tmp_path)
    written.write(happened.call("r1", reply='{"a": 1}\n'))
    names, values = map(orjson.loads, lines(written.path))
    event = dict(zip(names[1]["call"], values, strict=True))
    assert (event["event"], event["run_id"], event["reply"]) == ("call", "r1", '{"a": 1}\n')
    assert dict(zip(names[1]["call.attempts"], event["attempts"][0], strict=True))["http_status"] == 429


def test_the_file_is_named_after_boot_and_process_and_is_private(tmp_path: Path) -> None:
    written = JournalFile(tmp_path)
    written.write(happened.call())
    assert written.path is not None
    assert written.path.name == f"{journal.boot_id()}-{os.getpid()}-0.jsonl"
    assert written.path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / ".orchestrate").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / ".orchestrate" / ".gitignore").read_text() == "*\n"


def test_two_journals_of_one_process_do_not_share_a_file(tmp_path: Path) -> None:
    first, second = JournalFile(tmp_path), JournalFile(tmp_path)
    first.write(happened.call())
    second.write(happened.call())
    assert first.path != second.path


def test_nothing_is_made_before_the_first_event(tmp_path: Path) -> None:
    JournalFile(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("prompt", "kept"),
    [
        ("half \ud83d pair", "half � pair"),
        ("\ud83d\ude00", "😀"),
        ("nul \x00 end", "nul \x00 end"),
        ("line\r\n\u2028\x1b[31m", "line\r\n\u2028\x1b[31m"),
        ("x" * 10_000_000, "x" * 10_000_000),
    ],
    ids=["half surrogate", "surrogate pair", "nul", "newlines", "10 MB"],
)
def test_any_text_is_kept(tmp_path: Path, ledger: Ledger, prompt: str, kept: str) -> None:
    written = JournalFile(tmp_path)
    written.write(happened.call(prompt=prompt))
    written.close()
    assert ledger.merge().bad_lines == 0
    assert ledger.sql("select prompt from texts").prompt[0] == kept


def test_numbers_that_json_has_not_become_null_or_the_nearest(tmp_path: Path, ledger: Ledger) -> None:
    written = JournalFile(tmp_path)
    written.write(happened.call(latency_ms=float("nan"), ttft_ms=float("inf")))
    written.write(happened.run_started("r1", tags={1: object, "a\ud800": {2}}, items=2**70))
    written.close()
    assert ledger.merge().bad_lines == 1, "an integer beyond 64 bits fits no column"
    call = ledger.sql("select latency_ms is null as latency, ttft_ms is null as ttft from calls").iloc[0]
    assert call.tolist() == [True, True]


def test_a_forked_child_writes_to_its_own_file(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from orchestration_nb.ledger import JournalFile
from tests.ledger import happened
journal = JournalFile(Path(sys.argv[1]))
journal.write(happened.call("parent"))
child = os.fork()
journal.write(happened.call("child" if child == 0 else "parent"))
if child: os.waitpid(child, 0)
"""
    python(script, tmp_path)
    ledger = Ledger(tmp_path)
    counts = ledger.sql("select run_id, count(*) as n from calls group by run_id order by run_id")
    assert counts.to_numpy().tolist() == [["child", 1], ["parent", 2]]
    assert len(ledger.sql("from segments")) == 2


async def test_a_new_file_is_begun_once_a_day_when_no_run_needs_the_old_one(tmp_path: Path) -> None:
    clock = ManualClock()
    written = JournalFile(tmp_path, clock=clock)
    written.write(happened.run_started("r1"))
    first = written.path
    await clock.advance(journal.SEGMENT_SECONDS + 1)
    written.write(happened.run_started("r2"))
    assert written.path == first, "r1 still runs, and a run lives in one file"
    written.write(happened.run_finished("r1"))
    written.write(happened.run_finished("r2"))
    written.write(happened.run_started("r3"))
    assert written.path != first


def test_a_workspace_deleted_under_a_journal_is_begun_anew_with_the_next_run(tmp_path: Path, ledger: Ledger) -> None:
    written = JournalFile(tmp_path)
    written.write(happened.call("r1"))
    assert written.path is not None
    written.path.unlink()
    written.write(happened.run_started("r2"))
    assert ledger.sql("select run_id from runs").run_id.tolist() == ["r2"]


def test_an_unwritable_workspace_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".orchestrate").write_text("a file where the folder should be")
    with pytest.raises(JournalWriteError, match=r"^The journal .* cannot be written: .*\.$") as caught:
        JournalFile(tmp_path).write(happened.call())
    assert caught.value.hint


class TestFullDisk:
    """The size of files is limited by the system, so that a write takes a part of the line and the next one nothing."""

    SCRIPT = """
import resource, sys
from pathlib import Path
from orchestration_nb.errors import JournalWriteError
from orchestration_nb.ledger import JournalFile
from tests.ledger import happened
journal = JournalFile(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
for number in range(100):
    call = happened.call("r1", prompt="x" * 1500)
    try:
        journal.write(call)
    except JournalWriteError as error:
        print("ERROR", error)
        break
    print(call.call_id)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
call = happened.call("r1")
journal.write(call)
print(call.call_id)
"""

    def test_what_was_acknowledged_stays_and_the_half_line_goes(self, tmp_path: Path, ledger: Ledger) -> None:
        printed = python(self.SCRIPT, tmp_path).splitlines()
        errors = [line for line in printed if line.startswith("ERROR")]
        assert len(errors) == 1
        assert errors[0].endswith("cannot be written: File too large.")
        acknowledged = [line for line in printed if not line.startswith("ERROR")]
        assert ledger.merge().bad_lines == 0
        assert ledger.sql("select call_id from calls").call_id.tolist() == acknowledged
        assert len(acknowledged) > 10

    def test_a_disk_that_is_really_full(self, tmp_path: Path) -> None:
        """A file system of 256 KB, full, then with room again."""
        disk = tmp_path / "disk"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, check=False
        )
        if mounted.returncode:
            pytest.skip("needs the right to mount a file system")
        try:
            self.fill(disk)
        finally:
            subprocess.run(["umount", str(disk)], check=True)

    def fill(self, disk: Path) -> None:
        written = JournalFile(disk)
        acknowledged = []
        (disk / "ballast").write_bytes(b"x" * 150_000)

        def write_until_full() -> None:
            for _ in range(1000):
                call = happened.call(prompt="y" * 5000)
                written.write(call)
                acknowledged.append(call.call_id)

        with pytest.raises(JournalWriteError, match="No space left on device"):
            write_until_full()
        (disk / "ballast").unlink()
        last = happened.call()
        written.write(last)
        written.close()
        kept = [line for path in (disk / ".orchestrate" / "journal").iterdir() for line in lines(path)]
        found = [orjson.loads(line)[1] for line in kept if line.startswith(b'["call"')]
        assert sorted(found) == [*acknowledged, last.call_id]


def test_a_durable_journal_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(journal, "_sync", synced.append)
    JournalFile(tmp_path).write(happened.call())
    assert synced == []
    JournalFile(tmp_path, durable=True).write(happened.call())
    assert len(synced) == 1


def test_a_line_that_the_disk_does_not_confirm_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = JournalFile(tmp_path, durable=True)
    written.write(happened.call())
    before = lines(written.path)

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(journal, "_sync", broken)
    with pytest.raises(JournalWriteError, match="Input/output error"):
        written.write(happened.call())
    assert lines(written.path) == before


def test_a_run_whose_end_could_not_be_written_is_not_running_for_ever(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = JournalFile(tmp_path)
    written.write(happened.run_started("r1"))
    folder = tmp_path / ".orchestrate" / "journal"

    def full(descriptor: int, line: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        for _ in range(3):
            with pytest.raises(JournalWriteError):
                written.write(happened.run_finished("r1"))
    assert len(list(folder.iterdir())) == 1, "tries leave no empty files"
    written.write(happened.run_started("r2"))
    assert ledger.runs().status.tolist() == ["running", "failed"]
