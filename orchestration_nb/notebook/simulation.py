"""``%orchestrate sim``: breaks the simulated provider on purpose, to see what a run makes of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

from orchestration_nb.errors import UsageError
from orchestration_nb.notebook.arguments import near_miss, words_of
from orchestration_nb.notebook.session import Session
from orchestration_nb.providers.sim import Faults
from orchestration_nb.providers.sim.faults import KINDS
from orchestration_nb.providers.simulated import SimProvider
from orchestration_nb.workspace import Workspace

USAGE: Final = "sim [FAULT=SHARE ...] [down=MODEL] [up=MODEL] [off]"


def simulate(_session: Session, rest: str) -> None:
    """Does what the rest of the line says, and tells how the simulated provider stands.

    Raises:
        UsageError: If a fault, a share or a model is none.
    """
    provider = Workspace.current().providers["sim"]
    assert isinstance(provider, SimProvider)
    faults, up, down = provider.faults, set[str](), set[str]()
    for word in words_of(rest):  # looked through as a whole before anything is changed
        name, _, value = word.partition("=")
        if word == "off":
            faults, up, down = Faults(), set(provider.down), set()
        elif name in {"up", "down"} and value:
            (up if name == "up" else down).add(_model(provider, value))
        elif name in KINDS:
            shares: dict[str, Any] = {name: _share(name, value)}
            faults = replace(faults, **shares)
        else:
            listing = f"Faults are: {', '.join(KINDS)}; or down=MODEL, up=MODEL, off."
            raise UsageError(f"{word!r} breaks nothing.", hint=near_miss(name, [*KINDS, "down", "up", "off"], listing))
    provider.fail(faults)
    for model in up:
        provider.recover(model)
    for model in down:
        provider.break_down(model)
    print(_told(provider))  # noqa: T201


def _model(provider: SimProvider, name: str) -> str:
    """The full name of a simulated model; an alias will do."""
    known = [model.name for model in provider.models()]
    full = Workspace.current().catalog.aliases.get(name, name)
    full = full if "/" in full else f"{provider.name}/{full}"
    if full not in known:
        raise UsageError(f"There is no simulated model {name!r}.", hint=f"There are: {', '.join(known)}.")
    return full


def _share(name: str, value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise UsageError(f"{name}={value} is no share of the attempts.", hint=f"%orchestrate sim {name}=0.2")
    return share


def _told(provider: SimProvider) -> str:
    shares = [(kind.replace("_", " "), getattr(provider.faults, kind)) for kind in KINDS]
    said = [f"{share:.0%} of the attempts meet {kind!r}" for kind, share in shares if share]
    said += [f"{model} is down" for model in provider.down]
    return f"Simulated models, until this process ends: {'; '.join(said) or 'nothing goes wrong'}."
