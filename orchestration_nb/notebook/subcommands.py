"""``%orchestrate SUBCOMMAND``: small questions to the workspace and to the runs of this notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from IPython.display import display

from orchestration_nb.errors import UsageError
from orchestration_nb.ledger import GROUPINGS, METRIC_GROUPINGS
from orchestration_nb.notebook.arguments import FLAGS, near_miss, words_of
from orchestration_nb.notebook.compare_magic import COMPARE_FLAGS, COMPARE_USAGE, compare_strategies
from orchestration_nb.notebook.diff_magic import DIFF_USAGE, show_diff
from orchestration_nb.notebook.formatters import run_bundle
from orchestration_nb.notebook.learn_magic import LEARN_FLAGS, LEARN_USAGE, learn
from orchestration_nb.notebook.ledger_dashboard import DASHBOARD_USAGE, dashboard
from orchestration_nb.notebook.reasons import WHY_USAGE, show_why
from orchestration_nb.notebook.rollout_magic import ROLLOUT_FLAGS, ROLLOUT_USAGE, WORDS, roll_out
from orchestration_nb.notebook.session import Session
from orchestration_nb.notebook.simulation import USAGE, simulate
from orchestration_nb.notebook.spend import REPRICE_USAGE, SPEND_USAGE, reprice, show_spend
from orchestration_nb.notebook.steering import BATCHES_USAGE, batches, cancel, pause, resume, show_status
from orchestration_nb.notebook.what_if_magic import WHAT_IF_FLAGS, WHAT_IF_USAGE, what_if_line
from orchestration_nb.pages import markup
from orchestration_nb.pages.text import table_text
from orchestration_nb.workspace import Workspace

_PIPELINES = "--pipelines"
PARTS = ("results", "errors", "calls", "steps")
"""What of a run ``last`` can show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subcommand:
    """One subcommand of the line magic."""

    do: Callable[[Session, str], Any]
    """Takes the session and the rest of the line; what it returns is the value of the magic."""
    usage: str
    about: str
    words: tuple[str, ...] = ()
    """What may follow, where that is a closed set."""


def dispatch(session: Session, line: str) -> Any:
    """Does what the line of a ``%orchestrate`` magic says.

    Raises:
        OrchestrationError: If there is no such subcommand, or it cannot do it.
    """
    name, _, rest = line.strip().partition(" ")
    found = SUBCOMMANDS.get(name or "help")
    if found is None:
        raise UsageError(
            f"There is no subcommand {name!r}.",
            hint=near_miss(name, list(SUBCOMMANDS), f"There are: {', '.join(SUBCOMMANDS)}."),
        )
    return found.do(session, rest.strip())


def _show(header: tuple[str, ...], rows: Sequence[Sequence[str]]) -> None:
    bundle = {"text/html": markup.page(markup.table(header, rows)), "text/plain": table_text(header, rows, width=80)}
    display(bundle, raw=True)  # type: ignore[no-untyped-call]


def _help(_session: Session, _rest: str) -> None:
    rows = [(f"%orchestrate {sub.usage}", sub.about) for sub in SUBCOMMANDS.values()]
    rows += [("%%orchestrate NAME", "the cell below is a flow; run it")]
    rows += [(f"{flag.name} {flag.value}".rstrip(), flag.about) for flag in FLAGS]
    _show(("write", "to"), rows)


def _models(_session: Session, _rest: str) -> None:
    workspace = Workspace.current()
    workspace.discover()
    rows = [
        (
            model.name,
            ", ".join(model.aliases),
            "yes" if model.usable else "no",
            model.why,
            _price(model.price),
            "simulated" if model.simulated else "",
        )
        for model in workspace.models()
    ]
    _show(("model", "alias", "usable", "where, or why not", "$ per million tokens, in / out", ""), rows)


def _strategies(_session: Session, _rest: str) -> None:
    _show(("write --strategy", "what it does"), Workspace.current().strategies.listing())


def _price(price: Any) -> str:
    if price is None:
        return "unknown"
    return f"{price.input_usd_per_mtok:g} / {price.output_usd_per_mtok:g}"


def _use(_session: Session, rest: str) -> None:
    words = words_of(rest)
    alias, equals, model = words[0].partition("=") if len(words) == 1 else ("", "", "")
    if not (alias and equals and model):
        raise UsageError("`%orchestrate use` needs ALIAS=MODEL.", hint="%orchestrate use fast=openai/gpt-4.1-mini")
    chosen = Workspace.current().use(alias, model)
    kind = "simulated" if chosen.simulated else "real: calls are billed by its provider"
    print(f"{alias} now stands for {chosen.name} ({kind}), until this process ends.")  # noqa: T201


def _runs(_session: Session, rest: str) -> Any:
    words = words_of(rest)
    ledger = Workspace.current().ledger
    if _PIPELINES not in words:
        return ledger.runs(_number(rest, otherwise=20))
    import pandas as pd  # noqa: PLC0415 - slow to load

    number = _number(" ".join(word for word in words if word != _PIPELINES), otherwise=20)
    return pd.DataFrame([dict(row) for row in ledger.pipelines(number)])


def _number(text: str, *, otherwise: int) -> int:
    if not text:
        return otherwise
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"{text!r} is no number of runs.", hint="%orchestrate runs 50")
    return int(text)


def _show_run(session: Session, rest: str) -> Any:
    if not rest:
        return _last(session, "")
    return Workspace.current().ledger.run(rest)


