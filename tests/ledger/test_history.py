"""What the ledger says of past runs for the next one's plan."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration_nb.events import StepFinished
from orchestration_nb.ledger import Ledger
from tests.ledger import happened
from tests.ledger.conftest import Write

MODEL = "openai/gpt-4.1-mini"


def step(name: str = "queue", status: str = "ok", cost_usd: float = 0.25) -> StepFinished:
    return StepFinished(step=name, status=status, latency_ms=1.0, cost_usd=cost_usd)  # type: ignore[arg-type]


def asked(run: str, item: int, **fields: Any) -> list[Any]:
    """A request of the step ``queue`` with one call."""
    request = happened.request(run, item=item, step="queue", strategy="fixed")
    return [happened.call(run, request_id=request.request_id, **fields), request]


def test_items_are_told_with_what_they_asked_and_with_what_they_did_not(ledger: Ledger, write: Write) -> None:
    write(
        happened.run_started("r1"),
        *asked("r1", 0, prompt="ä" * 10, cache_key="k0"),
        happened.item("r1", item=0, steps=(step(),)),
        happened.item("r1", item=1, steps=(step(cost_usd=0.0),)),
        happened.item("r1", item=2, steps=(step(status="failed", cost_usd=0.0),)),
        happened.run_finished("r1"),
    )
    past = ledger.history("triage", ["queue"], [MODEL])
    asked_one, asked_none = past.steps
    assert past.sources == {"r1": "queue = llm(body)"}
    assert (asked_one.item, asked_one.model, asked_one.requests, asked_one.calls) == (0, MODEL, 1, 1)
    assert (asked_one.prompt_bytes, asked_one.usage.input_tokens, asked_one.cost_usd) == (20, 120, 0.25)
    assert (asked_none.item, asked_none.model, asked_none.requests) == (1, None, 0)


def test_other_flows_steps_and_failed_calls_say_nothing(ledger: Ledger, write: Write) -> None:
    write(
        happened.run_started("r1", flow="other"),
        *asked("r1", 0),
        happened.item("r1", item=0, steps=(step(),)),
        happened.run_started("r2"),
        *asked("r2", 0, status="failed"),
        happened.item("r2", item=0, steps=(step("else"),)),
    )
    past = ledger.history("triage", ["queue"], [MODEL])
    assert past.steps == ()
    assert past.latencies == {}


def test_what_was_billed_without_an_answer_is_no_precedent(ledger: Ledger, write: Write) -> None:
    write(
        happened.run_started("r1"),
        *asked("r1", 0, bill_unknown=True, cost_usd=0.25, billed_usd=0.75),
        happened.item("r1", item=0, steps=(step(),)),
    )
    assert ledger.history("triage", ["queue"], [MODEL]).steps[0].cost_usd == pytest.approx(0.25)


def test_a_model_is_known_by_how_it_counts_and_speaks(ledger: Ledger, write: Write) -> None:
    calls = [
        happened.call(
            "r1", prompt="x" * size, input_tokens=size // 4 + 7, output_tokens=50, reply=reply, latency_ms=100.0
        )
        for size in range(100, 200, 4)
        for reply in ("yes", '{"value": 1}')
    ]
    write(happened.run_started("r1"), *calls)
    models = ledger.history("another flow", [], [MODEL, "none/such"]).models
    assert set(models) == {(MODEL, False), (MODEL, True)}
    spoken = models[MODEL, False]
    assert (spoken.calls, spoken.output_tokens, spoken.latency.p95_ms) == (25, 50, 100.0)
    assert spoken.slope == pytest.approx(0.25)
    assert spoken.intercept == pytest.approx(7)


def test_calls_from_the_cache_say_nothing_of_latency(ledger: Ledger, write: Write) -> None:
    write(
        happened.run_started("r1"),
        *asked("r1", 0, latency_ms=900.0),
        *asked("r1", 1, latency_ms=1.0, cache="exact"),
        happened.item("r1", item=0, steps=(step(),)),
    )
    latency = ledger.history("triage", ["queue"], [MODEL]).latencies["queue", MODEL]
    assert (latency.calls, latency.p50_ms, latency.sd_ms) == (1, 900.0, 0.0)
