"""Merging: each line once, bad lines aside, and a run that died said to have died."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from orchestration_nb.errors import WorkspaceError
from orchestration_nb.ledger import JournalFile, Ledger, merge
from tests.ledger import happened
from tests.ledger.conftest import Write


def reported(ledger: Ledger) -> list[tuple[str, int, str]]:
    rows = ledger.sql("select segment, at_byte, why from bad_lines order by at_byte")
    return [tuple(row) for row in rows.to_numpy().tolist()]


def test_merging_again_finds_nothing(write: Write, ledger: Ledger, tmp_path: Path) -> None:
    write(happened.call(), happened.call())
    assert ledger.merge() == merge.MergeReport(lines=2)
    assert ledger.merge() == Ledger(tmp_path).merge() == merge.MergeReport()
    assert len(ledger.sql("from calls")) == 2


def test_a_living_journal_is_merged_as_it_grows(tmp_path: Path, ledger: Ledger) -> None:
    journal = JournalFile(tmp_path)
    for number in range(1, 4):
        journal.write(happened.call())
        assert ledger.merge().lines == 1
        assert len(ledger.sql("from calls")) == number


def test_batches_of_any_size_keep_every_line_once(
    write: Write, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [happened.call(prompt="x" * number) for number in range(40)]
    for start in range(0, 40, 10):
        write(*calls[start : start + 10])
    monkeypatch.setattr(merge, "BATCH_BYTES", 1500)
    assert ledger.merge().lines == 40
    assert ledger.sql("select call_id from calls order by 1").call_id.tolist() == [call.call_id for call in calls]


class TestBadLines:
    @pytest.mark.parametrize(
        ("garbled", "why"),
        [
            (b"\xff\xfe\x00 not JSON at all\n", "The line is not JSON."),
            (b"\n", "The line is not JSON."),
            (b'{"event": "call"}\n', "The line is no event."),
            (b'["call", "c", "r"]\n', "The line has too few or too many fields."),
            (b'["teleported", 1]\n', "The line is an event of an unknown kind."),
        ],
    )
    def test_one_is_reported_and_skipped_and_the_rest_kept(
        self, write: Write, ledger: Ledger, garbled: bytes, why: str
    ) -> None:
        path = write(happened.call("r1"), happened.call("r2"))
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[:2], garbled, *lines[2:]]))
        report = ledger.merge()
        assert (report.lines, report.bad_lines) == (2, 1)
        assert ledger.sql("select run_id from calls order by 1").run_id.tolist() == ["r1", "r2"]
        assert reported(ledger) == [(path.name, len(lines[0] + lines[1]), why)]
        assert ledger.sql("select line from bad_lines").line[0] == garbled.decode("utf-8", "replace")

    @pytest.mark.parametrize(
        "fields", [{"cost_usd": "a lot"}, {"started_at": "yesterday"}, {"input_tokens": 2**63}, {"attempts": [[1] * 8]}]
    )
    def test_a_value_that_fits_no_column_is_one(
        self, write: Write, ledger: Ledger, fields: dict[str, object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        good = [happened.call(f"r{number}") for number in range(9)]
        bad = happened.call("bad", **fields) if "attempts" not in fields else happened.call("bad", cached_tokens="some")
        write(*good[:4], bad, *good[4:])
        report = ledger.merge()
        assert (report.lines, report.bad_lines) == (9, 1)
        assert ledger.sql("select run_id from calls order by 1").run_id.tolist() == [
            f"r{number}" for number in range(9)
        ]
        assert "does not fit its column" in reported(ledger)[0][2]

    def test_a_call_without_its_id_is_one(self, write: Write, ledger: Ledger) -> None:
        write(happened.call("r1"), happened.call("r2", call_id=None))
        assert ledger.merge().bad_lines == 1
        assert reported(ledger)[0][2] == "The line has no call_id."

    def test_a_garbled_header_costs_nothing_else(self, write: Write, ledger: Ledger) -> None:
        path = write(happened.call("r1"))
        path.write_bytes(b"#" + path.read_bytes())
        report = ledger.merge()
        assert (report.lines, report.bad_lines) == (1, 1)

    def test_they_are_counted_by_file(self, write: Write, ledger: Ledger) -> None:
        path = write(happened.call("r1"))
        with path.open("ab") as file:
            file.write(b"x\ny\n")
        ledger.merge()
        assert ledger.sql("select name, lines, bad_lines from segments").to_numpy().tolist() == [[path.name, 1, 2]]

    def test_cut_and_garbled_at_random(self, write: Write, ledger: Ledger, dice: random.Random) -> None:
        """Any bytes may be changed: what is not touched is kept."""
        calls = [happened.call("r", prompt="é" * dice.randrange(300)) for _ in range(300)]
        path = write(*calls)
        lines = path.read_bytes().splitlines(keepends=True)
        touched = set(dice.sample(range(1, 301), 40))
        for number in touched:
            body = bytearray(lines[number][:-1])
            if dice.random() < 0.5:
                body = body[: dice.randrange(len(body))]
            else:
                body[dice.randrange(len(body))] = dice.choice(b'\x00\xff"[]{},5')
            lines[number] = bytes(body) + b"\n"
        path.write_bytes(b"".join(lines))
        report = ledger.merge()
        assert report.lines + report.bad_lines == 300
        found = set(ledger.sql("select call_id from calls").call_id)
        assert found >= {call.call_id for number, call in enumerate(calls, 1) if number not in touched}


class TestUnfinishedLastLine:
    def test_of_a_living_process_is_left_for_later(self, tmp_path: Path, ledger: Ledger) -> None:
        journal = JournalFile(tmp_path)
        journal.write(happened.call("r1"))
        assert journal.path is not None
        whole = journal.path.read_bytes().splitlines(keepends=True)[1]
        with journal.path.open("ab") as file:
            file.write(whole[:50])
            file.flush()
            assert ledger.merge() == merge.MergeReport(lines=1)
            file.write(whole[50:])
        assert ledger.merge() == merge.MergeReport(lines=1)

    def test_of_a_dead_one_is_set_aside(self, write: Write, ledger: Ledger) -> None:
        path = write(happened.call("r1"), happened.call("r2"))
        os.truncate(path, path.stat().st_size - 20)
        assert ledger.merge() == merge.MergeReport(lines=1, bad_lines=1)
        assert reported(ledger)[0][2] == "The line breaks off."
        assert ledger.merge() == merge.MergeReport()


class TestRuns:
    def test_of_a_living_process_is_running(self, tmp_path: Path, ledger: Ledger) -> None:
        journal = JournalFile(tmp_path)
        journal.write(happened.run_started("r1"))
        journal.write(happened.call("r1"))
        run = ledger.runs().iloc[0]
        assert (run.status, run.calls, run.cost_usd) == ("running", 1, 0.25)

    def test_of_a_dead_process_has_failed_with_what_it_did(self, write: Write, ledger: Ledger) -> None:
        write(
            happened.run_started("r1"),
            happened.call("r1", billed_usd=0.0),
            happened.item("r1", -1),
            happened.item("r1", 0),
            happened.item("r1", 1, status="failed", error="no"),
        )
        run = ledger.sql("from runs").iloc[0]
        assert (run.status, run.error) == (
            "failed",
            "Its end was not recorded: the process was killed, or its disk was full.",
        )
        assert (run.items_ok, run.items_failed, run.cost_usd, run.billed_usd) == (1, 1, 0.25, 0.0)

    def test_of_a_dead_process_counts_what_another_one_learns_later(self, write: Write, ledger: Ledger) -> None:
        write(happened.run_started("r1"), happened.call("r1"))
        assert ledger.runs().billed_usd.tolist() == [0.25]
        write(happened.call("r1", cost_usd=0.0, billed_usd=2.0, bill_unknown=True, recovered=True))
        run = ledger.sql("from runs").iloc[0]
        assert (run.status, run.cost_usd, run.billed_usd) == ("failed", 0.25, 2.25)

    @pytest.mark.parametrize("order", ["together", "first", "last"])
    def test_of_a_dead_process_counts_once_what_it_had_recorded_itself(
        self, write: Write, ledger: Ledger, order: str
    ) -> None:
        recorded = happened.call("r1", call_id="c1", billed_usd=0.25, prompt="why?")
        lost = happened.call("r1", call_id="c1", billed_usd=2.0, bill_unknown=True, recovered=True, prompt="")
        lines = {"together": [[recorded, lost]], "first": [[recorded], [lost]], "last": [[lost], [recorded]]}[order]
        for some in lines:
            write(*some)
            ledger.merge()
        assert ledger.sql("select billed_usd from calls")["billed_usd"].tolist() == [0.25]
        assert ledger.sql("select prompt from texts")["prompt"].tolist() == ["why?"]

    def test_dies_between_two_looks(self, tmp_path: Path, ledger: Ledger) -> None:
        journal = JournalFile(tmp_path)
        journal.write(happened.run_started("r1"))
        assert ledger.runs().status.tolist() == ["running"]
        journal.close()
        assert ledger.runs().status.tolist() == ["failed"]

    def test_that_ended_stays_as_it_ended(self, write: Write, ledger: Ledger) -> None:
        write(happened.run_started("r1"), happened.run_finished("r1", status="cancelled"))
        assert ledger.runs().status.tolist() == ["cancelled"]

    def test_whose_beginning_was_garbled_is_told_by_its_end(self, write: Write, ledger: Ledger) -> None:
        path = write(happened.run_started("r1"), happened.run_finished("r1"))
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(lines[0] + b"###\n" + lines[2])
        run = ledger.sql("from runs").iloc[0]
        assert (run.run_id, run.status, run.cost_usd) == ("r1", "done", 0.5)


class TestFiles:
    def test_what_is_merged_and_over_is_put_away(self, write: Write, ledger: Ledger) -> None:
        path = write(happened.call("r1"))
        ledger.merge()
        assert not path.exists()
        assert (path.parent / "merged" / path.name).exists()
        assert not list(path.parent.parent.glob("merge-*"))

    def test_a_name_that_was_put_away_is_not_used_again(self, write: Write, ledger: Ledger) -> None:
        first = write(happened.call("r1"))
        ledger.merge()
        second = write(happened.call("r2"))
        assert first.name != second.name
        assert len(ledger.sql("from calls")) == 2

    def test_a_merge_killed_before_it_put_a_file_away(self, write: Write, ledger: Ledger) -> None:
        path = write(happened.call("r1"))
        ledger.merge()
        (path.parent / "merged" / path.name).rename(path)
        assert len(ledger.sql("from calls")) == 1
        assert not path.exists()

    def test_a_full_disk_leaves_the_journal_to_be_merged_later(
        self, write: Write, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(happened.call("r1"))

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            with pytest.raises(WorkspaceError, match=r"cannot be merged into .*: No space left on device"):
                ledger.merge()
        assert path.exists()
        assert ledger.merge().lines == 1
