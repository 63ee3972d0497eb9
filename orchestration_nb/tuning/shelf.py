"""The learned strategies of a workspace by name; numpy and the weights are loaded when the first question comes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from orchestration_nb.calls import Ask, Reply, Request, Strategy
from orchestration_nb.errors import UsageError, WorkspaceError
from orchestration_nb.state.folder import FOLDER_NAME

JSON: Final = "strategy.json"
_NAME: Final = re.compile(r"[A-Za-z_]\w{0,63}")
_Stamp = tuple[int, int]


class Shelf:
    """What ``.orchestrate/strategies`` holds.

    Args:
        workspace: The folder that holds ``orchestrate.toml``, or would.
    """

    about: Final = "learned from a comparison, and saved in this workspace"

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._made: dict[str, tuple[_Stamp, Strategy]] = {}

    def names(self) -> list[str]:
        """Those that are saved, in order of the alphabet."""
        return sorted(path.parent.name for path in (self._workspace / FOLDER_NAME / "strategies").glob(f"*/{JSON}"))

    def find(self, name: str) -> Strategy | None:
        """The strategy of that name as it is saved now, or ``None``; the same object until it is learned anew.

        Raises:
            WorkspaceError: If its file is damaged.
        """
        path = self._workspace / FOLDER_NAME / "strategies" / name / JSON
        if not _NAME.fullmatch(name) or not path.is_file():
            return None
        state = path.stat()
        stamp, held = (state.st_mtime_ns, state.st_ino), self._made.get(name)
        if held is None or held[0] != stamp:
            held = self._made[name] = stamp, _lazy(self._workspace, name, _models(path, name))
        return held[1]

    def learned(self, name: str) -> Strategy:
        """Asks as was learned from a comparison: ``%orchestrate learn NAME from last``.

        Raises:
            UsageError: If there is none of that name.
            WorkspaceError: If its file is damaged.
        """
        found = self.find(name) if isinstance(name, str) else None  # what is written as text may be a number
        if found is None:
            raise missing(str(name), self.names())
        return found


def _lazy(workspace: Path, name: str, models: tuple[str, ...]) -> Strategy:
    loaded: list[Strategy] = []

    async def learned(request: Request, ask: Ask) -> Reply:
        """Asks the model that the item needs, as was learned from a comparison."""
        if not loaded:
            from orchestration_nb.tuning.saved import load  # noqa: PLC0415 - loads numpy

            loaded.append(load(workspace, name).as_strategy(name))
        reply: Reply = await loaded[0](request, ask)
        return reply

    learned.__name__ = learned.__qualname__ = name
    learned.models = models  # type: ignore[attr-defined]
    learned.is_learned = True  # type: ignore[attr-defined]
    return learned


def _models(path: Path, name: str) -> tuple[str, ...]:
    try:
        told = json.loads(path.read_text("utf-8"))
        return (*map(str, told["cheap"]), str(told["strong"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(name, error) from error


def folder_of(workspace: Path, name: str) -> Path:
    """Where a learned strategy is saved.

    Raises:
        UsageError: If the name is none.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a strategy.", hint="Write letters, digits and _, such as my_router.")
    return workspace / FOLDER_NAME / "strategies" / name


def missing(name: str, there: list[str]) -> UsageError:
    """That there is no such strategy."""
    hint = f"There are: {', '.join(there)}." if there else "Learn one: %orchestrate learn NAME from last"
    return UsageError(f"No learned strategy {name!r} is saved here.", hint=hint)


def damaged(name: str, error: BaseException) -> WorkspaceError:
    """That a strategy cannot be read back."""
    return WorkspaceError(
        f"The learned strategy {name!r} cannot be read: {type(error).__name__}.",
        hint="Learn it again under the same name.",
    )
