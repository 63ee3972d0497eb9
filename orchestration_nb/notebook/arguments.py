"""What stands on the line of a magic, as a value; a mistake is one line and a hint."""

from __future__ import annotations

import difflib
import keyword
import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from orchestration_nb.config import Reached
from orchestration_nb.errors import UsageError

ON_ERROR = ("keep", "stop")
ON_BUDGET = get_args(Reached)
_TAG = re.compile(r"[A-Za-z_][\w.-]*")
USAGE = "%%orchestrate NAME [--over DF] [--strategy S] [--model M] [--budget USD] ...; `%orchestrate help` lists all."


@dataclass(frozen=True, slots=True, kw_only=True)
class CellArguments:
    """The line of one ``%%orchestrate`` cell."""

    name: str
    """The flow's name, and the variable that holds it."""
    over: str | None = None
    """The frame: a variable, or an expression such as ``tickets.head(20)``."""
    strategy: str | None = None
    model: str | None = None
    budget: float | None = None
    """US dollars."""
    sample: int | None = None
    concurrency: int | None = None
    into: str | None = None
    """The variable for the results."""
    on_error: str = "keep"
    on_budget: str | None = None
    """What happens when a budget of the run is reached; ``None``: the setting ``reached``."""
    degrade: bool = False
    batch: bool = False
    tag: tuple[tuple[str, str], ...] = ()
    """Names and values that are kept with the run."""
    score: tuple[str, ...] = ()
    """What scores the items, each as ``STEP=SCORER:COLUMN``."""
    resume: str | None = None
    """The run of the ledger that this one goes on with: its id, or the start or the end of it."""
    fresh: bool = False
    define: bool = False
    plan: bool = False
    background: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One ``--flag`` of the cell magic."""

    name: str
    about: str
    value: str = ""
    """What its value is called in the help; empty for a flag that takes none."""
    read: Callable[[str, str], Any] = lambda _flag, text: text
    words: tuple[str, ...] = ()
    """What its value may be, where that is a closed set."""
    repeats: bool = False
    """Whether it may stand more than once: its values are then gathered."""

    @property
    def field(self) -> str:
        """The field of :class:`CellArguments` that it sets."""
        return self.name.removeprefix("--").replace("-", "_")


def _variable(flag: str, text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise UsageError(f"{flag} needs the name of a variable, not {text!r}.", hint="Letters, digits and _ only.")
    return text


def read_money(flag: str, text: str) -> float:
    """An amount of US dollars.

    Raises:
        UsageError: If it is none; ``flag`` says what it was for.
    """
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not math.isfinite(amount) or amount < 0:
        raise UsageError(f"{flag} needs a number of US dollars, 0 or more, not {text!r}.", hint=f"{flag} 2.50")
    return amount


def read_whole(flag: str, text: str) -> int:
    """A flag's value as a whole number, 1 or more.

    Raises:
        UsageError: If it is none.
    """
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise UsageError(f"{flag} needs a whole number, 1 or more, not {text!r}.", hint=f"{flag} 20")
    return number


def _keep_or_stop(flag: str, text: str) -> str:
    if text not in ON_ERROR:
        raise UsageError(
            f"{flag} is `keep` or `stop`, not {text!r}.",
            hint="`keep` lets the other items go on; `stop` ends the run at the first failed item.",
        )
    return text


def _reached(flag: str, text: str) -> str:
    if text not in ON_BUDGET:
        raise UsageError(
            f"{flag} is `reject`, `pause` or `alert`, not {text!r}.",
            hint="`reject` ends the run at its budget; `pause` asks you for more; `alert` says so and goes on.",
        )
    return text


def _tag(flag: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not _TAG.fullmatch(name) or not value:
        raise UsageError(f"{flag} needs a name and a value, not {text!r}.", hint=f"{flag} team=support")
    return name, value


def _run(flag: str, text: str) -> str:
    if not text.isalnum() or not text.isascii():
        raise UsageError(f"{flag} needs the id of a run, not {text!r}.", hint="%orchestrate runs lists them.")
    return text


FLAGS = (
    Flag(name="--over", value="DF", about="the frame, one item a row; without it the flow runs once"),
    Flag(name="--strategy", value="S", about="decides which models are asked by steps without `model=`"),
    Flag(name="--model", value="M", about="the model or alias of steps without `model=`"),
    Flag(name="--budget", value="USD", about="the most that the run may spend", read=read_money),
    Flag(name="--sample", value="N", about="only N items, chosen by a seed that is shown", read=read_whole),
    Flag(name="--concurrency", value="N", about="the most calls in flight", read=read_whole),
    Flag(name="--into", value="VAR", about="the variable that gets the results", read=_variable),
    Flag(
        name="--on-error",
        value="keep|stop",
        about="what a failed item does to the others",
        read=_keep_or_stop,
        words=ON_ERROR,
    ),
    Flag(
        name="--on-budget",
        value="reject|pause|alert",
        about="at the budget's end the run ends, asks you for more, or says so and goes on",
        read=_reached,
        words=ON_BUDGET,
    ),
    Flag(name="--degrade", about="a step without an answer takes its default, marked as degraded"),
    Flag(
        name="--batch",
        about="send the calls through the provider's batch API: half the price, hours instead of seconds",
    ),
    Flag(
        name="--tag",
        value="KEY=VALUE",
        about="kept with the run, and may have a budget of its own; may stand more than once",
        read=_tag,
        repeats=True,
    ),
    Flag(
        name="--score",
        value="STEP=SCORER:COLUMN",
        about="score each item when it ends, such as answer=exact:gold or answer=my_function; may stand more than once",
        repeats=True,
    ),
    Flag(
        name="--resume",
        value="RUN",
        about="go on with a run that was paused or stopped: under its budget, paying nothing twice",
        read=_run,
    ),
    Flag(name="--fresh", about="ask again instead of taking cached replies"),
    Flag(name="--define", about="define the flow without running it"),
    Flag(name="--plan", about="show the graph, and what the run will ask, cost and take; ask nothing"),
    Flag(name="--background", about="return at once; the display has Cancel and Pause"),
)
"""Every flag of the cell magic, in the order of the help."""

_by_name = {flag.name: flag for flag in FLAGS}
_exclusive = ("define", "plan", "background")


def words_of(line: str) -> list[str]:
    """The words of a line, quotes taken off; what follows a ``#`` that begins a word is a comment.

    Raises:
        UsageError: If a quotation is not closed.
    """
    try:
        return shlex.split(_before_comment(line))
    except ValueError:
        raise UsageError("A quotation mark on the line of the magic is not closed.", hint=USAGE) from None


def _before_comment(line: str) -> str:
    """The line up to a comment: shlex would begin one within a word, as in ``ticket=A#12``."""
    quote = ""
    for place, sign in enumerate(line):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign == "#" and (place == 0 or line[place - 1].isspace()):
            return line[:place]
    return line


