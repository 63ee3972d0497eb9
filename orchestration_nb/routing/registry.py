"""Strategies by name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from orchestration_nb.calls import Strategy
from orchestration_nb.errors import UnknownStrategyError, UsageError
from orchestration_nb.routing.texts import maker_in, read_text

S = TypeVar("S", bound=Strategy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Makes strategies."""

    make: Callable[..., Strategy]
    in_python: tuple[str, ...]
    """What of it cannot be written as text."""


class Saved(Protocol):
    """Strategies that are kept somewhere, and read when one is named."""

    @property
    def about(self) -> str:
        """What all of them are, in a line."""

    def names(self) -> Sequence[str]:
        """Those that are there."""

    def find(self, name: str) -> Strategy | None:
        """The one of that name, or ``None``."""


class Strategies:
    """The strategies that can be named on a magic, in ``llm(strategy=...)`` or in Python.

    Args:
        outer: Those that are there as well.
    """

    saved: Saved | None = None
    """Those that are kept somewhere; what a cell or a file defines comes before them."""

    def __init__(self, outer: Strategies | None = None) -> None:
        self._outer = outer
        self._by_name: dict[str, Strategy] = {}
        self._makers: dict[str, Maker] = {}
        self._rooms: dict[str, Callable[[], None]] = {}
        self._made: dict[str, Strategy] = {}

    def __iter__(self) -> Iterator[str]:
        """The names of those that need nothing in brackets, in order of the alphabet."""
        return iter(sorted({*self._by_name, *(self._outer or ()), *(self.saved.names() if self.saved else ())}))

    def add(self, function: Strategy, *, name: str | None = None) -> None:
        """Adds a strategy under its own name, or another; one of the same name is replaced.

        Raises:
            UsageError: If it is not an async function of ``(request, ask)``.
        """
        own = getattr(function, "__name__", "")
        if not inspect.iscoroutinefunction(function) or len(inspect.signature(function).parameters) < 2:
            raise UsageError(
                f"{own or function!r} is not a strategy.",
                hint="Write `async def name(request, ask): return await ask('fast')`.",
            )
        self._by_name[name or own] = function

    def add_maker(self, maker: Callable[..., Strategy], *, in_python: tuple[str, ...] = ()) -> None:
        """Adds a function that makes a strategy, so that ``maker(fast, n=5)`` can be written as text.

        Args:
            maker: Takes model names and numbers.
            in_python: Those of its parameters that can only be given in Python, such as a function.
        """
        self._makers[maker.__name__] = Maker(make=maker, in_python=in_python)

    def add_room(self, makers: Iterable[str], load: Callable[[], None]) -> None:
        """Tells of makers that are there as soon as the room that holds them is loaded.

        Args:
            makers: Their names.
            load: Loads it; it then adds them by :meth:`add_maker`.
        """
        self._rooms.update(dict.fromkeys(makers, load))

    def find(self, name: str | Strategy) -> Strategy:
        """The strategy of that name, or of a text such as ``fallback(fast, strong)``; a function is one already.

        Raises:
            UnknownStrategyError: If there is none; the hint names the nearest.
            UsageError: If what stands in the brackets is not what its maker takes.
        """
        if callable(name):
            return name
        found = self.named(name) or self._made.get(name)
        if found is None:
            found = self._made[name] = self._make(name)
        return found

    def anew(self, name: str | Strategy) -> Strategy:
        """The same as :meth:`find`, and one that a text describes is made anew: what it learns stays with its caller.

        Raises:
            UnknownStrategyError: If there is none.
            UsageError: If what stands in the brackets is not what its maker takes.
        """
        return self.find(name) if callable(name) or self.named(name) is not None else self._make(name)

    def make(self, maker: str, given: Sequence[Any], named: Mapping[str, Any]) -> Strategy:
        """The strategy that a maker makes.

        Raises:
            UnknownStrategyError: If there is no such maker.
            UsageError: If it cannot make one of that.
        """
        found = self.maker(maker)
        if found is None:
            raise self._unknown(maker)
        try:
            inspect.signature(found.make).bind(*given, **named)
        except TypeError as error:
            hint = f"It is written {_usage(found.make)}."
            raise UsageError(f"{maker}(...) cannot be made so: {error}.", hint=hint) from None
        return found.make(*given, **named)

    def listing(self) -> list[tuple[str, str]]:
        """How each strategy is written, and what it does in a line; those with brackets first."""
        makers, named = self._all_makers(), {name: self.defined(name) for name in self}
        rows = [(_usage(maker.make), _about(maker.make)) for _, maker in sorted(makers.items())]
        kept = self.saved.about if self.saved else ""
        return rows + [(name, _about(each) if each else kept) for name, each in named.items() if name not in makers]

    def texts(self) -> list[str]:
        """What can be written: names, and makers up to their bracket."""
        return [*self, *(f"{maker}(" for maker in sorted(self.maker_names()))]

    def named(self, name: str) -> Strategy | None:
        """The strategy of that very name, or ``None``; saved ones come last."""
        return self.defined(name) or (self.saved.find(name) if self.saved else None)

    def defined(self, name: str) -> Strategy | None:
        """The one that a cell or a file defines under that name, or ``None``; the cell's comes first."""
        outer = self._outer.defined(name) if self._outer else None
        return outer or self._by_name.get(name)

    def maker(self, name: str) -> Maker | None:
        """The maker of that name, or ``None``."""
        load = self._rooms.get(name)
        if load is not None and name not in self._makers:
            load()
        return self._makers.get(name) or (self._outer.maker(name) if self._outer else None)

    def maker_names(self) -> set[str]:
        """The names of all makers, loaded or not."""
        return {*self._makers, *self._rooms, *(self._outer.maker_names() if self._outer else ())}

    def _all_makers(self) -> dict[str, Maker]:
        return {name: maker for name in self.maker_names() if (maker := self.maker(name)) is not None}

    def _make(self, text: str) -> Strategy:
        """Reads ``maker(model, key=value)``; it is taken apart and never evaluated."""
        name = maker_in(text)
        maker = self.maker(name) if name else None
        if name is None or maker is None:
            raise self._unknown(name if name and self.named(name) is None else text)
        written = read_text(text, in_python=maker.in_python)
        return self.make(name, written.given, written.named)

    def _unknown(self, name: str) -> UnknownStrategyError:
        known = [*self, *(f"{maker}(...)" for maker in sorted(self.maker_names()))]
        near = difflib.get_close_matches(name, [each.removesuffix("(...)") for each in known], n=1, cutoff=0.5)
        listing = f"There are: {', '.join(known)}. Write a new one with @strategy."
        if name.count("(") > name.count(")"):
            listing = 'On the line of a magic it stands in quotes: --strategy "fallback(fast, strong)".'
        return UnknownStrategyError(
            f"There is no strategy {name!r}.", hint=f"Did you mean {near[0]!r}? {listing}" if near else listing
        )


def _usage(maker: Callable[..., Strategy]) -> str:
    """How a maker is called, without the types."""
    signature = inspect.signature(maker)
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return f"{maker.__name__}{inspect.Signature(bare)}"


def _about(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0].replace("``", "")


DEFAULT_MODEL = "medium"
"""The alias that answers where neither the step nor the run names a model."""

STRATEGIES = Strategies()
"""Those of this process: the built-in ones, and each function under ``@strategy``."""


def strategy(function: S) -> S:
    """Makes an async function of ``(request, ask)`` a strategy that can be named.

    ::

        @strategy
        async def careful(request, ask):
            reply = await ask("fast")
            return reply if agrees(reply, await ask("medium")) else await ask("strong")

    Raises:
        UsageError: If it is not such a function.
    """
    STRATEGIES.add(function)
    return function


@strategy
async def fixed(request: Any, ask: Any) -> Any:
    """Asks the step's or the run's model; ``medium`` where none is named."""
    request.decision.reason = "the model named for the step or the run" if request.model else "the default model"
    return await ask(request.model or DEFAULT_MODEL, sample=request.sample)
