"""Several notebooks at once, each in a runner of its own; those of a graph when what they are after is done.

A runner is a process, ``orchestrate run``: one that fails or is killed takes none of the others with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.errors import UsageError
from orchestration_nb.ids import new_id
from orchestration_nb.pipeline_events import NotebookStatus
from orchestration_nb.pipelines.graphs import Node, nodes_of
from orchestration_nb.pipelines.holding import dying_with
from orchestration_nb.pipelines.limits import signals
from orchestration_nb.pipelines.options import RunOptions
from orchestration_nb.pipelines.outcome import EXIT_CODES, Spent
from orchestration_nb.pipelines.values import Typed, as_python

DAG: Final = "ORCHESTRATE_DAG"
"""Variable of the environment that tells a runner of which run of which graph it is a part."""
_WORSE: Final = (0, 4, 3, 2, 1, 130)
"""Exit codes, the worst last."""
_CODES: Final = {code: status for status, code in EXIT_CODES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class OneEnded:
    """One of several notebooks that ended, or was not begun."""

    name: str
    """Its file's name, or that of its node."""
    status: NotebookStatus | Literal["refused", "skipped"]
    exit_code: int
    seconds: float = 0.0
    spent: Spent = field(default_factory=Spent)
    pipeline_id: str | None = None
    copy: Path | None = None
    because: str = ""
    """Why it is not done, in a line."""


