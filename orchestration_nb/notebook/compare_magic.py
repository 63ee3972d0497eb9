"""``%orchestrate compare``: strategies on the same items, shown while they run, and taken along as one file."""

from __future__ import annotations

import inspect
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from orchestration_nb.calls import Strategy
from orchestration_nb.comparing.compare import start_comparison
from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.errors import UsageError
from orchestration_nb.flows import Flow
from orchestration_nb.notebook.arguments import Flag, near_miss, read_flags, read_money, read_whole, words_of
from orchestration_nb.notebook.asking import is_headless
from orchestration_nb.notebook.compare_page import write_page
from orchestration_nb.notebook.compare_screen import follow_comparison, watch_comparison
from orchestration_nb.notebook.session import Session

COMPARE_USAGE: Final = (
    "%orchestrate compare FLOW --over DF --strategies S ... --score STEP=SCORER:COLUMN [--reference S] "
    "[--slices COLUMN] [--models M ...] [--margin N] [--budget USD] [--sample N] [--seed N] [--concurrency N] "
    "[--fresh] [--background]; afterwards: compare, compare export [PATH]"
)
_LISTS: Final = ("--strategies", "--models")
"""Flags that take all words up to the next flag."""


def _margin(flag: str, text: str) -> float:
    try:
        margin = float(text)
    except ValueError:
        margin = math.nan
    if not 0 <= margin < math.inf:
        raise UsageError(f"{flag} needs a number from 0, not {text!r}.", hint=f"{flag} 0.02 is two points.")
    return margin


def _seed(flag: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{flag} needs a whole number from 0, not {text!r}.", hint=f"{flag} 7")
    return int(text)


COMPARE_FLAGS: Final = (
    Flag(name="--over", value="DF", about="the frame, one item a row"),
    Flag(name="--strategies", value="S ...", about="what is compared: strategies, or models", repeats=True),
    Flag(name="--score", value="STEP=SCORER:COLUMN", about="what says how good the value of a step is"),
    Flag(name="--reference", value="S", about="what the others are held against; else the best single model"),
    Flag(name="--slices", value="COLUMN", about="the column whose values can be shown apart"),
    Flag(name="--models", value="M ...", about="single models to show beside the strategies", repeats=True),
    Flag(name="--margin", value="N", about="not worse by more than this is non-inferior (0.02)", read=_margin),
    Flag(name="--budget", value="USD", about="the most that all of it may spend", read=read_money),
    Flag(name="--sample", value="N", about="only N items, chosen by the seed", read=read_whole),
    Flag(name="--seed", value="N", about="of the sample and of random choices", read=_seed),
    Flag(name="--concurrency", value="N", about="the most calls in flight", read=read_whole),
    Flag(name="--fresh", about="pay again for what the cache holds"),
    Flag(name="--background", about="go on while the notebook is used"),
)


def compare_strategies(session: Session, rest: str) -> Comparison | None:
    """Starts a comparison and shows it; ``export`` writes the latest as one HTML file; nothing shows the latest again.

    Returns:
        The latest comparison where it is asked for; a new one is shown already, and stands in ``session.comparison``.

    Raises:
        OrchestrationError: If it cannot be run, or there is none yet.
    """
    words = words_of(rest)
    if not words:
        return _latest(session)
    if words[0] == "export" and "--over" not in words:
        _export(session, words[1:])
        return None
    names, values = read_flags(spread_out(words), COMPARE_FLAGS, COMPARE_USAGE)
    flow = flow_named(session, names)
    comparison = start_comparison(flow, over=session.frame(needed(values, "over")), **how_of(session, values))
    session.comparison = comparison
    if values.get("background") and not is_headless():
        follow_comparison(session.shell, comparison)
    else:
        watch_comparison(session.shell, comparison)
    return None


def _latest(session: Session) -> Comparison:
    if session.comparison is None:
        raise UsageError("Nothing was compared in this notebook yet.", hint=COMPARE_USAGE)
    return session.comparison


def _export(session: Session, words: Sequence[str]) -> None:
    comparison = _latest(session)
    if len(words) > 1:
        raise UsageError("`compare export` takes one path.", hint="%orchestrate compare export triage.html")
    path = Path(words[0]) if words else Path(f"{comparison.setup.flow}-compared.html")
    size = write_page(comparison, path)
    print(f"{path}: {size / 1e6:.1f} MB, opens with no network.")  # noqa: T201


def spread_out(words: Sequence[str]) -> str:
    """The line with ``--strategies a b`` as ``--strategies=a --strategies=b``."""
    spread: list[str] = []
    gathering = ""
    for word in words:
        flag, equals, _ = word.partition("=")
        if word.startswith("--"):
            gathering = flag if flag in _LISTS else ""
            if not gathering or equals:
                spread.append(word)
        else:
            spread.append(f"{gathering}={word}" if gathering else word)
    return shlex.join(spread)


def flow_named(session: Session, names: Sequence[str]) -> Flow:
    """The one flow that stands on the line.

    Raises:
        UsageError: If there is none of that name, or not one name.
    """
    if len(names) != 1:
        raise UsageError("A comparison needs one flow.", hint=COMPARE_USAGE)
    flow = session.namespace.get(names[0])
    if not isinstance(flow, Flow):
        flows = [name for name, value in session.namespace.items() if isinstance(value, Flow)]
        hint = near_miss(names[0], flows, "Run its %%orchestrate cell first; --define runs nothing.")
        raise UsageError(f"There is no flow {names[0]!r}.", hint=hint)
    return flow


def needed(values: dict[str, Any], field: str) -> Any:
    """What a flag says that cannot be left out.

    Raises:
        UsageError: If it is not on the line.
    """
    if not values.get(field):
        raise UsageError(f"A comparison needs --{field}.", hint=COMPARE_USAGE)
    return values[field]


def how_of(session: Session, values: dict[str, Any]) -> Any:
    """What :func:`start_comparison` takes, of what stands on the line."""
    strategies = [_strategy(session, name) for name in needed(values, "strategies")]
    how: dict[str, Any] = {"strategies": strategies, "scorer": needed(values, "score")}
    plain = ("reference", "slices", "margin", "budget", "sample", "seed", "concurrency", "fresh")
    how |= {name: values[name] for name in plain if name in values}
    if "models" in values:
        how["models"] = list(values["models"])
    return how


def _strategy(session: Session, name: str) -> str | Strategy:
    """A function of the notebook under this name, else the name itself, for the workspace to find."""
    held = session.namespace.get(name)
    return held if inspect.iscoroutinefunction(held) else name
