"""A pipeline that is killed at whatever moment, its runner or its kernel or both, and resumed until it is done."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import nbformat
import psutil  # type: ignore[import-untyped]
import pytest

from orchestration_nb.config import trust
from orchestration_nb.ledger import Ledger
from tests.conftest import REPO
from tests.pipelines.counted_models import Models, counted_models

KILLS: Final = 30
MOST_KILLS_OF_ONE: Final = 6
CONCURRENCY: Final = 8
MOST_HELD: Final = 2 * CONCURRENCY
"""Calls at once that have their money: an item of one cell asks twice."""
WAYS: Final = ("runner, then kernel", "kernel, then runner", "runner", "kernel")

BEGIN: Final = """\
%load_ext orchestration_nb
import hashlib, json
import pandas as pd
rows = pd.DataFrame({"body": [f"ticket {number}" for number in range(40)]})
few = rows.head(10)
pieces = {}"""
ASKS: Final = """\
%%orchestrate cell_{number} --over rows --concurrency 8 --into out_{number}
answer = llm(f"cell {number}: {{body}}", model="house/small", max_tokens=20)"""
AFRESH: Final = """\
%%orchestrate cell_{number} --over few --concurrency 8 --into out_{number} --fresh
answer = llm(f"afresh: {{body}}", model="house/small", max_tokens=20)"""
AGAIN: Final = """\
%%orchestrate cell_{number} --over few --concurrency 8 --into out_{number}
answer = [llm(f"again: {{body}}", model="house/small", max_tokens=20, cache=False) for _ in range(2)]"""
PLAIN: Final = """\
from orchestration_nb import llm
told = [llm(f"plain {number}", model="house/small", max_tokens=20, cache=False) for number in range(20)]"""
ADD: Final = "pieces['{number}'] = out_{number}.answer.astype(str).tolist()"
END: Final = """\
pieces["plain"] = told
print("RESULT", hashlib.sha256(json.dumps(pieces, sort_keys=True, default=str).encode()).hexdigest(), len(pieces))"""


def cells() -> list[tuple[str, list[str]]]:
    """Twenty cells that ask 500 times in all, with the tags of each."""
    asking = [(ASKS.format(number=number), ["artifact:out_5"] if number == 5 else []) for number in range(2, 13)]
    add = [ADD.format(number=number) for number in range(2, 13)]
    return [
        (BEGIN, []),  # 1
        *asking,  # 2 to 12: 440 calls
        (AFRESH.format(number=13), ["artifact:out_13"]),  # 10
        (AFRESH.format(number=14), []),  # 10, the same questions
        (AGAIN.format(number=15), []),  # 20
        ("\n".join(add), []),
        (PLAIN, ["artifact:told"]),  # 20
        ("\n".join(ADD.format(number=number) for number in (13, 14, 15)), []),
        ("total = sum(map(len, pieces.values()))", ["artifact:total"]),
        (END, []),
    ]


def expected() -> Counter[str]:
    """Question to how often an undisturbed run asks it."""
    asked: Counter[str] = Counter(f"cell {cell}: ticket {number}" for cell in range(2, 13) for number in range(40))
    asked += Counter({f"afresh: ticket {number}": 2 for number in range(10)})
    asked += Counter({f"again: ticket {number}": 2 for number in range(10)})
    return asked + Counter(f"plain {number}" for number in range(20))


class Pipeline:
    """One notebook in a workspace of its own, run by processes that are killed."""

    def __init__(self, folder: Path, models: Models) -> None:
        folder.mkdir()
        self.folder, self.models = folder, models
        (folder / "orchestrate.toml").write_text(models.settings)
        trust(folder)
        notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
        notebook.cells = [
            nbformat.v4.new_code_cell(source, metadata={"tags": tags})  # type: ignore[no-untyped-call]
            for source, tags in cells()
        ]
        nbformat.write(notebook, folder / "killed.ipynb")  # type: ignore[no-untyped-call]
        self.before = Counter(models.arrived())
        self.kernel: psutil.Process | None = None
        self.found_of = 0

    def start(self, *flags: str) -> subprocess.Popen[str]:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")])}
        command = [sys.executable, "-m", "orchestration_nb.cli", "run", "killed.ipynb", *flags]
        return subprocess.Popen(
            command, cwd=self.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def arrived(self) -> Counter[str]:
        return Counter(self.models.arrived()) - self.before

    def killed_somewhere(self, runner: subprocess.Popen[str], dice: random.Random) -> bool:
        """Kills it at a random moment, as long as it runs; whether it was killed."""
        way, more = dice.choice(WAYS), dice.randrange(0, 160)
        target, ends_s = self.models.total() + more, time.monotonic() + 60
        while runner.poll() is None and self.models.total() < target:
            assert time.monotonic() < ends_s
            time.sleep(0.005)
            self.find_kernel(runner)
        time.sleep(dice.uniform(0, 0.05 if more else 2.0))
        if not more:
            self.find_kernel(runner)
        if runner.poll() is not None:
            return False
        if "kernel" not in way or self.kernel is None or self.found_of != runner.pid:
            runner.kill()
        else:
            first, *second = [{"runner": runner, "kernel": self.kernel}[name] for name in way.split(", then ")]
            first.send_signal(signal.SIGKILL)
            for other in second:
                time.sleep(dice.uniform(0, 0.02))
                if isinstance(other, subprocess.Popen) or other.is_running():
                    other.send_signal(signal.SIGKILL)
        out, _ = runner.communicate(timeout=30)
        return "\ndone: " not in out

    def find_kernel(self, runner: subprocess.Popen[str]) -> None:
        """Notes the runner's kernel; none may be alive that an earlier runner started."""
        if self.found_of == runner.pid:
            return  # each has one alone, and to look through all processes takes longer than a call
        try:
            children = psutil.Process(runner.pid).children()
            kernel = next((child for child in children if any("ipykernel" in word for word in child.cmdline())), None)
        except psutil.NoSuchProcess:
            return
        if kernel is not None:
            if self.kernel is not None:
                assert not is_alive(self.kernel)
            self.kernel, self.found_of = kernel, runner.pid


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def result(said: str) -> str:
    """What the last cell printed, from the executed copy that the runner names."""
    assert "\ndone: " in said, said
    copy = said.strip().splitlines()[-1].removeprefix("done: ")
    notebook = json.loads(Path(copy).read_text())
    return "".join(text for output in notebook["cells"][-1]["outputs"] for text in output["text"])


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_as_if_undisturbed_and_sends_nothing_again(
    tmp_path: Path, dice: random.Random
) -> None:
    wanted = expected()
    assert wanted.total() == 500
    with counted_models(0.04) as models:
        calm = Pipeline(tmp_path / "calm", models)
        said, _ = calm.start().communicate(timeout=120)
        assert calm.arrived() == wanted, said
        undisturbed = result(said)
        kills, lost_in_all, number = 0, 0, 0
        while kills < KILLS:
            number += 1
            pipeline = Pipeline(tmp_path / f"killed-{number}", models)
            killed = kill_and_resume(pipeline, min(MOST_KILLS_OF_ONE, KILLS - kills), dice, undisturbed)
            kills += killed
            lost_in_all += check_calls(pipeline, wanted, killed)
        print(f"{kills} kills in {number} pipelines: {lost_in_all} calls in flight were sent again, no other")


