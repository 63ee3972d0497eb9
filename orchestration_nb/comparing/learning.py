"""``learn_strategy``: from a comparison that the ledger holds to a strategy that can be named.

What is learned from are the single models of the comparison: their scores, and the prompt and replies of the scored
step. Nothing is asked and nothing is paid.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from orchestration_nb.calls import Reply, Usage
from orchestration_nb.errors import UnknownModelError, UsageError
from orchestration_nb.ids import CallId
from orchestration_nb.tuning.learned import Examples, LearnedRouter, fit, folds
from orchestration_nb.tuning.saved import save
from orchestration_nb.tuning.shelf import folder_of
from orchestration_nb.tuning.ties import AgainstPrior, against_prior, prior_scores
from orchestration_nb.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_TARGET: Final = 0.97
MOST_CHEAP: Final = 2
"""Cheap models that are tried first unless they are named: a cascade pays each of them for every item."""
_PRIOR_FOLDS = 10

_COMPARISON = """
select comparison_id, step, slice_column from comparisons
where kind = 'compare' and ($name = 'last' or starts_with(comparison_id, $name) or ends_with(comparison_id, $name))
order by started_at desc"""
_COMPARED = """
select strategy, item, model, quality, slice_value from compared where comparison_id = $id order by strategy, item"""
_ANSWERED = """
select q.item, c.model, t.prompt, t.reply, c.cost_usd, c.finish_reason
from calls as c join requests as q using (request_id) join texts as t using (call_id)
where q.run_id in (select distinct run_id from compared where comparison_id = $id)
    and q.step = $step and c.status = 'ok'
qualify c.sample = min(c.sample) over (partition by q.item, c.model)
order by q.item, c.model, c.started_at"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learned:
    """A strategy that was learned and saved."""

    name: str
    """By which it can be named: ``--strategy NAME``."""
    comparison_id: str
    router: LearnedRouter
    prior: AgainstPrior | None
    """How it stands to the prior of the slices; ``None`` where the strong model is not shown to be better than the best
    of the cheap ones."""
    sliced: bool
    """Whether the comparison had slices; without them the prior is that of all items."""

    def __str__(self) -> str:
        """What it does, what it came to on items it did not train on, and how it stands to the prior, in sentences."""
        router, figures = self.router, self.router.figures
        what = "asks {} first, reads the replies, and asks {} where it pays" if router.reads_replies else (
            "reads the prompt and asks {} or {}"
        )  # fmt: skip
        told = [
            (
                f"{self.name} {what.format(' and '.join(router.cheap), router.strong)}; learned from "
                f"{figures['items']:.0f} items of comparison {self.comparison_id}."
            ),
            str(router.threshold),
            (
                f"{figures['escalated']:.0%} of the items go to {router.strong}; mean score {figures['quality']:.3f}, "
                f"of {router.strong} alone {figures['strong_quality']:.3f}."
            ),
        ]
        if self.prior is None:
            told.append(
                f"These items do not show that {router.strong} is better than what the cheap models come to together, "
                "so that there is no gap to hold it and a prior against."
            )
        else:
            told.append(str(self.prior))
            if not self.sliced:
                told.append("The comparison had no slices, so that its prior is the same for every item.")
        return " ".join(told)


