"""How each model has been doing of late in this process: what strategies read before they decide."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from orchestration_nb.calls import ModelStats
from orchestration_nb.catalog import Model
from orchestration_nb.clock import Clock

LATELY_S: Final = 300.0
"""Seconds that an ended call is remembered."""
MOST_CALLS: Final = 200
"""Calls of a model that are remembered at most."""
_MINUTE_S: Final = 60.0


class _Ended(NamedTuple):
    at_s: float
    latency_ms: float | None
    """``None`` for a call that failed."""
    cost_usd: float
    tokens: int


@dataclass(slots=True)
class _Lately:
    in_flight: int = 0
    ended: deque[_Ended] = field(default_factory=lambda: deque(maxlen=MOST_CALLS))


class Traffic:
    """Counts the calls of each model. Used from the engine's loop; read from any thread.

    Args:
        resolve: Name or alias to the model.
        clock: Tells the time.
    """

    def __init__(self, resolve: Callable[[str], Model], clock: Clock) -> None:
        self._resolve = resolve
        self._clock = clock
        self._models: dict[str, _Lately] = {}

    def began(self, model: str) -> None:
        """A call goes its way."""
        self._of(model).in_flight += 1

    def ended(self, model: str) -> None:
        """It has come to its end."""
        self._of(model).in_flight -= 1

    def answered(self, model: str, *, latency_ms: float, cost_usd: float, tokens: int) -> None:
        """A model answered; what the cache answered is not to be told."""
        self._of(model).ended.append(_Ended(self._clock.monotonic(), latency_ms, cost_usd, tokens))

    def failed(self, model: str) -> None:
        """A call that was sent brought no reply."""
        self._of(model).ended.append(_Ended(self._clock.monotonic(), None, 0.0, 0))

    def _of(self, model: str) -> _Lately:
        lately = self._models.get(model)
        if lately is None:
            lately = self._models[model] = _Lately()
        return lately

    def stats(self, name: str) -> ModelStats:
        """How a model is doing.

        Args:
            name: Model or alias.

        Raises:
            UnknownModelError: If there is no such model.
        """
        model = self._resolve(name)
        lately = self._models.get(model.name) or _Lately()
        now = self._clock.monotonic()
        calls = [call for call in tuple(lately.ended) if now - call.at_s <= LATELY_S]
        answered = [call for call in calls if call.latency_ms is not None]
        latencies = sorted(call.latency_ms for call in answered if call.latency_ms is not None)
        return ModelStats(
            model=model.name,
            in_flight=lately.in_flight,
            calls=len(calls),
            failure_rate=1 - len(answered) / len(calls) if calls else 0.0,
            latency_ms=statistics.median(latencies) if latencies else None,
            p95_latency_ms=latencies[min(len(latencies) - 1, int(0.95 * len(latencies)))] if latencies else None,
            cost_usd=sum(call.cost_usd for call in answered) / len(answered) if answered else None,
            tokens_per_minute=float(sum(call.tokens for call in calls if now - call.at_s <= _MINUTE_S)),
            input_usd_per_mtok=model.price.input_usd_per_mtok if model.price else None,
            output_usd_per_mtok=model.price.output_usd_per_mtok if model.price else None,
        )
