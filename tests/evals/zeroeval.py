"""Real recorded replies as tables of quality and cost, for tests that measure strategies on them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FLASH, MINI, SONNET = "gemini-1.5-flash", "gpt-4o-mini-2024-07-18", "claude-3-5-sonnet-20241022"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recorded:
    """1,800 questions, answered by 7 models."""

    models: list[str]
    quality: Floats
    cost_usd: Floats
    extracted: NDArray[np.object_]
    dataset: NDArray[np.object_]

    def of(self, model: str) -> tuple[Floats, Floats]:
        place = self.models.index(model)
        return self.quality[:, place], self.cost_usd[:, place]


def read_recorded(corpus: Path) -> Recorded:
    """The recorded replies as tables, in the order of the questions' names."""
    import duckdb

    folder = corpus / "zeroeval"
    prices = json.loads((folder / "models.json").read_text())
    with duckdb.connect() as connection:
        questions = connection.read_parquet(str(folder / "questions.parquet")).df().sort_values("qid")
        rows = connection.read_parquet(str(folder / "responses.parquet")).df()
    usd = rows["model"].map({name: price["input_usd_per_mtok"] for name, price in prices.items()}) * rows["in_tokens"]
    usd += (
        rows["model"].map({name: price["output_usd_per_mtok"] for name, price in prices.items()}) * rows["out_tokens"]
    )
    rows["usd"] = usd / 1e6
    wide = {
        name: rows.pivot_table(index="qid", columns="model", values=name, aggfunc="first", dropna=False)
        for name in ("correct", "usd", "extracted")
    }
    assert list(wide["usd"].index) == list(questions["qid"])
    return Recorded(
        models=list(wide["usd"].columns),
        quality=wide["correct"].to_numpy().astype(np.float64),
        cost_usd=wide["usd"].to_numpy().astype(np.float64),
        extracted=wide["extracted"].to_numpy(),
        dataset=questions["dataset"].to_numpy(),
    )