def kill_and_resume(pipeline: Pipeline, most: int, dice: random.Random, undisturbed: str) -> int:
    """Kills it up to so many times, and lets it end; how often it was killed."""
    kills, runner = 0, pipeline.start()
    try:
        while kills < most and pipeline.killed_somewhere(runner, dice):
            kills += 1
            flags = ["--resume", "last"] if has_begun(pipeline.folder) else []
            runner = pipeline.start(*flags)
        if runner.stdout is not None and not runner.stdout.closed:
            said, _ = runner.communicate(timeout=120)
            assert runner.returncode == 0, said
            assert result(said) == undisturbed
            if kills:
                told = Ledger(pipeline.folder).sql("select max(pipeline_id) as newest from pipelines")["newest"].iloc[0]
                again = Ledger(pipeline.folder).asked_again(told)
                assert all(sentence in said for sentence in again.sentences())
    finally:
        runner.kill()
    return kills


def has_begun(folder: Path) -> bool:
    return bool(len(Ledger(folder).sql("select 1 from pipelines")))


def check_calls(pipeline: Pipeline, wanted: Counter[str], kills: int) -> int:
    """Each question was answered on the wire as often as it was asked, and sent more often only where that was lost."""
    calls = Ledger(pipeline.folder).sql(
        """select cache_key, prompt, recovered, count(*) as n from calls join texts using (call_id)
           where cache = 'none' and (status = 'ok' or recovered) group by all"""
    )
    recovered = calls["recovered"].fillna(False).astype(bool)
    names = dict(zip(calls["cache_key"][~recovered], calls["prompt"][~recovered], strict=True))
    paid, lost = Counter[str](), Counter[str]()
    for key, is_lost, n in zip(calls["cache_key"], recovered, calls["n"], strict=True):
        (lost if is_lost else paid)[names[key]] += int(n)
    arrived = pipeline.arrived()
    assert paid == wanted
    assert not arrived - wanted - lost
    assert max(lost.values(), default=0) <= kills
    # A call that has its money and waits for its turn is counted as well: nobody can tell it from one that was sent.
    assert lost.total() <= kills * MOST_HELD
    assert arrived.total() - wanted.total() <= kills * CONCURRENCY
    texts = Ledger(pipeline.folder).sql(
        """select count(*) as n from calls as c join texts as t using (call_id)
               join texts as o on c.again_of = o.call_id
           where c.cache <> 'none' and t.reply <> o.reply"""
    )
    assert texts["n"].iloc[0] == 0
    sent = Ledger(pipeline.folder).sql("select count(*) as n from calls where again_of is not null and cache = 'none'")
    assert arrived.total() - wanted.total() <= lost.total()
    assert sent["n"].iloc[0] <= lost.total()
    return lost.total()


@pytest.mark.slow
def test_a_kernel_ends_with_its_runner_even_where_it_hears_nothing(tmp_path: Path) -> None:
    """It computes in one call of C, and holds the lock of the interpreter all the while."""
    with counted_models(0.0) as models:
        pipeline = Pipeline(tmp_path / "busy", models)
        notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
        busy = "open('busy', 'w').close()\nsum(range(10**12))"
        notebook.cells = [nbformat.v4.new_code_cell(busy)]  # type: ignore[no-untyped-call]
        nbformat.write(notebook, pipeline.folder / "killed.ipynb")  # type: ignore[no-untyped-call]
        runner, ends_s = pipeline.start(), time.monotonic() + 60
        while not (pipeline.folder / "busy").exists():
            assert time.monotonic() < ends_s
            time.sleep(0.02)
        pipeline.find_kernel(runner)
        kernel = pipeline.kernel
        assert kernel is not None
        runner.kill()
        runner.communicate()
        killed_s = time.monotonic()
        while is_alive(kernel):
            assert time.monotonic() < killed_s + (1 if sys.platform == "linux" else 30)
            time.sleep(0.01)
