"""Examples to learn from: made up ones, and the recorded replies."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

from orchestration_nb.calls import Reply, Usage
from orchestration_nb.ids import CallId
from orchestration_nb.tuning.learned import Examples
from tests.evals.zeroeval import read_recorded

HARD, EASY = "Prove the theorem about rings", "Add the numbers"


def reply(text: str, model: str = "fake/small", **fields: Any) -> Reply:
    return Reply(
        call_id=CallId("1"), model=model, text=text, value=text, usage=Usage(), cost_usd=0.0, billed_usd=0.0,
        latency_ms=1.0, **fields,
    )  # fmt: skip


def made_up(items: int, *, replies: bool = False, seed: int = 0) -> Examples:
    """Half the prompts are hard; of those ``small`` gets one in ten right, of the others nineteen in twenty.

    Where the reply of ``small`` is wrong, that of ``medium`` differs from it.
    """
    dice = random.Random(seed)
    hard = [dice.random() < 0.5 for _ in range(items)]
    prompts = [f"{HARD if each else EASY} {dice.randrange(1000)}, item {dice.randrange(1000)}." for each in hard]
    small = np.array([float(dice.random() < (0.1 if each else 0.95)) for each in hard])
    medium = np.array([float(dice.random() < (0.2 if each else 0.95)) for each in hard])
    strong = np.array([float(dice.random() < 0.95) for _ in hard])
    texts = {
        model: [f"Answer: {7 if right else dice.randrange(100, 10_000)}" for right in quality]
        for model, quality in (("small", small), ("medium", medium))
    }
    return Examples(
        prompts=prompts,
        quality={"small": small, "medium": medium, "strong": strong},
        cost_usd={
            "small": np.full(items, 0.001), "medium": np.full(items, 0.002), "strong": np.full(items, 0.04),
        },
        replies={model: [reply(text) for text in each] for model, each in texts.items()} if replies else {},
    )  # fmt: skip


def recorded(corpus: Path, cheap: tuple[str, ...] = ()) -> Examples:
    """The recorded questions, with the replies of the cheap models; the data set is each item's slice."""
    import duckdb

    table = read_recorded(corpus)
    folder = corpus / "zeroeval"
    with duckdb.connect() as connection:
        questions = connection.read_parquet(str(folder / "questions.parquet")).df().sort_values("qid")
        rows = connection.read_parquet(str(folder / "responses.parquet")).df()
    texts = {
        model: rows[rows["model"] == model].set_index("qid").loc[questions["qid"], "response"].tolist()
        for model in cheap
    }
    return Examples(
        prompts=questions["prompt"].tolist(),
        quality={model: table.of(model)[0] for model in table.models},
        cost_usd={model: table.of(model)[1] for model in table.models},
        replies={model: [reply(text) for text in each] for model, each in texts.items()},
    )
