"""``%orchestrate why REQUEST``: why a request was answered as it was, in a few sentences, from the ledger alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestration_nb.errors import UsageError
from orchestration_nb.ledger import Ledger
from orchestration_nb.notebook.session import Session
from orchestration_nb.pages.figures import span, usd
from orchestration_nb.terminal import printable, records
from orchestration_nb.workspace import Workspace

WHY_USAGE: Final = "why REQUEST|RUN:ITEM|last[:ITEM]"
_MOST: Final = 20
"""Requests that are told at once."""
_NO_CALL: Final = "No call was made."
_SHARED: Final = "It paid for no call of its own: in a comparison, another strategy had asked the same."
_REQUESTS: Final = """
select request_id, run_id, flow, step, item, strategy, model, candidates, propensity, reason, seen, instead_of,
    cost_usd, billed_usd, simulated, latency_ms, status, error
from requests
"""
_CALLS: Final = """
select request_id, model, sample, status, error_type, cost_usd, latency_ms, cache, len(attempts) as attempts, simulated
from calls where request_id in (select unnest($1)) order by started_at, call_id
"""


def show_why(session: Session, rest: str) -> None:
    """Prints why a request was answered as it was.

    Raises:
        UsageError: If no request is meant, or more than one.
    """
    last = str(session.last.id) if session.last is not None else None
    for paragraph in reasons(Workspace.current().ledger, rest, last=last):
        print(printable(paragraph))  # noqa: T201


def reasons(ledger: Ledger, name: str, *, last: str | None = None) -> list[str]:
    """Why requests were answered as they were, a paragraph each.

    Args:
        ledger: What happened.
        name: A request's id, or how it begins or ends; ``RUN:ITEM``; ``last`` or ``last:ITEM``.
        last: Id of the run that ``last`` stands for; ``None``: the newest of the ledger.

    Raises:
        UsageError: If no request is meant, or more than one.
    """
    found = _meant(ledger, name.strip(), last)
    calls = records(ledger.sql(_CALLS, [[request["request_id"] for request in found]]))
    return [
        _paragraph(request, [call for call in calls if call["request_id"] == request["request_id"]])
        for request in found
    ]


def _meant(ledger: Ledger, name: str, last: str | None) -> list[dict[str, Any]]:
    run, colon, item = name.partition(":")
    if colon or run == "last":
        run_id = last if run == "last" and last is not None else str(ledger.run(run).run["run_id"])
        return _of_item(ledger, run_id, item)
    if not name:
        raise UsageError("`why` needs a request.", hint=f"%orchestrate {WHY_USAGE}")
    found = records(
        ledger.sql(
            f"{_REQUESTS} where starts_with(request_id, $1) or ends_with(request_id, $1) order by request_id limit 3",
            [name],
        )
    )
    exact = [request for request in found if request["request_id"] == name]
    if not found:
        raise UsageError(
            f"The ledger has no request {name!r}.",
            hint="%orchestrate sql SELECT request_id, step, item FROM requests ORDER BY 1 DESC LIMIT 20",
        )
    if len(found) > 1 and not exact:
        raise UsageError(f"More than one request is called {name!r}.", hint="Write more of its id.")
    return exact or found


def _of_item(ledger: Ledger, run_id: str, item: str) -> list[dict[str, Any]]:
    """The requests of an item, or the last one of the run."""
    if item and not item.lstrip("-").isdecimal():
        raise UsageError(f"{item!r} is no number of an item.", hint="Items are counted from 0: last:0 is the first.")
    if item:
        found = ledger.sql(f"{_REQUESTS} where run_id = $1 and item = $2 order by request_id", [run_id, int(item)])
    else:
        found = ledger.sql(f"{_REQUESTS} where run_id = $1 order by request_id desc limit 1", [run_id])
    if not len(found):
        which = f"item {item} of the run" if item else "the run"
        raise UsageError(f"No request is recorded of {which} {run_id}.", hint="Items are counted from 0.")
    return records(found.head(_MOST))


def _paragraph(request: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> str:
    where = f"step {request['step']} of {request['flow']}"
    if request["item"] >= 0:
        where += f", item {request['item']}"
    pieces = [f"Request {request['request_id']} ({where}).", _choice(request), *_read(request["seen"] or ())]
    pieces += [_call(call) for call in calls] or [_NO_CALL if request["model"] is None else _SHARED]
    return " ".join([*pieces, _end(request, calls)])


def _choice(request: Mapping[str, Any]) -> str:
    """The strategy, what it chose among with which chance, and why."""
    said = f"The strategy {request['strategy']}"
    candidates = list(dict.fromkeys(request["candidates"] or ()))
    said += f" chose among {_listed(candidates)}" if len(candidates) > 1 else " decided"
    if request["propensity"] is not None:
        said += f", by lot with a chance of {request['propensity']:.3g} for what was drawn"
    return f"{said}: {request['reason'] or 'it gave no reason'}."


def _read(seen: Sequence[Mapping[str, Any]]) -> list[str]:
    told = []
    for stats in seen:
        facts = [f"{stats['in_flight']} in flight", f"{stats['calls']} calls in the last five minutes"]
        if stats["calls"]:
            facts.append(f"{stats['failure_rate']:.0%} of them failed")
        if stats["latency_ms"] is not None:
            facts.append(f"median {span(stats['latency_ms'] / 1000)}, p95 {span(stats['p95_latency_ms'] / 1000)}")
        told.append(f"{stats['model']} had {', '.join(facts)}")
    return [f"It read: {'; '.join(told)}."] if told else []


def _call(call: Mapping[str, Any]) -> str:
    who = call["model"] + (f" (sample {call['sample']})" if call["sample"] else "")
    took = span((call["latency_ms"] or 0.0) / 1000)
    tries = f" in {call['attempts']} attempts" if (call["attempts"] or 0) > 1 else ""
    money = usd(call["cost_usd"] or 0.0) + (" simulated" if call["simulated"] else "")
    if call["status"] == "ok":
        source = "from the cache" if call["cache"] != "none" else f"after {took}{tries}"
        return f"{who} answered {source}, at a list price of {money}."
    if call["status"] == "failed":
        return f"{who} failed after {took}{tries} ({call['error_type']})."
    return f"{who} was {call['status']} after {took}."


def _end(request: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> str:
    if request["status"] != "ok":
        return f"The request ended as {request['status']}: {request['error'] or 'no reason is recorded'}"
    instead = f" in place of {request['instead_of']}" if request["instead_of"] else ""
    total = f", {usd(request['cost_usd'])} and {span(request['latency_ms'] / 1000)} in all" if len(calls) > 1 else ""
    return f"The reply of {request['model']} was taken{instead}{total}."


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
