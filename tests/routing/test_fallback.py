"""Which model answers when one cannot."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from orchestration_nb import Flow, Workspace
from orchestration_nb.calls import Decision
from orchestration_nb.catalog import Catalog, Fallbacks, Model
from orchestration_nb.errors import (
    AllModelsUnavailableError,
    BadRequestError,
    ContentRefusedError,
    ContextTooLongError,
    ModelUnavailableError,
    NotAuthorisedError,
    OverBudgetError,
    ServerFailedError,
    UnknownModelError,
    UnknownStrategyError,
    UsageError,
)
from orchestration_nb.routing import answer_with_fallbacks, fallback, models_of
from orchestration_nb.routing.registry import STRATEGIES
from orchestration_nb.testing import FakeProvider, fake_workspace
from tests.routing.test_strategies import reply, request

X, Y, Z = "openai/x", "anthropic/y", "gemini/z"


class Answers:
    """An ``ask`` that says or raises what is next for each model; the last of it again and again."""

    def __init__(self, **said: Any) -> None:
        names = {"x": X, "y": Y, "z": Z}
        self._said = {
            names.get(name, name): list(each) if isinstance(each, list) else [each] for name, each in said.items()
        }
        self.log: list[tuple[str, bool]] = []
        self.instead: list[tuple[str, ...]] = []

    async def __call__(self, model: str, *, sample: int = 0, wait: bool = True, instead: Collection[str] = ()) -> Any:
        del sample
        self.log.append((model, wait))
        self.instead.append(tuple(instead))
        said = self._said[model]
        what = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(what, BaseException):
            raise what
        return reply(what, model=model)

    @property
    def asked(self) -> list[str]:
        return [model for model, _ in self.log]


def away(seconds: float) -> ModelUnavailableError:
    return ModelUnavailableError("away", retry_after_s=seconds)


def catalog(**fallbacks: Fallbacks) -> Catalog:
    made = Catalog()
    for name, each in (("x", X), ("y", Y), ("z", Z)):
        provider, _, wire_name = each.partition("/")
        made.add([Model(provider=provider, wire_name=wire_name, fallbacks=fallbacks.get(name))])
    made.aliases["best"] = X
    return made


async def test_the_first_that_answers_is_taken_and_the_reason_says_why() -> None:
    asked, ask = request(), Answers(x=ServerFailedError("500"), y="yes")
    chosen = await fallback(X, Y)(asked, ask)
    assert (chosen.model, chosen.instead_of) == (Y, X)
    assert asked.decision.candidates == [X, Y]
    assert asked.decision.reason == "openai/x failed (ServerFailedError); anthropic/y answers"


async def test_a_first_that_answers_is_the_only_one_asked() -> None:
    ask = Answers(x="yes", y="no")
    chosen = await fallback(X, Y)(request(), ask)
    assert (chosen.text, chosen.instead_of) == ("yes", None)
    assert ask.asked == [X]


@pytest.mark.parametrize(
    "error", [ContextTooLongError("long"), ContentRefusedError("no"), NotAuthorisedError("no key"), away(5)]
)
async def test_every_kind_of_failure_that_another_model_may_not_have_goes_on_to_the_next(error: Any) -> None:
    assert (await fallback(X, Y)(request(), Answers(x=error, y="yes"))).text == "yes"


@pytest.mark.parametrize("error", [BadRequestError("what?"), OverBudgetError("no money left")])
async def test_what_another_model_cannot_mend_fails_at_once(error: Any) -> None:
    ask = Answers(x=error, y="yes")
    with pytest.raises(type(error)):
        await fallback(X, Y)(request(), ask)
    assert ask.asked == [X]


async def test_where_all_fail_the_failure_of_the_first_comes_out() -> None:
    asked = request()
    with pytest.raises(ServerFailedError, match="first"):
        await fallback(X, Y)(asked, Answers(x=ServerFailedError("first"), y=NotAuthorisedError("second")))
    assert asked.decision.reason == "openai/x failed (ServerFailedError); anthropic/y failed (NotAuthorisedError)"


async def test_a_reply_that_will_not_do_is_asked_of_the_next() -> None:
    asked, ask = request(), Answers(x="not sure", y="42")
    chosen = await fallback(X, Y, accept=lambda each: "not sure" not in each.text)(asked, ask)
    assert chosen.text == "42"
    assert asked.decision.reason == "the reply of openai/x is not accepted; anthropic/y answers"


async def test_what_accepts_may_be_async() -> None:
    async def accept(each: Any) -> bool:
        return bool(each.text == "42")

    assert (await fallback(X, Y, accept=accept)(request(), Answers(x="not sure", y="42"))).text == "42"


@pytest.mark.parametrize("last", ["also not sure", ServerFailedError("500"), BadRequestError("what?")])
async def test_where_no_reply_will_do_the_last_that_came_is_given_and_said_so(last: Any) -> None:
    asked, ask = request(), Answers(x="not sure", y=last)
    chosen = await fallback(X, Y, accept=lambda each: "not sure" not in each.text)(asked, ask)
    assert chosen.text == (last if isinstance(last, str) else "not sure")
    assert chosen.instead_of == (X if isinstance(last, str) else None)
    assert asked.decision.reason.endswith("no other came")


async def test_models_that_are_away_are_passed_over_without_waiting() -> None:
    ask = Answers(x=away(9), y="yes")
    assert (await fallback(X, Y)(request(), ask)).model == Y
    assert ask.log == [(X, False), (Y, False)]


async def test_where_all_are_away_the_one_that_is_probed_first_is_waited_for() -> None:
    ask = Answers(x=away(9), y=[away(2), "yes"], z=away(5))
    assert (await fallback(X, Y, Z)(request(), ask)).model == Y
    assert ask.log == [(X, False), (Y, False), (Z, False), (Y, True)]
    assert ask.instead[-1] == (X, Z)


async def test_who_comes_back_before_the_one_that_was_waited_for_is_asked() -> None:
    ask = Answers(x=[away(2), away(10), away(10)], y=[away(5), "yes"])
    assert (await fallback(X, Y)(request(), ask)).model == Y
    assert ask.log == [(X, False), (Y, False), (X, True), (Y, False)]


async def test_one_that_failed_for_good_is_not_asked_again_when_the_other_is_waited_for() -> None:
    ask = Answers(x=[away(2), "yes"], y=ServerFailedError("500"))
    assert (await fallback(X, Y)(request(), ask)).model == X
    assert ask.log == [(X, False), (Y, False), (X, True)]
    assert ask.instead[-1] == ()


async def test_when_the_wait_ends_without_any_of_them_it_says_so() -> None:
    ask = Answers(x=[away(2), AllModelsUnavailableError("no time left")], y=away(5))
    with pytest.raises(AllModelsUnavailableError):
        await fallback(X, Y)(request(), ask)


def test_a_fallback_of_nothing_is_refused() -> None:
    for models in ((), ("",), (3,), (None,)):
        with pytest.raises(UsageError, match="names no models"):
            fallback(*models)
    with pytest.raises(UsageError, match="cannot be called"):
        fallback(X, accept="yes")  # type: ignore[arg-type]


def test_it_is_named_by_its_models_and_says_them() -> None:
    assert fallback(X, Y, X).__name__ == "fallback(openai/x, anthropic/y)"
    assert models_of(fallback(X, Y, X)) == (X, Y)
    assert models_of(lambda request, ask: None) == ()


@pytest.mark.parametrize(
    ("error", "answers"),
    [
        (ServerFailedError("500"), Y),
        (ContextTooLongError("long"), Z),
        (ContentRefusedError("no"), None),
        (BadRequestError("what?"), None),
    ],
)
async def test_the_file_says_which_model_answers_by_the_kind_of_the_failure(error: Any, answers: str | None) -> None:
    resolve = catalog(x=Fallbacks(error=(Y,), context_window=(Z,))).resolve
    ask, decision = Answers(x=error, y="from y", z="from z"), Decision(reason="the default model")
    if answers is None:
        with pytest.raises(type(error)):
            await answer_with_fallbacks(decision, ask, X, resolve)
        return
    assert (await answer_with_fallbacks(decision, ask, X, resolve)).model == answers
    assert decision.reason == f"the default model; openai/x failed ({type(error).__name__}); {answers} answers"


async def test_a_model_that_answers_leaves_the_reason_as_it_was() -> None:
    decision = Decision(reason="the default model")
    resolve = catalog(x=Fallbacks(error=(Y,))).resolve
    await answer_with_fallbacks(decision, Answers(x="yes"), X, resolve)
    assert decision.reason == "the default model"


async def test_circles_and_repeats_end() -> None:
    resolve = catalog(
        x=Fallbacks(error=(X, Y, Y)), y=Fallbacks(error=(X, Z)), z=Fallbacks(error=("best", Y, Z))
    ).resolve
    ask = Answers(x=ServerFailedError("first"), y=ServerFailedError("second"), z=ServerFailedError("third"), best="no")
    with pytest.raises(ServerFailedError, match="first"):
        await answer_with_fallbacks(Decision(), ask, X, resolve)
    assert ask.asked == [X, Y, Z]


async def test_a_fallback_has_fallbacks_of_its_own() -> None:
    resolve = catalog(x=Fallbacks(context_window=(Y,)), y=Fallbacks(error=(Z,))).resolve
    ask = Answers(x=ContextTooLongError("long"), y=ServerFailedError("500"), z="yes")
    assert (await answer_with_fallbacks(Decision(), ask, X, resolve)).model == Z


async def test_who_must_not_wait_is_told_when_the_first_of_all_is_probed() -> None:
    resolve = catalog(x=Fallbacks(error=(Y,))).resolve
    ask = Answers(x=away(9), y=away(2))
    with pytest.raises(ModelUnavailableError) as caught:
        await answer_with_fallbacks(Decision(), ask, X, resolve, wait=False)
    assert caught.value.retry_after_s == 2
    assert ask.log == [(X, False), (Y, False)]


async def test_a_model_without_fallbacks_is_simply_asked() -> None:
    ask = Answers(x="yes")
    await answer_with_fallbacks(Decision(), ask, X, catalog().resolve)
    assert ask.log == [(X, True)]


@pytest.mark.parametrize(
    "text",
    [
        "fallback(openai/x, anthropic/y)",
        "fallback('openai/x','anthropic/y')",
        '  fallback ( "openai/x" ,anthropic/y, ) ',
    ],
)
def test_it_can_be_written_as_text(text: str) -> None:
    found = STRATEGIES.find(text)
    assert found.__name__ == "fallback(openai/x, anthropic/y)"
    assert models_of(found) == (X, Y)
    assert STRATEGIES.find(text) is found


@pytest.mark.parametrize(
    "model", ["fast", "ollama/llama3.2:3b", "openrouter/meta-llama/llama-3.1-70b-instruct:free", "azure/gpt-4o_2@eu"]
)
def test_model_names_of_all_kinds_can_be_written(model: str) -> None:
    assert models_of(STRATEGIES.find(f"fallback({model}, strong)")) == (model, "strong")


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("fallback(fast, accept=good)", "accept= cannot be written", "strategy=fallback(..., accept=...)"),
        ("fallback(fast, (strong))", "'(strong)' is no model name", "Write fallback("),
        ("fallback('fast, strong)", "is no model name", "Write fallback("),
        ("fallback(fast strong)", "'fast strong' is no model name", "Write fallback("),
        ("fallback(__import__('os'))", "is no model name", "Write fallback("),
        ("fallback()", "names no models", "Write fallback("),
    ],
)
def test_what_stands_in_the_brackets_must_be_models(text: str, says: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        STRATEGIES.find(text)
    assert says in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "named"),
    [("falback(a, b)", "'falback'"), ("fallback", "'fallback'"), ("fixed(a)", "'fixed(a)'")],
)
def test_a_strategy_that_is_none_is_refused_and_the_nearest_named(text: str, named: str) -> None:
    with pytest.raises(UnknownStrategyError, match=r"There is no strategy") as caught:
        STRATEGIES.find(text)
    assert named in str(caught.value)
    assert "fallback(...)" in caught.value.hint


def test_one_that_was_torn_apart_for_want_of_quotes_is_told_so() -> None:
    with pytest.raises(UnknownStrategyError) as caught:
        STRATEGIES.find("fallback(fast,")
    assert '"fallback(fast, strong)"' in caught.value.hint


def test_a_run_refuses_a_fallback_to_a_model_that_is_none_before_anything_is_asked(tmp_path: Path) -> None:
    provider = FakeProvider(lambda request: "yes")
    workspace = fake_workspace(tmp_path, provider)
    of_run = Flow.from_source("reply = llm(word)", name="asks", workspace=workspace)
    of_step = Flow.from_source(
        'reply = llm(word, strategy="fallback(fast, sim/huge)")', name="asks", workspace=workspace
    )
    with pytest.raises(UnknownModelError, match="sim/huge"):
        of_run.map([{"word": "hello"}], strategy="fallback(fast, sim/huge)")
    with pytest.raises(UnknownModelError, match="sim/huge"):
        of_step.map([{"word": "hello"}])
    assert provider.requests == []


def test_a_run_refuses_a_fallback_of_the_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "orchestrate.toml").write_text('[models."sim/small"]\nfallback = ["sim/huge"]\n')
    flow = Flow.from_source('reply = llm(word, model="fast")', name="asks", workspace=Workspace(tmp_path))
    with pytest.raises(UnknownModelError, match="sim/huge"):
        flow.run(word="hello")


def test_the_text_of_a_fallback_is_the_strategy_in_the_ledger(tmp_path: Path) -> None:
    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: "yes"))
    flow = Flow.from_source("reply = llm(word)", name="asks", workspace=workspace)
    flow.map([{"word": "hello"}], strategy="fallback( 'fast', strong )")
    rows = workspace.ledger.sql("select strategy, candidates, reason from requests")
    assert rows["strategy"].tolist() == ["fallback(fast, strong)"]
    assert list(rows["candidates"].iloc[0]) == ["fast", "strong"]
    assert rows["reason"].tolist() == ["fast answers"]
