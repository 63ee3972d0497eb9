"""A flow over a table against a provider that allows 50 requests in any second, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.resilience.limited_server import ROOT, Limited, limited_server, most_in_a_second

ALLOWED = 50
SETTINGS = """
[providers.house]
kind = "openai"
base_url = "{url}"
[models."house/m"]
input_usd_per_mtok = 1.0
output_usd_per_mtok = 1.0
"""


def run(folder: Path, server: Limited, *, limits: str = "", processes: int = 1, rows: int, callers: int) -> None:
    """Runs the flow in so many processes at once; every row of each is answered."""
    (folder / "orchestrate.toml").write_text(SETTINGS.format(url=server.url) + limits)
    command = [sys.executable, "-m", "tests.resilience.caller", str(folder)]
    running = [
        subprocess.Popen([*command, f"p{number}", str(rows), str(callers)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for number in range(processes)
    ]
    for process in running:
        said, _ = process.communicate(timeout=300)
        assert json.loads(said) == {"ok": rows, "errors": []}


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "rows"), [(1, 400), (3, 200)])
def test_no_window_holds_more_than_the_limit_that_was_set(tmp_path: Path, processes: int, rows: int) -> None:
    with limited_server() as server:
        limit = f'[limits."house"]\nrequests_per_second = {ALLOWED}\n'
        run(tmp_path, server, limits=limit, processes=processes, rows=rows, callers=64)
        arrivals = server.arrivals()
    times = [at_s for at_s, _ in arrivals]
    assert len(times) == processes * rows  # none was refused and sent again
    assert most_in_a_second(times) <= ALLOWED
    print(f"{len(times) / (max(times) - min(times)):.1f} requests per second of {ALLOWED}")


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--retry-after", "ceil"), ("--retry-after", "ceil", "--headers")])
def test_with_no_limit_set_nearly_all_that_is_allowed_is_used_and_nothing_fails(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    with limited_server(*options) as server:
        run(tmp_path, server, rows=2000, callers=32)
        arrivals = server.arrivals()
    began_s, ended_s = arrivals[0][0] + 10, arrivals[-1][0] - 1
    passed = sum(passed and began_s <= at_s < ended_s for at_s, passed in arrivals)
    assert passed / (ended_s - began_s) >= 0.85 * ALLOWED


@pytest.mark.slow
def test_no_more_calls_are_in_flight_than_the_user_allows(tmp_path: Path) -> None:
    with limited_server("--allowed", "1000", "--latency", "0.1", "0.1") as server:
        run(tmp_path, server, limits='[limits."house/m"]\nconcurrent = 4\n', processes=2, rows=60, callers=16)
        times = sorted(at_s for at_s, _ in server.arrivals())
    assert min(later - first for first, later in zip(times, times[4:], strict=False)) >= 0.09
    assert len(times) / (times[-1] - times[0]) >= 0.6 * 4 / 0.1
