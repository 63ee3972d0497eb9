"""What a process with secrets writes down: journal, cache, questions, batches, and the files of simulated batches."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from orchestration_nb.ledger import JournalFile, Ledger
from orchestration_nb.providers.sim import batches as sim_batches
from orchestration_nb.secrecy import Secrecy, is_scrubbed
from orchestration_nb.state.batches import BatchRow, BatchStore
from orchestration_nb.state.cache import Entry
from orchestration_nb.state.desk import Desk
from orchestration_nb.state.owners import Owners
from orchestration_nb.state.questions import Question, Questions
from orchestration_nb.state.replies import Replies
from orchestration_nb.state.seal import Seal
from orchestration_nb.state.store import StateFile
from orchestration_nb.testing import ManualClock
from tests.ledger import happened

SECRET = "sk-Live_9aB/3+xY&z=Q7w~Tr5Kp"
FILES = [f"file-{digit * 24}" for digit in "12"]
HELD = Secrecy({"TOKEN": SECRET})


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(StateFile(tmp_path, busy_s=0))
    yield desk
    desk.close()


@pytest.fixture
def seal(tmp_path: Path) -> Seal:
    return Seal(tmp_path / "config" / "cache.key")


def rows(folder: Path, query: str) -> list[tuple[bytes, ...]]:
    connection = sqlite3.connect(folder / ".orchestrate" / "state.sqlite")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_a_line_of_the_journal_stays_a_line_without_the_secret(tmp_path: Path) -> None:
    journal = JournalFile(tmp_path, secrecy=HELD)
    journal.write(happened.run_started("r", source=f"a = {SECRET!r}", tags={"team": SECRET[::-1], SECRET: "x"}))
    journal.write(happened.call(prompt=f"Use {SECRET}.\n" + "-".join(SECRET), reply=SECRET.upper()))
    journal.write(happened.call(prompt="hello", reply="world"))
    assert journal.path is not None
    assert not HELD.finds(journal.path.read_bytes())
    journal.close()
    ledger = Ledger(tmp_path)
    texts = ledger.sql("select prompt, reply from texts").to_dict("records")
    assert texts[0] == {"prompt": "Use [secret TOKEN].\n[secret TOKEN]", "reply": "[secret TOKEN]"}
    assert [is_scrubbed(text["reply"]) for text in texts] == [True, False]
    assert ledger.sql("select source from runs")["source"][0] == "a = '[secret TOKEN]'"
    assert ledger.sql("select count(*) as n from bad_lines")["n"][0] == 0


async def test_a_reply_with_a_secret_is_asked_for_again(tmp_path: Path, desk: Desk, seal: Seal) -> None:
    owners = Owners(tmp_path)
    replies = Replies(desk, owners, ManualClock(), seal, secrecy=HELD)
    for key, text in {"a": b"nothing", "b": f'{{"text": "{SECRET}"}}'.encode()}.items():
        assert await replies.find_or_claim(key) == "ours"
        replies.keep(key, text)
    await replies.flush()
    assert isinstance(await replies.find_or_claim("a"), Entry)
    assert await replies.find_or_claim("b") == "ours"  # its claim has ended, and nothing is kept
    owners.close()


async def test_a_question_with_a_secret_is_not_kept(tmp_path: Path, desk: Desk, seal: Seal) -> None:
    questions = Questions(desk, seal, HELD)
    for key, text in {"a": "What is it?", "b": f"What is {SECRET}?"}.items():
        questions.keep(Question(key=key, context="c", text=text, vector=b""))
    await desk.flush()
    assert [question.key for question in (await questions.newer(0))[1]] == ["a"]


async def test_the_answer_of_a_batch_with_a_secret_is_for_this_process_alone(tmp_path: Path, desk: Desk) -> None:
    ours, theirs = BatchStore(desk, HELD), BatchStore(desk, HELD)
    row = BatchRow(
        token="t", provider="sim", model="sim/small", provider_id="b", status="under_way", owner="o", size=2,
        created_at=ManualClock().now() - timedelta(minutes=1), waiting=2, run_id="r", flow="f",
    )  # fmt: skip
    await ours.begin(row, ["a", "b"])
    answers = {0: b'{"text": "fine"}', 1: f'{{"text": "{SECRET}"}}'.encode()}
    await ours.keep("t", answers)
    assert await ours.end("t", b"{}") == {"a": answers[0], "b": answers[1]}
    assert [place.answer for key in "ab" if (place := await ours.place(key))] == list(answers.values())
    assert await theirs.end("t", b"{}") == {"a": answers[0], "b": b"{}"}
    assert not any(HELD.finds(answer) for (answer,) in rows(tmp_path, "select answer from batch_items"))


def test_a_simulated_batch_with_a_secret_stays_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim_batches, "secrecy_of_process", lambda: HELD)
    folder = sim_batches._Folder(tmp_path / "sim")
    folder[FILES[0]], folder[FILES[1]] = b"plain", SECRET.encode()
    assert (folder[FILES[0]], folder[FILES[1]]) == (b"plain", SECRET.encode())
    assert list(folder) == FILES
    assert [path.name for path in (tmp_path / "sim").iterdir()] == [FILES[0]]
    del folder[FILES[1]]
    assert list(folder) == [FILES[0]]
