"""What a comparison says of strategies between a cheap and a strong model, against the same reckoned by hand."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestration_nb.calls import Ask, RawReply, Reply, Request, Usage
from orchestration_nb.catalog import Model, Price
from orchestration_nb.comparing.compare import compare
from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.comparing.what_if import what_if
from orchestration_nb.errors import UsageError
from orchestration_nb.evals.curves import Escalation, aiq, apgr, cpt, curve, halves, saved_at
from orchestration_nb.flows import Flow
from orchestration_nb.notebook.compare_page import page_of
from orchestration_nb.notebook.compare_screen import saved_bundles
from orchestration_nb.testing import FakeProvider, fake_workspace

ITEMS = 80
WORDS = pd.DataFrame(
    {"word": [f"w{number}" for number in range(ITEMS)], "gold": "yes", "kind": ["easy", "hard"] * (ITEMS // 2)}
)
SHARES = {"small": 0.5, "middle": 0.7, "large": 0.95}
TOKENS = {"small": 5, "middle": 20, "large": 100}


def knows(wire_name: str, word: str) -> bool:
    easy = 0.3 if int(word[1:]) % 2 == 0 else 0.0
    return random.Random(f"{wire_name} {word}").random() < SHARES[wire_name] + easy


def difficulty(word: str) -> float:
    """How hard an item looks; it knows something, and is the same in each test."""
    return random.Random(word).random() + (0.0 if knows("small", word) else 0.4)


class Three(FakeProvider):
    """Three models, each knowing more and writing more than the one before."""

    def __init__(self) -> None:
        super().__init__(lambda _: "")

    async def send(self, model: Model, request: Request, *, timeouts: Any) -> RawReply:
        await super().send(model, request, timeouts=timeouts)
        known = knows(model.wire_name, request.prompt)
        tokens = TOKENS[model.wire_name] + int(request.prompt[1:]) % 7
        return RawReply(text="yes" if known else "no", usage=Usage(input_tokens=10, output_tokens=tokens))

    def models(self) -> list[Model]:
        price = Price(input_usd_per_mtok=1.0, output_usd_per_mtok=2.0, source="made up for a test")
        return [Model(provider="fake", wire_name=size, price=price, simulated=True) for size in SHARES]


async def router(request: Request, ask: Ask) -> Reply:
    """Decides on the prompt, and says by which score."""
    score = difficulty(request.prompt)
    request.graded(score, kept="fast", strong="strong")
    return await ask("strong" if score > 0.8 else "fast")


async def silent(request: Request, ask: Ask) -> Reply:
    """Decides on the prompt, and says nothing of it."""
    return await ask("strong" if difficulty(request.prompt) > 0.8 else "fast")


async def doubting(request: Request, ask: Ask) -> Reply:
    """Reads the cheap reply; says nothing of it."""
    reply = await ask("fast")
    return reply if difficulty(request.prompt) <= 0.8 else await ask("strong")


async def either(request: Request, ask: Ask) -> Reply:
    """Asks both, and takes one or the other."""
    cheap = await ask("fast")
    if difficulty(request.prompt) <= 0.8:
        return cheap
    strong = await ask("strong")
    return cheap if int(request.prompt[1:]) % 3 else strong


async def scattered(request: Request, ask: Ask) -> Reply:
    """Takes two cheap models where it does not take the strong one."""
    return await ask(("fast", "medium", "strong")[int(request.prompt[1:]) % 3])


STRATEGIES: list[Any] = [
    router,
    silent,
    doubting,
    either,
    scattered,
    "agreement(fast, medium, strong)",
    "majority_vote(fast, n=3)",
]


def flow_in(folder: Path, text: str = "reply = llm(word)") -> Flow:
    workspace = fake_workspace(folder, Three())
    workspace.catalog.aliases.update({"medium": "fake/middle"})
    return Flow.from_source(text, name="quiz", workspace=workspace)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    flow = flow_in(tmp_path_factory.mktemp("between"))
    how: dict[str, Any] = {"scorer": "reply=exact:gold", "models": ["fast", "medium", "strong"], "slices": "kind"}
    return compare(flow, over=WORDS, strategies=STRATEGIES, **how)


@pytest.fixture(scope="module")
def told(compared: Comparison) -> pd.DataFrame:
    return compared.escalations.set_index("strategy")


def alone(compared: Comparison, name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    outcomes = compared.outcomes(name)
    return outcomes.quality, outcomes.cost_usd


def by_hand(compared: Comparison, scores: np.ndarray[Any, Any], *, read_first: bool) -> dict[str, float]:
    (small, small_usd), (strong, strong_usd) = alone(compared, "fast"), alone(compared, "strong")
    ways = Escalation(
        quality_kept=small,
        quality_escalated=strong,
        cost_kept=small_usd,
        cost_escalated=strong_usd + (small_usd if read_first else 0),
        scores=scores,
    )
    drawn, ends = curve(ways), (float(small_usd.mean()), float(strong_usd.mean()))
    costs = np.concatenate([drawn.cost_usd, ends])
    heights = np.concatenate([drawn.quality, [small.mean(), strong.mean()]])
    figures: dict[str, Any] = {
        "apgr": apgr(small, strong, scores),
        "cpt50": cpt(small, strong, scores, 0.5),
        "cpt80": cpt(small, strong, scores, 0.8),
        "aiq": aiq(costs, heights, between=ends),
    }
    for target in (0.95, 0.99, 1.0):
        saving = saved_at(target, ways, strong_usd, first_half=halves(ITEMS, 0))
        figures |= {f"saved_at_{100 * target:.0f}": saving.saved, f"kept_at_{100 * target:.0f}": saving.kept}
    return figures


def hardness() -> np.ndarray[Any, Any]:
    return np.array([difficulty(word) for word in WORDS["word"]])


def test_a_strategy_that_says_its_score_has_the_whole_curve(compared: Comparison, told: pd.DataFrame) -> None:
    row = told.loc["router"]
    assert (row["kept"], row["strong"], row["by"], row["note"]) == ("fast", "strong", "score", "")
    expected = by_hand(compared, hardness(), read_first=False)
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert row["escalated"] == (hardness() > 0.8).mean()
    assert 0.5 < row["apgr"] < 1


def test_one_that_says_nothing_is_known_by_what_it_escalated(compared: Comparison, told: pd.DataFrame) -> None:
    went = (hardness() > 0.8).astype(float)
    for name, read_first in (("silent", False), ("doubting", True)):
        row, expected = told.loc[name], by_hand(compared, went, read_first=read_first)
        assert {figure: row[figure] for figure in expected} == pytest.approx(expected)
        assert row["by"] == "escalations"
    assert told.loc["doubting"]["aiq"] < told.loc["silent"]["aiq"], "the cheap calls are paid as well"


def test_agreement_pays_both_cheap_models_either_way(compared: Comparison, told: pd.DataFrame) -> None:
    (small, small_usd), (strong, strong_usd) = alone(compared, "fast"), alone(compared, "strong")
    middle_usd = alone(compared, "medium")[1]
    words = list(WORDS["word"])
    apart = np.array([float(knows("small", word) != knows("middle", word)) for word in words])
    ways = Escalation(
        quality_kept=small,
        quality_escalated=strong,
        cost_kept=small_usd + middle_usd,
        cost_escalated=small_usd + middle_usd + strong_usd,
        scores=apart,
    )
    row = told.loc["agreement(fast, medium, strong)"]
    assert row["escalated"] == apart.mean()
    assert row["apgr"] == pytest.approx(apgr(small, strong, apart))
    saving = saved_at(0.95, ways, strong_usd, first_half=halves(ITEMS, 0))
    assert (row["saved_at_95"], row["kept_at_95"]) == pytest.approx((saving.saved, saving.kept))


def test_what_is_not_known_is_said_and_not_made_up(told: pd.DataFrame) -> None:
    figures = ["aiq", "apgr", "cpt50", "cpt80", "saved_at_95", "saved_at_99", "saved_at_100"]
    for name, why in {
        "either": "it does not always take the reply of strong where it asks it",
        "scattered": "where it does not ask strong, it takes replies of more than one model",
        "majority_vote(fast, n=3)": "it asks one model only",
    }.items():
        row = next(told.loc[each] for each in told.index if each.startswith(name[:10]))
        assert row["note"] == why
        assert row[figures].isna().all()


def test_the_prior_of_the_slices_stands_beside_them(told: pd.DataFrame) -> None:
    row = told.loc["slice prior"]
    assert (row["kept"], row["strong"], row["by"]) == ("fast", "strong", "slice")
    assert row["apgr"] > 0.5, "the slices are not equally hard"


def test_a_model_that_is_not_compared_alone_is_named(tmp_path: Path) -> None:
    flow = flow_in(tmp_path)
    found = compare(flow, over=WORDS.head(30), strategies=[router], scorer="reply=exact:gold", models=["fast"])
    assert found.escalations["note"].tolist() == ["strong is not compared alone (--models strong)"]


def test_several_questions_an_item_have_no_curve(tmp_path: Path) -> None:
    flow = flow_in(tmp_path, "first = llm(word)\nreply = llm(word, system=first)")
    found = compare(flow, over=WORDS.head(30), strategies=[router], scorer="reply=exact:gold")
    assert found.escalations["note"].tolist() == ["it asks more than one question of an item"]


def test_few_items_choose_no_threshold(tmp_path: Path) -> None:
    found = compare(flow_in(tmp_path), over=WORDS.head(12), strategies=[router], scorer="reply=exact:gold")
    row = found.escalations.iloc[0]
    assert row["note"] == "thresholds need 10 items in each half"
    assert np.isnan(row["saved_at_95"])
    assert row["apgr"] > 0


def test_a_strong_model_that_is_no_better_leaves_no_gap(tmp_path: Path) -> None:
    table = WORDS.assign(gold="no")
    found = compare(flow_in(tmp_path), over=table, strategies=[router], scorer="reply=exact:gold")
    row = found.escalations.iloc[0]
    assert row["note"] == "on these items strong is not better than what is kept without it"
    assert np.isnan(row["apgr"])
    assert row["saved_at_100"] > 0.5, "nothing need be escalated"


def test_recorded_replies_give_the_same_figures(compared: Comparison, told: pd.DataFrame) -> None:
    flow = Flow.from_source("reply = llm(word)", name="quiz", workspace=compared._running.workspace)
    how: dict[str, Any] = {"scorer": "reply=exact:gold", "models": ["fast", "medium", "strong"]}
    again = what_if(flow, over=WORDS, strategies=[router], **how).comparison.escalations.set_index("strategy")
    assert again.loc["router"]["apgr"] == told.loc["router"]["apgr"]
    assert again.loc["router"]["saved_at_95"] == pytest.approx(told.loc["router"]["saved_at_95"])


def test_every_face_shows_them(compared: Comparison, told: pd.DataFrame) -> None:
    area = f"{told.loc['router']['apgr']:.3f}"
    saved = f"{100 * told.loc['router']['saved_at_95']:.0f} % (kept {100 * told.loc['router']['kept_at_95']:.1f} %"
    bundle = saved_bundles(compared)[0]
    for face in (bundle["text/html"], bundle["text/plain"], page_of(compared)):
        assert "Between a cheap and a strong model" in face
        assert area in face
        assert saved in face
        assert "it takes replies of more than one model" in face


def test_it_is_written_as_a_file_from_python(compared: Comparison, tmp_path: Path) -> None:
    path = compared.to_html(tmp_path / "quiz.html")
    assert path == tmp_path / "quiz.html"
    assert "quiz: strategies compared" in path.read_text("utf-8")
    with pytest.raises(UsageError, match="cannot be written"):
        compared.to_html(tmp_path / "nowhere" / "quiz.html")
