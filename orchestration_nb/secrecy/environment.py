"""The secrets of this process: those that the runner of a notebook handed to its kernel."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from orchestration_nb.secrecy.secrecy import Secrecy

NAMES_VARIABLE: Final = "ORCHESTRATE_SECRETS"
"""Names of the variables whose values are secrets, with commas between."""

_held: dict[tuple[tuple[str, str], ...], Secrecy] = {}


def secrecy_of_process(environ: Mapping[str, str] = os.environ) -> Secrecy | None:
    """What keeps the secrets of this process out of what it writes; ``None``, at no cost, where it has none.

    The environment that the process was started with counts as well: what a cell deletes stays a secret.
    """
    values = {**_secrets(_at_the_start() if environ is os.environ else {}), **_secrets(environ)}
    if not values:
        return None
    from orchestration_nb.secrecy.secrecy import SHORTEST, Secrecy  # noqa: PLC0415 - most processes have no secrets

    values = {name: value for name, value in values.items() if len(value) >= SHORTEST}
    key = tuple(sorted(values.items()))
    if key not in _held:
        _held[key] = Secrecy(values)
    return _held[key]


def _secrets(environ: Mapping[str, str]) -> dict[str, str]:
    names = environ.get(NAMES_VARIABLE, "").split(",")
    return {name: environ[name] for name in names if environ.get(name)}


def _at_the_start() -> dict[str, str]:
    try:
        held = Path("/proc/self/environ").read_bytes()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in os.fsdecode(held).split("\0"))
    return {name: value for name, equals, value in pairs if equals}
