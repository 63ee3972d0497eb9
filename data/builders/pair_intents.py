"""Questions in several wordings, and the questions that look like them and ask for the opposite.

Slots: `{n}` and `{m}` are numbers, `{name}` a person, `{city}` a place, `{thing}` an article (`{device}` one with a
plug or a battery, `{furniture}` one that is put together), `{month}` a month. The wordings of
one intent mean the same; `opposites[i]` is `wordings[i]` turned around by a negation.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One thing that is asked, in several wordings."""

    wordings: tuple[str, ...]
    opposites: tuple[str, ...] = ()
    low: int = 2
    high: int = 60
