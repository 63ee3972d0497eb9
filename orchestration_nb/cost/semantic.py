"""The semantic cache: the reply to a question that means the same, put in other words. Off unless asked for.

A wrong answer is dearer than a call. Two questions are taken for the same only where everything but the words of the
last message agrees to the letter (model, system prompt, schema, tools, temperature, what was said before), where no
rule says that they differ (:mod:`~orchestration_nb.cost.contradiction`), and where they are as like as a threshold that
was chosen on labelled pairs demands (:mod:`~orchestration_nb.cost.similarity`).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar

from orchestration_nb.calls import Request
from orchestration_nb.catalog import Model
from orchestration_nb.cost.cache import CachedReply, ExactCache, cache_key
from orchestration_nb.cost.shelf import Shelf, packed
from orchestration_nb.cost.similarity import LabelledPair, Measure, measure_vectors, measure_words
from orchestration_nb.cost.wording import Wording, take_apart
from orchestration_nb.errors import CallError, WorkspaceError
from orchestration_nb.messages import Message, Text
from orchestration_nb.state.questions import MOST_QUESTIONS, Question

WORDS: Final = "tfidf"
"""The name of the local way to compare: by weight of words, with nobody asked."""
MOST_CHARACTERS: Final = 20_000
"""Longer prompts are hardly ever asked in other words, and dear to compare."""
_EMBEDDED_AT_ONCE: Final = 256
_REMEMBERED: Final = 1024

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

Embed = Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]]]
"""Texts to vectors; whoever hands it over pays and records the call."""


class QuestionStore(Protocol):
    """Where questions outlive the process: :class:`orchestration_nb.state.questions.Questions`."""

    async def newer(self, number: int) -> tuple[int, list[Question]]:
        """Some of the questions that were kept after ``number``, and the number to go on from."""

    def keep(self, question: Question) -> None:
        """Keeps a question, soon."""

    async def threshold(self, name: str) -> float | None:
        """A threshold that was chosen before."""

    def keep_threshold(self, name: str, threshold: float) -> None:
        """Keeps a threshold, soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticHit:
    """A reply to a question that means the same."""

    reply: CachedReply
    similarity: float
    """How like the two questions are, from 0 to 1."""
    key: str
    """The cache key of the question that was answered."""


