"""A flow over a table against a provider that allows 50 requests in any second, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

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


pytestmark = [pytest.mark.slow, pytest.mark.alone]


@dataclass
class UnderWay:
    """A flow that is run in so many processes at once."""

    server: Limited
    callers: list[subprocess.Popen[str]]
    rows: int

    def arrivals(self) -> list[tuple[float, bool]]:
        """What arrived at the server by the end; every row of each process is answered."""
        for caller in self.callers:
            said, _ = caller.communicate(timeout=300)
            assert json.loads(said) == {"ok": self.rows, "errors": []}
        return self.server.arrivals()


Begin = Callable[..., UnderWay]


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begin]:
    """Begins such a run against a server of its own, in a workspace of its own."""
    with ExitStack() as ending:

        def begin_one(*options: str, limits: str = "", processes: int = 1, rows: int, callers: int) -> UnderWay:
            folder = tmp_path_factory.mktemp("asking")
            server = ending.enter_context(limited_server(*options))
            (folder / "orchestrate.toml").write_text(SETTINGS.format(url=server.url) + limits)
            command = [sys.executable, "-m", "tests.resilience.caller", str(folder)]
            running = [
                subprocess.Popen(
                    [*command, f"p{number}", str(rows), str(callers)], stdout=subprocess.PIPE, text=True, cwd=ROOT
                )
                for number in range(processes)
            ]
            for process in running:
                ending.callback(process.communicate)
                ending.callback(process.kill)
            return UnderWay(server, running, rows)

        yield begin_one


@pytest.mark.parametrize(("processes", "rows"), [(1, 400), (3, 200)])
def test_no_window_holds_more_than_the_limit_that_was_set(begin: Begin, processes: int, rows: int) -> None:
    limit = f'[limits."house"]\nrequests_per_second = {ALLOWED}\n'
    arrivals = begin(limits=limit, processes=processes, rows=rows, callers=64).arrivals()
    times = [at_s for at_s, _ in arrivals]
    assert len(times) == processes * rows  # none was refused and sent again
    assert most_in_a_second(times) <= ALLOWED
    print(f"{len(times) / (max(times) - min(times)):.1f} requests per second of {ALLOWED}")


UNSET = [(), ("--retry-after", "ceil"), ("--retry-after", "ceil", "--headers")]


@pytest.fixture(scope="module", autouse=True)
def with_no_limit_set(begin: Begin) -> dict[tuple[str, ...], UnderWay]:
    """One for each way of the server to refuse, all at once and beside the other tests: they do little but wait."""
    return {options: begin(*options, rows=3000, callers=32) for options in UNSET}


@pytest.mark.parametrize("options", UNSET)
def test_with_no_limit_set_nearly_all_that_is_allowed_is_used_and_nothing_fails(
    with_no_limit_set: dict[tuple[str, ...], UnderWay], options: tuple[str, ...]
) -> None:
    arrivals = with_no_limit_set[options].arrivals()
    began_s, ended_s = arrivals[0][0] + 10, arrivals[-1][0] - 1
    passed = sum(passed and began_s <= at_s < ended_s for at_s, passed in arrivals)
    print(f"{passed / (ended_s - began_s):.1f} requests per second of {ALLOWED}")
    assert passed / (ended_s - began_s) >= 0.85 * ALLOWED


def test_no_more_calls_are_in_flight_than_the_user_allows(begin: Begin) -> None:
    limit = '[limits."house/m"]\nconcurrent = 4\n'
    asking = begin("--allowed", "1000", "--latency", "0.1", "0.1", limits=limit, processes=2, rows=60, callers=16)
    times = sorted(at_s for at_s, _ in asking.arrivals())
    assert min(later - first for first, later in zip(times, times[4:], strict=False)) >= 0.09
    assert len(times) / (times[-1] - times[0]) >= 0.6 * 4 / 0.1
