"""The strategies that ``orchestrate.toml`` defines: ``[strategies.NAME]``."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from orchestration_nb.config import StrategySettings
from orchestration_nb.errors import ConfigError, UsageError
from orchestration_nb.routing.making import made
from orchestration_nb.routing.registry import Strategies

_PATH: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def defined(settings: Mapping[str, StrategySettings], outer: Strategies, *, trusted: bool) -> Strategies:
    """The strategies of a workspace: those that its file defines, and those of the process.

    A text such as ``"checks:good"`` names a function of a module where the option takes one (``accept``, ``judge``).

    Args:
        settings: By name, as the file has them.
        outer: Those of the process.
        trusted: Whether the file may name code to import.

    Raises:
        ConfigError: If one of them cannot be made.
    """
    found = Strategies(outer)
    for name, each in settings.items():
        try:
            _add(name, each, found, trusted=trusted)
        except UsageError as error:
            raise ConfigError(f"strategies.{name}: {error}", hint=error.hint) from None
    return found


def _add(name: str, settings: StrategySettings, found: Strategies, *, trusted: bool) -> None:
    if name == "fixed" or name in found.maker_names():
        raise UsageError(f"{name} is the name of a built-in strategy.", hint="Give it another name.")
    maker = found.maker(settings.use)
    takes = maker.in_python if maker is not None else ()
    options: dict[str, Any] = {
        option: _imported(option, value, trusted=trusted) if option in takes else value
        for option, value in settings.options.items()
    }
    given = [settings.shares] if settings.shares else []
    strategy = found.make(settings.use, [*given, *settings.models], options)

    async def of_the_file(request: Any, ask: Any) -> Any:
        return await strategy(request, ask)

    of_the_file.__doc__ = f"{strategy.__name__}, as orchestrate.toml defines it."
    if hasattr(strategy, "learn"):
        of_the_file.learn = strategy.learn  # type: ignore[attr-defined]
    for kept in ("save_as", "resume", "save"):  # what was learned outlives the process, where it is given a name
        if hasattr(strategy, kept):
            setattr(of_the_file, kept, getattr(strategy, kept))
    found.add(made(of_the_file, name, getattr(strategy, "models", ())))


def _imported(option: str, value: object, *, trusted: bool) -> Callable[..., Any]:
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        raise UsageError(f"{option} = {value!r} names no function.", hint=f'Write {option} = "module:function".')
    if not trusted:
        raise UsageError(
            f"{option} = {value!r} would import code, and this file is not trusted.",
            hint="Read it, then say `orchestrate trust`.",
        )
    module, _, name = value.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{option} = {value!r} cannot be imported: {error}.") from None
    if not callable(function):
        raise UsageError(f"{option} = {value!r} is no function.")
    return function  # type: ignore[no-any-return]
