"""Recorded replies in two Parquet files of a folder.

``questions.parquet`` holds ``qid`` and ``prompt``; ``responses.parquet`` holds ``qid``, ``model``, ``response``,
``in_tokens``, ``out_tokens``, and perhaps ``latency_ms`` and ``cost_usd``; ``models.json``, where there is one, list
prices by model. A reply is found by the exact words of the last user message.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from orchestration_nb.calls import RawReply, Request, Usage
from orchestration_nb.catalog import Price
from orchestration_nb.errors import NoRecordedReplyError
from orchestration_nb.providers.provider import Availability
from orchestration_nb.providers.reading import count, table
from orchestration_nb.providers.replay import Lookup

_FIRST_TOKEN_MS = 300.0
_TOKEN_MS = 12.0
_QUESTIONS, _RESPONSES, _PRICES = "questions.parquet", "responses.parquet", "models.json"
_OPTIONAL = ("latency_ms", "cost_usd")


class RecordedFiles:
    """The replies of a folder.

    Where one prompt was recorded several times for a model, the replies are taken in the order of their ``qid`` and
    ``request.sample`` says which; after the last comes the first again.

    A latency that was not recorded is modelled: 300 ms, and 12 ms for each token of the reply. It is only reported;
    nothing waits. A cost that was not recorded is reckoned from tokens and price.

    Args:
        folder: Where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def availability(self) -> Availability:
        """Usable where the files are."""
        missing = [name for name in (_QUESTIONS, _RESPONSES) if not (self._folder / name).is_file()]
        why = f"{' and '.join(missing)} not found in {self._folder}" if missing else ""
        return Availability(usable=not missing, why=why, where=str(self._folder))

    def models(self) -> Mapping[str, Price | None]:
        """Those of ``models.json``, or, where it is missing, those that answered.

        Raises:
            NoRecordedReplyError: If the files cannot be read.
        """
        return _read_prices(self._folder / _PRICES) or dict.fromkeys(_read_names(self._folder))

    def replies(self, name: str) -> Lookup:
        """The replies of one model, by prompt and sample.

        Raises:
            NoRecordedReplyError: If the files cannot be read, or lack a column.
        """
        replies = _read_replies(self._folder, name)

        def find(request: Request) -> RawReply | None:
            recorded = replies.get(request.prompt)
            return recorded[request.sample % len(recorded)] if recorded else None

        return find


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
    return [name for (name,) in _ask(folder, sql)]


def _read_replies(folder: Path, model: str) -> dict[str, list[RawReply]]:
    there = {row[0] for row in _ask(folder, "DESCRIBE SELECT * FROM read_parquet($responses)")}
    optional = ", ".join(f"r.{name}" if name in there else "NULL" for name in _OPTIONAL)
    rows = _ask(
        folder,
        f"""
        SELECT q.prompt, r.response, r.in_tokens, r.out_tokens, {optional}
        FROM read_parquet($responses) r JOIN read_parquet($questions) q USING (qid)
        WHERE r.model = $model AND q.prompt IS NOT NULL AND r.response IS NOT NULL
        ORDER BY r.qid
        """,  # noqa: S608 - constants alone
        model=model,
    )
    replies: dict[str, list[RawReply]] = {}
    for prompt, text, read, written, latency_ms, cost_usd in rows:
        modelled_ms = _FIRST_TOKEN_MS + _TOKEN_MS * count(written)
        reply = RawReply(
            text=text,
            usage=Usage(input_tokens=count(read), output_tokens=count(written)),
            model_version=model,
            latency_ms=modelled_ms if latency_ms is None else float(latency_ms),
            cost_usd=_dollars(cost_usd),
        )
        replies.setdefault(prompt, []).append(reply)
    return replies


def _dollars(recorded: Any) -> float | None:
    """The recorded cost; ``None`` where there is none, or nothing that a budget could count."""
    try:
        usd = float(recorded)
    except (TypeError, ValueError):
        return None
    return usd if math.isfinite(usd) and usd >= 0 else None


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
