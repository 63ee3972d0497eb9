"""Near misses: what somebody may have meant by a name that means nothing."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_IMPORTS: Final[Mapping[str, str]] = {
    "BaseModel": "from pydantic import BaseModel",
    "Field": "from pydantic import Field",
    "Path": "from pathlib import Path",
    "asyncio": "import asyncio",
    "dataclass": "from dataclasses import dataclass",
    "datetime": "from datetime import datetime",
    "json": "import json",
    "math": "import math",
    "np": "import numpy as np",
    "pd": "import pandas as pd",
    "re": "import re",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The names that mean something, by kind."""

    steps: Sequence[str] = ()
    columns: Sequence[str] = ()
    names: Sequence[str] = ()
    item: bool = False
    """Whether ``item`` is the row."""
    otherwise: str = "Define it in a cell above."
    """The hint where nothing is near."""

    def nearest(self, name: str) -> str:
        """A hint: what ``name`` may have been meant to be, else what there is."""
        for column in self.columns:
            if column != name and _plain(column) == _plain(name):
                return f"Did you mean the column {_written(column)}?"
        if name in _IMPORTS:
            return f"Write `{_IMPORTS[name]}` at the top of the cell."
        if near := self._near(name):
            return f"Did you mean {near}?"
        if self.columns:
            return f"The columns are: {', '.join(_written(column) for column in self.columns[:12])}."
        return self.otherwise

    def _near(self, name: str) -> str:
        columns = [column for column in self.columns if column.isidentifier()]
        row = ["item"] if self.item else []
        kinds = (("the step ", self.steps), ("the column ", columns), ("the row ", row), ("", self.names))
        found = [
            (difflib.SequenceMatcher(None, name, near).ratio(), f"{kind}`{near}`")
            for kind, known in kinds
            for near in difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        ]
        return max(found, key=lambda each: each[0])[1] if found else ""


def _plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _written(column: str) -> str:
    return f"`{column}`" if column.isidentifier() else f"`item[{column!r}]`"