class SemanticCache:
    """Replies by the meaning of their question; used from the engine's loop, compares in a thread of its own.

    Args:
        exact: Holds the replies.
        store: Holds the questions for all processes.
        pairs: Labelled pairs to choose the threshold on.
        rate: Share of different questions that may be taken for the same.
        embedder: ``"tfidf"``, or the name of the model whose vectors are compared.
    """

    def __init__(
        self,
        exact: ExactCache,
        store: QuestionStore,
        pairs: Sequence[LabelledPair],
        *,
        rate: float = 0.01,
        embedder: str = WORDS,
    ) -> None:
        self._exact = exact
        self._store = store
        self._pairs = pairs
        self._rate = rate
        self._embedder = embedder
        self._known = _Known()
        self._read = 0
        self._measure: Measure | None = None
        self._turn = asyncio.Lock()
        self._vectors: OrderedDict[str, bytes] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="semantic-cache")
        self._warned = False

    @property
    def embeds_by(self) -> str:
        """The model whose vectors are compared; empty where words are."""
        return "" if self._embedder == WORDS else self._embedder

    async def find(
        self, request: Request, model: Model, max_tokens: int, *, embed: Embed | None = None
    ) -> SemanticHit | None:
        """The reply to a question that means the same, or ``None``.

        Args:
            request: What is asked.
            model: Which model is asked.
            max_tokens: The most tokens that it may write.
            embed: Makes vectors, where the comparison is by vectors. A :class:`~orchestration_nb.errors.CallError` of
                its is reported once, and nothing found.
        """
        question = await self._question(request, model, max_tokens, embed)
        if question is None:
            return None
        try:
            measure = await self._ready(embed)
        except (CallError, WorkspaceError) as error:
            self._warn(error)
            return None
        for similarity, key in await self._in_thread(lambda: self._known.alike(question, measure)):
            reply = await self._exact.peek(key)
            if reply is not None:
                return SemanticHit(reply=reply, similarity=similarity, key=key)
            await self._in_thread(lambda gone=key: self._known.drop(gone))  # type: ignore[misc]
        return None

    async def add(
        self, request: Request, model: Model, max_tokens: int, *, key: str, embed: Embed | None = None
    ) -> None:
        """Remembers a question whose reply has just been cached under ``key``."""
        question = await self._question(request, model, max_tokens, embed, key=key)
        if question is not None:
            await self._in_thread(lambda: self._known.add(question))
            self._store.keep(question)

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _question(
        self, request: Request, model: Model, max_tokens: int, embed: Embed | None, *, key: str = ""
    ) -> Question | None:
        """The question, if it is one that can be asked in other words."""
        text = _only_words(request)
        if text is None:
            return None
        vector = b""
        if self._embedder != WORDS:
            if embed is None:
                return None
            try:
                vector = await self._vector(text, embed)
            except CallError as error:
                self._warn(error)
                return None
        context = f"{self._embedder}/{context_key(request, model, max_tokens=max_tokens)}"
        return Question(key=key, context=context, text=text, vector=vector)

    async def _vector(self, text: str, embed: Embed) -> bytes:
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
        held = self._vectors.get(digest)
        if held is None:
            (vector,) = await embed([text])
            held = self._vectors[digest] = packed(vector)
            if len(self._vectors) > _REMEMBERED:
                self._vectors.popitem(last=False)
        return held

    async def _ready(self, embed: Embed | None) -> Measure:
        """The measure, once all questions that other processes have kept are known."""
        async with self._turn:
            while True:
                self._read, questions = await self._store.newer(self._read)
                if not questions:
                    break
                await self._in_thread(lambda more=questions: self._known.add(*more))  # type: ignore[misc]
            if self._measure is None:
                self._measure = await self._chosen(embed)
            return self._measure

    async def _chosen(self, embed: Embed | None) -> Measure:
        """The measure with its threshold; embedding the pairs costs money, so what came of it is kept."""
        if embed is None or self._embedder == WORDS:
            return await self._in_thread(lambda: measure_words(self._pairs, rate=self._rate))
        texts = sorted({text for pair in self._pairs for text in (pair.left, pair.right)})
        told = "\0".join(
            [self._embedder, repr(self._rate), *(f"{pair.left}\0{pair.same}" for pair in self._pairs), *texts]
        )
        name = hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=16).hexdigest()
        threshold = await self._store.threshold(name)
        if threshold is not None:
            return await self._in_thread(lambda: replace(Measure.of(self._pairs), threshold=threshold))
        vectors: dict[str, bytes] = {}
        for start in range(0, len(texts), _EMBEDDED_AT_ONCE):
            some = texts[start : start + _EMBEDDED_AT_ONCE]
            vectors.update(zip(some, map(packed, await embed(some)), strict=True))
        measure = await self._in_thread(lambda: measure_vectors(self._pairs, vectors, rate=self._rate))
        self._store.keep_threshold(name, measure.threshold)
        return measure

    async def _in_thread(self, work: Callable[[], _Answer]) -> _Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("The semantic cache finds nothing for now: %s", error)


class _Known:
    """The questions in memory; touched by one thread alone."""

    def __init__(self) -> None:
        self._shelves: dict[tuple[str, tuple[str, ...]], Shelf] = {}
        self._places: OrderedDict[str, tuple[str, tuple[str, ...]]] = OrderedDict()

    def add(self, *questions: Question) -> None:
        for question in questions:
            if question.key in self._places:
                continue
            wording = take_apart(question.text)
            place = self._places[question.key] = _place(question, wording)
            self._shelves.setdefault(place, Shelf()).add(question.key, wording, question.vector)
            if len(self._places) > MOST_QUESTIONS:
                self.drop(next(iter(self._places)))

    def drop(self, key: str) -> None:
        place = self._places.pop(key, None)
        if place is not None:
            self._shelves[place].drop(key)
            if not len(self._shelves[place]):
                del self._shelves[place]

    def alike(self, question: Question, measure: Measure) -> list[tuple[float, str]]:
        """The questions that may be taken for this one, the likest first, with how like they are."""
        wording = take_apart(question.text)
        shelf = self._shelves.get(_place(question, wording))
        if shelf is None:
            return []
        compared = (
            (measure.likeness(wording, other, cosine), key)
            for key, other, cosine in shelf.near(wording, question.vector)
        )
        return sorted((pair for pair in compared if pair[0] > 0), reverse=True)


def _place(question: Question, wording: Wording) -> tuple[str, tuple[str, ...]]:
    """Questions with other numbers are other questions, whatever else they say."""
    return question.context, wording.numbers


def context_key(request: Request, model: Model, *, max_tokens: int) -> str:
    """A digest of everything that decides the answer but the last message: 32 hexadecimal digits."""
    without = replace(request, messages=(*request.messages[:-1], Message(role="user", parts=())))
    return cache_key(without, model, sample=request.sample, max_tokens=max_tokens)


def _only_words(request: Request) -> str | None:
    """The last message, where it is the user's, all messages are words alone, and it is not too long."""
    last = request.messages[-1] if request.messages else None
    if last is None or last.role != "user":
        return None
    if not all(isinstance(part, Text) for message in request.messages for part in message.parts):
        return None
    text = last.text
    return text if text.strip() and len(text) <= MOST_CHARACTERS else None
