"""The scored replies that the ledger holds of one step: what strategies are learned from outside of a comparison.

Which model answered a question is mostly a strategy's choice, and a strategy that chooses by the question leaves the
hard ones to the strong model: its scores compare different questions. So only answers count that came whatever the
question: of the models of a comparison alone, of runs that one model answered whole, of those asked in the shadow, and
of runs that drew their models by the same chances for each question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestration_nb.errors import UnknownModelError, UsageError
from orchestration_nb.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

SOURCES: Final = {
    "comparison": "from comparisons",
    "run": "from runs of one model",
    "shadow": "asked in the shadow",
    "random": "drawn at random",
}
"""Where answers come from that came whatever the question, in words; all others were chosen by the question."""
CHOSEN: Final = "chosen"

_IN_RUNS = """
with asked as (
    select *, starts_with(coalesce(strategy, ''), 'shadow of ') as unseen,
        count(*) over (partition by run_id, item, starts_with(coalesce(strategy, ''), 'shadow of ')) as questions
    from requests where flow = $flow and step = $step
), scored as (
    select s.run_id, s.scorer, s.quality, q.request_id, q.model, q.strategy, q.propensity, q.unseen
    from scores as s join asked as q using (request_id)
    where s.comparison_id is null and s.scored_by <> 'person' and s.quality is not null and q.status = 'ok'
        and q.questions = 1
), grouped as (
    select *, count(distinct model) over (partition by run_id, unseen) as models,
        count(propensity) over (partition by run_id, unseen) = count(*) over (partition by run_id, unseen) as drawn,
        min(propensity) over (partition by run_id, unseen, model) as least,
        max(propensity) over (partition by run_id, unseen, model) as most
    from scored
)
select t.prompt, g.model, t.reply, c.cost_usd, c.finish_reason, g.quality, g.scorer, g.strategy, null as slice_value,
    null as slice_column, c.call_id,
    case when unseen then 'shadow' when models = 1 then 'run' when drawn and most - least < 1e-9 then 'random'
        else 'chosen' end as source
from grouped as g join calls as c on c.request_id = g.request_id and c.model = g.model and c.status = 'ok'
    join texts as t using (call_id)
where t.reply is not null
qualify count(*) over (partition by g.request_id) = 1
"""
_IN_COMPARISONS = """
with models as (
    select x.comparison_id, c.scorer, c.slice_column, x.run_id, x.strategy, x.item, x.model, x.quality, x.slice_value
    from compared as x join comparisons as c using (comparison_id)
    where c.kind = 'compare' and c.flow = $flow and c.step = $step and list_contains($singles, x.strategy)
        and x.status = 'ok' and x.quality is not null
), answered as (
    select m.comparison_id, q.item, c.model, t.prompt, t.reply, c.cost_usd, c.finish_reason, c.call_id
    from calls as c join requests as q using (request_id) join texts as t using (call_id)
        join (select distinct comparison_id, run_id from compared) as m on m.run_id = q.run_id
    where q.step = $step and c.status = 'ok' and t.reply is not null
    qualify row_number() over (partition by m.comparison_id, q.item, c.model order by c.sample, c.started_at) = 1
        and count(distinct t.prompt) over (partition by m.comparison_id, q.item) = 1
)
select a.prompt, m.model, a.reply, a.cost_usd, a.finish_reason, m.quality, m.scorer, m.strategy, m.slice_value,
    m.slice_column, a.call_id, 'comparison' as source
from models as m join answered as a using (comparison_id, item, model)
"""
_COMPARED = """
select distinct x.strategy from compared as x join comparisons as c using (comparison_id)
where c.flow = $flow and c.step = $step
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredReplies:
    """The scored replies of one step, by whatever scorer was meant."""

    flow: str
    step: str
    scorer: str
    rows: pd.DataFrame
    """One a question and model, the newest that counts: prompt, model, reply, cost_usd, finish_reason, quality,
    source, slice_value, slice_column."""
    every: pd.DataFrame
    """One a question, model and reply, whoever chose the model; the newest last."""
    left_out: Counter[str]
    """Strategy to how many of its scored answers do not count, because it chose the model by the question."""

    def common(self, models: Sequence[str]) -> list[str]:
        """The questions that all of these models (by their full names) have scored answers to, in order of the text."""
        held = [set(self.rows.loc[self.rows["model"] == model, "prompt"]) for model in models]
        return sorted(set.intersection(*held)) if held else []

    def counts(self) -> dict[str, int]:
        """Model to how many questions it has scored answers to, the most first."""
        return {str(model): int(count) for model, count in self.rows["model"].value_counts().items()}

    @property
    def left_out_words(self) -> str:
        """What does not count and why, in a sentence; empty where all does."""
        if not self.left_out:
            return ""
        told = ", ".join(f"{count:,} of {name}" for name, count in self.left_out.most_common())
        return f"Left out are scored answers whose model was chosen by the question: {told}."


def scored_replies(workspace: Workspace, flow: str, score: str) -> ScoredReplies:
    """Reads the scored replies of a step from the ledger.

    Args:
        workspace: Whose ledger.
        flow: The flow's name.
        score: ``STEP``, or ``STEP=SCORER`` where the step was scored in more than one way.

    Raises:
        UsageError: If there are none, or it is not clear which are meant.
        WorkspaceError: If the ledger cannot be read.
    """
    import pandas as pd  # noqa: PLC0415

    step, _, named = (part.strip() for part in score.partition("="))
    bound = {"flow": flow, "step": step}
    found = [
        workspace.ledger.sql(_IN_RUNS, bound),
        workspace.ledger.sql(_IN_COMPARISONS, {**bound, "singles": _singles(workspace, flow, step)}),
    ]
    full = [each for each in found if len(each)]
    if not full:
        raise UsageError(
            f"The ledger holds no scored replies of step {step!r} of a flow {flow!r}.",
            hint="Run it with --score, or compare; with [ledger] texts = false no replies are kept.",
        )
    rows = pd.concat(full, ignore_index=True)
    scorer = _scorer(rows, step, named)
    rows = rows[rows["scorer"] == scorer].sort_values("call_id")
    chosen = rows["source"] == CHOSEN
    return ScoredReplies(
        flow=flow,
        step=step,
        scorer=scorer,
        rows=rows[~chosen].drop_duplicates(["prompt", "model"], keep="last").reset_index(drop=True),
        every=rows,
        left_out=Counter(rows.loc[chosen, "strategy"].astype(str)),
    )


def is_model(workspace: Workspace, name: str) -> bool:
    """Whether a name is that of a model or alias."""
    try:
        return bool(workspace.catalog.resolve(name))
    except UnknownModelError:
        return False


def _singles(workspace: Workspace, flow: str, step: str) -> list[str]:
    """The strategies of all comparisons of a step that are one model."""
    found = workspace.ledger.sql(_COMPARED, {"flow": flow, "step": step})
    return [str(name) for name in found["strategy"] if is_model(workspace, str(name))]


def _scorer(rows: pd.DataFrame, step: str, named: str) -> str:
    """The scorer that is meant; each says something else of the same reply."""
    there = [str(each) for each in rows["scorer"].value_counts().index]
    if named in there or (not named and len(there) == 1):
        return named or there[0]
    hint = f"Write one of: {', '.join(f'--score {step}={each}' for each in there)}."
    if named:
        raise UsageError(f"No reply of step {step!r} is scored by {named!r}.", hint=hint)
    raise UsageError(f"The step {step!r} was scored in {len(there)} ways.", hint=hint)
