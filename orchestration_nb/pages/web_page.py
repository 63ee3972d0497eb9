"""An HTML file of its own: figures that plotly draws, and tables, with nothing to load and no network to ask.

The script of plotly is in the file. A content security policy allows the two scripts of the file by their digests and
nothing else; data stands in JSON that no text in it can end.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from orchestration_nb.errors import UsageError
from orchestration_nb.terminal import printable

_STYLE: Final = """
:root{color-scheme:light dark}
body{margin:16px auto;max-width:1240px;padding:0 16px;font-family:system-ui,sans-serif;background:Canvas;
color:CanvasText}
.figure{min-height:120px}label{display:inline-block;margin:6px 14px 6px 0}select{font:inherit;max-width:100%}
"""
# Each figure is drawn where it stands; a select of the page chooses among several, and one among the traces shown.
_DRAW: Final = """
const held = JSON.parse(document.getElementById("held").textContent);
const draw = (place, name) => {
  const one = held[place].figures[name];
  Plotly.react(place, one.data, one.layout, one.config);
  const told = document.getElementById(place + "-told");
  if (told) told.innerHTML = held[place].told[name] || "";
};
for (const place of Object.keys(held)) {
  const choice = document.getElementById(place + "-choice");
  const shown = document.getElementById(place + "-shown");
  const all = () => {
    draw(place, choice ? choice.value : Object.keys(held[place].figures)[0]);
    if (shown) Plotly.restyle(place, {visible: held[place].shown[choice ? choice.value : ""][shown.value]});
  };
  for (const one of [choice, shown]) if (one) one.addEventListener("change", all);
  all();
}
"""


def page(title: str, body: str, held: Mapping[str, Any]) -> str:
    """The whole file.

    Args:
        title: Of the window; a text.
        body: HTML, escaped where it has to be; an element whose id is a key of ``held`` gets its figure, a ``select``
            with the id ``KEY-choice`` chooses among several, and an element ``KEY-told`` gets what is told of it.
        held: ``figures`` by name, and under ``told`` HTML by name; under ``shown`` by name and value of the
            ``select`` with the id ``KEY-shown`` which traces are visible.
    """
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - slow to load

    scripts = (get_plotlyjs(), _DRAW)
    digests = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    plotly, draw = (f"<script>{script}</script>" for script in scripts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(printable(title))}</title><style>{_STYLE}</style></head>"
        f"<body>{body}{_data(held)}{plotly}{draw}</body></html>"
    )


def choice(place: str, label: str, options: Sequence[tuple[str, str]], *, suffix: str = "choice") -> str:
    """A labelled ``select`` for :func:`page`: the browser's own, so that the keyboard reaches it."""
    listed = "".join(
        f'<option value="{html.escape(value)}">{html.escape(printable(text))}</option>' for value, text in options
    )
    return f'<label>{html.escape(label)} <select id="{place}-{suffix}">{listed}</select></label>'


def write_page(text: str, path: Path) -> int:
    """Writes the file and returns its size in bytes.

    Raises:
        UsageError: If it cannot be written there.
    """
    written = text.encode("utf-8", "replace")
    try:
        path.write_bytes(written)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", hint="Name a file in a folder that is there."
        ) from None
    return len(written)


def _digest(script: str) -> str:
    return base64.b64encode(sha256(script.encode()).digest()).decode()


def _data(held: Mapping[str, Any]) -> str:
    text = json.dumps(held, ensure_ascii=True).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" id="held">{text}</script>'
