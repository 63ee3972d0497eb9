"""Sums of money: exact integers where they are added up, and readable in a sentence."""

from __future__ import annotations

from typing import Final

PICO: Final = 10**12
"""Picodollars in a dollar: the cheapest token costs several thousand of them."""
_MOST: Final = 10**18
"""A million dollars: more than any budget, and small enough for SQLite's integers to add up."""


def picodollars(usd: float) -> int:
    """US dollars as an integer; what passes a million dollars is a million."""
    return _MOST if usd >= _MOST / PICO else round(usd * PICO)


def in_dollars(pico: int) -> float:
    """The same, back."""
    return pico / PICO


def dollars(usd: float) -> str:
    """A sum of money in a sentence: cents for large sums, two digits that count for small ones."""
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.2g}" if usd >= 0.0001 else f"${usd:.6f}"
