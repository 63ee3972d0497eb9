"""The shipped ticket flow on simulated models that answer at once."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import REPO
from tests.planning.triage import Triage


@pytest.fixture(scope="session")
def tickets() -> pd.DataFrame:
    """The shipped tickets."""
    return pd.read_csv(REPO / "data" / "tickets.csv")


@pytest.fixture(scope="session")
def triage(tickets: pd.DataFrame) -> Triage:
    """Makes the flow of the quickstart in workspaces of its own."""
    return Triage(tickets, pd.read_csv(REPO / "data" / "orders.csv"))


@pytest.fixture(scope="session")
def truth(triage: Triage, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """What each question of each ticket costs: a row a call, from one run over all of them."""
    flow = triage.flow(tmp_path_factory.mktemp("all"))
    run = flow.map(triage.tickets)
    return flow.workspace.ledger.sql(
        "select r.item, r.step, c.cache_key, c.cost_usd from calls c join requests r on c.request_id = r.request_id "
        "where c.run_id = ?",
        [run.id],
    )


@pytest.fixture
def fresh(triage: Triage, tmp_path: Path) -> Triage:
    """The same, in the test's own folder."""
    triage.folder = tmp_path
    return triage
