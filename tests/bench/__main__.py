"""``make bench``: this package beside its peers on one loopback server, in interleaved rounds.

Every measurement is a process of its own, and one round takes each subject once, so that whatever else the machine does
hits all alike. The table at the end says which targets are met; all figures go to ``.bench/results.json``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.figures import Figure, Rounds, column, medians, ratios, side_by_side, verdicts
from tests.bench.headless import MANY_TITLE as MANY
from tests.bench.headless import TITLE as NOTEBOOK
from tests.bench.headless import many_at_once, notebooks

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent
RESULTS = REPO / ".bench" / "results.json"
OURS = "orchestration_nb"
EVERYONE = (OURS, "aiohttp", "httpx", "openai", "litellm")
QUICK = (OURS, "aiohttp")
"""Who needs more calls for the same time of measuring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What each subject has to do in a round."""

    title: str
    calls: int
    in_flight: int
    kind: str = "calls"
    wait_ms: int = 0
    subjects: Sequence[str] = EVERYONE
    quick_calls: int | None = None

    def arguments(self, subject: str) -> list[str]:
        """Path, calls and calls in flight, as the subjects' processes take them."""
        calls = self.quick_calls if self.quick_calls and subject in QUICK else self.calls
        return [f"/wait/{self.wait_ms}/v1" if self.wait_ms else "/v1", str(calls), str(self.in_flight)]


AT_32 = Load(title="CPU per call, 32 in flight", calls=600, quick_calls=3000, in_flight=32)
AT_1 = Load(title="CPU per call, 1 in flight", calls=500, in_flight=1)
SLOW = Load(title="2,000 calls of 500 ms, 256 in flight", calls=2000, in_flight=256, wait_ms=500)
MEMORY = Load(title="10,000 items of 3 steps", calls=10_000, in_flight=256, kind="memory", subjects=[OURS])
CACHE = Load(title="Cache hits", calls=5000, in_flight=32, kind="cache", subjects=[OURS])
STATE = Load(title="State store, a call at a time", calls=2000, in_flight=1, kind="state", subjects=[OURS])
JOURNAL = Load(title="Journal lines", calls=20_000, in_flight=1, kind="journal", subjects=[OURS])


