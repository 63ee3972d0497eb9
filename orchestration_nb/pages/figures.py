"""Numbers, times, money and foreign values in words that fit on one line."""

from __future__ import annotations

import math
import reprlib
from typing import Any

MISSING = "–"
"""What stands for nothing: ``None``, and the NaN that pandas makes of it."""
FULL_TEXT = 4000
"""Most characters of one value that a display carries; the whole stands in the results."""


def _long_repr() -> reprlib.Repr:
    long = reprlib.Repr()
    long.maxlist = long.maxtuple = long.maxset = long.maxfrozenset = long.maxdeque = long.maxdict = 60
    long.maxstring = long.maxother = FULL_TEXT
    return long


_repr = _long_repr()


def text_of(value: Any) -> str:
    """Any value as text: words as they are, nothing as a dash, frames by their size, the rest by ``repr``."""
    if isinstance(value, str):
        return value
    if value is None:
        return MISSING
    if isinstance(value, float):
        return f"{value:.6g}" if value == value else MISSING  # noqa: PLR0124 - NaN, which pandas writes for None
    if hasattr(value, "columns") and len(getattr(value, "shape", ())) == 2:
        return f"{type(value).__name__}, {count(value.shape[0], 'row')} × {count(value.shape[1], 'column')}"
    return _repr.repr(value)


def shortened(text: str, width: int) -> str:
    """``text`` on one line of at most ``width`` characters."""
    line = " ".join(text[: width * 4].split())
    if len(line) <= width and len(text) <= width * 4:
        return line
    return line[: width - 1].rstrip() + "…"


def usd(amount_usd: float) -> str:
    """Money: two decimals from a dollar on, and two digits that count below a cent."""
    if not math.isfinite(amount_usd):
        return "$?"
    if amount_usd == 0 or abs(amount_usd) >= 1:
        return f"${amount_usd:,.2f}"
    if abs(amount_usd) < 1e-6:
        return "<$0.000001"
    places = max(2, 1 - math.floor(math.log10(abs(amount_usd))))
    return f"${amount_usd:.{places}f}"


def span(seconds: float) -> str:
    """A length of time: ``0.4 s``, ``12 s``, ``2 min 05 s``, ``1 h 02 min``."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def latency(latency_ms: float) -> str:
    """A latency: ``0.4 ms``, ``840 ms``, ``1.24 s``."""
    if not math.isfinite(latency_ms):
        return "–"
    if latency_ms < 10:
        return f"{latency_ms:.1f} ms"
    return f"{latency_ms:,.0f} ms" if latency_ms < 1000 else f"{latency_ms / 1000:,.2f} s"


def count(number: int, one: str, many: str = "") -> str:
    """``1 item``, ``2,000 items``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
