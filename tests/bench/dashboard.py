"""The dashboard of the ledger beside DuckDB queries that somebody would write by hand, in interleaved rounds.

``python -m tests.bench.dashboard CALLS ROUNDS`` makes a ledger of so many calls and prints one line of JSON. A refresh
is all that happens when the button is pressed: what the journal says is merged, the ledger is read, figure and tables are
drawn, and each message to the browser is packed. The queries ask for the same numbers on a new read-only connection,
as the dashboard does, and nothing is done with the answer.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import comm
import duckdb
from jupyter_client.session import json_packer

from orchestration_nb import __version__
from orchestration_nb.clock import SystemClock
from orchestration_nb.ledger import Ledger, Scope
from orchestration_nb.notebook.ledger_dashboard import Dashboard
from orchestration_nb.notebook.ledger_page import write_dashboard
from tests.bench.month import DAYS, fill

GROUPINGS: Final = ("model", "step", "flow", "strategy", "all", "tag:team")
_OF: Final = {
    "model": ("model", ""),
    "step": ("step", "left join requests using (request_id)"),
    "flow": ("flow", "left join runs using (run_id)"),
    "strategy": ("requests.strategy", "left join requests using (request_id)"),
    "all": ("'all'", ""),
    "tag:team": ("tags['team']", "left join runs using (run_id)"),
}
_SUMS: Final = """
select {bucket} as bucket, {group} as of, count(*), sum(calls.billed_usd),
    count(*) filter (calls.status = 'failed'), count(*) filter (calls.cache <> 'none'),
    quantile_cont(calls.latency_ms, [0.5, 0.95, 0.99]) filter (calls.status = 'ok' and calls.cache = 'none')
from calls {join} where calls.started_at >= $since and not calls.simulated group by all
"""
_LEFT_OUT: Final = "select simulated, count(*) from calls where started_at >= $since group by all"
_RUNS: Final = """
with newest as (select * from runs where started_at >= $since order by run_id desc limit 50)
select newest.run_id, newest.flow, newest.status, newest.started_at, newest.finished_at, newest.items, newest.items_ok,
    newest.items_failed, newest.billed_usd, newest.strategy, newest.tags, count(calls.call_id)
from newest left join calls using (run_id) group by all order by all desc
"""
_NAMES: Final = ("select distinct flow from runs order by all", "select distinct unnest(map_keys(tags)) from runs")


def by_hand(connection: duckdb.DuckDBPyConnection, by: str, since: datetime, width_s: int) -> tuple[list[Any], ...]:
    """What the dashboard shows, asked for in plain SQL: over time, as a whole, what is left out, runs, flows and tags.

    Args:
        connection: Reads the ledger.
        by: One of :data:`GROUPINGS`.
        since: The beginning of the range (naive UTC).
        width_s: The length of a bucket.
    """
    group, join = _OF[by]
    bucket = f"time_bucket(interval '{width_s} seconds', calls.started_at)"
    over_time, whole = (_SUMS.format(bucket=one, group=group, join=join) for one in (bucket, "null"))
    asked = [connection.execute(text, {"since": since}).fetchall() for text in (over_time, whole, _LEFT_OUT, _RUNS)]
    return (*asked, *(connection.execute(text).fetchall() for text in _NAMES))


def seconds(act: Callable[[], object]) -> tuple[float, float]:
    """Wall time and CPU time of the process."""
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - wall, time.process_time() - cpu


def rounds(ledger: Ledger, path: Path, number: int) -> dict[str, dict[str, list[float]]]:
    """By grouping and measure, each round once by the dashboard and once by hand, in turns first."""
    found: dict[str, dict[str, list[float]]] = {}
    for by in GROUPINGS:
        board = Dashboard(ledger, Scope(by=by, days=DAYS))

        def query(by: str = by, board: Dashboard = board) -> None:
            since = board.scope.since(SystemClock().now())
            with duckdb.connect(str(path), read_only=True) as connection:
                by_hand(connection, by, since, board.metrics.bucket_s)

        sides = {"refresh": board.refresh, "queries": query}
        measured: dict[str, list[float]] = {f"{name}_{kind}": [] for name in sides for kind in ("s", "cpu_s")}
        for turn in range(number + 1):
            for name in sides if turn % 2 else reversed(sides):
                wall, cpu = seconds(sides[name])
                if turn:  # the first brings the file into memory
                    measured[f"{name}_s"].append(wall)
                    measured[f"{name}_cpu_s"].append(cpu)
        found[by] = measured
    return found


class PackedComm(comm.base_comm.BaseComm):
    """The way to the browser up to its socket: each message is packed as a kernel packs it."""

    def publish_msg(self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any) -> None:
        """Packs a message and lets it go."""
        json_packer({"type": msg_type, "content": {"data": data, "comm_id": self.comm_id, **keys}, "metadata": metadata})


def main() -> None:
    """Measures a ledger of a size."""
    calls, number = map(int, sys.argv[1:])
    comm.create_comm = PackedComm
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        filled_s, _ = seconds(lambda: fill(folder, calls, SystemClock().now()))
        ledger = Ledger(folder)
        board_s, _ = seconds(lambda: Dashboard(ledger, Scope(days=DAYS)))
        figures = rounds(ledger, folder / ".orchestrate" / "ledger.duckdb", number)
        page_s, page_cpu_s = seconds(lambda: write_dashboard(ledger, Scope(days=DAYS), folder / "page.html"))
    told = {"filled_s": filled_s, "board_s": board_s, "page_s": page_s, "page_cpu_s": page_cpu_s, "rounds": figures}
    print(json.dumps({**told, "version": __version__}))


if __name__ == "__main__":
    main()