def near_miss(word: str, known: Sequence[str], otherwise: str = "") -> str:
    """A hint that names the nearest of ``known``, or ``otherwise``."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    begun = [name for name in known if name.lstrip("-").startswith(word.lstrip("-"))]
    best = near or begun
    return f"Did you mean {best[0]}?" if best else otherwise


def read_cell_line(line: str) -> CellArguments:
    """Reads the line of a ``%%orchestrate`` cell.

    Raises:
        UsageError: If the name is missing, or a flag or its value is wrong.
    """
    names, values = read_flags(line, FLAGS, USAGE)
    return _checked(replace(CellArguments(name=_name(names)), **values))


def read_flags(line: str, flags: Sequence[Flag], usage: str) -> tuple[list[str], dict[str, Any]]:
    """The words of a line that are no flags, and the values of those that are, by field.

    Raises:
        UsageError: If a flag is unknown or stands twice, or its value is missing or wrong.
    """
    values: dict[str, Any] = {}
    names: list[str] = []
    known = {flag.name: flag for flag in flags}
    words = words_of(line)
    while words:
        word = words.pop(0)
        if word.startswith("-"):
            flag, value = _flag(word, words, known, usage)
            if flag.repeats:
                value = (*values.get(flag.field, ()), value)
            elif flag.field in values:
                raise UsageError(f"{flag.name} stands twice on the line.", hint="Leave one of them out.")
            values[flag.field] = value
        else:
            names.append(word)
    return names, values


def _flag(word: str, rest: list[str], known: Mapping[str, Flag], usage: str) -> tuple[Flag, Any]:
    written, equals, value = word.partition("=")
    flag = known.get(written)
    if flag is None:
        raise UsageError(f"There is no flag {written!r}.", hint=near_miss(written, list(known), usage))
    if not flag.value:
        if equals:
            raise UsageError(f"{flag.name} takes no value.", hint=f"Write {flag.name} alone.")
        return flag, True
    if not equals:
        if not rest or rest[0] in known:
            raise UsageError(f"{flag.name} needs a value.", hint=f"{flag.name} {flag.value}: {flag.about}.")
        value = rest.pop(0)
    return flag, flag.read(flag.name, value)


def _name(names: list[str]) -> str:
    if not names:
        raise UsageError("The flow needs a name.", hint=USAGE)
    name, *more = names
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(
            f"{name!r} cannot be the name of a flow.", hint="The name becomes a variable: letters, digits and _ only."
        )
    if more:
        hint = near_miss(f"--{more[0]}", list(_by_name), f"{USAGE} An expression with spaces goes in quotes.")
        raise UsageError(f"{more[0]!r} stands where a flag is expected.", hint=hint)
    return name


def _checked(cell: CellArguments) -> CellArguments:
    chosen = [f"--{field}" for field in _exclusive if getattr(cell, field)]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} exclude each other.", hint="Leave one of them out.")
    if len(dict(cell.tag)) < len(cell.tag):
        raise UsageError("A tag has two values on the line.", hint="Leave one of them out.")
    for flag, other in (("--over", cell.over), ("--into", cell.into)):
        if other == cell.name:
            raise UsageError(
                f"The flow and {flag} are both called {other!r}, and one would replace the other.",
                hint=f"Call the flow something else: %%orchestrate {cell.name}_flow ...",
            )
    return cell
