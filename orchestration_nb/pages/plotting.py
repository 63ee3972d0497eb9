"""What all figures share: colours that everybody can tell apart, and foreign text that draws nothing of its own."""

from __future__ import annotations

import html
from typing import Any, Final

from orchestration_nb.pages.figures import shortened
from orchestration_nb.terminal import printable

# Okabe and Ito's colours, which colour-blind readers tell apart, without the two that vanish in light or dark.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b3a100", "#7f6fbf")
GREY, FAINT = "#808080", "rgba(128,128,128,.28)"

AXIS: Final = {"gridcolor": FAINT, "zerolinecolor": FAINT, "linecolor": FAINT, "automargin": True}
"""An axis that is seen on light and dark pages alike."""
PAPER: Final = {
    "template": None,
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"color": GREY, "size": 12},
    "hoverlabel": {"align": "left"},
}
"""A layout that leaves the page its own colours."""


def figure_title(text: str, *, size: int = 14) -> dict[str, Any]:
    """The title of a figure, at its left edge; ``size`` in pixels."""
    return {"text": text, "x": 0, "xref": "paper", "font": {"size": size}}


def told(text: str, width: int = 40) -> str:
    """Foreign text as plotly shows it: no tag, no formula, no control character."""
    # Quotes stay: plotly reads its texts as text, and knows no name for them.
    return html.escape(shortened(printable(text), width), quote=False).replace("$", "&#36;")
