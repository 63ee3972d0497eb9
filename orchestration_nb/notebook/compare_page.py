"""A comparison as one HTML file that opens with no network: figure, table, sentences, slices, items.

No script runs in it but those whose digests stand in its content security policy, and nothing can be fetched.
"""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.comparing.standing import Standing
from orchestration_nb.errors import UsageError
from orchestration_nb.notebook.compare_figure import compare_figure
from orchestration_nb.notebook.compare_items import heading, item_details, item_rows, mark_rows
from orchestration_nb.notebook.compare_style import ITEMS, TABLE
from orchestration_nb.notebook.compare_table import compare_head, compare_table, compare_told
from orchestration_nb.notebook.compare_widget import script
from orchestration_nb.notebook.compare_words import standing_in
from orchestration_nb.pages import markup
from orchestration_nb.terminal import printable

MOST_CHARACTERS: Final = 12_000_000
"""Of items' details in a page; those on which strategies disagree come first."""
MOST_SLICES: Final = 24
_STYLE: Final = """
:root{color-scheme:light dark}
body{margin:14px auto;max-width:1280px;padding:0 16px;background:Canvas;color:CanvasText;
font:14px/1.5 system-ui,sans-serif}
.slices{margin:4px 0}.slices select{font:inherit;max-width:320px}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One slice, or all items: what it is called, and how the strategies stand on it."""

    name: str
    standing: Standing


def write_page(comparison: Comparison, path: Path) -> int:
    """Writes the file and returns its size in bytes.

    Raises:
        UsageError: If it cannot be written there.
    """
    text = page_of(comparison).encode("utf-8", "replace")
    try:
        path.write_bytes(text)
    except OSError as error:
        said = f"{path} cannot be written: {error.strerror}."
        raise UsageError(said, hint="Name a file in a folder that is there.") from None
    return len(text)


def page_of(comparison: Comparison) -> str:
    """The whole page."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - slow to load

    ours = files("orchestration_nb.notebook").joinpath("compare_page.js").read_text("utf-8")
    scripts = (get_plotlyjs(), f"{script()}\n{ours}")
    title = html.escape(printable(f"{comparison.setup.flow}: strategies compared"))
    plotly, drawing = (f"<script>{text}</script>" for text in scripts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{title}</title>'
        f"<style>{_STYLE}{TABLE}{ITEMS}</style></head><body>{_body(comparison)}{plotly}{drawing}</body></html>"
    )


def _body(comparison: Comparison) -> str:
    parts = _parts(comparison)
    figures = [compare_figure(part.standing, simulated=comparison.setup.simulated) for part in parts]
    tables = "".join(
        f'<div data-slice="{place}"{" hidden" if place else ""}>'
        f"{compare_table(part.standing)}{compare_told(part.standing, comparison)}</div>"
        for place, part in enumerate(parts)
    )
    choices = "".join(f'<option value="{place}">{markup.esc(part.name)}</option>' for place, part in enumerate(parts))
    slices = f'<label class="slices">Slice <select id="slices">{choices}</select></label>' if len(parts) > 1 else ""
    shown = markup.page(f'{compare_head(comparison)}{slices}<div id="plot"></div>{tables}<div id="browser"></div>')
    return shown + _data("figures", figures) + _data("items", _items(comparison))


def _parts(comparison: Comparison) -> list[_Part]:
    slices = sorted(set(comparison.slices or ()))[:MOST_SLICES]
    return [
        _Part(name="all items", standing=standing_in(comparison, None)),
        *(_Part(name=printable(name), standing=standing_in(comparison, name)) for name in slices),
    ]


def _items(comparison: Comparison) -> dict[str, Any]:
    rows = item_rows(comparison)
    details = item_details(comparison, [row["item"] for row in rows["rows"]], most_characters=MOST_CHARACTERS)
    rows["rows"] = [row for row in rows["rows"] if str(row["item"]) in details]
    return {"heading": heading(comparison), "rows": rows, "details": details, "marks": mark_rows(comparison)}


def _policy(scripts: tuple[str, ...]) -> str:
    digests = " ".join(f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'" for text in scripts)
    return (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _data(name: str, value: object) -> str:
    """Data for a script: JSON in which nothing can end the element it stands in."""
    text = json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" id="{name}">{text}</script>'
