"""The cell that the documentation shows, from its text to its requests."""

from __future__ import annotations

from typing import Any

import pandas as pd

from orchestration_nb.calls import Origin
from orchestration_nb.flow import Pending, collect, fill, parse, step_scope
from orchestration_nb.ids import RequestId, RunId

TRIAGE = '''
"""Sorts tickets."""
queue: Literal["billing", "bug", "refund"] = llm(f"Which queue does this ticket belong to?\\n{body}", model="fast")
history = orders[orders.customer_id == customer_id].tail(5)
points = [llm(f"One sentence on this order: {o.total}") for o in history.itertuples()]
reply = llm(f"Queue: {queue}. History: {points}. Write the reply to:\\n{body}") if queue != "bug" else None
queue, reply
'''
ORIGIN = Origin(run_id=RunId("run"), flow="triage", step="queue", item=0)
ORDERS = pd.DataFrame({"customer_id": [7, 7, 8], "total": [10, 20, 30]})


def bound_triage() -> Any:
    return parse(TRIAGE, name="triage").bind(["body", "customer_id"], {"orders": ORDERS}, item=True)


def test_the_graph_comes_from_the_names() -> None:
    graph = parse(TRIAGE, name="triage")
    assert [(step.name, step.line, step.kind, step.needs) for step in graph.steps] == [
        ("queue", 3, "llm", frozenset()),
        ("history", 4, "plain", frozenset()),
        ("points", 5, "llm", {"history"}),
        ("reply", 6, "llm", {"queue", "points"}),
    ]
    assert graph.description == "Sorts tickets."
    assert graph.show == ("queue", "reply")


def test_a_whole_item() -> None:
    queue, history, points, reply = bound_triage().steps
    scope = {"body": "The app crashes", "customer_id": 7, "item": {}}
    with step_scope(None):
        asked = queue.evaluate(scope)
        request = asked.request(ORIGIN, schema=queue.schema, id=RequestId("1"), seed="s")
        assert request.prompt == "Which queue does this ticket belong to?\nThe app crashes"
        assert request.model == "fast"
        scope["queue"] = queue.check(request.output.parse('{"value": "refund"}'))
        scope["history"] = history.evaluate(scope)
        pendings = collect(several := points.evaluate(scope))
        assert [each.prompt for each in pendings] == [
            "One sentence on this order: 10",
            "One sentence on this order: 20",
        ]
        scope["points"] = fill(several, {id(each): each.prompt[-2:] for each in pendings})
        assert reply.evaluate(scope).prompt.startswith("Queue: refund. History: ['10', '20'].")
        scope["queue"] = "bug"
        assert reply.evaluate(scope) is None


def test_only_expressions_that_build_requests_are_for_the_loop() -> None:
    assert [step.builds_requests for step in bound_triage().steps] == [True, False, False, True]


def test_braces_reach_the_model_unchanged() -> None:
    bound = parse("a = llm('{\"a\": 1} and {{x}}')\nb = llm(text)", name="t").bind(
        [], {"text": '{"a": {{x}}}'}, item=False
    )
    with step_scope(None) as scope:
        for step in bound.steps:
            assert isinstance(step.evaluate({}), Pending)
    assert [pending.prompt for pending in scope.pendings] == ['{"a": 1} and {{x}}', '{"a": {{x}}}']