class ManyWatcher(Protocol):
    """Hears of each notebook."""

    def starts(self, name: str) -> None:
        """Its runner begins."""

    def ended(self, one: OneEnded) -> None:
        """It has ended, or is skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyRun:
    """Several notebooks that were run."""

    ended: tuple[OneEnded, ...]
    """In the order in which they ended."""
    dag: str | None = None
    """The run of the graph, as the ledger names it: ``nightly:0198...``."""

    @property
    def exit_code(self) -> int:
        """The worst of them: cancelled, failed, wrong usage, over budget, waiting, done."""
        return max((one.exit_code for one in self.ended), key=_WORSE.index, default=0)


def run_many(
    notebooks: Sequence[Path],
    *,
    parallel: int,
    options: RunOptions | None = None,
    watcher: ManyWatcher | None = None,
    clock: Clock | None = None,
) -> ManyRun:
    """Runs several notebooks, so many at once; one that fails stops none of the others.

    Interrupt (SIGINT) and SIGTERM cancel those that run, which book what is under way; no other begins.

    Args:
        notebooks: The files.
        parallel: How many at once.
        options: What each of them is given.
        watcher: Hears of each.
        clock: Tells how long each took.

    Raises:
        UsageError: If the options make no sense for several, a file is missing or is named twice.
    """
    nodes = [Node(name=name, path=path) for name, path in _named(notebooks).items()]
    return _run(nodes, parallel, options or RunOptions(), watcher, clock)


def run_dag(
    name: str,
    *,
    folder: Path,
    parallel: int,
    options: RunOptions | None = None,
    watcher: ManyWatcher | None = None,
    clock: Clock | None = None,
) -> ManyRun:
    """Runs the notebooks of a graph, each when those that it is after are done.

    A node that is not done skips those behind it; the others go on. Artifacts that a node saves are the first that
    the nodes of the same run load.

    Args:
        name: Of the graph in the settings.
        folder: The workspace.
        parallel: How many at once.
        options: What each of them is given; a node's own parameters go before.
        watcher: Hears of each.
        clock: Tells how long each took.

    Raises:
        UsageError: If there is no such graph, it is none, or the options make no sense for it.
        ConfigError: If the settings are wrong.
    """
    options = replace(options or RunOptions(), dag=f"{name}:{new_id()}")
    return _run(nodes_of(folder, name), parallel, options, watcher, clock)


def _named(notebooks: Sequence[Path]) -> dict[str, Path]:
    """Names that tell them apart: the file's, with as much of its folders as that takes."""
    resolved = [path.resolve() for path in notebooks]
    missing = next((path for path in resolved if not path.is_file()), None)
    if missing is not None:
        raise UsageError(f"There is no notebook {str(missing)!r}.")
    twice = next((path for path in resolved if resolved.count(path) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} is named twice.", hint="Each notebook is run once; leave one of them away.")
    names = [path.name for path in resolved]
    return {path.name if names.count(path.name) == 1 else str(path): path for path in resolved}


def _run(
    nodes: Sequence[Node], parallel: int, options: RunOptions, watcher: ManyWatcher | None, clock: Clock | None
) -> ManyRun:
    if isinstance(parallel, bool) or parallel < 1:
        raise UsageError(f"{parallel!r} notebooks at once are not possible.", hint="Write a whole number from 1.")
    if options.resumes is not None:
        raise UsageError("A pipeline run to go on with goes together with one notebook alone.")
    with ExitStack() as files:
        many = _Many(
            nodes=nodes,
            words={
                node.name: _words(replace(options, parameters={**options.parameters, **node.parameters}), files)
                for node in nodes
            },
            environ={**os.environ, **({DAG: options.dag} if options.dag else {})},
            watcher=watcher or _Unwatched(),
            clock=clock or SystemClock(),
            turns=asyncio.Semaphore(parallel),
        )
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(many.all())
        else:  # a notebook's own loop: it goes on with its business meanwhile
            with ThreadPoolExecutor(1, "notebooks") as thread:
                thread.submit(lambda: asyncio.run(many.all())).result()
    return ManyRun(ended=tuple(many.ended), dag=options.dag)


class _Unwatched:
    def starts(self, name: str) -> None:
        """Nothing."""

    def ended(self, one: OneEnded) -> None:
        """Nothing."""


def _words(options: RunOptions, files: ExitStack) -> list[str]:
    """The options as flags of ``orchestrate run``; values that no flag can say go into a file that only we can read."""
    typed = {name: value.text for name, value in options.parameters.items() if isinstance(value, Typed)}
    words = [word for name, text in typed.items() for word in ("-p", f"{name}={text}")]
    values = {name: value for name, value in options.parameters.items() if name not in typed}
    for name, value in values.items():
        as_python(value, name=name)  # refuses what no cell can hold
    if values:
        folder = files.enter_context(tempfile.TemporaryDirectory(prefix="orchestrate-"))  # 0700
        path = Path(folder) / "parameters.json"
        path.write_text(json.dumps(values, default=dict), encoding="utf-8")
        words += ["--params", str(path)]
    amounts = {"--budget": options.budget_usd, "--timeout": options.timeout_s, "--cell-timeout": options.cell_timeout_s}
    words += [word for flag, amount in amounts.items() if amount is not None for word in (flag, repr(float(amount)))]
    for flag, pairs in (("--tag", options.tags), ("--secret", options.secrets)):
        words += [word for name, value in pairs.items() for word in (flag, f"{name}={value}")]
    words += ["--retries", str(options.retries)] if options.retries else []
    words += ["--out", str(options.out)] if options.out is not None else []
    return words + (["--models", options.models] if options.models is not None else [])


@dataclass(slots=True, kw_only=True, eq=False)
class _Many:
    """Notebooks on their way, each in a process of its own."""

    nodes: Sequence[Node]
    words: Mapping[str, Sequence[str]]
    environ: Mapping[str, str]
    watcher: ManyWatcher
    clock: Clock
    turns: asyncio.Semaphore
    ended: list[OneEnded] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def all(self) -> None:
        """Begins each when it may, and waits for all."""
        with signals(self.stop):
            tasks: dict[str, asyncio.Task[OneEnded]] = {}
            for node in self.nodes:  # each stands after those that it is after
                before = [tasks[name] for name in node.after]
                tasks[node.name] = asyncio.ensure_future(self._one(node, before))
            await asyncio.gather(*tasks.values())

    async def _one(self, node: Node, before: Collection[asyncio.Task[OneEnded]]) -> OneEnded:
        failed = [one for one in await asyncio.gather(*before) if one.exit_code]
        if failed:
            code = max((one.exit_code for one in failed), key=_WORSE.index)
            names = " and ".join(repr(one.name) for one in failed)
            one = OneEnded(name=node.name, status="skipped", exit_code=code, because=f"{names} is not done")
        else:
            async with self.turns:
                one = self._cancelled(node) if self.stop.is_set() else await self._run(node)
        self.ended.append(one)
        self.watcher.ended(one)
        return one

    @staticmethod
    def _cancelled(node: Node) -> OneEnded:
        return OneEnded(name=node.name, status="cancelled", exit_code=130, because="it had not begun")

    async def _run(self, node: Node) -> OneEnded:
        begun_s = self.clock.monotonic()
        self.watcher.starts(node.name)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orchestration_nb.cli", "run", str(node.path), "--json", *self.words[node.name]),
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a key pressed in the terminal is passed on once, by us
            **dying_with(signal.SIGTERM),
        )
        talk = asyncio.ensure_future(process.communicate())
        asked = asyncio.ensure_future(self.stop.wait())
        await asyncio.wait({talk, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not talk.done():
            process.send_signal(signal.SIGTERM)
        asked.cancel()
        out, err = await talk
        code = process.returncode or 0
        if code == -signal.SIGTERM and self.stop.is_set():
            return self._cancelled(node)  # before its runner could hear of signals
        return _told(node, code, out, err, self.clock.monotonic() - begun_s)


def _told(node: Node, code: int, out: bytes, err: bytes, seconds: float) -> OneEnded:
    """What a runner said of its notebook."""
    try:
        said: dict[str, Any] = json.loads(out)
    except ValueError:  # refused before it began, or killed
        lines = err.decode(errors="replace").strip().splitlines()
        because = lines[0].removeprefix("Error: ") if lines else f"its runner was ended by signal {-code}"
        status: Any = "refused" if code == 2 else _CODES.get(code, "failed")
        return OneEnded(
            name=node.name, status=status, exit_code=code if code in _WORSE else 1, seconds=seconds, because=because
        )
    return OneEnded(
        name=node.name,
        status=said["status"],
        exit_code=said["exit_code"],
        seconds=seconds,
        spent=Spent(**{name: said[name] for name in ("calls", "cost_usd", "billed_usd", "simulated")}),
        pipeline_id=said["pipeline_id"],
        copy=Path(said["copy"]),
        because=(said["error"] or "").strip().rpartition("\n")[2],
    )
