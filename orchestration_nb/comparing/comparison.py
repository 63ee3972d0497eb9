"""A comparison of strategies, as its user holds it: what each came to so far, and how to wait for it or stop it."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from orchestration_nb.comparing.pages import write_page
from orchestration_nb.engine.loop import POLL_S, wait
from orchestration_nb.errors import OrchestrationError, UsageError
from orchestration_nb.evals.marks import HumanMark, Mark
from orchestration_nb.evals.outcomes import Answer, Outcomes, outcomes_of
from orchestration_nb.evals.slices import slice_of
from orchestration_nb.events import RunStatus

if TYPE_CHECKING:
    import pandas as pd

    from orchestration_nb.comparing.running import Running


_COLUMNS: Final = [
    *("strategy", "item", "status", "quality", "cost_usd", "latency_ms"),
    *("model", "asked", "reason", "value", "error"),
]

_CANCEL_S: Final = 5.0
"""How long an interrupt waits for what is under way to be cancelled; mostly well below a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonSetup:
    """What is compared, and how."""

    comparison_id: str
    kind: Literal["compare", "what_if"]
    flow: str
    strategies: tuple[str, ...]
    """Those that the user named, in order."""
    singles: tuple[str, ...]
    """Single models that are shown beside them, each a strategy of its own."""
    alone: frozenset[str]
    """Of all of them, those that ask one model and no other."""
    reference: str | None
    """The strategy that the others are held against, named beforehand; ``None``: the best single model, chosen on the
    other half of the items."""
    step: str
    """The step that is scored."""
    scorer: str
    """How it was written: ``answer=numeric:gold``."""
    slice_column: str | None
    margin: float
    """A strategy whose quality is worse by no more than this is non-inferior."""
    seed: int
    simulated: bool
    """Whether a model that answers is simulated or replayed."""
    learned: tuple[str, ...] = ()
    """Strategies that were learned from scored replies: of the same items, they know the answers."""


