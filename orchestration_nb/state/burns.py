"""Of all processes of a workspace, the one that tells of a budget that burns too fast."""

from __future__ import annotations

import sqlite3


def claim(connection: sqlite3.Connection, budget: str, period: str) -> bool:
    """Whether nobody has told of this budget in this period before; from now on somebody has.

    Work for the desk of :mod:`orchestration_nb.state`: called within a transaction that writes.
    """
    connection.execute("create table if not exists burns (budget text, period text, primary key (budget, period))")
    return connection.execute("insert or ignore into burns values (?, ?)", (budget, period)).rowcount == 1
