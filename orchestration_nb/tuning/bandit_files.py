"""What a bandit has learned, on disk: ``bandit.json`` says what it is, ``bandit-<digest>.npz`` holds the numbers.

The JSON names the numbers by their digest and is replaced last, so that a reader finds the old state or the new one
and never half of each. Two processes that save to one folder do not add up: the last one stays.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestration_nb.errors import WorkspaceError
from orchestration_nb.tuning.context import CONTEXT_VERSION
from orchestration_nb.tuning.estimates import Array, Regression
from orchestration_nb.tuning.learner import Learner

VERSION = 1
"""Of the two files."""

_JSON = "bandit.json"
_ARRAYS = ("covariance", "weights", "residuals")


class _Saved(BaseModel):
    """The text of ``bandit.json``."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    format: Literal["orchestration_nb bandit"] = "orchestration_nb bandit"
    version: int = VERSION
    context_version: int = CONTEXT_VERSION
    method: Literal["linucb", "thompson", "epsilon_greedy"]
    models: Annotated[list[str], Field(min_length=2)]
    cost_weight: Annotated[float, Field(ge=0)]
    floor: Annotated[float, Field(ge=0, le=1)]
    scores: list[int]
    full_names: dict[str, str]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def write_learner(learner: Learner, folder: Path) -> None:
    """Saves a learner; what was there before is replaced in one go."""
    with learner.lock:
        arrays = {name: value.copy() for name, value in _arrays_of(learner).items()}
        said = {"scores": list(learner.scores), "full_names": dict(learner.full_names)}
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    data = packed.getvalue()
    saved = _Saved(
        method=learner.method,
        models=list(learner.models),
        cost_weight=learner.cost_weight,
        floor=learner.floor,
        digest=hashlib.sha256(data).hexdigest(),
        **said,
    )
    folder.mkdir(parents=True, exist_ok=True)
    numbers = folder / _numbers(saved)
    _replace(numbers, data)
    _replace(folder / _JSON, saved.model_dump_json(indent=1).encode())
    for old in folder.glob("bandit-*.npz"):
        if old != numbers:
            old.unlink(missing_ok=True)


def read_learner(folder: Path) -> Learner:
    """The learner that was saved.

    Raises:
        WorkspaceError: If nothing was saved there, what is there is damaged, or a newer version wrote it.
    """
    try:
        saved = _Saved.model_validate_json((folder / _JSON).read_bytes())
        _refuse_other_versions(saved, folder)
        data = (folder / _numbers(saved)).read_bytes()
    except FileNotFoundError as error:
        raise WorkspaceError(
            f"No bandit was saved in {folder}.", hint="Save one with strategy.save(folder)."
        ) from error
    except ValidationError as error:
        raise _damaged(folder) from error
    if hashlib.sha256(data).hexdigest() != saved.digest or len(saved.scores) != len(saved.models):
        raise _damaged(folder)
    learner = Learner(saved.models, saved.method, saved.cost_weight, saved.floor)
    learner.scores = list(saved.scores)
    learner.full_names = dict(saved.full_names)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            for name, held in _arrays_of(learner).items():
                _fill(held, arrays[name])
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise _damaged(folder) from error
    return learner


def _arrays_of(learner: Learner) -> dict[str, Array]:
    """The learner's own arrays, by the names that they have in the file."""
    parts: dict[str, Regression] = {"quality": learner.quality, "log_cost": learner.log_cost}
    return {f"{part}_{name}": getattr(held, name) for part, held in parts.items() for name in _ARRAYS}


def _fill(held: Array, read: Array) -> None:
    if read.shape != held.shape or read.dtype != held.dtype or not np.isfinite(read).all():
        raise ValueError("numbers that are not of this bandit")
    held[...] = read


def _numbers(saved: _Saved) -> str:
    return f"bandit-{saved.digest[:16]}.npz"


def _refuse_other_versions(saved: _Saved, folder: Path) -> None:
    if (saved.version, saved.context_version) != (VERSION, CONTEXT_VERSION):
        raise WorkspaceError(
            f"The bandit in {folder} was written by another version of orchestration_nb"
            f" ({saved.version}.{saved.context_version}; this one reads {VERSION}.{CONTEXT_VERSION}).",
            hint="Upgrade orchestration_nb, or begin anew with bandit(...).",
        )


def _damaged(folder: Path) -> WorkspaceError:
    return WorkspaceError(
        f"What a bandit had learned cannot be read from {folder}: the files are damaged.",
        hint="Bring them back from a copy, or begin anew with bandit(...).",
    )


def _replace(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".bandit-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
