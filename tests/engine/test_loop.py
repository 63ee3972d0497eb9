"""The engine at the end of the process, and in a forked child."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestration_nb.ledger import Ledger

REPO = Path(__file__).resolve().parents[2]
BEGINNING = """
import asyncio, os, sys, time
from orchestration_nb.flows import Flow
from orchestration_nb.testing import FakeProvider, fake_workspace

async def respond(request):
    await asyncio.sleep(float(request.prompt))
    return "fine"

def make(text, **namespace):
    workspace = fake_workspace(os.getcwd(), FakeProvider(respond))
    return Flow.from_source(text, name="triage", namespace=namespace, workspace=workspace)
"""


def play(folder: Path, script: str) -> tuple[str, str, float]:
    """What a script prints, what it complains of, and how many seconds it takes once it says ``end``."""
    process = subprocess.Popen(
        [sys.executable, "-W", "default", "-c", f"import sys; sys.path.insert(0, {str(REPO)!r}){BEGINNING}{script}"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line == "end\n":
            break
    begun = time.monotonic()
    rest, complaints = process.communicate(timeout=60)
    return "".join(said) + rest, complaints, time.monotonic() - begun


@pytest.mark.parametrize(
    "script",
    [
        "flow = make('reply = llm(seconds)')\nrun = flow.start([{'seconds': '60'}] * 3)",
        "flow = make('slow = nap(seconds)', nap=time.sleep)\nrun = flow.start([{'seconds': 60}] * 3)",
        "flow = make('slow = nap(seconds)\\nt = seconds', nap=time.sleep)\nrun = flow.start([{'seconds': 0.1}] * 999)",
    ],
    ids=["waits for a model", "waits in a step", "runs step after step"],
)
def test_a_script_that_ends_during_a_run_ends_at_once_and_the_run_is_recorded(tmp_path: Path, script: str) -> None:
    said, complaints, took_s = play(tmp_path, f"{script}\ntime.sleep(0.3)\nprint('end', flush=True)\n")
    assert said == "end\n"
    assert complaints == ""
    assert took_s < 30, "and not a minute"
    ledger = Ledger(tmp_path)
    assert list(ledger.sql("SELECT status FROM runs")["status"]) == ["cancelled"]
    assert set(ledger.sql("SELECT status FROM items")["status"]) <= {"ok", "cancelled"}


def test_a_forked_child_has_an_engine_of_its_own(tmp_path: Path) -> None:
    said, complaints, _ = play(
        tmp_path,
        """
from orchestration_nb.errors import UsageError
flow = Flow.from_source("loud = word.upper()", name="loud")
flow.map([{"word": "a"}])
mine = make("loud = word.upper()")
mine.map([{"word": "a"}])
if (child := os.fork()) == 0:
    print(flow.map([{"word": "b"}]).value("loud"), flush=True)
    try:
        mine.map([{"word": "b"}])
    except UsageError as error:
        print(error, flush=True)
    sys.exit()
os.waitpid(child, 0)
print(flow.map([{"word": "c"}]).value("loud"), flush=True)
""",
    )
    assert said.splitlines() == [
        "B",
        "This workspace belongs to the process that this one was forked from.",
        "C",
    ]
    assert complaints == ""
