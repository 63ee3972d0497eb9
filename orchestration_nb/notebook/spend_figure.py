"""Spend by day, and each budget against its limit, drawn with plotly.

The figure is plain data under plotly's own MIME type: it is saved with the notebook and needs no kernel to be shown.
Its background is clear and its words are grey, so that it reads in light and dark. What models and tags are called is
data: escaped, because plotly reads tags in every text, and without a dollar sign as it stands, because two of them
would be a formula.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from orchestration_nb.cost.burn import Burn
from orchestration_nb.ledger import Spend
from orchestration_nb.pages.figures import count, usd
from orchestration_nb.pages.plotting import AXIS, COLOURS, FAINT, GREY, PAPER, figure_title, told
from orchestration_nb.spending import NO_MONEY, Spending, heading

MOST_GROUPS = 8
"""Values that have a colour of their own; the others are one."""
MOST_BUDGETS = 12
MARKS = (0.5, 0.8, 1.0)
"""Shares of a budget that are marked; an alert is raised at each."""
_RED = "#c62828"
_OTHERS = "others"
_DAYS_PX, _BUDGET_PX, _EDGE_PX = 260, 40, 120


def spend_figure(spending: Spending) -> dict[str, Any]:
    """The figure as JSON: bars of each day, stacked, over one bar a budget."""
    import plotly.graph_objects as go  # noqa: PLC0415 - slow to load

    burns = spending.burns[:MOST_BUDGETS]
    both = bool(burns) and bool(len(spending.spend.daily))
    below_px = _BUDGET_PX * len(burns)
    split = below_px / (below_px + _DAYS_PX + _EDGE_PX) if both else 0.0
    layout = _layout(spending, height=_EDGE_PX + (_DAYS_PX if len(spending.spend.daily) else 0) + below_px)
    figure = go.Figure(layout=layout)
    if len(spending.spend.daily):
        figure.add_traces([go.Bar(**trace) for trace in _days(spending.spend)])
        figure.update_yaxes(domain=[split + 0.14 if both else 0, 1])
    if burns:
        figure.add_traces([go.Bar(**trace) for trace in _bars(burns)])
        figure.add_trace(go.Scatter(**_forecasts(burns)))
        figure.update_layout(**_budget_axes(burns, top=split if both else 1.0))
    drawn: dict[str, Any] = json.loads(figure.to_json())
    return {**drawn, "config": {"displaylogo": False, "displayModeBar": False}}


def _layout(spending: Spending, *, height: int) -> dict[str, Any]:
    spend = spending.spend
    title = "Spend by day" if not spend.simulated else f"Cost by day ({NO_MONEY})"
    return {
        **PAPER,
        "title": figure_title(title),
        "barmode": "stack",
        "height": height,
        "margin": {"l": 10, "r": 10, "t": 40, "b": 30},
        "legend": {"y": 1, "yanchor": "top", "font": {"size": 11}, "itemsizing": "constant"},
        "bargap": 0.25,
        "xaxis": {**AXIS, "type": "date", "tickformat": "%-d %b", "range": _range(spend), "showgrid": False},
        "yaxis": {**AXIS, "tickprefix": "&#36;", "rangemode": "tozero"},
    }


def _range(spend: Spend) -> list[str]:
    """From the first day that was asked for, or the first with a call where much before it is empty, to the last."""
    if spend.daily.empty:
        return [str(spend.since), str(spend.since + timedelta(days=1))]
    first, last = spend.daily["day"].min(), spend.daily["day"].max()
    first = min(first, last - timedelta(days=6))  # a single day is no bar as wide as the figure
    return [str(first - timedelta(hours=12)), str(last + timedelta(hours=12))]


def _days(spend: Spend) -> list[dict[str, Any]]:
    """A trace for each of the dearest values, and one for all others."""
    daily = spend.daily.assign(group="all") if spend.by == "day" else spend.daily
    totals = daily.groupby("group")["usd"].sum().sort_values(ascending=False, kind="stable")
    own = list(totals.index[:MOST_GROUPS])
    traces = [_trace(spend, daily[daily["group"] == name], str(name), COLOURS[n]) for n, name in enumerate(own)]
    others = daily[~daily["group"].isin(own)]
    if len(others):
        others = others.groupby("day", as_index=False)[["usd", "calls"]].sum()
        traces.append(_trace(spend, others, _OTHERS, GREY))
    return traces


def _trace(spend: Spend, rows: Any, name: str, colour: str) -> dict[str, Any]:
    money = f" ({NO_MONEY})" if spend.simulated else ""
    days, amounts, calls = rows["day"].tolist(), rows["usd"].tolist(), rows["calls"].tolist()
    return {
        "x": [f"{day:%Y-%m-%d}" for day in days],
        "y": amounts,
        "name": told(name),
        "marker": {"color": colour, "line": {"width": 0}},
        "hoverinfo": "text",
        "hovertext": [
            f"{told(name, 80)}<br>{day:%d %B}: {told(usd(amount))}{money}, {count(int(number), 'call')}"
            for day, amount, number in zip(days, amounts, calls, strict=True)
        ],
        "textposition": "none",
        "showlegend": spend.by != "day",
        "width": 16 * 3600 * 1000,
    }


def _percent(amount: float, burn: Burn) -> float:
    return 100 * amount / burn.limit_usd if burn.limit_usd > 0 else 100.0


def _bars(burns: Sequence[Burn]) -> list[dict[str, Any]]:
    """What is spent, and behind it what is set aside for calls under way."""
    spent = {
        "name": "spent",
        "x": [_percent(burn.spent_usd, burn) for burn in burns],
        "marker": {"color": [_colour(burn) for burn in burns]},
    }
    held = {
        "name": "held",
        "x": [_percent(burn.held_usd, burn) for burn in burns],
        "marker": {"color": FAINT},
    }
    shared = {
        "y": list(range(len(burns))),
        "orientation": "h",
        "xaxis": "x2",
        "yaxis": "y2",
        "hoverinfo": "text",
        "hovertext": [_hover(burn) for burn in burns],
        "showlegend": False,
    }
    return [{**shared, **spent}, {**shared, **held}]


def _amounts(burn: Burn) -> str:
    return f"{usd(burn.spent_usd)} of {usd(burn.limit_usd)}"


def _colour(burn: Burn) -> str:
    if burn.share >= 1:
        return _RED
    return "#d55e00" if burn.share >= MARKS[1] or burn.passes else "#0072b2"


def _hover(burn: Burn) -> str:
    lines = [
        told(burn.budget, 80),
        told(f"{_amounts(burn)} spent ({burn.share:.0%})"),
        told(f"{usd(burn.held_usd)} held for calls under way"),
    ]
    if burn.forecast_usd is not None:
        lines.append(told(f"at this pace {heading(burn)}", 120))
    return "<br>".join(lines)


def _forecasts(burns: Sequence[Burn]) -> dict[str, Any]:
    """A mark where each period ends at its pace."""
    places = [place for place, burn in enumerate(burns) if burn.forecast_usd is not None]
    known = [burns[place] for place in places]
    return {
        "name": "where the period ends at this pace",
        "mode": "markers",
        "x": [min(_percent(burn.forecast_usd or 0.0, burn), _widest(burns)) for burn in known],
        "y": places,
        "xaxis": "x2",
        "yaxis": "y2",
        "marker": {"symbol": "diamond-open", "size": 11, "color": GREY, "line": {"width": 2}},
        "hoverinfo": "text",
        "hovertext": [_hover(burn) for burn in known],
        "cliponaxis": False,
    }


def _widest(burns: Sequence[Burn]) -> float:
    """Percent at the right edge: all of what is spent, and forecasts up to twice the limit."""
    ends = [
        max(_percent(burn.spent_usd + burn.held_usd, burn), _percent(burn.forecast_usd or 0.0, burn)) for burn in burns
    ]
    spent = max(_percent(burn.spent_usd + burn.held_usd, burn) for burn in burns)
    return max(105.0, spent, min(max(ends), 200.0))


def _budget_axes(burns: Sequence[Burn], *, top: float) -> dict[str, Any]:
    lines = [
        {
            "type": "line",
            "xref": "x2",
            "yref": "y2 domain",
            "x0": 100 * mark,
            "x1": 100 * mark,
            "y0": 0,
            "y1": 1,
            "line": {"width": 1, **({"color": _RED} if mark == MARKS[-1] else {"color": GREY, "dash": "dot"})},
        }
        for mark in MARKS
    ]
    axis = {**AXIS, "showgrid": False, "zeroline": False}
    return {
        "xaxis2": {
            **axis,
            "anchor": "y2",
            "range": [0, _widest(burns) * 1.03],
            "tickvals": [100 * mark for mark in MARKS],
            "ticktext": [f"{mark:.0%}" for mark in MARKS],
        },
        "yaxis2": {
            **axis,
            "anchor": "x2",
            "domain": [0, top],
            "range": [len(burns) - 0.5, -0.5],
            "tickvals": list(range(len(burns))),
            "ticktext": [f"{told(burn.budget)}<br>{told(_amounts(burn))}" for burn in burns],
        },
        "shapes": lines,
    }
