"""A learned strategy on disk: it comes back as it was, holds no text, and damage is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from orchestration_nb.errors import UsageError, WorkspaceError
from orchestration_nb.tuning.learned import Examples, LearnedRouter, fit
from orchestration_nb.tuning.saved import load, save
from tests.tuning.taught import HARD, made_up


@pytest.fixture(scope="module")
def cascade() -> LearnedRouter:
    return fit(made_up(300, replies=True), cheap=["small", "medium"], strong="strong", target=0.9)


def test_it_comes_back_as_it_was(cascade: LearnedRouter, tmp_path: Path) -> None:
    save(cascade, tmp_path, "mine")
    back, fresh = load(tmp_path, "mine"), made_up(50, replies=True, seed=5)
    assert (back.gains(back.seen(fresh)) == cascade.gains(cascade.seen(fresh))).all()
    assert (back.models, back.threshold, back.figures) == (cascade.models, cascade.threshold, cascade.figures)
    assert back.fingerprint == made_up(300).fingerprint() != fresh.fingerprint()


def test_it_says_what_it_is_and_what_was_measured(cascade: LearnedRouter, tmp_path: Path) -> None:
    told = json.loads((save(cascade, tmp_path, "mine") / "strategy.json").read_text())
    assert (told["version"], told["kind"], told["cheap"], told["strong"]) == (
        2,
        "cascade",
        ["small", "medium"],
        "strong",
    )
    assert told["threshold"]["target"] == 0.9
    assert told["figures"]["items"] == 300
    assert 0 < told["figures"]["saved"] < 1


def test_it_lies_in_the_private_folder_and_holds_no_text(cascade: LearnedRouter, tmp_path: Path) -> None:
    folder = save(cascade, tmp_path, "mine")
    assert folder == tmp_path / ".orchestrate" / "strategies" / "mine"
    assert (tmp_path / ".orchestrate").stat().st_mode & 0o077 == 0
    assert (tmp_path / ".orchestrate" / ".gitignore").exists()
    written = b"".join(path.read_bytes() for path in folder.iterdir())
    assert not [word for word in HARD.lower().split() if len(word) > 5 and word.encode() in written.lower()]
    with np.load(next(folder.glob("*.npz")), allow_pickle=False) as arrays:
        assert {arrays[name].dtype.kind for name in arrays.files} <= {"i", "f"}


def test_saving_again_replaces(cascade: LearnedRouter, tmp_path: Path) -> None:
    save(cascade, tmp_path, "mine")
    folder = save(cascade.at(0.99), tmp_path, "mine")
    assert load(tmp_path, "mine").threshold.target == 0.99
    assert len(list(folder.iterdir())) == 2


def test_a_strategy_that_sends_all_to_the_strong_model_comes_back(tmp_path: Path) -> None:
    made = made_up(120)
    never = {"small": np.zeros(120), "strong": made.quality["strong"]}
    examples = Examples(prompts=made.prompts, quality=never, cost_usd=made.cost_usd)
    none = fit(examples, cheap=["small"], strong="strong", target=1.0)
    save(none, tmp_path, "none")
    assert load(tmp_path, "none").threshold == none.threshold
    assert str(none.threshold).startswith("Nothing but the strong model")


def test_a_loaded_one_keeps_its_target(cascade: LearnedRouter, tmp_path: Path) -> None:
    save(cascade, tmp_path, "mine")
    with pytest.raises(UsageError, match="keeps the target"):
        load(tmp_path, "mine").at(0.99)


def test_a_name_that_is_not_there_names_those_that_are(cascade: LearnedRouter, tmp_path: Path) -> None:
    save(cascade, tmp_path, "mine")
    with pytest.raises(UsageError, match="No learned strategy 'yours'") as caught:
        load(tmp_path, "yours")
    assert caught.value.hint == "There are: mine."


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a b", ".x", "a" * 80])
def test_a_name_that_would_leave_the_folder_is_refused(cascade: LearnedRouter, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a strategy"):
        save(cascade, tmp_path, name)


@pytest.mark.parametrize("damage", ["arrays", "gone", "json", "key", "digest", "swapped"])
def test_damage_is_told_in_a_sentence(cascade: LearnedRouter, tmp_path: Path, damage: str) -> None:
    folder = save(cascade, tmp_path, "mine")
    arrays, text = next(folder.glob("*.npz")), folder / "strategy.json"
    told = json.loads(text.read_text())
    if damage == "arrays":
        arrays.write_bytes(arrays.read_bytes()[:-100])
    elif damage == "gone":
        arrays.unlink()
    elif damage == "json":
        text.write_text("{")
    elif damage == "key":
        text.write_text(json.dumps({key: each for key, each in told.items() if key != "strong"}))
    elif damage == "digest":
        text.write_text(json.dumps({**told, "digest": "../../secret"}))
    else:
        text.write_text(json.dumps({**told, "cheap": ["small"]}))
    with pytest.raises(WorkspaceError, match="'mine' cannot be read"):
        load(tmp_path, "mine")


def test_a_newer_format_is_refused(cascade: LearnedRouter, tmp_path: Path) -> None:
    text = save(cascade, tmp_path, "mine") / "strategy.json"
    text.write_text(json.dumps({**json.loads(text.read_text()), "version": 3}))
    with pytest.raises(WorkspaceError, match="format 3; this version reads 2"):
        load(tmp_path, "mine")


def test_the_format_before_slices_is_read(cascade: LearnedRouter, tmp_path: Path) -> None:
    text = save(cascade, tmp_path, "mine") / "strategy.json"
    told = {**json.loads(text.read_text()), "version": 1}
    del told["slices"], told["slice_column"]
    text.write_text(json.dumps(told))
    assert load(tmp_path, "mine").slice_column is None
