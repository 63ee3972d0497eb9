"""What all figures share: colours that everybody can tell apart, and foreign text that draws nothing of its own."""

from __future__ import annotations

import html

from orchestration_nb.pages.figures import shortened
from orchestration_nb.terminal import printable

# Okabe and Ito's colours, which colour-blind readers tell apart, without the two that vanish in light or dark.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b3a100", "#7f6fbf")
GREY, FAINT = "#808080", "rgba(128,128,128,.28)"


def told(text: str, width: int = 40) -> str:
    """Foreign text as plotly shows it: no tag, no formula, no control character."""
    # Quotes stay: plotly reads its texts as text, and knows no name for them.
    return html.escape(shortened(printable(text), width), quote=False).replace("$", "&#36;")
