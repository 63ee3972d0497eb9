"""On the shipped bank, the simulated models do what was measured on real ones."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from orchestration_nb.providers.sim import MODELS, SimPrompt, SimReply, answer, shipped_bank
from orchestration_nb.providers.sim.latency import MEASURED_MS

ACCURACY = {"small": 0.692, "medium": 0.784, "large": 0.836}
ORACLE = 0.865
OUTPUT_TOKENS = {"small": 215, "medium": 312, "large": 196}
"""Means of the recorded replies."""
SAMPLES = ("0.0", "0.1", "3.0")


@dataclass(frozen=True)
class Answered:
    """All replies of one model, in the order of the bank."""

    replies: list[SimReply]
    answers: NDArray[np.str_]
    right: NDArray[np.bool_]


@cache
def answered(model: str, sample: str = "0.0") -> Answered:
    questions = shipped_bank().questions
    replies = [answer(SimPrompt(model=model, texts=(("user", q.prompt),), sample=sample)) for q in questions]
    answers = [reply.text.rsplit("\nAnswer: ", 1)[1] for reply in replies]
    right = [found == q.solutions[0].answer for found, q in zip(answers, questions, strict=True)]
    return Answered(replies, np.array(answers), np.array(right))


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("model", MODELS)
def test_accuracy_is_the_measured_one(model: str, sample: str) -> None:
    assert answered(model, sample).right.mean() == pytest.approx(ACCURACY[model], abs=0.03)


@pytest.mark.parametrize("sample", SAMPLES)
def test_small_and_large_together_know_as_much_as_was_measured(sample: str) -> None:
    either = answered("small", sample).right | answered("large", sample).right
    assert either.mean() == pytest.approx(ORACLE, abs=0.03)


@pytest.mark.parametrize("sample", SAMPLES)
def test_stopping_when_small_and_medium_agree_keeps_the_accuracy_of_large(sample: str) -> None:
    small, medium, large = (answered(model, sample) for model in MODELS)
    agree = small.answers == medium.answers
    kept = np.where(agree, medium.right, large.right).mean() / large.right.mean()
    assert kept == pytest.approx(0.998, abs=0.02)
    assert 0.55 < agree.mean() < 0.75
    both_wrong = ~small.right & ~medium.right
    assert (agree & both_wrong).sum() < both_wrong.sum() / 2, "wrong answers mostly disagree"


def test_stopping_on_agreement_saves_about_half_of_the_cost() -> None:
    dollars = {"small": (0.075, 0.3), "medium": (0.15, 0.6), "large": (3.0, 15.0)}
    small, medium, large = (
        np.array([r.input_tokens * dollars[m][0] + r.output_tokens * dollars[m][1] for r in answered(m).replies])
        for m in MODELS
    )
    escalated = answered("small").answers != answered("medium").answers
    saved = 1 - (small + medium + np.where(escalated, large, 0)).sum() / large.sum()
    assert 0.42 < saved < 0.65


def gain_of_routing(router_seed: int, sample: str) -> float:
    """APGR of TF-IDF and ridge on the prompt alone, out of fold: .5 is a router that knows nothing."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import KFold
    from sklearn.pipeline import make_pipeline

    prompts = np.array([q.prompt for q in shipped_bank().questions], dtype=object)
    gain = answered("large", sample).right.astype(float) - answered("small", sample).right
    expected = np.zeros(len(prompts))
    for train, test in KFold(5, shuffle=True, random_state=router_seed).split(prompts):
        router = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2), Ridge(alpha=1.0))
        expected[test] = router.fit(prompts[train], gain[train]).predict(prompts[test])
    recovered = np.concatenate([[0.0], np.cumsum(gain[np.argsort(-expected, kind="stable")])]) / gain.sum()
    return float(recovered.mean())


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_router_that_reads_the_prompt_gains_as_much_as_was_measured(sample: str) -> None:
    pytest.importorskip("sklearn")
    gains = [gain_of_routing(seed, sample) for seed in range(3)]
    assert min(gains) > 0.58, gains
    assert max(gains) < 0.75, gains


@pytest.mark.parametrize("model", MODELS)
def test_latency_has_the_measured_median_and_95th_percentile(model: str) -> None:
    median, p95 = np.percentile([reply.latency_ms for reply in answered(model).replies], [50, 95])
    assert median == pytest.approx(MEASURED_MS[model][0], rel=0.1)
    assert p95 == pytest.approx(MEASURED_MS[model][1], rel=0.15)
    assert all(0 < reply.ttft_ms < reply.latency_ms for reply in answered(model).replies)


@pytest.mark.parametrize("model", MODELS)
def test_replies_are_nearly_as_long_as_recorded_ones(model: str) -> None:
    tokens = np.array([reply.output_tokens for reply in answered(model).replies])
    assert tokens.mean() == pytest.approx(OUTPUT_TOKENS[model], rel=0.25)
    right = answered(model).right
    assert tokens[~right].mean() > tokens[right].mean(), "who is unsure writes more"


def test_asking_again_gives_another_answer_sometimes_and_the_same_mostly() -> None:
    for model in MODELS:
        same = (answered(model, "0.0").answers == answered(model, "0.1").answers).mean()
        assert 0.8 < same < 0.99


@pytest.mark.parametrize(("model", "expected"), [("small", 0.80), ("medium", 0.88), ("large", 0.94)])
def test_larger_models_read_tickets_better(model: str, expected: float) -> None:
    schema = {"type": "object", "properties": {"value": {"enum": ["billing", "bug", "refund"]}}, "required": ["value"]}
    right = [
        answer(SimPrompt(model=model, texts=(("user", ask(t.body)),), schema=schema)).text
        == f'{{"value":"{t.labels["queue"]}"}}'
        for t in shipped_bank().tickets
    ]
    assert np.mean(right) == pytest.approx(expected, abs=0.03)


ask: Callable[[str], str] = "Which queue does this ticket belong to?\n{}".format
