"""Strategies as text on a magic and in ``orchestrate.toml``, and what the ledger tells of them afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestration_nb import Flow, Workspace
from orchestration_nb.config import trust
from orchestration_nb.errors import ConfigError, NotAuthorisedError, UnknownModelError, UsageError
from orchestration_nb.notebook.reasons import reasons
from orchestration_nb.routing import Strategies, models_of, single
from orchestration_nb.routing.registry import STRATEGIES
from orchestration_nb.testing import FakeProvider, fake_workspace

BUILT_IN = [
    ("fixed", "medium"),
    ("single(fast)", "the one model"),
    ("weighted(fast=0.8, strong=0.2)", "was drawn"),
    ("weighted(fake/small=1, 'fake/large'=3)", "was drawn"),
    ("round_robin(fast, strong)", "turn of"),
    ("least_busy(fast, strong)", "in flight"),
    ("lowest_latency(fast, strong)", "not measured yet"),
    ("lowest_cost(fast, strong)", "costs about"),
    ("usage_based(fast, strong)", "tokens in the last minute"),
    ("fallback(fast, strong)", "fast answers"),
    ("complexity", "SIMPLE"),
    ("complexity(fast, fast, strong, strong)", "SIMPLE"),
    ("complexity(simple=strong)", "SIMPLE"),
    ("cascade", "fast and medium agree"),
    ("cascade(fast, strong)", "fast answers"),
    ("agreement(fast, fake/large, strong)", None),
    ("majority_vote(fast, n=5)", "3 of 3 samples"),
    ("majority_vote(fast, 3)", "2 of 2 samples"),
    ("hedged(fast, after_ms=800)", "answered within 800 ms"),
    ("hedged(fast, strong, after_ms=p95)", "nothing was measured"),
    ("shadow(fast, strong)", "asked afterwards"),
    ("bandit(fast, strong)", ""),
    ("epsilon_greedy(fast, strong, epsilon=0.2)", ""),
]


@pytest.mark.parametrize(("text", "why"), BUILT_IN)
def test_each_can_be_written_as_text_and_says_why_in_the_ledger(tmp_path: Path, text: str, why: str | None) -> None:
    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: "Answer: 4"))
    flow = Flow.from_source("reply = llm(word)", name="asks", workspace=workspace)
    if why is None:
        with pytest.raises(UsageError):
            flow.map([{"word": "hello"}], strategy=text.replace("fake/large", "fast"))
        return
    run = flow.map([{"word": "hello"}], strategy=text)
    assert run.status == "done", run.error
    assert run.results["reply"].tolist() == ["Answer: 4"]
    told = reasons(workspace.ledger, f"{run.id}:0")[0]
    assert why in told or text == "fixed"
    assert "was taken" in told
    assert f"The strategy {workspace.strategies.find(text).__name__} " in told


@pytest.mark.parametrize(("text", "_why"), [each for each in BUILT_IN if "(" in each[0] and each[1] is not None])
def test_a_misspelt_model_is_refused_before_anything_is_asked(tmp_path: Path, text: str, _why: str) -> None:
    provider = FakeProvider(lambda request: "yes")
    flow = Flow.from_source("reply = llm(word)", name="asks", workspace=fake_workspace(tmp_path, provider))
    wrong = text.replace("fast", "sim/huge").replace("fake/small", "sim/huge").replace("simple=strong", "sim/huge")
    with pytest.raises(UnknownModelError, match="sim/huge"):
        flow.map([{"word": "hello"}], strategy=wrong)
    assert provider.requests == []


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("hedged(fast, afterms=800)", "unexpected keyword argument 'afterms'", "hedged(model, other=None, after_ms="),
        ("majority_vote()", "missing a required argument: 'model'", "majority_vote(model, n=5)"),
        ("majority_vote(fast, n=many)", "n='many' is no whole number", "majority_vote("),
        ("majority_vote(fast, n=3, n=5)", "n= stands twice", "Leave one"),
        ("weighted(fast=0.8, strong=x)", "'x' is no weight of strong", "weighted("),
        ("weighted(fast, strong)", "too many positional arguments", "weighted("),
        ("best_of_n(fast, judge=good)", "judge= cannot be written", "strategy=best_of_n(..., judge=...)"),
        ("best_of_n(fast)", "needs a judge", "strategy=best_of_n("),
        ("cascade(fast, strong, accept=good)", "accept= cannot be written", "strategy=cascade(..., accept=...)"),
        ("majority_vote(fast, n=__import__('os'))", "is no model name", "Write majority_vote("),
        ("hedged(fast, after_ms=1e999)", "is no time", "after_ms"),
    ],
)
def test_what_is_written_wrongly_is_told_with_how_it_is_written(text: str, says: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        STRATEGIES.find(text)
    assert says in str(caught.value)
    assert hint in caught.value.hint


def test_the_listing_says_how_each_is_written_and_what_it_does() -> None:
    rows = dict(STRATEGIES.listing())
    assert "a second call" in rows["hedged(model, other=None, after_ms='p95')"].lower()
    assert "bandit(*models, method='linucb', cost_weight=0.01, floor=0.02, save_as=None)" in rows
    assert rows["fixed"]
    assert all(about.endswith(".") for about in rows.values()), rows


def toml(folder: Path, text: str) -> Path:
    (folder / "orchestrate.toml").write_text(text)
    return folder


def test_a_file_names_a_strategy_of_its_own(tmp_path: Path) -> None:
    toml(
        tmp_path,
        """
        [strategies.careful]
        use = "cascade"
        models = ["fast", "strong"]
        [strategies.split]
        use = "weighted"
        shares = {"fake/small" = 1, strong = 3}
        [strategies.vote]
        use = "majority_vote"
        models = ["fast"]
        n = 3
        """,
    )
    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: "4"))
    flow = Flow.from_source('a = llm(word)\nb = llm(word + "!", strategy="vote")', name="asks", workspace=workspace)
    run = flow.map([{"word": "hello"}], strategy="careful")
    assert run.results["a"].tolist() == ["4"]
    rows = workspace.ledger.sql("select strategy, reason from requests order by step")
    assert rows["strategy"].tolist() == ["careful", "vote"]
    assert rows["reason"].tolist()[0] == "fast answers"
    assert models_of(workspace.strategies.find("split")) == ("fake/small", "strong")
    assert {"careful", "split", "vote"} <= set(workspace.strategies)
    assert "careful" not in set(STRATEGIES)
    assert ("careful", "cascade(fast, strong), as orchestrate.toml defines it.") in workspace.strategies.listing()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '[strategies.careful]\nuse = "cascad"\nmodels = ["fast"]',
            "strategies.careful: There is no strategy 'cascad'",
        ),
        ('[strategies.careful]\nuse = "cascade"\nmodels = ["fast"]', "strategies.careful: cascade('fast') does not"),
        ('[strategies.careful]\nuse = "majority_vote"\nmodels = ["fast"]\nm = 3', "unexpected keyword argument 'm'"),
        ('[strategies.careful]\nuse = "majority_vote"\nmodels = ["fast"]\nn = [3]', "n is neither a number nor a text"),
        ('[strategies.cascade]\nuse = "single"\nmodels = ["fast"]', "is the name of a built-in strategy"),
        ('[strategies.careful]\nmodels = ["fast"]', "strategies.careful.use: Field required"),
        (
            '[strategies.careful]\nuse = "cascade"\nmodels = ["fast", "strong"]\naccept = "os:getcwd"',
            "would import code, and this file is not trusted",
        ),
    ],
)
def test_a_file_that_is_wrong_says_where(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Workspace(toml(tmp_path, text), environ={})
    assert says in str(caught.value)


def test_a_trusted_file_may_name_a_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.syspath_prepend(str(home))
    (home / "checks_of_a_test.py").write_text("def good(reply):\n    return reply.text == '5'\nlimit = 3\n")
    file = '[strategies.careful]\nuse = "cascade"\nmodels = ["fast", "strong"]\naccept = "checks_of_a_test:good"\n'
    trust(toml(tmp_path, file))
    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: "4"))
    flow = Flow.from_source("a = llm(word)", name="asks", workspace=workspace)
    flow.map([{"word": "hello"}], strategy="careful")
    assert workspace.ledger.sql("select reason from requests")["reason"].tolist() == [
        "the reply of fast is not accepted; strong answers"
    ]
    for wrong in ("checks_of_a_test:bad", "no_such_module:good", "checks_of_a_test:limit"):
        trust(toml(tmp_path, file.replace("checks_of_a_test:good", wrong)))
        with pytest.raises(ConfigError, match=r"strategies\.careful"):
            Workspace(tmp_path, environ={})
    shutil.rmtree(home)


def test_what_a_cell_defines_comes_before_what_the_file_does() -> None:
    process = Strategies()
    here = Strategies(process)
    here.add(single("fast"), name="careful")
    assert models_of(here.find("careful")) == ("fast",)
    process.add(single("strong"), name="careful")
    assert models_of(here.find("careful")) == ("strong",)
    assert list(here) == ["careful"]


def test_why_tells_chance_failures_and_costs(tmp_path: Path) -> None:
    def respond(request: Any) -> str:
        if request.prompt == "bad" and len(provider.requests) % 2:
            raise NotAuthorisedError("no \x1b[2Jkey")
        return "4"

    provider = FakeProvider(respond)
    workspace = fake_workspace(tmp_path, provider)
    flow = Flow.from_source("reply = llm(word)", name="asks", workspace=workspace)
    run = flow.map([{"word": "bad"}], strategy="fallback(fast, strong)")
    [told] = reasons(workspace.ledger, "last:0")
    request_id = workspace.ledger.sql("select request_id from requests")["request_id"].iloc[0]
    assert told.startswith(f"Request {request_id} (step reply of asks, item 0). ")
    assert "The strategy fallback(fast, strong) chose among fast and strong: fast failed (NotAuthorisedError)" in told
    assert "fake/small failed after" in told
    assert "fake/large answered after" in told
    assert "The reply of fake/large was taken in place of fake/small" in told
    for name in (request_id, request_id[-8:], "last", f"{run.id[-8:]}:0"):
        assert reasons(workspace.ledger, name) == [told]
    flow.map([{"word": "good"}], strategy="weighted(fast=1, strong=1)")
    [told] = reasons(workspace.ledger, "last")
    assert "by lot with a chance of 0.5 for what was drawn" in told
    assert reasons(workspace.ledger, "last", last=str(run.id))[0].startswith(f"Request {request_id}")
    flow.map([{"word": "new"}], strategy="lowest_latency(fast, strong)")
    assert "It read: fake/small had 0 in flight" in reasons(workspace.ledger, "last")[0]


@pytest.mark.parametrize("name", ["", "nothing", "last:7", "last:x", "0"])
def test_why_of_nothing_says_what_to_write(tmp_path: Path, name: str) -> None:
    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: "4"))
    flow = Flow.from_source("reply = llm(word)", name="asks", workspace=workspace)
    flow.map([{"word": str(number)} for number in range(5)])
    with pytest.raises(UsageError) as caught:
        reasons(workspace.ledger, name)
    assert caught.value.hint
