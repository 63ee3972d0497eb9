"""What can go wrong on the simulated wire: how often, and for which request, the same each time."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, get_args

from orchestration_nb.errors import UsageError
from orchestration_nb.providers.sim.dice import uniform

Fault = Literal["rate_limited", "overloaded", "failed", "reset", "hang", "malformed", "truncated", "empty"]
"""429, 503, 500, a connection that is reset, one that falls silent, JSON cut off inside, a body that ends early, no
body."""

KINDS: tuple[Fault, ...] = get_args(Fault)
_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A model that is down for a while, counted in requests so that it is the same on fast and slow machines."""

    model: str
    """`small`, `medium` or `large`."""
    after: int = 0
    """How many requests to that model are answered before it goes down."""
    until: int | None = None
    """How many have arrived when it is up again, or ``None``: it stays down."""
    fault: Fault = "overloaded"
    """What its requests meet with meanwhile."""

    def covers(self, model: str, number: int) -> bool:
        """Whether request `number` (from 0) to `model` falls into the outage."""
        return model == self.model and self.after <= number and (self.until is None or number < self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Shares of attempts that fail, each between 0 and 1 and all together at most 1.

    Each attempt is drawn for itself, so a request that failed can succeed when it is sent again.

    Raises:
        UsageError: If a share is no share.
    """

    rate_limited: float = 0.0
    overloaded: float = 0.0
    failed: float = 0.0
    reset: float = 0.0
    hang: float = 0.0
    malformed: float = 0.0
    truncated: float = 0.0
    empty: float = 0.0
    retry_after_s: float | None = 0.05
    """Seconds in the `Retry-After` of 429 and 503, or ``None`` for no such header."""
    outages: tuple[Outage, ...] = ()

    def __post_init__(self) -> None:
        shares = self.shares()
        if min(shares) < 0 or sum(shares) > 1 + 1e-9:
            raise UsageError(
                f"Shares of faults must lie between 0 and 1 and add up to at most 1, not {sum(shares):g}.",
                hint="Faults(rate_limited=0.05, reset=0.01) lets 6 % of the attempts fail.",
            )

    def shares(self) -> tuple[float, ...]:
        """The shares, in the order of :data:`KINDS`."""
        return tuple(getattr(self, kind) for kind in KINDS)


NO_FAULTS = Faults()


class FaultDraw:
    """Decides for one attempt after the other what happens to it."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self.faults = faults
        """May be replaced at any time, by any thread."""
        self._seed = seed
        self._attempts: OrderedDict[bytes, int] = OrderedDict()
        self._requests: Counter[str] = Counter()
        self.down: dict[str, Fault] = {}
        """Models that are down until they are taken out again, and what their requests meet with; any thread may."""

    def next(self, model: str, body: bytes) -> Fault | None:
        """The fault of this attempt, or ``None``."""
        number = self._requests[model]
        self._requests[model] += 1
        out = self.down.get(model) or next((o.fault for o in self.faults.outages if o.covers(model, number)), None)
        if out is not None:
            return out
        shares = self.faults.shares()
        if not any(shares):
            return None
        drawn = uniform("fault", self._seed, *self._attempt(body))
        for kind, share in zip(KINDS, shares, strict=True):
            drawn -= share
            if drawn < 0:
                return kind
        return None

    def _attempt(self, body: bytes) -> tuple[str, int]:
        """What stands for the request, and how often it was seen before; the oldest are forgotten."""
        key = blake2b(body, digest_size=12).digest()
        seen = self._attempts.pop(key, 0)
        self._attempts[key] = seen + 1
        if len(self._attempts) > _REMEMBERED:
            self._attempts.popitem(last=False)
        return key.hex(), seen
