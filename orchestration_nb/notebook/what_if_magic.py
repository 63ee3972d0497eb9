"""``%orchestrate what-if``: strategies against what is recorded already, at no cost."""

from __future__ import annotations

from typing import Any, Final

from IPython.display import display

from orchestration_nb.comparing.what_if import WhatIf, what_if
from orchestration_nb.notebook.arguments import read_flags, words_of
from orchestration_nb.notebook.compare_magic import COMPARE_FLAGS, flow_named, how_of, needed, spread_out
from orchestration_nb.notebook.compare_screen import saved_bundles
from orchestration_nb.notebook.screen import has_outputs
from orchestration_nb.notebook.session import Session
from orchestration_nb.pages.markup import esc, page
from orchestration_nb.terminal import printable

WHAT_IF_USAGE: Final = (
    "%orchestrate what-if FLOW --over DF --strategies S ... --score STEP=SCORER:COLUMN [--reference S] "
    "[--slices COLUMN] [--models M ...] [--margin N] [--sample N] [--seed N] [--concurrency N]"
)
_OF_ASKING: Final = ("--budget", "--fresh", "--background")
WHAT_IF_FLAGS: Final = tuple(flag for flag in COMPARE_FLAGS if flag.name not in _OF_ASKING)
_LEAST_ITEMS: Final = 4
"""Items that can be told for all strategies, below which there is no table of them."""


def what_if_line(session: Session, rest: str) -> WhatIf:
    """Runs strategies against recorded replies; the answer shows itself.

    Raises:
        OrchestrationError: If it cannot be run.
    """
    names, values = read_flags(spread_out(words_of(rest)), WHAT_IF_FLAGS, WHAT_IF_USAGE)
    flow = flow_named(session, names)
    return what_if(flow, over=session.frame(needed(values, "over")), **how_of(session, values))


def show_what_if(shell: Any, told: WhatIf) -> None:
    """Shows what can be told, what is estimated, and the table and figure of the items that can be told for all."""
    lines = "".join(f"<li>{esc(line)}</li>" for line in told.told)
    name = esc(told.comparison.setup.flow)
    card = f'<div class="head"><span class="name">{name}</span> what if</div><ul>{lines}</ul>'
    text = printable("\n".join(told.told))
    display({"text/html": page(card), "text/plain": text}, raw=True)  # type: ignore[no-untyped-call]
    if told.common >= _LEAST_ITEMS:
        bundles = saved_bundles(told.comparison)
        for bundle in bundles if has_outputs(shell) else bundles[:1]:
            display(bundle, raw=True)  # type: ignore[no-untyped-call]
