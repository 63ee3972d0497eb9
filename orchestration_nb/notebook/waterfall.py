"""One request drawn as a waterfall: a row for each attempt, from left to right what it waited for and what it took."""

from __future__ import annotations

from typing import Any, Final, get_args

from orchestration_nb.ledger.traces import RequestTrace, SpanKind, Track
from orchestration_nb.pages.figures import count, latency, usd
from orchestration_nb.pages.plotting import AXIS, COLOURS, GREY, PAPER, figure_title, told
from orchestration_nb.spending import NO_MONEY

KINDS: Final[tuple[SpanKind, ...]] = get_args(SpanKind)
_LOOKS: Final[dict[SpanKind, tuple[str, str]]] = {
    "wait": (GREY, "."),
    "first token": (COLOURS[4], "/"),
    "answer": (COLOURS[0], ""),
    "failed": (COLOURS[5], "x"),
    "cache": (COLOURS[2], "|"),
}
_SAID: Final[dict[SpanKind, str]] = {
    "wait": "waits for its turn, or to try again",
    "first token": "until the first token",
    "answer": "answers",
    "failed": "fails",
    "cache": "the cache answers",
}
_ROW_PX, _EDGE_PX = 30, 110


def waterfall(trace: RequestTrace) -> dict[str, Any]:
    """The figure as JSON; a trace for each kind of span, so that the legend names them all."""
    return {
        "data": [_bars(trace, kind) for kind in KINDS],
        "layout": _layout(trace),
        "config": {"displaylogo": False, "displayModeBar": False, "responsive": True},
    }


def trace_sentence(trace: RequestTrace) -> str:
    """The request in a line: step, item, status, calls and attempts, time and money."""
    request = trace.request
    attempts = sum(track.attempt > 0 for track in trace.tracks)
    tries = f"{count(len({track.call for track in trace.tracks}), 'call')}, {count(attempts, 'attempt')}"
    money = f"{usd(request['billed_usd'] or 0.0)}{f' ({NO_MONEY})' if request['simulated'] else ''}"
    reason = f" · {request['reason']}" if request["reason"] else ""
    error = f" · {request['error']}" if request["error"] else ""
    return (
        f"{request['flow']} · {request['step']} · item {request['item']} · {request['status']} · "
        f"strategy {request['strategy']} · {tries} · {latency(request['latency_ms'] or 0.0)} · {money}{reason}{error}"
    )


def trace_rows(trace: RequestTrace) -> list[tuple[str, ...]]:
    """The attempts as texts under :data:`TRACE_HEADER`."""
    return [
        (_name(track), track.status, latency(span.begins_ms), latency(span.length_ms), _SAID[span.kind], span.says)
        for track in trace.tracks
        for span in track.spans
    ]


TRACE_HEADER: Final = ("call", "status", "from", "for", "", "error")


def _bars(trace: RequestTrace, kind: SpanKind) -> dict[str, Any]:
    spans = [(row, track, span) for row, track in enumerate(trace.tracks) for span in track.spans if span.kind == kind]
    colour, hatch = _LOOKS[kind]
    return {
        "type": "bar",
        "orientation": "h",
        "name": _SAID[kind],
        "x": [span.length_ms / 1000 for _, _, span in spans],
        "base": [span.begins_ms / 1000 for _, _, span in spans],
        "y": [row for row, _, _ in spans],
        "width": 0.6,
        "marker": {"color": colour, "pattern": {"shape": hatch, "size": 6, "solidity": 0.3}, "line": {"width": 0}},
        "hoverinfo": "text",
        "hovertext": [
            "<br>".join(
                filter(
                    None,
                    (
                        told(_name(track), 80),
                        f"{_SAID[kind]}: {latency(span.length_ms)}, from {latency(span.begins_ms)}",
                        told(span.says, 80),
                    ),
                )
            )
            for _, track, span in spans
        ],
        "textposition": "none",
        "showlegend": True,
    }


def _name(track: Track) -> str:
    attempt = f", attempt {track.attempt}" if track.attempt else ""
    return f"{track.call}. {track.model}{attempt}"


def _layout(trace: RequestTrace) -> dict[str, Any]:
    rows = len(trace.tracks)
    simulated = " (simulated)" if trace.request["simulated"] else ""
    return {
        **PAPER,
        "title": figure_title(f"One request, attempt by attempt{simulated}", size=13),
        "barmode": "overlay",
        "height": _EDGE_PX + _ROW_PX * max(1, rows),
        "margin": {"l": 10, "r": 10, "t": 30, "b": 10},
        "hovermode": "closest",
        "dragmode": False,
        "legend": {"orientation": "h", "y": -0.25, "yanchor": "top", "x": 0, "font": {"size": 11}},
        "xaxis": {**AXIS, "range": [0, max(0.001, trace.ends_ms / 1000) * 1.02], "ticksuffix": " s"},
        "yaxis": {
            **AXIS,
            "range": [rows - 0.5, -0.5],
            "showgrid": False,
            "zeroline": False,
            "tickvals": list(range(rows)),
            "ticktext": [told(_name(track), 48) for track in trace.tracks],
        },
    }
