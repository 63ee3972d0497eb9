"""Chance that is the same for everybody: numbers drawn from a hash of what they are about."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from statistics import NormalDist
from typing import TypeVar

_NORMAL = NormalDist()
T = TypeVar("T")


def uniform(*about: object) -> float:
    """A number above 0 and below 1 that depends on `about` alone."""
    text = "\x1f".join(map(str, about)).encode("utf-8", "surrogatepass")
    drawn = int.from_bytes(blake2b(text, digest_size=6).digest(), "big")
    return (drawn + 0.5) / 2**48


def normal(*about: object) -> float:
    """A number from the standard normal distribution that depends on `about` alone."""
    return _NORMAL.inv_cdf(uniform(*about))


def pick(options: Sequence[T], *about: object) -> T:
    """One of `options`, all equally likely."""
    return options[int(uniform(*about) * len(options))]
