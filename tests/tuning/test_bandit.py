"""Strategies that learn while they answer: what they find out, what they record, and what survives."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestration_nb.calls import Decision, Origin, Reply, Request, Usage
from orchestration_nb.errors import BadRequestError, ServerFailedError, UsageError, WorkspaceError
from orchestration_nb.ids import CallId, RequestId, RunId
from orchestration_nb.messages import user
from orchestration_nb.routing import Strategies
from orchestration_nb.routing.registry import STRATEGIES
from orchestration_nb.tuning.bandit import LearningStrategy, bandit, epsilon_greedy, load_bandit
from orchestration_nb.tuning.context import CONTEXT_SIZE, context_of

MAKERS: dict[str, Callable[..., LearningStrategy]] = {
    "linucb": bandit,
    "thompson": lambda *models, **options: bandit(*models, method="thompson", **options),
    "epsilon": epsilon_greedy,
}
LOOKING: dict[str, Callable[..., LearningStrategy]] = {
    # where models are each other's opposites, which is not expected of them, LinUCB is helped by an even share of tries
    **MAKERS,
    "linucb": lambda *models, **options: bandit(*models, floor=0.1, **options),
}
every_maker_that_looks = pytest.mark.parametrize("make", LOOKING.values(), ids=list(LOOKING))
every_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))


def request(text: str = "hi", number: Any = 0, step: str = "s") -> Request:
    origin = Origin(run_id=RunId("r"), flow="f", step=step, item=0)
    return Request(
        id=RequestId(f"q{number}"), origin=origin, messages=(user(text),), decision=Decision(seed=f"{number}")
    )


def reply(model: str, cost_usd: float = 0.0, instead_of: str | None = None) -> Reply:
    return Reply(
        call_id=CallId("c"), model=model, text="", value="", usage=Usage(), cost_usd=cost_usd, billed_usd=0.0,
        latency_ms=1.0, instead_of=instead_of,
    )  # fmt: skip


def asking(cost_usd: dict[str, float] | None = None) -> Any:
    async def ask(model: str, **_: Any) -> Reply:
        return reply(model, (cost_usd or {}).get(model, 1e-4))

    return ask


async def taught(
    strategy: LearningStrategy, worth: Callable[[str, str], float], texts: list[str], **ask: Any
) -> list[str]:
    """Answers the texts one after the other; the models that were asked."""
    models = []
    for number, text in enumerate(texts):
        asked = request(text, number)
        given = await strategy(asked, asking(**ask))
        strategy.learn(asked, given, worth(given.model, text))
        models.append(given.model)
    return models


SUM, POEM = "What is 12 + 30 + 4?", "Write a poem about the autumn sea."


def suits(model: str, text: str) -> float:
    return float((model == "adder") == (text == SUM))


@every_maker_that_looks
async def test_it_finds_out_which_model_suits_which_requests(make: Any, dice: random.Random) -> None:
    texts = [dice.choice([SUM, POEM]) for _ in range(600)]
    models = await taught(make("poet", "adder"), suits, texts)
    right = [suits(model, text) for model, text in zip(models, texts, strict=True)]
    assert sum(right[450:]) / 150 >= 0.88


@every_maker
async def test_the_cost_weight_says_what_a_dollar_is_worth(make: Any) -> None:
    cost_usd = {"cheap": 1e-4, "dear": 1e-2}  # 10 dollars on a thousand requests for .2 of quality

    def worth(model: str, _: str) -> float:
        return 0.9 if model == "dear" else 0.7

    kept = await taught(make("cheap", "dear", cost_weight=0.05), worth, ["q"] * 200, cost_usd=cost_usd)
    assert kept[100:].count("cheap") >= 85
    paid = await taught(make("cheap", "dear", cost_weight=0.005), worth, ["q"] * 200, cost_usd=cost_usd)
    assert paid[100:].count("dear") >= 85


@pytest.mark.parametrize("method", ["linucb", "thompson"])
async def test_the_recorded_propensity_is_how_often_a_model_is_asked(method: Any) -> None:
    """By inverse propensity, the shares of the models in what was asked come to those of asking evenly."""
    strategy = bandit("a", "b", "c", method=method, floor=0.3)
    await taught(strategy, lambda model, _: {"a": 0.9, "b": 0.85, "c": 0.8}[model], ["q"] * 30)
    weights = {"a": 0.0, "b": 0.0, "c": 0.0}
    for number in range(1500):
        asked = request("q", f"later {number}")
        given = await strategy(asked, asking())
        assert asked.decision.candidates == ["a", "b", "c"]
        assert asked.decision.propensity is not None
        assert 0.1 - 1e-9 <= asked.decision.propensity <= 1.0
        weights[given.model] += 1 / asked.decision.propensity / 1500
    assert weights == pytest.approx({"a": 1.0, "b": 1.0, "c": 1.0}, abs=0.25)


async def test_the_reason_tells_what_was_expected() -> None:
    strategy = bandit("poet", "adder", floor=0.0)
    await taught(strategy, suits, [SUM, POEM] * 30)
    asked = request(SUM, "last")
    await strategy(asked, asking())
    assert asked.decision.reason.startswith("adder, the best expected: quality ")
    assert " at $0.10" in asked.decision.reason
    assert "(60 in all)" in asked.decision.reason
    assert asked.decision.propensity == 1.0


@every_maker_that_looks
async def test_thirty_two_at_once_with_late_and_missing_scores(make: Any, dice: random.Random) -> None:
    strategy = make("poet", "adder")
    late: list[tuple[Request, Reply, str]] = []

    async def one(number: int) -> float:
        text = dice.choice([SUM, POEM])
        asked = request(text, number)
        await asyncio.sleep(0)
        given = await strategy(asked, asking())
        if dice.random() < 0.6:  # the others' scores never come
            late.append((asked, given, text))
        return suits(given.model, text)

    right: list[float] = []
    for start in range(0, 960, 32):
        right += await asyncio.gather(*(one(start + each) for each in range(32)))
        dice.shuffle(late)
        while len(late) > 20:  # and these come in any order, some of them rounds later
            asked, given, text = late.pop()
            strategy.learn(asked, given, suits(given.model, text))
    assert sum(right[800:]) / 160 >= 0.88


async def test_requests_under_way_do_not_all_try_the_same_unknown_model() -> None:
    strategy = bandit("a", "b", "c", "d", floor=0.0)
    replies = await asyncio.gather(*(strategy(request("q", number), asking()) for number in range(32)))
    assert {each.model for each in replies} == {"a", "b", "c", "d"}


@every_maker
async def test_a_model_that_cannot_answer_is_asked_less(make: Any) -> None:
    strategy, asked_models = make("broken", "sound"), []

    async def ask(model: str, **_: Any) -> Reply:
        asked_models.append(model)
        if model == "broken":
            raise ServerFailedError("out of order")
        return reply(model)

    for number in range(100):
        asked = request("q", number)
        try:
            given = await strategy(asked, ask)
        except ServerFailedError:
            continue
        strategy.learn(asked, given, 0.6)
    assert asked_models[50:].count("broken") <= 10


async def test_a_request_that_nobody_could_read_says_nothing_of_the_model() -> None:
    strategy = bandit("a", "b")

    async def ask(model: str, **_: Any) -> Reply:
        raise BadRequestError("no such field")

    for number in range(20):
        with pytest.raises(BadRequestError):
            await strategy(request("q", number), ask)
    asked = request("q", "last")
    await strategy(asked, asking())
    assert "(0 in all)" in asked.decision.reason


async def test_the_reply_of_a_fallback_is_not_put_down_to_the_model_that_was_wanted() -> None:
    strategy = bandit("a", "b", floor=0.0)

    async def ask(model: str, **_: Any) -> Reply:
        return reply("stand-in" if model == "a" else "b", instead_of="a" if model == "a" else None)

    for number in range(60):
        asked = request("q", number)
        given = await strategy(asked, ask)
        strategy.learn(asked, given, 1.0 if given.instead_of else 0.9)
    asked = request("q", "last")
    await strategy(asked, ask)
    assert asked.decision.reason.startswith("b, ")


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
async def test_a_score_that_is_no_number_says_nothing(score: float) -> None:
    strategy = bandit("a", "b")
    await taught(strategy, lambda *_: score, ["q"] * 5)
    asked = request("q", "last")
    await strategy(asked, asking())
    assert "(0 in all)" in asked.decision.reason


async def test_what_was_recorded_before_can_be_taught(dice: random.Random) -> None:
    strategy = bandit("poet", "adder", floor=0.0)
    for number in range(100):
        model, text = dice.choice(["poet", "adder"]), dice.choice([SUM, POEM])
        strategy.learn(request(text, number), reply(model, 1e-4), suits(model, text))
        strategy.learn(request(text, number), reply("unheard of", 1e-4), 1.0)
    assert (await strategy(request(SUM, "new"), asking())).model == "adder"
    assert (await strategy(request(POEM, "newer"), asking())).model == "poet"


async def test_an_alias_is_taught_by_the_full_name_of_its_model(tmp_path: Path) -> None:
    strategy = bandit("fast", "strong", floor=0.0)

    async def ask(model: str, **_: Any) -> Reply:
        return reply(f"provider/{model}", 1e-4)

    for number in range(12):
        await strategy(request("q", number), ask)
    strategy.save(tmp_path)
    other = load_bandit(tmp_path)  # another process learns of scores that came later
    for number in range(12):
        other.learn(request("q", number), reply("provider/strong", 1e-4), 1.0)
        other.learn(request("q", number), reply("provider/fast", 1e-4), 0.0)
    assert (await other(request("q", "new"), ask)).model == "provider/strong"


@every_maker
async def test_what_was_learned_survives(make: Any, tmp_path: Path) -> None:
    strategy = make("poet", "adder", cost_weight=0.02)
    await taught(strategy, suits, [SUM, POEM] * 20)
    strategy.save(tmp_path / "kept")
    await taught(strategy, suits, [SUM, POEM] * 20)
    strategy.save(tmp_path / "kept")
    again = load_bandit(tmp_path / "kept")
    assert again.models == strategy.models
    for number in range(20):
        ours, theirs = request(POEM, f"n{number}"), request(POEM, f"n{number}")
        await strategy(ours, asking())
        await again(theirs, asking())
        assert ours.decision.propensity == theirs.decision.propensity
        assert ours.decision.reason == theirs.decision.reason
        strategy.learn(ours, reply("poet"), 1.0)
        again.learn(theirs, reply("poet"), 1.0)
    names = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert len(names) == 2, names
    with np.load(tmp_path / "kept" / names[0], allow_pickle=False) as arrays:
        assert all(np.isfinite(arrays[name]).all() for name in arrays.files)


async def test_a_saved_bandit_that_cannot_be_used_is_refused_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="No bandit was saved"):
        load_bandit(tmp_path)
    strategy = bandit("a", "b")
    await taught(strategy, lambda *_: 1.0, ["q"] * 5)
    strategy.save(tmp_path)
    text = tmp_path / "bandit.json"
    said = json.loads(text.read_text())
    text.write_text(json.dumps({**said, "version": 99}))
    with pytest.raises(WorkspaceError, match="another version"):
        load_bandit(tmp_path)
    text.write_text(json.dumps({**said, "digest": "../../secrets"}))
    with pytest.raises(WorkspaceError, match="damaged"):
        load_bandit(tmp_path)
    text.write_text(json.dumps(said))
    numbers = tmp_path / f"bandit-{said['digest'][:16]}.npz"
    numbers.write_bytes(numbers.read_bytes()[:-20])
    with pytest.raises(WorkspaceError, match="damaged"):
        load_bandit(tmp_path)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: bandit("a"), "does not name two models"),
        (lambda: bandit("a", "a"), "does not name two models"),
        (lambda: bandit("a", "b", method="ucb"), "no method"),  # type: ignore[arg-type]
        (lambda: bandit("a", "b", cost_weight=-1), "no weight"),
        (lambda: bandit("a", "b", cost_weight=float("nan")), "no weight"),
        (lambda: bandit("a", "b", floor=2), "floor=2 is no share"),
        (lambda: STRATEGIES.find("bandit(a, b, cost_weight=low)"), "cost_weight='low' is no weight"),
        (lambda: STRATEGIES.find("bandit(a, b, floor=x)"), "floor='x' is no share"),
        (lambda: STRATEGIES.find("epsilon_greedy(a, b, epsilon=x)"), "epsilon='x' is no share"),
        (lambda: epsilon_greedy("a", "b", epsilon=-0.1), "epsilon=-0.1 is no share"),
    ],
)
def test_what_cannot_be_meant_is_refused(call: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as refused:
        call()
    assert refused.value.hint


def test_they_can_be_written_as_text() -> None:
    assert isinstance(STRATEGIES, Strategies)
    found: Any = STRATEGIES.find("bandit(sim/small, strong)")
    assert found.models == ("sim/small", "strong")
    assert found.__name__ == "bandit(sim/small, strong, method=linucb, cost_weight=0.01)"
    assert asyncio.iscoroutinefunction(found)


@pytest.mark.parametrize("text", ["", "  \n", "1 2 3", "海は青い。12", "\ud800 odd", "x" * 1_000_000])
def test_the_row_of_any_text_is_small(text: str) -> None:
    row = context_of(request(text))
    assert row.shape == (CONTEXT_SIZE,)
    assert np.isfinite(row).all()
    assert np.abs(row).max() <= 4.0


def test_the_row_of_a_request_is_the_same_in_every_process() -> None:
    code = (
        "from orchestration_nb.calls import *; from orchestration_nb.messages import user;"
        "from orchestration_nb.tuning.context import context_of;"
        "o = Origin(run_id='r', flow='f', step='queue', item=0);"
        "print(context_of(Request(id='q', origin=o, messages=(user('Wo ist das Meer?'),))).tolist())"
    )
    root = Path(__file__).resolve().parents[2]
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert json.loads(told.stdout) == context_of(request("Wo ist das Meer?", step="queue")).tolist()
    assert context_of(request("x", step="queue")).tolist() != context_of(request("x", step="reply")).tolist()


def test_importing_the_package_loads_no_numpy() -> None:
    root = Path(__file__).resolve().parents[2]
    room = "orchestration_nb.tuning.bandit"
    code = f"import sys, orchestration_nb; print('numpy' in sys.modules, {room!r} in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert told.stdout.split() == ["False", "False"]
