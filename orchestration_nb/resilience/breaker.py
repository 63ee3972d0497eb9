"""The circuit breakers: a model that keeps failing is left alone for a while, then asked once to see if it is back.

``closed`` (asked freely) -> ``open`` (not asked) -> ``half_open`` (one probe, whoever else waits) -> ``closed``, or
``open`` again. See https://martinfowler.com/bliki/CircuitBreaker.html and :mod:`orchestration_nb.resilience.circuit`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from orchestration_nb.clock import Clock
from orchestration_nb.errors import AllModelsUnavailableError
from orchestration_nb.events import CircuitChanged, CircuitState
from orchestration_nb.resilience.circuit import BreakerPolicy, Circuit, Permit, resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitStatus:
    """How a model's circuit stands."""

    state: CircuitState
    failure_rate: float
    """Share of the attempts in the window that failed."""
    attempts: int
    """Attempts in the window."""
    reason: str
    """Why it is not closed."""
    probe_in_s: float | None
    """Seconds until a call may probe the model; ``None`` where it is not open."""


class Breakers:
    """The circuits of all models, each made when its model is first asked; used on the engine's loop.

    Args:
        policy: When a circuit opens, and for how long.
        clock: Tells the time and waits.
        on_change: Told of each change; what it raises comes out of the permit that caused the change.
    """

    def __init__(self, policy: BreakerPolicy, clock: Clock, on_change: Callable[[CircuitChanged], None]) -> None:
        self._policy = policy
        self._clock = clock
        self._on_change = on_change
        self._circuits: dict[str, Circuit] = {}

    def is_closed(self, model: str) -> bool:
        """Whether the model may be asked freely."""
        circuit = self._circuits.get(model)
        return circuit is None or circuit.state == "closed"

    def permit_now(self, model: str) -> Permit | None:
        """Leave to ask a model once, or ``None`` while its circuit is open or another call probes it."""
        circuit = self._circuits.get(model)
        return (circuit or self._circuit(model)).take()

    async def permit(
        self, model: str, *, wait: bool = True, deadline_s: float = math.inf, instead: Collection[str] = ()
    ) -> Permit:
        """Leave to ask a model once; at once where its circuit is closed.

        Args:
            model: ``provider/name``.
            wait: Whether to wait until the model may be asked.
            deadline_s: Time of the clock (``monotonic()``) that no wait passes.
            instead: Other models that could answer. As soon as one of them may be asked, the wait for this one ends
                with ``ModelUnavailableError``, so that of several the first to come back is used.

        Raises:
            ModelUnavailableError: If the model may not be asked now and ``wait`` is false, or one of ``instead`` may.
            AllModelsUnavailableError: If it, and all of ``instead``, cannot be asked before the deadline.
        """
        while (permit := self.permit_now(model)) is None:
            circuits = [self._circuit(name) for name in dict.fromkeys((model, *instead))]
            if not wait or any(circuit.is_free for circuit in circuits[1:]):
                raise circuits[0].unavailable()
            await self._chance(circuits, deadline_s)
        return permit

    def states(self) -> Mapping[str, CircuitStatus]:
        """How the circuit of each model that was asked stands; may be called from any thread."""
        return {name: self._status(circuit) for name, circuit in sorted(self._circuits.copy().items())}

    def _circuit(self, model: str) -> Circuit:
        circuit = self._circuits.get(model)
        if circuit is None:
            circuit = self._circuits[model] = Circuit(model, self._policy, self._clock, self._on_change)
        return circuit

    def _status(self, circuit: Circuit) -> CircuitStatus:
        state, due_s, window = circuit.state, circuit.due_s, circuit.window()
        return CircuitStatus(
            state=state,
            failure_rate=window.failure_rate,
            attempts=window.ended,
            reason=circuit.reason,
            probe_in_s=max(0.0, due_s - self._clock.monotonic()) if state == "open" else None,
        )

    async def _chance(self, circuits: Sequence[Circuit], deadline_s: float) -> None:
        """Waits until one of the circuits changes or may be probed, or the deadline passes.

        Raises:
            AllModelsUnavailableError: If nothing can change before the deadline.
        """
        now = self._clock.monotonic()
        due_s = min((circuit.due_s for circuit in circuits if circuit.state == "open"), default=math.inf)
        probed = any(circuit.state == "half_open" for circuit in circuits)
        if deadline_s <= now or (deadline_s < due_s and not probed):
            raise _none_left(circuits)
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for circuit in circuits:
            circuit.waiting.add(changed)
        until_s = min(due_s, deadline_s)
        sleeping = asyncio.ensure_future(self._clock.sleep(until_s - now)) if until_s < math.inf else None
        if sleeping is not None:
            sleeping.add_done_callback(lambda _: resolve(changed))
        try:
            await changed
        finally:
            if sleeping is not None:
                sleeping.cancel()
            for circuit in circuits:
                circuit.waiting.discard(changed)


def _none_left(circuits: Sequence[Circuit]) -> AllModelsUnavailableError:
    first = circuits[0].unavailable()
    if len(circuits) == 1:
        message = f"{first} No more time is left to wait for it."
    else:
        message = (
            f"None of {', '.join(circuit.model for circuit in circuits)} can be asked, and no time is left to wait."
        )
    return AllModelsUnavailableError(
        message, hint="A fallback of another provider, or a longer [retry] deadline_s in orchestrate.toml, helps."
    )
