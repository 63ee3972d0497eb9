"""The dashboard of the ledger beside DuckDB queries that somebody would write by hand, in interleaved rounds.

``python -m tests.bench.dashboard CALLS ROUNDS`` makes a ledger of so many calls and prints one line of JSON. A refresh
is all that happens when the button is pressed: the journal is looked at, the ledger is read, figure and tables are
drawn, and each message to the browser is packed. A live refresh merges some new calls besides, and draws lines anew.
The queries ask for the same numbers on a new read-only connection, as the dashboard does, and nothing is done with the
answer; the lean ones get lines and totals from one scan. With no rounds, only refreshes are measured.
"""

from __future__ import annotations

import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import comm
import duckdb
from jupyter_client.session import json_packer

from orchestration_nb import __version__
from orchestration_nb.clock import SystemClock
from orchestration_nb.ledger import JournalFile, Ledger, Scope
from orchestration_nb.notebook.ledger_dashboard import Dashboard
from orchestration_nb.notebook.ledger_page import write_dashboard
from tests.bench.month import DAYS, MODELS, fill
from tests.bench.ours import a_call

GROUPINGS: Final = ("model", "step", "flow", "strategy", "all", "tag:team")
NEW_CALLS: Final = 20
"""Between two live refreshes."""
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
from calls {join} where calls.started_at >= $since and not calls.simulated group by {whole}
"""
_LEFT_OUT: Final = "select simulated, count(*) from calls where started_at >= $since group by all"
_RUNS: Final = """
with newest as (select * from runs where started_at >= $since order by run_id desc limit 50)
select newest.run_id, newest.flow, newest.status, newest.started_at, newest.finished_at, newest.items, newest.items_ok,
    newest.items_failed, newest.billed_usd, newest.strategy, newest.tags, count(calls.call_id)
from newest left join calls using (run_id) group by all order by all desc
"""
_NAMES: Final = ("select distinct flow from runs order by all", "select distinct unnest(map_keys(tags)) from runs")


def sums_by_hand(
    connection: duckdb.DuckDBPyConnection, by: str, since: datetime, width_s: int, *, lean: bool = False
) -> list[tuple[Any, ...]]:
    """Bucket (``None``: the whole), group, calls, dollars, failures, cache hits, percentiles, in plain SQL.

    Args:
        connection: Reads the ledger.
        by: One of :data:`GROUPINGS`.
        since: The beginning of the range (naive UTC).
        width_s: The length of a bucket.
        lean: Asks once, by grouping sets, and not once for the lines and once for the totals.
    """
    group, join = _OF[by]
    bucket = f"time_bucket(interval '{width_s} seconds', calls.started_at)"
    whole = "grouping sets ((1, 2), (2))" if lean else "all"
    texts = [_SUMS.format(bucket=one, group=group, join=join, whole=whole) for one in (bucket, "null")]
    return [row for text in texts[: 1 if lean else 2] for row in connection.execute(text, {"since": since}).fetchall()]


def by_hand(path: Path, by: str, since: datetime, width_s: int, *, lean: bool) -> None:
    """All that the dashboard shows, asked for in plain SQL: sums, what is left out, runs, flows and tags."""
    with duckdb.connect(str(path), read_only=True) as connection:
        sums_by_hand(connection, by, since, width_s, lean=lean)
        for text in (_LEFT_OUT, _RUNS):
            connection.execute(text, {"since": since}).fetchall()
        for text in _NAMES:
            connection.execute(text).fetchall()


def seconds(act: Callable[[], object]) -> tuple[float, float]:
    """Wall time and CPU time of the process."""
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - wall, time.process_time() - cpu


def rounds(ledger: Ledger, folder: Path, number: int) -> dict[str, dict[str, list[float]]]:
    """By grouping and measure: each round once by each side, in another order every time."""
    path, found = folder / ".orchestrate" / "ledger.duckdb", {}
    for by in GROUPINGS:
        board, journal = Dashboard(ledger, Scope(by=by, days=DAYS)), JournalFile(folder)

        def queries(*, lean: bool = False, by: str = by, board: Dashboard = board) -> None:
            by_hand(path, by, board.scope.since(SystemClock().now()), board.metrics.bucket_s, lean=lean)

        sides: dict[str, Callable[[], object]] = {
            "refresh": board.refresh,
            "queries": queries,
            "lean": partial(queries, lean=True),
            "live": board.refresh,
        }
        measured: dict[str, list[float]] = {f"{name}_{kind}": [] for name in sides for kind in ("s", "cpu_s")}
        for turn in range(number + 1):
            for name in random.Random(turn).sample(list(sides), len(sides)):
                if name == "live":
                    for _ in range(NEW_CALLS):
                        journal.write(replace(a_call(), model=f"openai/{MODELS[0]}"))
                wall, cpu = seconds(sides[name])
                if turn:  # the first brings the file into memory
                    measured[f"{name}_s"].append(wall)
                    measured[f"{name}_cpu_s"].append(cpu)
        journal.close()
        found[by] = {**measured, "said_s": [board.took_s]}
    return found


def refreshes(ledger: Ledger) -> dict[str, dict[str, list[float]]]:
    """By grouping, one refresh, and what it says of itself."""
    found = {}
    for by in GROUPINGS:
        board = Dashboard(ledger, Scope(by=by, days=DAYS))
        wall, cpu = seconds(board.refresh)
        found[by] = {"refresh_s": [wall], "refresh_cpu_s": [cpu], "said_s": [board.took_s]}
    return found


class PackedComm(comm.base_comm.BaseComm):
    """The way to the browser up to its socket: each message is packed as a kernel packs it."""

    def publish_msg(
        self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
    ) -> None:
        """Packs a message and lets it go."""
        json_packer(
            {"type": msg_type, "content": {"data": data, "comm_id": self.comm_id, **keys}, "metadata": metadata}
        )


def main() -> None:
    """Measures a ledger of a size."""
    calls, number = map(int, sys.argv[1:])
    comm.create_comm = PackedComm
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        filled_s, _ = seconds(lambda: fill(folder, calls, SystemClock().now()))
        ledger, page = Ledger(folder), folder / "page.html"
        figures = rounds(ledger, folder, number) if number else refreshes(ledger)
        page_s, page_cpu_s = seconds(lambda: write_dashboard(ledger, Scope(days=DAYS), page))
        said = re.search(r"Drawn .{15} UTC in ([\d.]+) s", page.read_text())
    assert said, "the page says what it took"
    told = {"filled_s": filled_s, "page_s": page_s, "page_cpu_s": page_cpu_s, "page_said_s": float(said[1])}
    print(json.dumps({**told, "rounds": figures, "version": __version__}))


if __name__ == "__main__":
    main()
