"""``%orchestrate rollout``: a candidate strategy is begun, looked at, promoted or rolled back, each in one line."""

from __future__ import annotations

import math
from typing import Any, Final

from IPython.display import display

from orchestration_nb.errors import UsageError
from orchestration_nb.flows import Flow
from orchestration_nb.notebook.arguments import Flag, near_miss, read_flags
from orchestration_nb.notebook.session import Session
from orchestration_nb.pages import markup
from orchestration_nb.pages.text import table_text
from orchestration_nb.rollouts import promote, roll_back, rollouts, start_rollout
from orchestration_nb.tuning.looks import Bounds
from orchestration_nb.tuning.promotion import OPEN, RolloutSettings
from orchestration_nb.tuning.standing import Standing

ROLLOUT_USAGE: Final = (
    "%orchestrate rollout [start CANDIDATE over INCUMBENT --flow FLOW --score STEP=SCORER:COLUMN [--share N] "
    "[--margin N] [--no-shadow] | promote ID | rollback ID]"
)
WORDS: Final = ("start", "promote", "rollback")
_HEADER: Final = ("rollout", "flow", "candidate over incumbent", "stage", "items", "quality", "cost", "why")


def _number(flag: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{flag} needs a number, not {text!r}.", hint=f"{flag} 0.1") from None


ROLLOUT_FLAGS: Final = (
    Flag(name="--flow", value="FLOW", about="the flow, defined in this notebook"),
    Flag(name="--score", value="STEP=SCORER:COLUMN", about="what says how good an item is, from 0 to 1"),
    Flag(name="--share", value="N", about="of the items, how many the candidate answers in the canary", read=_number),
    Flag(name="--margin", value="N", about="how much lower a cheaper candidate's quality may be", read=_number),
    Flag(name="--no-shadow", about="begin with the canary"),
)


def roll_out(session: Session, rest: str) -> None:
    """Does what the line says, and shows the rollouts.

    Raises:
        OrchestrationError: If the line cannot be read, or what it says cannot be done.
    """
    names, values = read_flags(rest, ROLLOUT_FLAGS, ROLLOUT_USAGE)
    verb = names[0] if names else ""
    if not verb:
        every = rollouts()
        if not every:
            raise UsageError("There is no rollout here yet.", hint=ROLLOUT_USAGE)
        _show(every)
    elif verb == "start":
        _show([_start(session, names[1:], values)])
    elif verb in WORDS and len(names) == 2:
        _show([(promote if verb == "promote" else roll_back)(names[1])])
    else:
        hint = near_miss(verb, WORDS, ROLLOUT_USAGE) if verb not in WORDS else ROLLOUT_USAGE
        raise UsageError(f"`%orchestrate rollout {' '.join(names)}` cannot be read.", hint=hint)


def _start(session: Session, names: list[str], values: dict[str, Any]) -> Standing:
    if len(names) != 3 or names[1] != "over" or not {"flow", "score"} <= values.keys():
        hint = f"{ROLLOUT_USAGE} A strategy with brackets stands in quotes."
        raise UsageError("A rollout needs a candidate, an incumbent, --flow and --score.", hint=hint)
    flow = session.namespace.get(values["flow"])
    if not isinstance(flow, Flow):
        raise UsageError(f"There is no flow {values['flow']!r} in this notebook.", hint="Run the cell that defines it.")
    chosen: dict[str, Any] = {
        name: values[option] for name, option in (("canary_share", "share"), ("margin", "margin")) if option in values
    }
    if values.get("no_shadow"):
        chosen |= {"shadow_least_items": 0, "shadow_most_items": 0}
    settings = RolloutSettings(**chosen)
    return start_rollout(flow, names[0], over=names[2], score=values["score"], settings=settings)


def _show(every: list[Standing]) -> None:
    rows = [_row(standing) for standing in reversed(every)]
    hints = [
        f"Run it: %%orchestrate {standing.flow} --over FRAME --strategy rollout({standing.flow})"
        for standing in every
        if standing.stage in OPEN and standing.look.candidate_items == 0
    ]
    text = "\n\n".join([table_text(_HEADER, rows, width=120), *hints])
    html = markup.page(markup.table(_HEADER, rows) + "".join(map(markup.dim, hints)))
    display({"text/html": html, "text/plain": text}, raw=True)  # type: ignore[no-untyped-call]


def _row(standing: Standing) -> tuple[str, ...]:
    look = standing.look
    share = f" ({standing.share:.0%})" if standing.stage == "canary" else ""
    paid = f"; the shadow cost ${standing.shadow_usd:,.4f}" if standing.shadow_usd else ""
    return (
        standing.id,
        standing.flow,
        f"{standing.candidate} over {standing.incumbent}",
        f"{standing.stage.replace('_', ' ')}{share}",
        f"{look.candidate_items:,} / {look.incumbent_items:,}",
        _bounds(look.quality, 100, "+.1f", "points") if look.candidate_items else "–",
        _bounds(look.cost_ratio, 1, ".2f", "times") if look.candidate_items else "–",
        f"{standing.reason}{paid}",
    )


def _bounds(bounds: Bounds, times: float, form: str, unit: str) -> str:
    low, high = (format(times * end, form) if math.isfinite(end) else "?" for end in (bounds.low, bounds.high))
    return f"{format(times * bounds.estimate, form)} {unit} ({low} to {high})"
