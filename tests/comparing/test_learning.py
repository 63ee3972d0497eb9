"""A strategy learned from a comparison: what it needs, what it says, and how it is named afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.calls import RawReply, Request, Timeouts, Usage
from orchestration_nb.catalog import Model
from orchestration_nb.comparing.compare import compare
from orchestration_nb.comparing.learning import learn_strategy
from orchestration_nb.comparing.standing import standing_of
from orchestration_nb.errors import UnknownStrategyError, UsageError, WorkspaceError
from orchestration_nb.flows import Flow
from orchestration_nb.notebook.compare_words import caption
from orchestration_nb.testing import FakeProvider, fake_workspace
from orchestration_nb.tuning.features import Seen
from orchestration_nb.tuning.saved import load
from orchestration_nb.tuning.shelf import folder_of
from orchestration_nb.workspace import Workspace

ITEMS = pd.DataFrame(
    {
        "task": [f"{'Prove' if n % 2 else 'Add'} item {n}, please." for n in range(160)],
        "gold": ["right"] * 160,
        "kind": ["proof", "sum"] * 80,
    }
)


class SmallCannotProve(FakeProvider):
    """The large model is always right, at ten times the price; the small one is where nothing is to be proved."""

    def __init__(self) -> None:
        super().__init__(lambda _: "")

    async def send(self, model: Model, request: Request, *, timeouts: Timeouts) -> RawReply:
        await super().send(model, request, timeouts=timeouts)
        large = model.wire_name == "large"
        text = "right" if large or not request.prompt.startswith("Prove") else "perhaps wrong"
        return RawReply(text=text, usage=Usage(input_tokens=10, output_tokens=100 if large else 5))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return fake_workspace(tmp_path, SmallCannotProve())


def quiz(workspace: Workspace, text: str = "answer = llm(task)") -> Flow:
    return Flow.from_source(text, name="quiz", namespace={}, workspace=workspace)


def compared(workspace: Workspace, items: pd.DataFrame = ITEMS, text: str = "answer = llm(task)", **how: Any) -> str:
    options = {"strategies": ["fast", "strong"], "scorer": "answer=exact:gold", **how}
    return compare(quiz(workspace, text), over=items, **options).id


def shares(workspace: Workspace, strategy: str) -> dict[str, int]:
    """Which models answered for items that nobody has seen."""
    fresh = ITEMS.assign(task=[f"{'Prove' if n % 2 else 'Add'} item {n}, please." for n in range(500, 660)])
    calls = quiz(workspace).map(fresh, strategy=strategy).calls
    return {str(model): int(count) for model, count in calls["model"].value_counts().items()}


def test_it_is_learned_from_a_comparison_and_named_afterwards(workspace: Workspace) -> None:
    compared(workspace, slices="kind")
    learned = learn_strategy("thrifty", workspace=workspace)
    assert "thrifty asks fast first, reads the replies, and asks strong where it pays" in str(learned)
    assert "Keeps 97% of the strong model's quality at 90% confidence" in str(learned)
    assert "of the prior by slice" in str(learned)
    assert shares(workspace, "thrifty") == {"fake/small": 160, "fake/large": 80}


def test_on_the_prompt_alone_it_asks_one_model_an_item(workspace: Workspace) -> None:
    name = compared(workspace)
    learned = learn_strategy("promptly", comparison=name[-8:], reads_replies=False, workspace=workspace)
    assert "promptly reads the prompt and asks fast or strong" in str(learned)
    assert "There were no slices" in str(learned)
    assert learned.router.figures["saved"] > 0.4
    assert shares(workspace, "learned(promptly)") == {"fake/small": 80, "fake/large": 80}


def test_one_that_knows_no_more_than_the_slices_says_that_it_ties_them(workspace: Workspace) -> None:
    compared(workspace, slices="kind")
    assert "It ties the prior" in str(learn_strategy("thrifty", workspace=workspace))


def by_kind(kinds: Sequence[str | None] | None, first: int = 500) -> pd.DataFrame:
    """Items whose prompts say nothing of how hard they are."""
    count = 160 if kinds is None else len(kinds)
    table = pd.DataFrame(
        {"task": [f"Item {n}, please." for n in range(first, first + count)], "gold": ["right"] * count}
    )
    return table if kinds is None else table.assign(kind=pd.Series(kinds))


@pytest.fixture
def sliced(tmp_path: Path) -> Workspace:
    """A workspace whose learned strategy can only know an item by its slice."""
    hard = {f"Item {n}, please." for n in range(0, 2000, 2)}

    class KnowsHalf(SmallCannotProve):
        async def send(self, model: Model, request: Request, *, timeouts: Timeouts) -> RawReply:
            raw = await super().send(model, request, timeouts=timeouts)
            wrong = model.wire_name == "small" and request.prompt in hard
            return RawReply(text="wrong" if wrong else "right", usage=raw.usage)

    workspace = fake_workspace(tmp_path, KnowsHalf())
    compared(workspace, by_kind(["proof", "sum"] * 80, first=0), slices="kind")
    learn_strategy("placed", reads_replies=False, target=0.9, workspace=workspace)
    return workspace


def test_a_slice_is_known_to_a_run_by_its_column(sliced: Workspace) -> None:
    run = quiz(sliced).map(by_kind(["proof", "sum"] * 40), strategy="placed")
    assert run.calls.groupby("model").size().to_dict() == {"fake/large": 40, "fake/small": 40}
    models = sliced.ledger.sql("select item, model from requests where run_id = ? order by item", [run.id])["model"]
    assert models.tolist() == ["fake/large", "fake/small"] * 40
    saved = load(sliced.folder, "placed")
    assert (saved.slice_column, dict(saved.slices)) == ("kind", {"proof": 0.5, "sum": 0.5})


def test_a_missing_column_is_said_once_a_run_and_the_prior_of_the_slices_decides(
    sliced: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    run = quiz(sliced).map(by_kind(None), strategy="placed")
    told = [record.getMessage() for record in caplog.records if record.name.startswith("orchestration_nb.tuning")]
    said = "placed was learned by the slices of column 'kind', which these items don't have: it goes by the shares that"
    assert told == [f"{said} the slices had."]
    reason = sliced.ledger.sql("select reason from requests where run_id = ? limit 1", [run.id])["reason"][0]
    chances = load(sliced.folder, "placed").chances(
        [Seen(prompt="Item 500, please.", slice=s) for s in ("proof", "sum")]
    )
    prior = chances.mean(axis=0)
    assert f"chance of a good reply: fast {prior[0]:.2f}, strong {prior[1]:.2f}" in reason


def test_a_slice_that_was_never_seen_is_none_of_them(sliced: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    run = quiz(sliced).map(by_kind(["riddle"] * 3 + [None]), strategy="placed")
    reasons = sliced.ledger.sql("select reason from requests where run_id = ?", [run.id])["reason"]
    both = load(sliced.folder, "placed").chances([Seen(prompt="Item 501, please.", slice=s) for s in ("proof", "sum")])
    assert reasons.str.contains(f"fast {both[:, 0].mean():.2f}").all()
    assert not caplog.records


def test_learned_anew_under_the_same_name_it_is_the_new_one(workspace: Workspace) -> None:
    compared(workspace)
    learn_strategy("mine", workspace=workspace)
    assert sum(shares(workspace, "mine").values()) == 240
    learn_strategy("mine", reads_replies=False, workspace=workspace)
    assert load(workspace.folder, "mine").reads_replies is False
    fresh = quiz(workspace).map(ITEMS, strategy="mine", fresh=True).calls
    assert len(fresh) == 160


def test_it_can_be_compared_like_any_other(workspace: Workspace) -> None:
    compared(workspace)
    learn_strategy("mine", workspace=workspace)
    again = compare(quiz(workspace), over=ITEMS.head(20), strategies=["mine"], scorer="answer=exact:gold")
    assert again.names == ("mine", "fast", "strong")
    assert again.outcomes("mine").quality.mean() == 1
    assert again.setup.learned == ("mine",)
    said = "mine was learned from scored replies: on items that it was learned from, its figures flatter it."
    assert said in caption(standing_of(again), again)


def test_it_is_listed_and_missing_ones_are_told(workspace: Workspace) -> None:
    compared(workspace)
    learn_strategy("mine", workspace=workspace)
    assert ("mine", "learned from a comparison, and saved in this workspace") in workspace.strategies.listing()
    with pytest.raises(UsageError, match="No learned strategy 'yours'") as refused:
        workspace.strategies.find("learned(yours)")
    assert refused.value.hint == "There are: mine."
    with pytest.raises(UnknownStrategyError):
        workspace.strategies.find("../mine")


def test_a_damaged_one_is_told_when_it_is_named(workspace: Workspace) -> None:
    compared(workspace)
    learn_strategy("mine", workspace=workspace)
    (folder_of(workspace.folder, "mine") / "strategy.json").write_text("{")
    with pytest.raises(WorkspaceError, match="'mine' cannot be read"):
        workspace.strategies.find("mine")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"comparison": "nothing"}, "There is no comparison 'nothing' in the ledger."),
        ({"cheap": ["medium"]}, "The comparison does not show 'medium' alone."),
        ({"strong": "slow"}, "The comparison does not show 'slow' alone."),
        ({"strong": "fast"}, "needs at least one cheap model"),
        ({"target": 97}, "A target of 97"),
        ({"name": "fast"}, "fast is already the name of a strategy or model."),
        ({"name": "cascade"}, "cascade is already the name"),
        ({"name": "../there"}, "cannot name a strategy"),
    ],
)
def test_what_cannot_be_learned_is_refused_in_a_sentence(workspace: Workspace, how: dict[str, Any], said: str) -> None:
    compared(workspace)
    with pytest.raises(UsageError, match=said):
        learn_strategy(**{"name": "mine", "workspace": workspace, **how})
    assert not list(workspace.strategies.saved.names() if workspace.strategies.saved else ())


def test_too_few_labels_are_refused(workspace: Workspace) -> None:
    compared(workspace, ITEMS.head(99))
    with pytest.raises(UsageError, match="99 scored items are too few to learn from: it takes at least 100"):
        learn_strategy("mine", workspace=workspace)


def test_a_step_that_was_not_asked_the_same_of_each_model_is_refused(workspace: Workspace) -> None:
    text = "plan = llm(task)\nanswer = llm(f'{plan} {task}')"
    compared(workspace, text=text)
    with pytest.raises(UsageError, match="not asked the same of each model"):
        learn_strategy("mine", workspace=workspace)


def test_naming_one_loads_no_numpy(workspace: Workspace) -> None:
    compared(workspace)
    learn_strategy("mine", workspace=workspace)
    script = (
        "import sys; from orchestration_nb.workspace import Workspace; workspace = Workspace(sys.argv[1]); "
        "print(workspace.strategies.find('mine').models, 'numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(workspace.folder)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "('fast', 'strong') False"
