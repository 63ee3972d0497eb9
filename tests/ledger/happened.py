"""Events as an engine would write them, for the tests of this room."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from orchestration_nb.calls import Attempt
from orchestration_nb.events import CallFinished, ItemFinished, RequestFinished, RunFinished, RunStarted, StepFinished
from orchestration_nb.ids import CallId, PipelineId, RequestId, RunId, new_id
from orchestration_nb.pipeline_events import ArtifactSaved, CellFinished, CellStarted, PipelineFinished, PipelineStarted

NOON = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC).replace(tzinfo=None)


def run_started(run_id: str | None = None, **fields: Any) -> RunStarted:
    known: dict[str, Any] = {
        "run_id": RunId(run_id or new_id()),
        "flow": "triage",
        "source": "queue = llm(body)",
        "steps": ({"name": "queue", "kind": "llm", "line": 1, "needs": [], "once": False},),
        "strategy": None,
        "model": "fast",
        "budget_usd": 5.0,
        "concurrency": 32,
        "seed": 7,
        "sample": None,
        "items": 2,
        "tags": {"team": "support"},
        "started_at": NOON,
        "pid": 4321,
        "package_version": "0.1.0",
    }
    return RunStarted(**(known | fields))


def call(run_id: str = "r", **fields: Any) -> CallFinished:
    known: dict[str, Any] = {
        "call_id": CallId(new_id()),
        "request_id": RequestId(new_id()),
        "run_id": RunId(run_id),
        "model": "openai/gpt-4.1-mini",
        "provider": "openai",
        "sample": 0,
        "status": "ok",
        "error_type": None,
        "error": None,
        "input_tokens": 120,
        "cached_tokens": 20,
        "cache_write_tokens": 0,
        "output_tokens": 30,
        "reasoning_tokens": 5,
        "cost_usd": 0.25,
        "billed_usd": 0.25,
        "bill_unknown": False,
        "simulated": False,
        "input_usd_per_mtok": 0.4,
        "output_usd_per_mtok": 1.6,
        "cached_usd_per_mtok": 0.1,
        "cache_write_usd_per_mtok": None,
        "latency_ms": 812.5,
        "ttft_ms": None,
        "finish_reason": "stop",
        "provider_request_id": "req_1",
        "model_version": "gpt-4.1-mini-2025-04-14",
        "cache": "none",
        "cache_key": "k" * 64,
        "attempts": (attempt(1, status="failed", http_status=429), attempt(2)),
        "started_at": NOON,
        "prompt": "Which queue does this ticket belong to?",
        "reply": "billing",
    }
    return CallFinished(**(known | fields))


def attempt(number: int, **fields: Any) -> Attempt:
    known: dict[str, Any] = {
        "number": number,
        "status": "ok",
        "error_type": None,
        "error": None,
        "wait_ms": 0.0,
        "latency_ms": 400.0,
        "http_status": 200,
        "provider_request_id": f"req_{number}",
    }
    return Attempt(**(known | fields))


def request(run_id: str = "r", **fields: Any) -> RequestFinished:
    known: dict[str, Any] = {
        "request_id": RequestId(new_id()),
        "run_id": RunId(run_id),
        "flow": "triage",
        "step": "queue",
        "item": 0,
        "strategy": "single",
        "model": "openai/gpt-4.1-mini",
        "candidates": ("fast", "strong"),
        "propensity": 0.8,
        "reason": "",
        "calls": 1,
        "cost_usd": 0.25,
        "billed_usd": 0.25,
        "simulated": False,
        "latency_ms": 815.0,
        "status": "ok",
        "error_type": None,
        "error": None,
        "started_at": NOON,
    }
    return RequestFinished(**(known | fields))


def item(run_id: str = "r", number: int = 0, **fields: Any) -> ItemFinished:
    known: dict[str, Any] = {
        "run_id": RunId(run_id),
        "item": number,
        "status": "ok",
        "error_type": None,
        "error": None,
        "cost_usd": 0.25,
        "billed_usd": 0.25,
        "latency_ms": 820.0,
        "steps": (step("queue"), step("reply", latency_ms=3.5, cost_usd=0.0)),
        "finished_at": NOON,
    }
    return ItemFinished(**(known | fields))


def step(name: str, **fields: Any) -> StepFinished:
    known: dict[str, Any] = {"step": name, "status": "ok", "latency_ms": 815.0, "cost_usd": 0.25}
    return StepFinished(**(known | fields))


def run_finished(run_id: str = "r", **fields: Any) -> RunFinished:
    known: dict[str, Any] = {
        "run_id": RunId(run_id),
        "status": "done",
        "error": None,
        "items_ok": 2,
        "items_failed": 0,
        "cost_usd": 0.5,
        "billed_usd": 0.5,
        "finished_at": NOON.replace(second=9),
    }
    return RunFinished(**(known | fields))


def pipeline_started(pipeline_id: str = "p", **fields: Any) -> PipelineStarted:
    known: dict[str, Any] = {
        "pipeline_id": PipelineId(pipeline_id),
        "notebook": "daily.ipynb",
        "digest": "d0",
        "cells": 2,
        "copy": ".orchestrate/runs/daily-20260301T120000.ipynb",
        "started_at": NOON,
        "pid": 4321,
        "package_version": "0.1.0",
    }
    return PipelineStarted(**(known | fields))


def cell_started(pipeline_id: str = "p", cell: int = 1, **fields: Any) -> CellStarted:
    known: dict[str, Any] = {"title": f"step {cell}", "digest": f"c{cell}", "started_at": NOON.replace(second=cell)}
    return CellStarted(pipeline_id=PipelineId(pipeline_id), cell=cell, **(known | fields))


def cell_finished(pipeline_id: str = "p", cell: int = 1, **fields: Any) -> CellFinished:
    known: dict[str, Any] = {"status": "ok", "finished_at": NOON.replace(second=cell, microsecond=900_000)}
    return CellFinished(pipeline_id=PipelineId(pipeline_id), cell=cell, **(known | fields))


def pipeline_finished(pipeline_id: str = "p", **fields: Any) -> PipelineFinished:
    known: dict[str, Any] = {"status": "done", "cells_done": 2, "finished_at": NOON.replace(second=9)}
    return PipelineFinished(pipeline_id=PipelineId(pipeline_id), **(known | fields))


def artifact(name: str = "scores", **fields: Any) -> ArtifactSaved:
    known: dict[str, Any] = {
        "pipeline_id": PipelineId("p"),
        "format": "json",
        "path": f"artifacts/p/{name}.json",
        "bytes": 12,
        "digest": "a0",
        "saved_at": NOON,
    }
    return ArtifactSaved(name=name, **(known | fields))


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