def _sql(_session: Session, rest: str) -> Any:
    quoted = len(rest) > 1 and rest[0] == rest[-1] and rest[0] in "\"'" and rest.count(rest[0]) == 2
    text = rest[1:-1] if quoted else rest
    if not text.strip():
        raise UsageError(
            "`%orchestrate sql` needs a query.",
            hint="%orchestrate sql SELECT model, sum(cost_usd) FROM calls GROUP BY 1",
        )
    return Workspace.current().ledger.sql(text)


def _last(session: Session, rest: str) -> Any:
    if session.last is None:
        raise UsageError(
            "No run was started in this notebook yet.", hint="%orchestrate runs lists those of the ledger."
        )
    if not rest:
        display(run_bundle(session.last), raw=True)  # type: ignore[no-untyped-call]
        return None
    if rest not in PARTS:
        raise UsageError(f"A run has no {rest!r}.", hint=near_miss(rest, PARTS, f"It has: {', '.join(PARTS)}."))
    return getattr(session.last, rest)


SUBCOMMANDS: Mapping[str, Subcommand] = {
    "help": Subcommand(do=_help, usage="help", about="show this"),
    "models": Subcommand(
        do=_models, usage="models", about="list the models that can be asked now, and why the others cannot"
    ),
    "strategies": Subcommand(
        do=_strategies, usage="strategies", about="list the strategies that can be named, and what each does"
    ),
    "use": Subcommand(
        do=_use, usage="use ALIAS=MODEL", about="point an alias (fast, medium, strong, your own) at a model"
    ),
    "sim": Subcommand(do=simulate, usage=USAGE, about="break the simulated models on purpose, or mend them"),
    "runs": Subcommand(
        do=_runs,
        usage="runs [N] [--pipelines]",
        about="the last runs of the workspace, or of whole notebooks that ran headlessly, as a DataFrame",
        words=(_PIPELINES,),
    ),
    "diff": Subcommand(
        do=show_diff, usage=DIFF_USAGE, about="two headless runs of notebooks side by side", words=("last",)
    ),
    "show": Subcommand(do=_show_run, usage="show RUN", about="one run of the ledger; the start of its id is enough"),
    "why": Subcommand(
        do=show_why, usage=WHY_USAGE, about="why a request was answered as it was", words=("last", "last:")
    ),
    "sql": Subcommand(do=_sql, usage="sql SELECT ...", about="ask the ledger; the answer is a DataFrame"),
    "last": Subcommand(
        do=_last, usage=f"last [{'|'.join(PARTS)}]", about="the run that was started last in this notebook", words=PARTS
    ),
    "status": Subcommand(
        do=show_status, usage="status", about="the runs under way, budgets, circuits, limits and batches"
    ),
    "batches": Subcommand(
        do=batches,
        usage=BATCHES_USAGE,
        about="the batches under way at their providers; one can be cancelled there",
        words=("cancel",),
    ),
    "pause": Subcommand(do=pause, usage="pause [RUN]", about="let the calls in flight end and start no more"),
    "resume": Subcommand(
        do=resume,
        usage="resume [RUN] [--budget USD]",
        about="go on after a pause, or with a new amount for the budget that the run waits for",
        words=("--budget",),
    ),
    "cancel": Subcommand(do=cancel, usage="cancel [RUN]", about="cancel a run under way; what is done is kept"),
    "compare": Subcommand(
        do=compare_strategies,
        usage=COMPARE_USAGE.removeprefix("%orchestrate "),
        about="run strategies on the same items, each question paid once, and see which is better",
        words=("export", *(flag.name for flag in COMPARE_FLAGS)),
    ),
    "what-if": Subcommand(
        do=what_if_line,
        usage=WHAT_IF_USAGE.removeprefix("%orchestrate "),
        about="strategies against what is recorded already, at no cost",
        words=tuple(flag.name for flag in WHAT_IF_FLAGS),
    ),
    "rollout": Subcommand(
        do=roll_out,
        usage=ROLLOUT_USAGE.removeprefix("%orchestrate "),
        about="try a candidate strategy on a share of the items; it is promoted or rolled back by itself",
        words=(*WORDS, "over", *(flag.name for flag in ROLLOUT_FLAGS)),
    ),
    "learn": Subcommand(
        do=learn,
        usage=LEARN_USAGE.removeprefix("%orchestrate "),
        about="learn from a comparison when a cheap model will do; afterwards --strategy NAME",
        words=("from", "last", *(flag.name for flag in LEARN_FLAGS)),
    ),
    "spend": Subcommand(
        do=show_spend,
        usage=SPEND_USAGE.removeprefix("%orchestrate "),
        about="where the money went, and how fast each budget burns",
        words=("by", *GROUPINGS, "tag:", "--days"),
    ),
    "dashboard": Subcommand(
        do=dashboard,
        usage=DASHBOARD_USAGE.removeprefix("%orchestrate "),
        about="spend, latency, errors and cache hits over time; runs, and requests attempt by attempt",
        words=("by", *METRIC_GROUPINGS, "tag:", "--days", "--flow", "--kind", "--html"),
    ),
    "reprice": Subcommand(
        do=reprice,
        usage=REPRICE_USAGE.removeprefix("%orchestrate "),
        about="reckon past calls anew when a price was wrong",
    ),
}
"""Every subcommand of the line magic, in the order of the help."""
