"""Agreement of two cheap models, measured on recorded replies by the texts alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orchestration_nb.routing.reading import read_answer
from tests.evals.zeroeval import FLASH, MINI, SONNET, read_recorded
from tests.routing.test_strategies import reply


@pytest.mark.corpus
def test_two_cheap_models_that_agree_keep_the_strong_ones_accuracy_at_half_its_cost(corpus: Path) -> None:
    import duckdb

    recorded = read_recorded(corpus)
    with duckdb.connect() as connection:
        rows = connection.read_parquet(str(corpus / "zeroeval" / "responses.parquet")).df()
    texts = rows[rows["model"].isin([FLASH, MINI])].pivot(index="qid", columns="model", values="response").sort_index()
    agree = np.array(
        [
            read_answer(reply(left)) == read_answer(reply(right))
            for left, right in zip(texts[FLASH], texts[MINI], strict=True)
        ]
    )
    (flash, flash_usd), (_, mini_usd), (sonnet, sonnet_usd) = (recorded.of(name) for name in (FLASH, MINI, SONNET))
    accuracy = np.where(agree, flash, sonnet).mean() / sonnet.mean()
    saved = 1 - (flash_usd + mini_usd + np.where(agree, 0, sonnet_usd)).mean() / sonnet_usd.mean()
    assert accuracy >= 0.99, accuracy
    assert saved >= 0.42, saved
    assert flash[agree].mean() >= 0.93  # where two agree, they are mostly right
