"""Learned strategies on recorded replies, on questions that they were not fitted on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orchestration_nb.evals.curves import halves
from orchestration_nb.routing.reading import agrees
from orchestration_nb.tuning.learned import fit, folds
from orchestration_nb.tuning.ties import against_prior, prior_scores
from tests.evals.zeroeval import FLASH, MINI, SONNET, read_recorded
from tests.tuning.taught import recorded

pytestmark = [pytest.mark.corpus, pytest.mark.slow]


def test_a_router_on_the_prompt_alone_and_whether_it_ties_the_prior(corpus: Path) -> None:
    examples, slices = recorded(corpus), list(read_recorded(corpus).dataset)
    small, strong = examples.scores(FLASH), examples.scores(SONNET)
    examples.readings(())
    routers, priors = [], []
    for seed in range(10):
        held = fit(examples, cheap=[FLASH], strong=SONNET, seed=seed).held_out
        assert held is not None
        routers.append(held.ways.scores)
        prior = np.zeros(len(small))
        for train, test in folds(len(small), 10, seed=seed):
            prior[test] = prior_scores(small, strong, slices, train)[test]
        priors.append(prior)
    found = against_prior(small, strong, routers, priors)
    print(found)
    assert found.router >= 0.66
    assert str(found).startswith("It ties the prior" if found.ties else "It is better")


def test_two_cheap_models_that_agree_keep_the_strong_models_accuracy(corpus: Path) -> None:
    examples = recorded(corpus, cheap=(FLASH, MINI))
    same = np.array(list(map(agrees, examples.replies[FLASH], examples.replies[MINI])))
    quality = np.where(same, examples.scores(FLASH), examples.scores(SONNET)).mean()
    cost = examples.costs(FLASH) + examples.costs(MINI) + np.where(same, 0.0, examples.costs(SONNET))
    print(quality / examples.scores(SONNET).mean(), 1 - cost.sum() / examples.costs(SONNET).sum())
    assert quality >= 0.99 * examples.scores(SONNET).mean()
    assert cost.sum() <= 0.58 * examples.costs(SONNET).sum()


def test_a_cascade_keeps_what_it_was_asked_to_keep(corpus: Path) -> None:
    examples = recorded(corpus, cheap=(FLASH, MINI))
    named = (FLASH, MINI, SONNET)
    examples = type(examples)(
        prompts=examples.prompts,
        quality={model: examples.quality[model] for model in named},
        cost_usd=examples.cost_usd,
        replies=examples.replies,
    )
    examples.readings((FLASH, MINI))
    rows = []
    for seed in range(20):
        first = halves(len(examples.prompts), seed)
        learned = fit(examples.take(np.flatnonzero(first)), cheap=[FLASH, MINI], strong=SONNET, target=0.95, seed=seed)
        unseen = learned.on(examples.take(np.flatnonzero(~first)))
        at = [unseen.at(learned.at(target).threshold.value) for target in (0.95, 0.99)]
        rows.append([unseen.apgr or 0.0, *(each for found in at for each in (found.saved, found.kept))])
    area, saved_95, kept_95, saved_99, kept_99 = np.median(np.array(rows, dtype=np.float64), axis=0)
    missed = [float(np.mean([row[place] < target for row in rows])) for place, target in ((2, 0.95), (4, 0.99))]
    print(f"{area=:.3f} {saved_95=:.3f} {kept_95=:.4f} {saved_99=:.3f} {kept_99=:.4f} {missed=}")
    assert max(missed) <= 0.2, "the level of the bound, and the noise of the half that it is measured on"
    assert area >= 0.80
    assert saved_95 >= 0.60
    assert kept_95 >= 0.945
    assert saved_99 >= 0.40
    assert kept_99 >= 0.985
