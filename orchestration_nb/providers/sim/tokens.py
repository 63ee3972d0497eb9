"""Counting tokens roughly as common tokenizers do (within a few per cent on English text)."""

from __future__ import annotations

import re
from itertools import islice

_PIECE = re.compile(r"[^\W\d_]{1,8}|\d{1,3}|[^\w\s]|_")
_COUNTED = 50_000


def count_tokens(text: str) -> int:
    """About how many tokens `text` has; of very long texts the beginning is counted and the rest estimated."""
    if len(text) <= _COUNTED:
        return len(_PIECE.findall(text))
    return round(len(_PIECE.findall(text[:_COUNTED])) * len(text) / _COUNTED)


def cut(text: str, tokens: int) -> str:
    """The first `tokens` tokens of `text`."""
    after = next(islice(_PIECE.finditer(text), tokens, None), None)
    return text if after is None else text[: after.start()].rstrip()
