"""How many tokens a call is going to take, learnt from those before it."""

from __future__ import annotations

import math
from typing import Final

_FIRST_SHARE: Final = 0.25
"""Of the most tokens that a call can take, what it does take: a token is about four bytes of English, and few replies
are as long as they may be."""
_SLOWEST: Final = 0.1


class TokenEstimate:
    """Of one model: the share of the most tokens that its calls took so far, with a margin for how much it varies."""

    def __init__(self) -> None:
        self._share = _FIRST_SHARE
        self._spread = 0.0
        self._count = 0

    def of(self, most: int) -> int:
        """Tokens to expect of a call that can take ``most``."""
        return max(1, math.ceil(most * min(1.0, self._share + self._spread)))

    def learn(self, most: int, took: int) -> None:
        """A call that could take ``most`` took ``took``."""
        self._count += 1
        weight = max(1 / self._count, _SLOWEST)
        off = took / max(1, most) - self._share
        self._share += weight * off
        if self._count > 1:
            self._spread += weight * (abs(off) - self._spread)