@dataclass(slots=True, kw_only=True)
class Bench:
    """Runs subjects against one server and collects what they print."""

    root: str
    peer_python: str
    rounds: int
    versions: dict[str, str] = field(default_factory=dict)
    measured: dict[str, Rounds] = field(default_factory=dict)
    """All that was measured, by title of the load."""

    def measure(self, load: Load) -> Rounds:
        """All rounds of one load, each subject once a round."""
        print(f"{load.title}: round", end="", flush=True)
        rounds: dict[str, list[dict[str, float]]] = {subject: [] for subject in load.subjects}
        for number in range(self.rounds):
            print("", number + 1, end="", flush=True)
            for subject in load.subjects:
                rounds[subject].append(self._once(subject, load))
        print()
        self.measured[load.title] = rounds
        return rounds

    def _once(self, subject: str, load: Load) -> dict[str, float]:
        path, *rest = load.arguments(subject)
        ours = [sys.executable, "-m", "tests.bench.ours", load.kind]
        peer = [self.peer_python, str(HERE / "peers.py"), subject]
        command = [*(ours if subject == OURS else peer), self.root + path, *rest]
        done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"\n{' '.join(command)} failed:\n{done.stderr[-3000:]}")
        figures = json.loads(done.stdout.splitlines()[-1])
        self.versions[subject] = figures.pop("version")
        return dict(figures)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The server, in a process of its own; yields its address."""
    with subprocess.Popen([sys.executable, str(HERE / "server.py")], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def cpu(bench: Bench) -> list[Figure]:
    """CPU per full call (cache miss, budget, retry policy, journalled), many in flight and one at a time."""
    at_32, at_1 = bench.measure(AT_32), bench.measure(AT_1)
    columns = {"32 in flight": medians(at_32, "cpu_us"), "1 in flight": medians(at_1, "cpu_us")}
    print("\n" + side_by_side("CPU per call, us", columns))
    ours_32, httpx_32, litellm_32 = (column(at_32, subject, "cpu_us") for subject in (OURS, "httpx", "litellm"))
    ours_1, httpx_1 = (column(at_1, subject, "cpu_us") for subject in (OURS, "httpx"))
    return [
        Figure(
            name="CPU per call at 32 in flight, ours / raw httpx",
            unit="x",
            bound="at most",
            target=0.18,
            rounds=ratios(ours_32, httpx_32),
        ),
        Figure(
            name="CPU per call at 1 in flight, ours / raw httpx",
            unit="x",
            bound="at most",
            target=1.0,
            rounds=ratios(ours_1, httpx_1),
        ),
        Figure(
            name="CPU per call at 32 in flight, LiteLLM Router / ours",
            unit="x",
            bound="at least",
            target=8,
            rounds=ratios(litellm_32, ours_32),
        ),
    ]


def wall(bench: Bench) -> list[Figure]:
    """Slow answers, many in flight: how near the wall time comes to the least that is possible."""
    took = bench.measure(SLOW)
    ideal_s = SLOW.calls * SLOW.wait_ms / 1000 / SLOW.in_flight
    seconds = medians(took, "wall_s")
    share = {subject: ideal_s / second for subject, second in seconds.items()}
    print("\n" + side_by_side(f"{SLOW.title}; ideal {ideal_s:.2f} s", {"wall, s": seconds, "of ideal": share}))
    rounds = [ideal_s / second for second in column(took, OURS, "wall_s")]
    return [
        Figure(name="Ideal wall time / ours at 256 in flight", unit="", bound="at least", target=0.85, rounds=rounds)
    ]


def alone(bench: Bench) -> list[Figure]:
    """What has no peer."""
    memory, cache, journal = bench.measure(MEMORY), bench.measure(CACHE), bench.measure(JOURNAL)
    state = bench.measure(STATE)
    item_us = medians(cache, "item_us")[OURS]
    print(f"An item of one step that the cache answers, the whole way: {item_us:.0f} us of CPU")
    grown_kb = [grown / 1000 for grown in column(memory, OURS, "bytes_per_item")]
    lines = ratios(column(journal, OURS, "line_us"), column(journal, OURS, "bare_us"))
    return [
        Figure(
            name="Memory per item of 3 steps, beyond the answers",
            unit="KB",
            bound="at most",
            target=5,
            rounds=grown_kb,
        ),
        Figure(name="CPU of a cache hit", unit="us", bound="at most", target=60, rounds=column(cache, OURS, "hit_us")),
        Figure(
            name="CPU of a call in state.sqlite (get, reserve, settle, set)",
            unit="us",
            bound="at most",
            target=200,
            rounds=column(state, OURS, "state_us"),
        ),
        Figure(name="Journal line / bare write(2) of its bytes", unit="x", bound="at most", target=2, rounds=lines),
    ]


def dashboard(rounds: int) -> tuple[list[Figure], dict[str, Any]]:
    """The dashboard over a million calls beside plain queries, and over ten million; and all that was measured."""
    print("The dashboard of the ledger, over 1 M calls and over 10 M: some minutes.")
    million, ten = _dashboard(1_000_000, rounds), _dashboard(10_000_000, 0)
    sides = ("refresh", "live", "queries", "lean")
    columns = {side: {by: median(found[f"{side}_s"]) for by, found in million["rounds"].items()} for side in sides}
    print("\n" + side_by_side("1 M calls, s", columns))
    figures = [
        Figure(
            name=f"Dashboard by {by} over 1 M calls, refresh / bare queries",
            unit="x",
            bound="at most",
            target=1.5,
            rounds=ratios(found["refresh_s"], found["queries_s"]),
        )
        for by, found in million["rounds"].items()
    ]
    slowest = max(max(found["refresh_s"]) for found in ten["rounds"].values())
    for name, took_s in (("slowest refresh", slowest), ("HTML file", ten["page_s"])):
        figures.append(
            Figure(name=f"Dashboard over 10 M calls, {name}", unit="s", bound="at most", target=10, rounds=[took_s])
        )
    return figures, {"1 M": million, "10 M": ten}


def _dashboard(calls: int, rounds: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.dashboard", str(calls), str(rounds)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


PARTS = ("calls", "notebooks", "dashboard")
"""What can be measured alone."""


def main() -> int:
    """Measures everything; the exit code says that it was measured, the table whether it is good."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-python", default=str(REPO / ".bench" / "venv" / "bin" / "python"))
    parser.add_argument("--only", choices=PARTS, help="measure this alone")
    options = parser.parse_args()
    wanted = [options.only] if options.only else PARTS
    figures: list[Figure] = []
    with server() as root:
        bench = Bench(root=root, peer_python=options.peer_python, rounds=options.rounds)
        if "calls" in wanted:
            figures += [*alone(bench), *cpu(bench), *wall(bench)]
    if "notebooks" in wanted:
        bench.measured[NOTEBOOK], more, versions = notebooks(options.rounds, options.peer_python)
        figures += more
        bench.versions.update(versions)
        bench.measured[MANY], more = many_at_once(options.rounds)
        figures += more
    dashboards: dict[str, Any] = {}
    if "dashboard" in wanted:
        drawn, dashboards = dashboard(options.rounds)
        figures += drawn
    print("\n" + verdicts(figures))
    results: dict[str, Any] = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": bench.versions,
        "figures": [one.as_json() for one in figures],
        "measured": {**bench.measured, "Dashboard": dashboards},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1))
    print(f"Medians of {options.rounds} rounds; everything measured is in {RESULTS.relative_to(REPO)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
