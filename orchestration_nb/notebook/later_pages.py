"""Figures for pages that are opened later: in Voila, after a reload, in a second window."""

from __future__ import annotations

from copy import deepcopy
from typing import Any


def keep_for_later_pages(figure: Any) -> None:
    """Lets a ``FigureWidget`` be drawn as it is now by a page that opens it from here on.

    Such a page begins from two traits that plotly fills at the figure's beginning only; without this it draws the first
    state of a figure that was updated since.
    """
    figure._widget_data = deepcopy(figure._data)  # noqa: SLF001 - plotly has no public name for it
    figure._widget_layout = deepcopy(figure.layout.to_plotly_json())  # noqa: SLF001
