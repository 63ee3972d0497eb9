"""The arithmetic of a fit: the weights are those of LIBLINEAR on the heads stacked beneath each other."""

from __future__ import annotations

import numpy as np
import pytest

from orchestration_nb.tuning.features import Features, Floats, Rows
from orchestration_nb.tuning.regression import Heads, fit_heads
from tests.tuning.taught import made_up


def stacked(rows: Rows, own: Floats, quality: Floats, rest: Floats | None, tolerance: float) -> Heads:
    """The same heads by scikit-learn, from one matrix that has a row per head and item."""
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression

    votes = [1.0] * quality.shape[1] + ([] if rest is None else [float(rest.shape[1])])
    labels = quality if rest is None else np.column_stack([quality, rest.mean(axis=1)])
    plain = np.zeros(rows.shape)
    np.add.at(plain, (rows.rows, rows.columns), rows.values)
    lines, target, weight = [], [], []
    for head, vote in enumerate(votes):
        mine = np.zeros((len(plain), len(votes), rows.shape[1]))
        mine[:, head] = plain * own
        level = np.zeros((len(plain), len(votes)))
        level[:, head] = 2.0
        line = np.hstack([plain, mine.reshape(len(plain), -1), level])
        for label, share in ((1, labels[:, head]), (0, 1 - labels[:, head])):
            lines.append(line[share > 0])
            target += [label] * int((share > 0).sum())
            weight.append(vote * share[share > 0])
    model = LogisticRegression(C=2 / sum(votes), solver="liblinear", fit_intercept=False, tol=tolerance)
    model.fit(sparse.csr_matrix(np.vstack(lines)), target, sample_weight=np.concatenate(weight))
    found, columns, used = model.coef_[0], rows.shape[1], quality.shape[1]
    apart = found[columns : -len(votes)].reshape(len(votes), columns)
    return Heads(weights=found[:columns] + own * apart[:used], levels=2.0 * found[-len(votes) :][:used])


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("others", [False, True])
def test_the_weights_are_those_of_liblinear(graded: bool, others: bool) -> None:
    examples, dice = made_up(240, seed=3), np.random.default_rng(8)
    readings = examples.readings(())
    features = Features.learn(readings)
    rows = features.rows(readings)
    quality = np.column_stack([examples.quality["small"], examples.quality["strong"]])
    if graded:
        quality = np.clip(quality + dice.normal(0, 0.3, quality.shape), 0, 1)
    rest = (dice.random((240, 3)) < 0.6).astype(float) if others else None
    own = np.where(np.arange(features.width) < features.prompt_columns, 0.5, 1.0)
    found, expected = fit_heads(rows, own, quality, rest), stacked(rows, own, quality, rest, tolerance=1e-2)
    assert found.weights == pytest.approx(expected.weights, abs=1e-5)
    assert found.levels == pytest.approx(expected.levels, abs=1e-5)