@dataclass(slots=True, eq=False)
class Comparison:
    """A comparison of strategies; also while it is under way."""

    setup: ComparisonSetup
    items: Sequence[Mapping[str, Any]]
    """The columns of each item by name, in the order of the input."""
    _running: Running
    marks: list[HumanMark] = field(default_factory=list)
    """What people said of answers, in the order in which they said it."""
    _cached: dict[str, tuple[int, Outcomes]] = field(default_factory=dict)

    def __repr__(self) -> str:
        ended = min(self.progress.values(), default=0)
        return (
            f"<Comparison {self.id} of {self.setup.flow}: {self.status}, {len(self.names)} strategies, "
            f"{ended} of {len(self.items)} items, ${self.cost_usd:,.4f}{' simulated' if self.setup.simulated else ''}>"
        )

    @property
    def id(self) -> str:
        """Its id in the ledger."""
        return self.setup.comparison_id

    @property
    def names(self) -> tuple[str, ...]:
        """All strategies: the user's, then the single models."""
        return (*self.setup.strategies, *self.setup.singles)

    @property
    def status(self) -> RunStatus:
        """``running``, ``done``, ``failed`` or ``cancelled``."""
        return self._running.status

    @property
    def error(self) -> OrchestrationError | None:
        """Why it failed as a whole, or ``None``."""
        return self._running.error

    @property
    def progress(self) -> dict[str, int]:
        """Strategy to how many of its items have ended and were scored."""
        return {name: len(answers) for name, answers in self.answers.items()}

    @property
    def answers(self) -> Mapping[str, Mapping[int, Answer]]:
        """Strategy to what it came to, by the position of the item; grows while the comparison goes on."""
        return self._running.answers

    @property
    def questions(self) -> int:
        """Distinct questions that were answered: request, model and number of the sample."""
        return self._running.questions

    @property
    def cost_usd(self) -> float:
        """US dollars at list price of all distinct questions."""
        return self._running.cost_usd

    @property
    def billed_usd(self) -> float:
        """US dollars spent, simulated ones where the models are; what the cache knew is free."""
        return self._running.billed_usd

    @property
    def slices(self) -> list[str] | None:
        """The slice of each item as text, or ``None`` where none was named."""
        column = self.setup.slice_column
        return None if column is None else [slice_of(item, column) for item in self.items]

    def outcomes(self, name: str) -> Outcomes:
        """What a strategy came to, as arrays; nan where an item has not ended.

        Args:
            name: One of :attr:`names`.
        """
        answers = self.answers[name]
        size, cached = len(answers), self._cached.get(name)
        if cached is None or cached[0] != size:
            cached = self._cached[name] = size, outcomes_of(name, dict(answers), len(self.items))
        return cached[1]

    @property
    def frame(self) -> pd.DataFrame:
        """One row a strategy and item: quality, cost, latency, the model that answered, those asked, and why."""
        import pandas as pd  # noqa: PLC0415

        rows = [
            {
                "strategy": name,
                "item": answer.item,
                "status": answer.status,
                "quality": answer.quality,
                "cost_usd": answer.cost_usd,
                "latency_ms": answer.latency_ms,
                "model": answer.model,
                "asked": list(answer.asked),
                "reason": answer.reason,
                "value": answer.value,
                "error": answer.error,
            }
            for name in self.names
            for _, answer in sorted(dict(self.answers[name]).items())
        ]
        return pd.DataFrame(rows, columns=_COLUMNS)

    @property
    def escalations(self) -> pd.DataFrame:
        """One row a strategy that asks a strong model for some items only, on the items that have ended for all.

        ``kept`` and ``strong`` name the models; ``escalated`` is a share of the items; ``aiq`` the mean quality from
        the cost of the cheapest model kept to the strong one's; ``apgr``, ``cpt50`` and ``cpt80`` as RouteLLM defines
        them; ``saved_at_95`` and ``kept_at_95`` (and so for 99 and 100) the share of the strong model's cost saved and
        of its quality kept, with thresholds chosen on one half of the items and measured on the other. What is not
        defined is nan, and ``note`` says why. With slices there is a row of their prior for each pair of models.
        """
        from orchestration_nb.comparing.between import between, frame_of  # noqa: PLC0415 - knows this class
        from orchestration_nb.comparing.coverage import told_for_all  # noqa: PLC0415

        return frame_of(between(self, told_for_all(self, self.names)))

    def full_name(self, model: str) -> str:
        """The ``provider/name`` of a model or alias.

        Raises:
            UnknownModelError: If there is no such model.
        """
        return self._running.workspace.catalog.resolve(model).name

    def disagreements(self, names: Sequence[str] | None = None) -> list[int]:
        """The items on which strategies differ in quality, most divided first.

        Args:
            names: The strategies to look at; the user's own unless given.
        """
        looked_at = [self.outcomes(name) for name in (names or self.setup.strategies)]
        spread: dict[int, float] = {}
        for item in range(len(self.items)):
            found = [outcomes.quality[item] for outcomes in looked_at if outcomes.ended[item]]
            if len(found) > 1 and max(found) > min(found):
                spread[item] = max(found) - min(found)
        return sorted(spread, key=lambda item: (-spread[item], item))

    def to_html(self, path: str | Path) -> Path:
        """Writes figure, tables, sentences and items as one HTML file that opens with no network.

        Args:
            path: Where, in a folder that is there; a file of this name is replaced.

        Returns:
            The path.

        Raises:
            UsageError: If it cannot be written there.
        """
        write_page(self, Path(path))
        return Path(path)

    def among(self, singles: tuple[str, ...]) -> Comparison:
        """The same, with these of its single models beside the strategies.

        Args:
            singles: Of ``setup.singles``.
        """
        return Comparison(replace(self.setup, singles=singles), self.items, self._running, self.marks)

    def mark(self, item: int, strategy: str, versus: str, mark: Mark, *, note: str = "") -> HumanMark:
        """Keeps what a person says of two answers to one item; a row of ``scores``, written before this returns.

        Args:
            item: Position of the item, from 0.
            strategy: Whose answer is marked.
            versus: Whose answer it is held against.
            mark: ``better``, ``worse`` or ``same``.
            note: Why, in the person's words.

        Raises:
            UsageError: There is no such mark, or not both answers are there.
        """
        said = HumanMark(item=item, strategy=strategy, versus=versus, mark=mark, note=note)
        for name in (strategy, versus):
            if item not in self.answers.get(name, {}):
                raise UsageError(f"There is no answer of {name!r} to item {item}.", hint="Mark what has been answered.")
        self._running.record_mark(said)
        self.marks.append(said)
        return said

    def cancel(self) -> None:
        """Stops everything in flight; what was answered is kept."""
        self._running.cancel()

    def wait(self, *, on_tick: Callable[[], None] | None = None) -> Comparison:
        """Blocks until it has ended.

        Args:
            on_tick: Called every 50 ms on the caller's thread.

        Raises:
            KeyboardInterrupt: If interrupted; it is cancelled first.
        """
        try:
            wait(self._running.ended, on_tick=on_tick)
        except KeyboardInterrupt:
            self.cancel()
            concurrent.futures.wait([self._running.ended], timeout=_CANCEL_S)
            raise
        return self._whole()

    async def done(self) -> Comparison:
        """Waits in an async cell until it has ended."""
        try:
            while not self._running.ended.done():  # noqa: ASYNC110 - only a ticker lets an interrupt through
                await asyncio.sleep(POLL_S)
        except asyncio.CancelledError:
            self.cancel()
            raise
        return self._whole()

    def _whole(self) -> Comparison:
        self._running.ended.result()
        return self
