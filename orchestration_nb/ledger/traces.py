"""One request as what happened when: its calls, their attempts, and what each waited for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from orchestration_nb.errors import UsageError
from orchestration_nb.ledger.query import as_frame

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

SpanKind = Literal["wait", "first token", "answer", "failed", "cache"]
MOST_REQUESTS: Final = 100
_LISTED: Final = """
select request_id, step, item, strategy, model, calls, status, latency_ms, cost_usd, billed_usd, simulated, error_type,
    started_at
from requests where run_id = $run order by status = 'ok', latency_ms desc, request_id limit $most
"""
_REQUEST: Final = """
select request_id, run_id, flow, step, item, strategy, model, status, reason, latency_ms, cost_usd, billed_usd,
    simulated, error, started_at
from requests where request_id = $request
"""
_CALLS: Final = """
select model, status, cache, latency_ms, ttft_ms, error_type, simulated, started_at, attempts
from calls where request_id = $request order by started_at, call_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Some milliseconds of an attempt."""

    kind: SpanKind
    """``wait`` for its turn or between two attempts, until the ``first token``, the ``answer`` from there on (or as a
    whole, where it was not streamed), a ``failed`` attempt, or an answer from the ``cache``."""
    begins_ms: float
    """Since the request began."""
    length_ms: float
    says: str = ""
    """What went wrong, where something did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One attempt of a call, a row of the waterfall."""

    call: int
    """From 1, in the order in which the calls were begun."""
    attempt: int
    """From 1; 0 where the cache answered."""
    model: str
    status: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTrace:
    """What happened to one request, when."""

    request: dict[str, Any]
    """``request_id, run_id, flow, step, item, strategy, model, status, reason, latency_ms, cost_usd, billed_usd,
    simulated, error, started_at``."""
    tracks: tuple[Track, ...]

    @property
    def ends_ms(self) -> float:
        """When the last of it ended, since the request began."""
        ends = [span.begins_ms + span.length_ms for track in self.tracks for span in track.spans]
        return max([self.request["latency_ms"] or 0.0, *ends])


def requests_of(connection: duckdb.DuckDBPyConnection, run_id: str) -> pd.DataFrame:
    """The requests of a run, failed ones first, then the slowest first; at most :data:`MOST_REQUESTS`.

    Columns: ``request_id, step, item, strategy, model, calls, status, latency_ms, cost_usd, billed_usd, simulated,
    error_type, started_at``.
    """
    return as_frame(connection.sql(_LISTED, params={"run": run_id, "most": MOST_REQUESTS}))


def trace(connection: duckdb.DuckDBPyConnection, request_id: str) -> RequestTrace:
    """What happened to one request.

    Raises:
        UsageError: If the ledger has no such request.
    """
    result = connection.execute(_REQUEST, {"request": request_id})
    names = [column[0] for column in result.description or ()]
    found = result.fetchall()
    if not found:
        raise UsageError(f"The ledger has no request {request_id!r}.", hint="A request is listed when it has ended.")
    request = dict(zip(names, found[0], strict=True))
    calls = connection.execute(_CALLS, {"request": request_id}).fetchall()
    begins = min([request["started_at"], *(call[7] for call in calls)])
    tracks = [track for number, call in enumerate(calls, 1) for track in _tracks(number, call, begins)]
    return RequestTrace(request=request, tracks=tuple(tracks))


def _tracks(number: int, call: tuple[Any, ...], begins: datetime) -> list[Track]:
    model, status, cache, latency_ms, ttft_ms, error_type, _, started_at, attempts = call
    at_ms = (started_at - begins).total_seconds() * 1000
    if not attempts:
        kind: SpanKind = "cache" if cache != "none" else "answer" if status == "ok" else "failed"
        span = Span(kind=kind, begins_ms=at_ms, length_ms=latency_ms or 0.0, says=error_type or "")
        return [Track(call=number, attempt=0, model=model, status=status, spans=(span,))]
    tracks = []
    for attempt in attempts:
        spans = _spans(attempt, at_ms, ttft_ms)
        tracks.append(
            Track(call=number, attempt=attempt["number"], model=model, status=attempt["status"], spans=tuple(spans))
        )
        at_ms = spans[-1].begins_ms + spans[-1].length_ms
    return tracks


def _spans(attempt: dict[str, Any], at_ms: float, ttft_ms: float | None) -> list[Span]:
    wait_ms, length_ms = attempt["wait_ms"] or 0.0, attempt["latency_ms"] or 0.0
    spans = [Span(kind="wait", begins_ms=at_ms, length_ms=wait_ms)] if wait_ms else []
    at_ms += wait_ms
    if attempt["status"] != "ok":
        said = " ".join(str(word) for word in (attempt["http_status"], attempt["error_type"]) if word)
        return [*spans, Span(kind="failed", begins_ms=at_ms, length_ms=length_ms, says=said or attempt["status"])]
    first_ms = min(ttft_ms, length_ms) if ttft_ms is not None else 0.0
    if first_ms:
        spans.append(Span(kind="first token", begins_ms=at_ms, length_ms=first_ms))
    return [*spans, Span(kind="answer", begins_ms=at_ms + first_ms, length_ms=length_ms - first_ms)]
