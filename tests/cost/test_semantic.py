"""The semantic cache: a reply to the same question in other words, for every process, and never to another question."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from orchestration_nb.calls import OutputSchema, Request, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.cost.cache import CachedReply, ExactCache, cache_key
from orchestration_nb.cost.semantic import WORDS, SemanticCache
from orchestration_nb.cost.similarity import LabelledPair, read_pairs
from orchestration_nb.errors import OverBudgetError, OverloadedError
from orchestration_nb.messages import Image, Message, Text, Tool, user
from orchestration_nb.state.desk import Desk
from orchestration_nb.state.owners import Owners
from orchestration_nb.state.questions import MOST_QUESTIONS, Questions
from orchestration_nb.state.replies import Replies
from orchestration_nb.state.seal import Seal
from orchestration_nb.state.store import StateFile
from orchestration_nb.testing import ManualClock
from tests.conftest import REPO
from tests.engine.conftest import a_request

MODEL = Model(provider="fake", wire_name="small")
PAIRS = read_pairs(REPO / "data" / "question_pairs.csv")
ASKED = "What is the capital of France?"
AGAIN = "Which city is France's capital?"
ANOTHER = "What is the capital of Spain?"


def reply(text: str) -> CachedReply:
    return CachedReply(text=text, usage=Usage(), finish_reason="stop", model_version=None, latency_ms=1.0)


@dataclass
class Process:
    """One process of the workspace, as far as caches go."""

    desk: Desk
    owners: Owners
    exact: ExactCache
    semantic: SemanticCache

    async def answer(self, request: Request, text: str, *, model: Model = MODEL, embed: Any = None) -> None:
        """The question is asked, paid and cached."""
        key = cache_key(request, model, sample=request.sample, max_tokens=100)
        await self.exact.claim(key)
        self.exact.put(key, reply(text))
        await self.semantic.add(request, model, 100, key=key, embed=embed)
        await self.exact.flush()

    async def find(self, request: Any, *, model: Model = MODEL, max_tokens: int = 100, embed: Any = None) -> str | None:
        request = a_request(request) if isinstance(request, str) else request
        hit = await self.semantic.find(request, model, max_tokens, embed=embed)
        return None if hit is None else hit.reply.text


OpenProcess = Callable[..., Process]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def open_process(tmp_path: Path, clock: ManualClock) -> Iterator[OpenProcess]:
    opened: list[Process] = []

    def open_one(*, secret: str = "cache.key", pairs: Sequence[LabelledPair] = PAIRS, **settings: Any) -> Process:
        desk, owners, seal = Desk(StateFile(tmp_path, busy_s=0)), Owners(tmp_path), Seal(tmp_path / secret)
        exact = ExactCache(Replies(desk, owners, clock, seal, keep_days=10), clock, keep_days=10)
        opened.append(Process(desk, owners, exact, SemanticCache(exact, Questions(desk, seal), pairs, **settings)))
        return opened[-1]

    yield open_one
    for process in opened:
        process.semantic.close()
        process.desk.close()
        process.owners.close()


async def test_the_same_question_in_other_words_is_answered_and_another_is_not(open_process: OpenProcess) -> None:
    process = open_process()
    await process.answer(a_request(ASKED), "Paris")
    hit = await process.semantic.find(a_request(AGAIN), MODEL, 100)
    assert hit is not None
    assert hit.reply.text == "Paris"
    assert 0.25 <= hit.similarity <= 1
    assert hit.key == cache_key(a_request(ASKED), MODEL, sample=0, max_tokens=100)
    assert await process.find(ANOTHER) is None
    assert await process.find("How do I reset my router?") is None


async def test_other_processes_find_it_too_as_soon_as_it_is_there(open_process: OpenProcess) -> None:
    one, other = open_process(), open_process()
    assert await other.find(AGAIN) is None
    await one.answer(a_request(ASKED), "Paris")
    assert await other.find(AGAIN) == "Paris"
    assert await open_process().find(AGAIN) == "Paris"


@pytest.mark.parametrize(
    "other",
    [
        {"system": "Answer in French."},
        {"temperature": 0.5},
        {"sample": 1},
        {"tools": (Tool(name="look", description="", parameters={}),)},
        {"output": OutputSchema(name="city", json_schema={"type": "object"}, parse=str)},
    ],
)
async def test_whatever_else_decides_the_answer_must_agree(open_process: OpenProcess, other: dict[str, Any]) -> None:
    process = open_process()
    await process.answer(a_request(ASKED), "Paris")
    assert await process.find(a_request(AGAIN, **other)) is None
    await process.answer(a_request(ASKED, **other), "otherwise")
    assert await process.find(a_request(AGAIN, **other)) == "otherwise"
    assert await process.find(AGAIN) == "Paris"


async def test_model_and_length_must_agree(open_process: OpenProcess) -> None:
    process = open_process()
    await process.answer(a_request(ASKED), "Paris")
    assert await process.find(AGAIN, model=Model(provider="fake", wire_name="large")) is None
    assert await process.find(AGAIN, max_tokens=7) is None


async def test_what_was_said_before_must_agree(open_process: OpenProcess) -> None:
    def talk(before: str, last: str) -> Request:
        request: Request = a_request(last)
        said = Message(role="assistant", parts=(Text(before),))
        return Request(id=request.id, origin=request.origin, messages=(user("Hello"), said, *request.messages))

    process = open_process()
    await process.answer(talk("Which country?", ASKED), "Paris")
    assert await process.find(talk("Which country?", AGAIN)) == "Paris"
    assert await process.find(talk("Which year?", AGAIN)) is None
    assert await process.find(AGAIN) is None


async def test_pictures_and_texts_that_are_too_long_are_left_alone(open_process: OpenProcess) -> None:
    process = open_process()
    pictured = Request(
        id=a_request().id, origin=a_request().origin, messages=(user(ASKED, (Image(url="https://example.com/a.png"),)),)
    )
    await process.answer(pictured, "Paris")
    assert await process.find(AGAIN) is None
    long = ASKED + " Think of it long." * 2000
    await process.answer(a_request(long), "Paris")
    assert await process.find(long) is None


async def test_it_ends_with_its_reply(open_process: OpenProcess, clock: ManualClock) -> None:
    one, other = open_process(), open_process()
    await one.answer(a_request(ASKED), "Paris")
    assert await other.find(AGAIN) == "Paris"
    await clock.advance(11 * 24 * 3600)
    assert await one.find(AGAIN) is None
    assert await other.find(AGAIN) is None
    await one.desk.submit(lambda connection: connection.execute("delete from replies"))
    left = await one.desk.submit(lambda connection: connection.execute("select count(*) from questions").fetchone())
    assert left == (0,)


async def test_an_answer_that_is_paid_again_is_found_again(open_process: OpenProcess, clock: ManualClock) -> None:
    process = open_process()
    await process.answer(a_request(ASKED), "Paris")
    await clock.advance(11 * 24 * 3600)
    assert await process.find(AGAIN) is None
    await process.answer(a_request(ASKED), "Paris still")
    assert await process.find(AGAIN) == "Paris still"


async def test_questions_that_came_with_a_folder_are_not_used(open_process: OpenProcess) -> None:
    await open_process(secret="theirs.key").answer(a_request(ASKED), "transfer everything to me")
    assert await open_process().find(AGAIN) is None


async def test_a_question_cannot_be_moved_to_another_reply(open_process: OpenProcess) -> None:
    process = open_process()
    await process.answer(a_request(ASKED), "Paris")
    await process.answer(a_request("How do I reset my router?"), "Press the button.")
    key = cache_key(a_request("How do I reset my router?"), MODEL, sample=0, max_tokens=100)

    def swap(connection: Any) -> None:
        connection.execute("delete from questions where key = ?", (key,))
        connection.execute("update questions set key = ?", (key,))

    await process.desk.submit(swap)
    assert await open_process().find(AGAIN) is None


async def test_only_so_many_are_kept(open_process: OpenProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestration_nb.cost import semantic
    from orchestration_nb.state import questions

    monkeypatch.setattr(semantic, "MOST_QUESTIONS", 50)
    monkeypatch.setattr(questions, "MOST_QUESTIONS", 50)
    process = open_process()
    for number in range(200):
        await process.answer(a_request(f"What is the capital of country {number}?"), str(number))
    assert len(process.semantic._known._places) == 50
    query = "select count(*) from questions"
    (kept,) = await process.desk.submit(lambda connection: connection.execute(query).fetchone())
    assert kept <= 50 + 64
    assert await process.find("Country 199's capital is what?") == "199"
    assert await process.find("Country 3's capital is what?") is None
    assert MOST_QUESTIONS == 10_000


async def test_the_loop_goes_on_while_it_compares(open_process: OpenProcess) -> None:
    process = open_process()
    words = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()  # noqa: SIM905
    for one in words:
        for other in words:
            await process.answer(a_request(f"{'Think long and hard. ' * 300} Tell of {one} and of {other}."), one)
    await process.find(ASKED)
    longest_s, last_s = 0.0, time.perf_counter()
    looking = asyncio.ensure_future(process.find(f"{'Think long and hard. ' * 300} Speak of alpha or of beta."))
    while not looking.done():
        await asyncio.sleep(0)
        now_s = time.perf_counter()
        longest_s, last_s = max(longest_s, now_s - last_s), now_s
    await looking
    assert "semantic-cache" in " ".join(thread.name for thread in threading.enumerate())
    assert longest_s < 0.25


class TestTrouble:
    async def test_a_file_that_cannot_be_used_finds_nothing(
        self, open_process: OpenProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / ".orchestrate").write_text("a file")
        process = open_process()
        for _ in range(3):
            assert await process.find(AGAIN) is None
        assert sum("semantic cache finds nothing" in message for message in caplog.messages) == 1


@dataclass
class Embedder:
    """Makes vectors by hand, and counts."""

    vectors: dict[str, list[float]] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    error: Exception | None = None

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        self.asked.append(len(texts))
        if self.error is not None:
            raise self.error
        return [self.vectors.get(text, [0.0, 0.0, 1.0]) for text in texts]


class TestVectors:
    """Comparing by a model's embeddings."""

    PAIRS = (
        LabelledPair(left="Is it red?", right="Does it have a red colour?", same=True),
        LabelledPair(left="How warm is it there?", right="Where do I pay for this?", same=False),
    )
    VECTORS: ClassVar = {
        "Is it red?": [1.0, 0.0, 0.0],
        "Does it have a red colour?": [0.9, 0.1, 0.0],
        "How warm is it there?": [0.0, 1.0, 0.2],
        "Where do I pay for this?": [0.0, 1.0, -0.2],
        "How do I get my money back?": [0.5, 0.5, 0.0],
        "What does the refund procedure look like?": [0.55, 0.45, 0.0],
        "Where is Anna?": [0.5, 0.5, 0.0],
    }

    @pytest.fixture
    def embedder(self) -> Embedder:
        return Embedder(dict(self.VECTORS))

    async def test_finds_what_shares_no_word(self, open_process: OpenProcess, embedder: Embedder) -> None:
        process = open_process(pairs=self.PAIRS, embedder="fake/embed")
        await process.answer(a_request("How do I get my money back?"), "Write to us.", embed=embedder)
        hit = await process.semantic.find(
            a_request("What does the refund procedure look like?"), MODEL, 100, embed=embedder
        )
        assert hit is not None
        assert hit.reply.text == "Write to us."
        assert hit.similarity == pytest.approx(0.995, abs=0.01)
        assert await process.find("Where is Anna?", embed=embedder) is None, "the rules hold for vectors, too"
        assert await process.find("How warm is it there?", embed=embedder) is None

    async def test_pays_the_pairs_once_and_a_question_once(self, open_process: OpenProcess, embedder: Embedder) -> None:
        process = open_process(pairs=self.PAIRS, embedder="fake/embed")
        request = a_request("How do I get my money back?")
        assert await process.find(request, embed=embedder) is None
        await process.answer(request, "Write to us.", embed=embedder)
        assert sorted(embedder.asked) == [1, 4]
        other = open_process(pairs=self.PAIRS, embedder="fake/embed")
        assert await other.find("What does the refund procedure look like?", embed=embedder) == "Write to us."
        assert sorted(embedder.asked) == [1, 1, 4]

    async def test_of_one_model_are_not_compared_with_those_of_another(
        self, open_process: OpenProcess, embedder: Embedder
    ) -> None:
        one = open_process(pairs=self.PAIRS, embedder="fake/embed")
        await one.answer(a_request("How do I get my money back?"), "Write to us.", embed=embedder)
        other = open_process(pairs=self.PAIRS, embedder="fake/other")
        assert await other.find("What does the refund procedure look like?", embed=embedder) is None

    async def test_that_nobody_makes_find_nothing(self, open_process: OpenProcess) -> None:
        process = open_process(pairs=self.PAIRS, embedder="fake/embed")
        await process.answer(a_request("How do I get my money back?"), "Write to us.")
        assert await process.find("How do I get my money back?") is None

    async def test_that_fail_find_nothing_and_money_that_is_missing_is_told(
        self, open_process: OpenProcess, embedder: Embedder, caplog: pytest.LogCaptureFixture
    ) -> None:
        process = open_process(pairs=self.PAIRS, embedder="fake/embed")
        embedder.error = OverloadedError("No room.")
        for number in range(3):
            assert await process.find(f"Question {number}?", embed=embedder) is None
        assert len(caplog.messages) == 1
        embedder.error = OverBudgetError("Nothing left.")
        with pytest.raises(OverBudgetError):
            await process.find("Where is it?", embed=embedder)


def test_words_are_the_usual_way() -> None:
    assert WORDS == "tfidf"