def learn_strategy(
    name: str,
    *,
    comparison: str = "last",
    target: float = DEFAULT_TARGET,
    cheap: Sequence[str] = (),
    strong: str | None = None,
    reads_replies: bool = True,
    workspace: Workspace | None = None,
) -> Learned:
    """Learns when a cheap model will do, from a comparison of the ledger, and saves the strategy in the workspace.

    ::

        learn_strategy("thrifty", comparison="last", target=0.97)

    Args:
        name: What it is to be called; a learned strategy of that name is replaced.
        comparison: Its id, the start or the end of it, or ``last``; a what-if has no replies of its own.
        target: Share of the strong model's quality to keep.
        cheap: The models to try first, as the comparison names them; else the two cheapest beside the strong one.
        strong: The model whose quality is to be kept; else the best of the comparison.
        reads_replies: Whether it asks the cheap models first and reads what they say, or decides on the prompt alone.
        workspace: Where; the current one unless given.

    Raises:
        UsageError: If there is no such comparison, if what it holds is too little to learn from, or SciPy is missing.
        WorkspaceError: If the ledger cannot be read.
    """
    workspace = Workspace.current() if workspace is None else workspace
    _check_free(workspace, name)
    found = _recorded(workspace, comparison)
    cheap, strong = _chosen(found, cheap, strong)
    examples = found.examples((*cheap, strong), cheap if reads_replies else ())
    router = fit(examples, cheap=cheap, strong=strong, target=target)
    save(router, workspace.folder, name)
    return Learned(
        name=name,
        comparison_id=found.comparison_id,
        router=router,
        prior=_against_prior(router, found.slices),
        sliced=len(set(found.slices)) > 1,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Recorded:
    """What a comparison came to for its single models, and the questions and answers of its scored step."""

    comparison_id: str
    step: str
    compared: pd.DataFrame
    """Of the single models: (item, strategy) to quality and the full name of the model."""
    answered: pd.DataFrame
    items: list[int]

    @property
    def singles(self) -> list[str]:
        return list(dict.fromkeys(self.compared["strategy"]))

    @property
    def slices(self) -> list[str]:
        known = self.compared.drop_duplicates("item").set_index("item")["slice_value"].reindex(self.items)
        return [str(each) for each in known]

    def quality(self, single: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        rows = self.compared[self.compared["strategy"] == single].set_index("item")
        return rows["quality"].reindex(self.items).to_numpy(dtype=np.float64)

    def replies(self, single: str) -> pd.DataFrame:
        """Its calls, a row an item; nan where there is none."""
        asked = self.compared[self.compared["strategy"] == single]["model"].dropna()
        full = asked.mode()[0] if len(asked) else None
        return self.answered[self.answered["model"] == full].set_index("item").reindex(self.items)

    def examples(self, models: Sequence[str], read: Sequence[str]) -> Examples:
        """What can be learned from: scores and costs of all single models, replies of those in ``read``."""
        replies = {model: self.replies(model) for model in self.singles}
        prompts = self.answered.drop_duplicates("item").set_index("item")["prompt"].reindex(self.items)
        return Examples(
            prompts=[str(each) for each in prompts],
            quality={model: self.quality(model) for model in (*models, *self.singles)},
            cost_usd={model: each["cost_usd"].to_numpy(dtype=np.float64) for model, each in replies.items()},
            replies={model: [_reply(row) for row in replies[model].itertuples()] for model in read},
            steps=[self.step] * len(self.items),
        )


def _recorded(workspace: Workspace, name: str) -> _Recorded:
    ledger = workspace.ledger
    meant = ledger.sql(_COMPARISON, {"name": name})
    if not len(meant) or (name != "last" and len(meant) > 1):
        many = "more than one comparison" if len(meant) else "no comparison"
        raise UsageError(f"There is {many} {name!r} in the ledger.", hint="%orchestrate sql SELECT * FROM comparisons")
    comparison_id, step = str(meant["comparison_id"][0]), str(meant["step"][0])
    compared = ledger.sql(_COMPARED, {"id": comparison_id})
    compared = compared[[_is_model(workspace, each) for each in compared["strategy"]]]
    answered = ledger.sql(_ANSWERED, {"id": comparison_id, "step": step})
    if not len(answered):
        raise UsageError(
            f"The ledger holds no replies of step {step} in comparison {comparison_id}.",
            hint="A what-if pays none, and with [ledger] texts = false none are kept: compare anew.",
        )
    if answered.drop_duplicates(["item", "prompt"])["item"].duplicated().any():
        raise UsageError(
            f"Step {step} was not asked the same of each model: an item has more than one prompt.",
            hint="Name a model for the steps before it (model=...), and ask once per item; then compare anew.",
        )
    answered = answered.drop_duplicates(["item", "model"])
    items = sorted({int(each) for each in answered["item"]} & {int(each) for each in compared["item"]})
    return _Recorded(comparison_id=comparison_id, step=step, compared=compared, answered=answered, items=items)


def _is_model(workspace: Workspace, name: str) -> bool:
    with contextlib.suppress(UnknownModelError):
        return bool(workspace.catalog.resolve(name))
    return False


def _chosen(found: _Recorded, cheap: Sequence[str], strong: str | None) -> tuple[tuple[str, ...], str]:
    """The cheap models and the strong one, as named or by their figures."""
    singles = found.singles
    for model in (*cheap, *([strong] if strong else [])):
        if model not in singles:
            raise UsageError(
                f"The comparison does not show {model!r} alone.",
                hint=f"It shows: {', '.join(singles)}. --models of compare names more." if singles else "",
            )
    if not singles:
        raise UsageError("The comparison shows no model alone.", hint="Compare with --models fast strong.")
    quality = {model: float(np.nan_to_num(found.quality(model)).mean()) for model in singles}
    strong = strong or max(quality, key=lambda model: quality[model])
    if not cheap:
        cost = {model: float(found.replies(model)["cost_usd"].mean()) for model in singles}
        cheaper = sorted((model for model in singles if cost[model] < cost[strong]), key=lambda model: cost[model])
        cheap = cheaper[:MOST_CHEAP]
    return tuple(cheap), strong


def _against_prior(router: LearnedRouter, slices: Sequence[str]) -> AgainstPrior | None:
    """On the items that the fit had not seen, with the prior of the slices cross-fitted as well."""
    assert router.held_out is not None
    ways = router.held_out.ways
    prior = np.zeros(len(slices))
    for train, test in folds(len(slices), _PRIOR_FOLDS, seed=0):
        prior[test] = prior_scores(ways.quality_kept, ways.quality_escalated, slices, train)[test]
    with contextlib.suppress(UsageError):  # no gap between the two
        return against_prior(ways.quality_kept, ways.quality_escalated, [ways.scores], [prior])
    return None


def _reply(row: Any) -> Reply:
    text = row.reply if isinstance(row.reply, str) else ""
    return Reply(
        call_id=CallId(""),
        model=str(row.model),
        text=text,
        value=text,
        usage=Usage(),
        cost_usd=0.0,
        billed_usd=0.0,
        latency_ms=0.0,
        finish_reason=row.finish_reason if isinstance(row.finish_reason, str) else "stop",  # type: ignore[arg-type]
    )


def _check_free(workspace: Workspace, name: str) -> None:
    """A name that already means something else would never be found."""
    folder_of(workspace.folder, name)
    strategies = workspace.strategies
    taken = name in strategies.maker_names() or strategies.defined(name) is not None or _is_model(workspace, name)
    if taken:
        raise UsageError(f"{name} is already the name of a strategy or model.", hint="Give it another name.")
