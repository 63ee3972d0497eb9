"""The flow of the quickstart, whose simulated models always say the same to the same prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from orchestration_nb import Flow, Workspace

TEXT = r"""
queue: Literal["billing", "bug", "refund"] = llm(f"Which queue does this ticket belong to?\n{body}", model="fast")
history = orders[orders.customer_id == customer_id].tail(5)
points = [llm(f"One sentence on this order: {order}", model="fast") for order in history.itertuples(index=False)]
reply = llm(f"Queue: {queue}. History: {points}. Write the reply to:\n{body}") if queue != "bug" else None
"""


class Triage:
    """Flows over the shipped tickets."""

    def __init__(self, tickets: pd.DataFrame, orders: pd.DataFrame) -> None:
        self.tickets = tickets
        self.orders = orders
        self.folder = Path()

    def flow(self, folder: Path | None = None, text: str = TEXT, **names: Any) -> Flow:
        """The flow in a workspace of its own."""
        folder = folder or self.folder
        (folder / "orchestrate.toml").write_text("[sim]\nlatency_scale = 0\n")
        workspace = Workspace(folder, environ={})
        return Flow.from_source(text, name="triage", namespace={"orders": self.orders, **names}, workspace=workspace)

    def split(self, seed: int, size: int = 50) -> tuple[pd.DataFrame, pd.DataFrame]:
        """So many tickets chosen at random, and all the others."""
        mixed = self.tickets.sample(frac=1, random_state=seed)
        return mixed.iloc[:size], mixed.iloc[size:]


def billed(truth: pd.DataFrame, past: pd.DataFrame, rest: pd.DataFrame) -> float:
    """What a run over ``rest`` is billed after one over ``past``: each question once, and none that was asked then."""
    asked = set(truth[truth.item.isin(past.index)].cache_key)
    new = truth[truth.item.isin(rest.index) & ~truth.cache_key.isin(asked)]
    return float(new.drop_duplicates("cache_key").cost_usd.sum())
