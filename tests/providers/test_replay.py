"""Recorded replies in place of models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import duckdb
import pytest

from orchestration_nb.calls import RawReply, Request, Timeouts, Usage
from orchestration_nb.catalog import Price
from orchestration_nb.errors import NoRecordedReplyError
from orchestration_nb.ids import RunId
from orchestration_nb.providers import Availability
from orchestration_nb.providers.recorded_files import RecordedFiles
from orchestration_nb.providers.replay import Lookup, ReplayProvider
from tests.providers.conftest import ask

QUESTIONS = [("q1", "2 + 2?"), ("q2", "3 + 3?"), ("q3", "3 + 3?"), ("q4", None)]
RESPONSES = [
    ("q1", "a", "4", 5, 1, 120.0, 0.25),
    ("q2", "a", "6", 5, 1, None, None),
    ("q3", "a", "six", 5, 2, None, -1.0),
    ("q1", "b", "four", 5, 1, None, float("nan")),
    ("q4", "a", "x", 1, 1, None, 0.0),
]


def replaying(folder: Path) -> ReplayProvider:
    provider = ReplayProvider(RecordedFiles(folder))
    provider.look()
    return provider


def recorded(folder: Path, *, without: str = "", prices: bool = True) -> ReplayProvider:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE q (dataset VARCHAR, qid VARCHAR, prompt VARCHAR, gold VARCHAR)")
        connection.executemany("INSERT INTO q VALUES ('d', ?, ?, '')", QUESTIONS)
        connection.execute(
            "CREATE TABLE r (qid VARCHAR, model VARCHAR, response VARCHAR, in_tokens BIGINT, out_tokens BIGINT,"
            " latency_ms DOUBLE, cost_usd DOUBLE)"
        )
        connection.executemany("INSERT INTO r VALUES (?, ?, ?, ?, ?, ?, ?)", RESPONSES)
        columns = f"* EXCLUDE ({without})" if without else "*"
        connection.execute(f"COPY q TO '{folder / 'questions.parquet'}'")
        connection.execute(f"COPY (SELECT {columns} FROM r) TO '{folder / 'responses.parquet'}'")
    if prices:
        price = {"input_usd_per_mtok": 3.0, "output_usd_per_mtok": 15.0}
        (folder / "models.json").write_text(json.dumps({"a": price, "b": price}))
    return replaying(folder)


async def reply(provider: ReplayProvider, name: str, prompt: str, sample: int = 0) -> RawReply:
    [model] = [model for model in provider.models() if model.wire_name == name]
    return await provider.send(model, ask(prompt, sample=sample), timeouts=Timeouts())


async def test_a_prompt_gets_the_reply_that_was_recorded(tmp_path: Path) -> None:
    provider = recorded(tmp_path)
    got = await reply(provider, "a", "2 + 2?")
    assert (got.text, got.usage, got.latency_ms) == ("4", Usage(input_tokens=5, output_tokens=1), 120.0)
    assert (await reply(provider, "b", "2 + 2?")).text == "four"


async def test_a_latency_that_was_not_recorded_is_modelled_the_same_each_time(tmp_path: Path) -> None:
    provider = recorded(tmp_path, without="latency_ms")
    got = [(await reply(provider, "a", "2 + 2?")).latency_ms for _ in range(2)]
    assert got == [312.0, 312.0]


async def test_a_cost_that_was_recorded_comes_along_and_nonsense_does_not(tmp_path: Path) -> None:
    provider = recorded(tmp_path)
    assert (await reply(provider, "a", "2 + 2?")).cost_usd == 0.25
    assert [(await reply(provider, "a", "3 + 3?", sample)).cost_usd for sample in range(2)] == [None, None]
    assert (await reply(provider, "b", "2 + 2?")).cost_usd is None
    assert (await reply(recorded(tmp_path, without="cost_usd"), "a", "2 + 2?")).cost_usd is None


async def test_a_prompt_that_was_recorded_twice_has_both_replies(tmp_path: Path) -> None:
    provider = recorded(tmp_path)
    assert [(await reply(provider, "a", "3 + 3?", sample)).text for sample in range(3)] == ["6", "six", "6"]


async def test_a_prompt_that_was_not_recorded_is_an_error(tmp_path: Path) -> None:
    provider = recorded(tmp_path)
    for prompt in ("2 + 2? ", ""):
        with pytest.raises(NoRecordedReplyError, match="no recorded reply"):
            await reply(provider, "a", prompt)
    with pytest.raises(NoRecordedReplyError):
        await reply(provider, "b", "3 + 3?")


def test_models_and_prices_are_listed(tmp_path: Path) -> None:
    models = recorded(tmp_path).models()
    assert [(model.name, model.simulated) for model in models] == [("replay/a", True), ("replay/b", True)]
    assert models[0].price is not None
    assert (models[0].price.input_usd_per_mtok, models[0].price.source) == (3.0, "models.json")


def test_without_a_price_file_the_models_are_those_that_answered(tmp_path: Path) -> None:
    models = recorded(tmp_path, prices=False).models()
    assert [(model.name, model.price) for model in models] == [("replay/a", None), ("replay/b", None)]


async def test_a_folder_without_recordings_says_what_is_missing(tmp_path: Path) -> None:
    provider = replaying(tmp_path)
    assert provider.availability().why.startswith("questions.parquet and responses.parquet not found")
    assert provider.models() == ()
    (tmp_path / "questions.parquet").write_bytes(b"no parquet")
    (tmp_path / "responses.parquet").write_bytes(b"no parquet")
    (tmp_path / "models.json").write_text('{"a": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 1}}')
    provider = replaying(tmp_path)
    assert provider.availability().usable
    assert [model.name for model in provider.models()] == ["replay/a"]
    with pytest.raises(NoRecordedReplyError, match="cannot be read"):
        await reply(provider, "a", "2 + 2?")


def test_files_that_cannot_be_listed_say_why(tmp_path: Path) -> None:
    for name in ("questions.parquet", "responses.parquet"):
        (tmp_path / name).write_bytes(b"no parquet")
    available = replaying(tmp_path).availability()
    assert not available.usable
    assert "cannot be read" in available.why


async def test_what_was_recorded_since_is_found_by_the_next_run(tmp_path: Path) -> None:
    def asked(run: str) -> Request:
        request = ask("2 + 2?")
        return replace(request, origin=replace(request.origin, run_id=RunId(run)))

    class Growing:
        replies_by_prompt: ClassVar[dict[str, RawReply]] = {}
        reads = 0

        def availability(self) -> Availability:
            return Availability(usable=True, why="", where="here")

        def models(self) -> dict[str, Price | None]:
            return {"a": None}

        def replies(self, name: str) -> Lookup:
            self.reads += 1
            snapshot = dict(self.replies_by_prompt)
            return lambda request: snapshot.get(request.prompt)

    growing = Growing()
    provider = ReplayProvider(growing)
    provider.look()
    [model] = provider.models()
    for _ in range(3):
        with pytest.raises(NoRecordedReplyError):
            await provider.send(model, asked("first"), timeouts=Timeouts())
    assert growing.reads == 1
    growing.replies_by_prompt["2 + 2?"] = RawReply(text="4", usage=Usage())
    for run in ("second", "second", "third"):
        assert (await provider.send(model, asked(run), timeouts=Timeouts())).text == "4"
    assert growing.reads == 2


@pytest.mark.corpus
async def test_the_recorded_corpus_is_answered_to_the_last_item(corpus: Path) -> None:
    folder = corpus / "zeroeval"
    provider = replaying(folder)
    name = "claude-3-5-sonnet-20241022"
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT q.prompt, r.response, r.in_tokens, r.out_tokens FROM read_parquet(?) r"
            " JOIN read_parquet(?) q USING (qid) WHERE r.model = ?",
            [str(folder / "responses.parquet"), str(folder / "questions.parquet"), name],
        ).fetchall()
    [model] = [model for model in provider.models() if model.wire_name == name]
    assert len(rows) == 1800
    assert model.price is not None
    cost_usd = 0.0
    for prompt, response, _, _ in rows:
        got = await provider.send(model, ask(prompt), timeouts=Timeouts())
        assert got.text == response
        cost_usd += model.price.cost_usd(got.usage)
    assert cost_usd == pytest.approx(sum(3.0 * read + 15.0 * written for _, _, read, written in rows) / 1e6, abs=1e-9)
