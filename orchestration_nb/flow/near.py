"""Near misses: what somebody may have meant by a name that means nothing."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The names that mean something, by kind."""

    steps: Sequence[str] = ()
    columns: Sequence[str] = ()
    names: Sequence[str] = ()

    def nearest(self, name: str) -> str:
        """A hint: what ``name`` may have been meant to be, else what there is."""
        for column in self.columns:
            if column != name and _plain(column) == _plain(name):
                return f"Did you mean the column {_written(column)}?"
        kinds = (
            ("step", self.steps),
            ("column", [each for each in self.columns if each.isidentifier()]),
            ("", self.names),
        )
        found = [
            (difflib.SequenceMatcher(None, name, near).ratio(), kind, near)
            for kind, known in kinds
            for near in difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        ]
        if found:
            _, kind, near = max(found, key=lambda each: (each[0], bool(each[1])))
            return f"Did you mean the {kind} `{near}`?" if kind else f"Did you mean `{near}`?"
        if self.columns:
            return f"The columns are: {', '.join(_written(column) for column in self.columns[:12])}."
        return "Define it in a cell above, or give the flow a table with --over."


def _plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _written(column: str) -> str:
    return f"`{column}`" if column.isidentifier() else f"`item[{column!r}]`"
