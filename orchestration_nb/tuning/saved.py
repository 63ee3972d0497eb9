"""Learned strategies on disk: ``.orchestrate/strategies/<name>/`` holds ``strategy.json`` and an NPZ.

JSON says what it is, what it was fitted on and what was measured; the arrays are numbers only (no pickle), and words
stand in them as hashes. The JSON names the arrays by their digest and is replaced last, so that a reader finds the old
strategy or the new one and never half of each.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from orchestration_nb.errors import WorkspaceError
from orchestration_nb.state.folder import private_folder
from orchestration_nb.tuning.features import Features
from orchestration_nb.tuning.learned import FORMAT_VERSION, LearnedRouter
from orchestration_nb.tuning.regression import Heads, Platt
from orchestration_nb.tuning.shelf import JSON, Shelf, damaged, folder_of, missing
from orchestration_nb.tuning.thresholds import Realised, Threshold

_WITHOUT_SLICES: Final = 1
"""The format before slices, which can still be read."""
_FEATURES: Final = ("buckets", "rarity", "mean", "deviation", "root")


def save(router: LearnedRouter, workspace: Path, name: str) -> Path:
    """Writes a learned strategy; one of the same name is replaced.

    Args:
        router: What was learned.
        workspace: The folder that holds ``orchestrate.toml``, or would.
        name: A Python name, by which it can be loaded.

    Returns:
        The strategy's folder.

    Raises:
        UsageError: If the name is none.
    """
    folder = folder_of(workspace, name)
    private_folder(workspace)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    arrays = {each: getattr(router.features, each) for each in _FEATURES}
    packed = io.BytesIO()
    np.savez_compressed(
        packed,
        **arrays,
        weights=router.heads.weights,
        levels=router.heads.levels,
        slopes=router.calibration.slopes,
        shifts=router.calibration.shifts,
        threshold=np.float64(router.threshold.value),
    )
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    _replace(folder / _arrays(digest), packed.getvalue())
    told = json.dumps({**_described(router), "digest": digest}, indent=1, allow_nan=False)
    _replace(folder / JSON, f"{told}\n".encode())
    for old in folder.glob("weights-*.npz"):
        if old.name != _arrays(digest):
            old.unlink(missing_ok=True)
    return folder


def load(workspace: Path, name: str) -> LearnedRouter:
    """Reads a learned strategy back.

    Args:
        workspace: The folder that holds ``orchestrate.toml``, or would.
        name: As it was saved.

    Raises:
        UsageError: If there is none of that name.
        WorkspaceError: If its files are damaged, or of another version of the package.
    """
    folder = folder_of(workspace, name)
    if not (folder / JSON).is_file():
        raise missing(name, Shelf(workspace).names())
    try:
        told = json.loads((folder / JSON).read_text("utf-8"))
        packed = (folder / _arrays(told["digest"])).read_bytes()
        with np.load(io.BytesIO(packed), allow_pickle=False) as file:
            arrays = {each: file[each] for each in file.files}
        return _read(told, arrays, hashlib.sha256(packed).hexdigest())
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise damaged(name, error) from error


def _described(router: LearnedRouter) -> dict[str, Any]:
    threshold, expected = router.threshold, router.threshold.expected
    return {
        "version": FORMAT_VERSION,
        "kind": "cascade" if router.reads_replies else "router",
        "cheap": list(router.cheap),
        "strong": router.strong,
        "groups": list(router.features.groups),
        "threshold": {
            "value": _number(threshold.value),
            "target": threshold.target,
            "level": threshold.level,
            "expected": {each: _number(getattr(expected, each)) for each in Realised.__dataclass_fields__},
        },
        "fingerprint": router.fingerprint,
        "figures": {key: _number(value) for key, value in router.figures.items()},
        "slice_column": router.slice_column,
        "slices": dict(router.slices),
    }


def _read(told: Mapping[str, Any], arrays: Mapping[str, Any], digest: str) -> LearnedRouter:
    if told["version"] not in {_WITHOUT_SLICES, FORMAT_VERSION}:
        raise WorkspaceError(
            f"The learned strategy was saved in format {told['version']!r}; this version reads {FORMAT_VERSION}.",
            hint="Update the package, or fit the strategy again.",
        )
    if told["digest"] != digest:
        raise ValueError("the arrays are not those that were saved")
    threshold = told["threshold"]
    value = float(arrays["threshold"])
    expected = Realised(**{key: _float(each) for key, each in threshold["expected"].items()})
    router = LearnedRouter(
        cheap=tuple(told["cheap"]),
        strong=told["strong"],
        reads_replies=told["kind"] == "cascade",
        features=Features(groups=tuple(told["groups"]), **{each: arrays[each] for each in _FEATURES}),
        heads=Heads(weights=arrays["weights"], levels=arrays["levels"]),
        calibration=Platt(slopes=arrays["slopes"], shifts=arrays["shifts"]),
        threshold=Threshold(value=value, target=threshold["target"], level=threshold["level"], expected=expected),
        fingerprint=told["fingerprint"],
        figures={key: _float(each) for key, each in told["figures"].items()},
        slice_column=told.get("slice_column"),
        slices={str(name): float(share) for name, share in told.get("slices", {}).items()},
    )
    if router.heads.weights.shape != (len(router.models), router.features.width):
        raise ValueError("the weights do not fit the features")
    return router


def _arrays(digest: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError("not a digest")
    return f"weights-{digest[:16]}.npz"


def _replace(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(temporary).replace(path)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _float(value: float | None) -> float:
    return float("nan") if value is None else float(value)
