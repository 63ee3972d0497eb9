"""``replay/...``: recorded replies in place of models, at no cost.

Reads two Parquet files of a folder: ``questions.parquet`` (``qid``, ``prompt``) and ``responses.parquet`` (``qid``,
``model``, ``response``, ``in_tokens``, ``out_tokens``, perhaps ``latency_ms``), and perhaps ``models.json`` (list price
by model). A reply is found by the exact words of the last user message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from orchestration_nb.calls import RawReply, Request, Timeouts, Usage
from orchestration_nb.catalog import Model, Price
from orchestration_nb.errors import NoRecordedReplyError
from orchestration_nb.providers.provider import Availability
from orchestration_nb.providers.reading import count, table

_FIRST_TOKEN_MS = 300.0
_TOKEN_MS = 12.0
_QUESTIONS, _RESPONSES, _PRICES = "questions.parquet", "responses.parquet", "models.json"


@dataclass(frozen=True, slots=True)
class _Recorded:
    text: str
    in_tokens: int
    out_tokens: int
    latency_ms: float


class ReplayProvider:
    """Answers from recorded replies.

    Where one prompt was recorded several times for a model, the replies are taken in the order of their ``qid`` and
    ``request.sample`` says which; after the last comes the first again.

    A latency that was not recorded is modelled: 300 ms, and 12 ms for each token of the reply. It is only reported;
    nothing waits.

    Args:
        folder: Where the files are.
    """

    name = "replay"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._models: dict[str, Model] | None = None
        self._replies: dict[str, Mapping[str, Sequence[_Recorded]]] = {}
        self._reading: asyncio.Lock | None = None

    async def send(self, model: Model, request: Request, *, timeouts: Timeouts) -> RawReply:  # noqa: ARG002
        """The recorded reply to the request's prompt.

        Raises:
            NoRecordedReplyError: If there is none.
        """
        replies = self._replies.get(model.wire_name)
        if replies is None:
            replies = await self._read(model)
        recorded = replies.get(request.prompt)
        if not recorded:
            raise NoRecordedReplyError(
                f"{model.name} has no recorded reply to the prompt {request.prompt[:80]!r}.",
                hint=f"Prompts must be those of {_QUESTIONS}, to the letter.",
            )
        reply = recorded[request.sample % len(recorded)]
        return RawReply(
            text=reply.text,
            usage=Usage(input_tokens=reply.in_tokens, output_tokens=reply.out_tokens),
            model_version=model.wire_name,
            latency_ms=reply.latency_ms,
        )

    async def _read(self, model: Model) -> Mapping[str, Sequence[_Recorded]]:
        if self._reading is None:
            self._reading = asyncio.Lock()
        async with self._reading:
            name = model.wire_name
            if name not in self._replies:
                self._replies[name] = await asyncio.to_thread(_read_replies, self._folder, name)
            return self._replies[name]

    def availability(self) -> Availability:
        """Usable where the files are."""
        missing = [name for name in (_QUESTIONS, _RESPONSES) if not (self._folder / name).is_file()]
        why = f"{' and '.join(missing)} not found in {self._folder}" if missing else ""
        return Availability(usable=not missing, why=why, where=str(self._folder))

    def models(self) -> Sequence[Model]:
        """The models that were recorded, with their prices."""
        if self._models is None:
            prices = _read_prices(self._folder / _PRICES)
            names = list(prices) or _read_names(self._folder)
            self._models = {name: _model(name, prices.get(name)) for name in names}
        return tuple(self._models.values())

    async def close(self) -> None:
        """Nothing is open."""


def _model(name: str, price: Price | None) -> Model:
    return Model(provider="replay", wire_name=name, price=price, abilities=frozenset(), simulated=True)


def _read_prices(path: Path) -> dict[str, Price]:
    try:
        listed = table(orjson.loads(path.read_bytes()))
        return {
            name: Price(
                input_usd_per_mtok=float(price["input_usd_per_mtok"]),
                output_usd_per_mtok=float(price["output_usd_per_mtok"]),
                source=path.name,
            )
            for name, price in listed.items()
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _read_names(folder: Path) -> list[str]:
    sql = "SELECT DISTINCT model FROM read_parquet($responses) WHERE model IS NOT NULL ORDER BY model"
    try:
        return [name for (name,) in _ask(folder, sql)]
    except NoRecordedReplyError:
        return []


def _read_replies(folder: Path, model: str) -> dict[str, list[_Recorded]]:
    timed = "latency_ms" in {row[0] for row in _ask(folder, "DESCRIBE SELECT * FROM read_parquet($responses)")}
    rows = _ask(
        folder,
        f"""
        SELECT q.prompt, r.response, r.in_tokens, r.out_tokens, {"r.latency_ms" if timed else "NULL"}
        FROM read_parquet($responses) r JOIN read_parquet($questions) q USING (qid)
        WHERE r.model = $model AND q.prompt IS NOT NULL AND r.response IS NOT NULL
        ORDER BY r.qid
        """,  # noqa: S608 - one of two constants
        model=model,
    )
    replies: dict[str, list[_Recorded]] = {}
    for prompt, text, read, written, recorded_ms in rows:
        modelled_ms = _FIRST_TOKEN_MS + _TOKEN_MS * count(written)
        latency_ms = modelled_ms if recorded_ms is None else float(recorded_ms)
        replies.setdefault(prompt, []).append(_Recorded(text, count(read), count(written), latency_ms))
    return replies


def _ask(folder: Path, sql: str, **values: str) -> list[tuple[Any, ...]]:
    """Rows of the two files.

    Raises:
        NoRecordedReplyError: If they cannot be read, or lack a column.
    """
    import duckdb  # noqa: PLC0415 - heavy

    paths = {"questions": str(folder / _QUESTIONS), "responses": str(folder / _RESPONSES)}
    bound = {name: value for name, value in {**paths, **values}.items() if f"${name}" in sql}
    try:
        with duckdb.connect() as connection:
            return connection.execute(sql, bound).fetchall()
    except duckdb.Error as error:
        first_line = str(error).partition("\n")[0]
        raise NoRecordedReplyError(
            f"The recorded replies in {folder} cannot be read: {first_line}",
            hint="[replay] folder in orchestrate.toml names the folder with questions.parquet and responses.parquet.",
        ) from None
