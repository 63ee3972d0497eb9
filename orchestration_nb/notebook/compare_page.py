"""A comparison as one HTML file that opens with no network: figure, table, sentences, items."""

from __future__ import annotations

import base64
import html
import json
from hashlib import sha256
from pathlib import Path

from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.comparing.standing import standing_of
from orchestration_nb.errors import UsageError
from orchestration_nb.notebook.compare_figure import compare_figure
from orchestration_nb.notebook.compare_table import compare_card
from orchestration_nb.terminal import printable

_DRAW = """
const figure = JSON.parse(document.getElementById("figure").textContent);
Plotly.newPlot(document.getElementById("plot"), figure.data, figure.layout, figure.config);
"""
_STYLE = """
:root{color-scheme:light dark}
body{margin:16px auto;max-width:1240px;padding:0 16px;font-family:system-ui,sans-serif;
background:Canvas;color:CanvasText}
"""


def write_page(comparison: Comparison, path: Path) -> int:
    """Writes the file and returns its size in bytes.

    Raises:
        UsageError: If it cannot be written there.
    """
    text = page_of(comparison).encode("utf-8", "replace")
    try:
        path.write_bytes(text)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", hint="Name a file in a folder that is there."
        ) from None
    return len(text)


def page_of(comparison: Comparison) -> str:
    """The whole page: it loads nothing, and no script runs in it but the two that it names by their digests."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - slow to load

    standing = standing_of(comparison)
    scripts = (get_plotlyjs(), _DRAW)
    digests = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    title = html.escape(printable(f"{comparison.setup.flow}: strategies compared"))
    plot, draw = (f"<script>{script}</script>" for script in scripts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>"
        f'<div id="plot"></div>{compare_card(comparison, standing)}'
        f"{_data('figure', compare_figure(standing, simulated=comparison.setup.simulated))}{plot}{draw}</body></html>"
    )


def _digest(script: str) -> str:
    return base64.b64encode(sha256(script.encode()).digest()).decode()


def _data(name: str, value: object) -> str:
    """Data for a script: JSON in which nothing can end the element it stands in."""
    text = json.dumps(value, ensure_ascii=True).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" id="{name}">{text}</script>'
