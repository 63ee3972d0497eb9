"""A learned strategy: what it decides, what it says, what it refuses."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from orchestration_nb.calls import Decision, Origin, Reply, Request
from orchestration_nb.errors import ControlSignal, RunCancelled, ServerFailedError, UsageError
from orchestration_nb.ids import RequestId, RunId
from orchestration_nb.messages import user
from orchestration_nb.tuning.features import Seen, read
from orchestration_nb.tuning.learned import MINIMUM_LABELS, Examples, LearnedRouter, fit
from orchestration_nb.tuning.signs import agreement, said
from tests.conftest import REPO
from tests.tuning.taught import EASY, HARD, made_up, reply


@pytest.fixture(scope="module")
def router() -> LearnedRouter:
    return fit(made_up(400), cheap=["small"], strong="strong", target=0.95)


@pytest.fixture(scope="module")
def cascade() -> LearnedRouter:
    return fit(made_up(400, replies=True), cheap=["small", "medium"], strong="strong", target=0.95)


def request(prompt: str) -> Request:
    origin = Origin(run_id=RunId("r"), flow="f", step="s", item=0)
    return Request(id=RequestId("q"), origin=origin, messages=(user(prompt),), decision=Decision())


async def answered(learned: LearnedRouter, prompt: str, replies: dict[str, Any]) -> tuple[Reply, list[str], str]:
    asked, wanted = [], request(prompt)

    async def ask(model: str, **_: Any) -> Reply:
        asked.append(model)
        if isinstance(replies[model], BaseException):
            raise replies[model]
        return reply(replies[model], model=model)

    found = await learned.as_strategy()(wanted, ask)
    assert set(wanted.decision.candidates) == set(learned.models)
    return found, asked, wanted.decision.reason


async def test_a_router_sends_what_is_hard_to_the_strong_model(router: LearnedRouter) -> None:
    replies = {"small": "a", "strong": "b"}
    assert (await answered(router, f"{EASY} 551, item 119.", replies))[1] == ["small"]
    _, asked, reason = await answered(router, f"{HARD} 551, item 119.", replies)
    assert asked == ["strong"]
    assert "chance of a good reply: small 0." in reason
    assert reason.endswith("strong answers")


async def test_a_cascade_reads_the_replies_before_it_decides(cascade: LearnedRouter) -> None:
    agreed = {"small": "Answer: 7", "medium": "Answer: 7", "strong": "c"}
    found, asked, _ = await answered(cascade, f"{EASY} 551, item 119.", agreed)
    assert found.model in {"small", "medium"}
    assert asked == ["small", "medium"]
    differing = {"small": "Answer: 812", "medium": "Answer: 4455", "strong": "c"}
    found, asked, _ = await answered(cascade, f"{HARD} 551, item 119.", differing)
    assert found.model == "strong"
    assert asked == ["small", "medium", "strong"]


async def test_the_strong_model_answers_where_a_cheap_one_fails(cascade: LearnedRouter) -> None:
    replies = {"small": ServerFailedError("down"), "medium": "Answer: 7", "strong": "c"}
    found, _, reason = await answered(cascade, f"{EASY} 551, item 119.", replies)
    assert found.model == "strong"
    assert reason == "small failed (ServerFailedError): strong answers"


async def test_a_cheap_reply_is_given_where_the_strong_model_fails(cascade: LearnedRouter) -> None:
    replies = {"small": "Answer: 812", "medium": "Answer: 4455", "strong": ServerFailedError("down")}
    found, _, reason = await answered(cascade, f"{HARD} 551, item 119.", replies)
    assert found.model in {"small", "medium"}
    assert "strong failed (ServerFailedError)" in reason


async def test_the_failure_stands_where_nobody_answers(cascade: LearnedRouter) -> None:
    replies = dict.fromkeys(cascade.models, ServerFailedError("down"))
    with pytest.raises(ServerFailedError):
        await answered(cascade, EASY, replies)


async def test_a_cancelled_run_is_cancelled(cascade: LearnedRouter) -> None:
    with pytest.raises(ControlSignal):
        await answered(cascade, EASY, {"small": RunCancelled(), "medium": "7", "strong": "7"})


def test_chances_are_calibrated(cascade: LearnedRouter) -> None:
    fresh = made_up(4000, replies=True, seed=1)
    chances = cascade.chances(cascade.seen(fresh))
    for place, model in enumerate(cascade.models):
        assert abs(chances[:, place].mean() - fresh.quality[model].mean()) < 0.06


def test_a_cascade_pays_every_cheap_call(cascade: LearnedRouter) -> None:
    held = cascade.on(made_up(200, replies=True, seed=2))
    assert held.ways.cost_kept == pytest.approx(np.full(200, 0.003))
    assert held.ways.cost_escalated == pytest.approx(np.full(200, 0.043))
    assert held.cost_strong_usd == pytest.approx(np.full(200, 0.04))


def test_a_router_pays_the_one_that_it_asks(router: LearnedRouter) -> None:
    held = router.on(made_up(200, seed=2))
    assert held.ways.cost_kept == pytest.approx(np.full(200, 0.001))
    assert held.ways.cost_escalated == pytest.approx(np.full(200, 0.04))


def test_another_target_needs_no_other_fit(cascade: LearnedRouter) -> None:
    strict = cascade.at(0.999)
    assert strict.threshold.value <= cascade.threshold.value
    assert strict.figures["saved"] <= cascade.figures["saved"]


@pytest.mark.parametrize("replies", [False, True])
def test_too_few_labels_are_refused(replies: bool) -> None:
    few = made_up(MINIMUM_LABELS - 1, replies=replies)
    with pytest.raises(UsageError, match="99 scored items are too few to learn from: it takes at least 100"):
        fit(few, cheap=["small"], strong="strong")


def test_items_without_a_score_are_no_labels() -> None:
    examples = made_up(MINIMUM_LABELS)
    examples.quality["strong"][0] = np.nan
    with pytest.raises(UsageError, match="too few"):
        fit(examples, cheap=["small"], strong="strong")


@pytest.mark.parametrize(("cheap", "strong"), [([], "strong"), (["small"], "small"), (["small", "small"], "strong")])
def test_models_that_make_no_choice_are_refused(cheap: list[str], strong: str) -> None:
    with pytest.raises(UsageError, match="at least one cheap model"):
        fit(made_up(120), cheap=cheap, strong=strong)


def test_a_model_without_scores_is_refused() -> None:
    with pytest.raises(UsageError, match="no scores and costs of other"):
        fit(made_up(120), cheap=["small"], strong="other")


def test_columns_of_another_length_are_refused() -> None:
    examples = made_up(120)
    quality = {**examples.quality, "small": examples.quality["small"][:100]}
    examples = Examples(prompts=examples.prompts, quality=quality, cost_usd=examples.cost_usd)
    with pytest.raises(UsageError, match="120 prompts and 100 scores of small"):
        fit(examples, cheap=["small"], strong="strong")


@pytest.mark.parametrize("quality", [0.0, 1.0])
def test_models_that_are_always_or_never_right_can_be_learned(quality: float) -> None:
    made = made_up(120)
    same = {model: np.full(120, quality) for model in ("small", "strong")}
    examples = Examples(prompts=made.prompts, quality=same, cost_usd=made.cost_usd)
    learned = fit(examples, cheap=["small"], strong="strong")
    assert learned.figures["escalated"] == 0
    assert np.abs(learned.chances(learned.seen(examples)) - quality).max() < 0.1


def test_scores_between_0_and_1_are_learned_from() -> None:
    made = made_up(300)
    partly = {model: each * 0.6 + 0.2 for model, each in made.quality.items()}
    learned = fit(
        Examples(prompts=made.prompts, quality=partly, cost_usd=made.cost_usd), cheap=["small"], strong="strong"
    )
    easy, hard = learned.chances([Seen(prompt=f"{EASY} 551, item 119."), Seen(prompt=f"{HARD} 551, item 119.")])
    assert easy[0] == pytest.approx(0.77, abs=0.12)
    assert hard[0] == pytest.approx(0.26, abs=0.12)


def test_the_same_seed_learns_the_same() -> None:
    one, other = (fit(made_up(150), cheap=["small"], strong="strong", seed=3) for _ in range(2))
    assert (one.heads.weights == other.heads.weights).all()
    assert one.threshold == other.threshold


def test_a_step_is_learned_from() -> None:
    made = made_up(300)
    steps = ["prove" if each.startswith(HARD) else "add" for each in made.prompts]
    examples = Examples(prompts=["?"] * 300, quality=made.quality, cost_usd=made.cost_usd, steps=steps)
    learned = fit(examples, cheap=["small"], strong="strong")
    add, prove = learned.gains([Seen(prompt="?", step="add"), Seen(prompt="?", step="prove")])
    assert prove > add + 0.3


def test_odd_texts_are_read() -> None:
    odd = ["", "\ud800", "9" * 5000, "```" * 2000, "é" * 10, "a" * 200_000, "-1e999 is the answer: -inf"]
    seen = [Seen(prompt=text, replies=(said(reply(text)), said(reply("x")))) for text in odd]
    found = read(seen)
    assert np.isfinite(found.plain).all()


def test_a_reply_that_says_the_same_agrees() -> None:
    same = agreement(said(reply("I think so.\nAnswer: 1,200")), said(reply("It is 1200")))
    other = agreement(said(reply("Answer: 5")), said(reply("It is 1200")))
    assert (same[0], other[0]) == (1.0, 0.0)
    assert same[1] > other[1]


def test_only_fitting_needs_scipy() -> None:
    code = "import sys, orchestration_nb.tuning.saved; print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_scipy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(UsageError, match="needs SciPy") as caught:
        fit(made_up(120), cheap=["small"], strong="strong")
    assert "orchestration_nb[learned]" in caught.value.hint
