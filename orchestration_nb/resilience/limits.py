"""How fast and how many at once each model may be asked.

What the user set in ``[limits.*]`` holds exactly, over all processes of the workspace. Where nothing is set, or the
provider allows less, the pace follows what it accepts: see :mod:`~orchestration_nb.resilience.pacing`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from orchestration_nb.catalog import Model
from orchestration_nb.clock import Clock
from orchestration_nb.config import LimitSettings
from orchestration_nb.resilience.shared import SharedLimits, bounds_of
from orchestration_nb.resilience.turns import Line, ModelLimits, Turn, TurnAhead
from orchestration_nb.state.desk import Desk
from orchestration_nb.state.owners import Owners


class Limits:
    """Gives each attempt its turn. Used from the engine's loop alone.

    Args:
        desk: Where the processes of the workspace agree.
        owners: Which of them are alive.
        clock: Tells the time and waits.
        settings: What ``[limits.*]`` says, by provider, by model, or by the name of the variable that holds a key.
        keys: Provider to the name of the variable that holds its key: providers that share a key share its limits.
    """

    def __init__(
        self,
        desk: Desk,
        owners: Owners,
        clock: Clock,
        settings: Mapping[str, LimitSettings],
        keys: Mapping[str, str | None],
    ) -> None:
        self._shared = SharedLimits(desk, owners, clock)
        self._clock = clock
        self._settings = settings
        self._keys = keys
        self._lines: dict[str, Line] = {}

    def turn_now(self, model: Model) -> Turn | None:
        """A turn at once where nothing limits the model and nobody waits, else ``None``; some microseconds."""
        line = self._lines.get(model.name)
        return (line or self._open(model)).turn_now()

    async def turn(self, model: Model, *, tokens: int, until_s: float = math.inf) -> Turn:
        """Waits until the attempt may go out: first come, first served.

        Args:
            model: The model that is asked.
            tokens: The most that it can take, read and written; what calls took so far says how much of it counts.
            until_s: Time of the clock (``monotonic()``) up to which a pause that the provider asked for is waited out.

        Raises:
            RateLimitedError: If the provider asked for a longer pause; nothing is sent.
            StateError: If the state that all processes share cannot be written.
        """
        line = self._lines.get(model.name) or self._open(model)
        return line.turn_now() or await line.wait(tokens, until_s)

    def ahead(self, model: Model, *, tokens: int) -> TurnAhead | None:
        """As :meth:`turn`, in a transaction of the caller's; ``None`` where it takes none, or others wait."""
        line = self._lines.get(model.name) or self._open(model)
        return line.ahead(tokens)

    def standing(self) -> list[ModelLimits]:
        """How each model that was asked is limited just now; may be called from any thread."""
        return [line.standing() for line in tuple(self._lines.values())]

    def note(self) -> str:
        """What holds the most calls up, in one sentence; empty where nothing does."""
        return max(self.standing(), key=lambda each: each.waiting, default=_NOTHING).why

    def _open(self, model: Model) -> Line:
        bounds = bounds_of(model, self._keys.get(model.provider), self._settings)
        line = self._lines[model.name] = Line(model.name, self._clock, self._shared, bounds)
        return line


_NOTHING = ModelLimits(model="", in_flight=0, waiting=0, pace_per_s=None, refusals=0, why="")
