"""Scores that the ledger holds, as a scorer: a reply that was scored once is worth the same when it is given again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestration_nb.calls import Reply, Request
from orchestration_nb.comparing.scored import scored_replies
from orchestration_nb.engine.bookkeeping import readable
from orchestration_nb.errors import UsageError
from orchestration_nb.evals.scores import NOT_RECORDED, Score, StepScorer
from orchestration_nb.flow import Graph
from orchestration_nb.workspace import Workspace

LEDGER: Final = "ledger"
_STEPS: Final = """
select distinct s.step from scores as s join runs as r using (run_id)
where r.flow = ? and s.quality is not null and s.scored_by <> 'person' order by s.step
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LedgerScores:
    """A scorer that knows the scores of replies by what was asked and what was said."""

    by_text: Mapping[tuple[str, str], float]
    """Prompt and reply, both whole, to the newest score of them."""
    scorer: str
    """What scored them: ``exact:gold``."""

    def __call__(self, value: Any, item: Mapping[str, Any]) -> Score:  # noqa: ARG002 - the form of a scorer
        """Nothing can be said of a value whose question is not known."""
        return NOT_RECORDED

    def score_of(self, request: Request, reply: Reply) -> Score:
        """The score of a reply to a request."""
        quality = self.by_text.get((readable(request), reply.text))
        return NOT_RECORDED if quality is None else Score(value=quality, reason=f"as {self.scorer} scored it before")


def names_ledger(scorer: object) -> bool:
    """Whether the scores of the ledger are meant: nothing, or ``ledger:STEP``."""
    return scorer is None or (isinstance(scorer, str) and scorer.partition(":")[0].strip() == LEDGER)


def ledger_scorer(workspace: Workspace, graph: Graph, named: str | None) -> StepScorer:
    """The scorer that gives recorded scores again.

    Args:
        workspace: Whose ledger.
        graph: The flow.
        named: ``ledger:STEP``, or ``ledger:STEP=SCORER`` where there are several; else the step that is scored.

    Raises:
        UsageError: If there are no scores, or it is not clear which are meant.
    """
    score = (named or "").partition(":")[2].strip() or _only_step(workspace, graph.name)
    step = score.partition("=")[0].strip()
    if step not in {each.name for each in graph.steps}:
        raise UsageError(f"The flow {graph.name} has no step {step!r}.", hint="Write --score ledger:STEP.")
    found = scored_replies(workspace, graph.name, score)
    rows = found.every
    scores = LedgerScores(
        by_text=dict(zip(zip(rows["prompt"], rows["reply"], strict=True), map(float, rows["quality"]), strict=True)),
        scorer=found.scorer,
    )
    return StepScorer(step=step, scorer=scores, text=f"{LEDGER}:{step}={found.scorer}")


def _only_step(workspace: Workspace, flow: str) -> str:
    steps = [str(step) for step in workspace.ledger.sql(_STEPS, [flow])["step"]]
    if len(steps) == 1:
        return steps[0]
    many = f"more than one scored step of {flow}: {', '.join(steps)}" if steps else f"no scores of {flow}"
    raise UsageError(f"The ledger holds {many}.", hint="Write --score STEP=SCORER:COLUMN, or --score ledger:STEP.")
