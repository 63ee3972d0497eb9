"""Files and batches of the simulated server, spoken to by a client that nobody here wrote."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestration_nb.providers.sim import BatchSetting, Faults, SimServer
from orchestration_nb.testing import ManualClock

DAY = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}


@asynccontextmanager
async def serving(setting: BatchSetting, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    server = await SimServer.start(latency_scale=0, batches=setting, **more)
    async with httpx.AsyncClient(base_url=server.base_url, timeout=30, trust_env=False) as client:
        yield client
    await server.close()


def line(number: int, **body: Any) -> str:
    asked = {"model": "small", "messages": [{"role": "user", "content": f"Ticket {number}"}], **body}
    return json.dumps({"custom_id": f"c-{number}", "method": "POST", "url": DAY["endpoint"], "body": asked})


async def make(client: httpx.AsyncClient, *lines: str, **more: Any) -> dict[str, Any]:
    uploaded = await client.post("/files", data={"purpose": "batch"}, files={"file": ("b.jsonl", "\n".join(lines))})
    assert uploaded.json()["object"] == "file"
    made = await client.post("/batches", json={**DAY, "input_file_id": uploaded.json()["id"], **more})
    assert made.status_code == 200
    return dict(made.json())


async def look(client: httpx.AsyncClient, batch: dict[str, Any]) -> dict[str, Any]:
    return dict((await client.get(f"/batches/{batch['id']}")).json())


async def rows(client: httpx.AsyncClient, file_id: str) -> dict[str, Any]:
    content = (await client.get(f"/files/{file_id}/content")).text
    return {row["custom_id"]: row for row in map(json.loads, content.splitlines())}


async def test_a_batch_takes_its_time_and_then_answers_as_single_calls_do() -> None:
    clock = ManualClock()
    async with serving(BatchSetting(seconds=60, clock=clock)) as client:
        batch = await make(client, line(0), line(1), metadata={"a": "b"})
        assert (batch["status"], batch["metadata"]) == ("validating", {"a": "b"})
        await clock.advance(30)
        assert (await look(client, batch))["status"] == "in_progress"
        await clock.advance(30)
        ended = await look(client, batch)
        assert (ended["status"], ended["request_counts"]) == ("completed", {"total": 2, "completed": 2, "failed": 0})
        found = await rows(client, ended["output_file_id"])
        single = await client.post("/chat/completions", json=json.loads(line(1))["body"])
        answered = found["c-1"]["response"]
        assert answered["status_code"] == 200
        assert answered["body"]["choices"] == single.json()["choices"]
        assert answered["body"]["usage"] == single.json()["usage"]
        assert answered["body"]["system_fingerprint"] == "simulated"


async def test_lines_fail_for_themselves() -> None:
    async with serving(BatchSetting()) as client:
        ended = await look(client, await make(client, line(0), line(1, model="huge"), line(2, messages=[])))
        assert ended["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
        assert list(await rows(client, ended["output_file_id"])) == ["c-0"]
        failed = await rows(client, ended["error_file_id"])
        assert [failed[name]["response"]["status_code"] for name in ("c-1", "c-2")] == [404, 400]


async def test_the_faults_of_the_simulation_fail_some_lines() -> None:
    async with serving(BatchSetting(), seed=3, faults=Faults(overloaded=0.2, rate_limited=0.2)) as client:
        ended = await look(client, await make(client, *map(line, range(50))))
        failed = await rows(client, ended["error_file_id"])
        assert 10 <= len(failed) <= 30
        assert {row["response"]["status_code"] for row in failed.values()} == {429, 503}


async def test_a_batch_that_is_cancelled_has_answered_what_it_came_to() -> None:
    clock = ManualClock()
    async with serving(BatchSetting(seconds=100, clock=clock)) as client:
        batch = await make(client, *map(line, range(10)))
        await clock.advance(40)
        cancelled = (await client.post(f"/batches/{batch['id']}/cancel")).json()
        assert cancelled["status"] == "cancelled"
        assert len(await rows(client, cancelled["output_file_id"])) == 4
        left = await rows(client, cancelled["error_file_id"])
        assert {row["error"]["code"] for row in left.values()} == {"batch_cancelled"}
        again = await client.post(f"/batches/{batch['id']}/cancel")
        assert again.status_code == 409


async def test_batches_outlive_their_server_in_a_folder(tmp_path: Path) -> None:
    clock = ManualClock()
    setting = BatchSetting(seconds=60, folder=tmp_path / "sim", clock=clock)
    async with serving(setting) as client:
        batch = await make(client, line(0))
    await clock.advance(60)
    async with serving(setting) as client:
        ended = await look(client, batch)
        assert ended["status"] == "completed"
        assert list(await rows(client, ended["output_file_id"])) == ["c-0"]


async def test_the_list_is_told_page_by_page_newest_first() -> None:
    clock = ManualClock()
    async with serving(BatchSetting(clock=clock)) as client:
        made = []
        for number in range(3):
            made.append((await make(client, line(number)))["id"])
            await clock.advance(1)
        first = (await client.get("/batches", params={"limit": 2})).json()
        assert [batch["id"] for batch in first["data"]] == [made[2], made[1]]
        assert first["has_more"]
        rest = (await client.get("/batches", params={"limit": 2, "after": made[1]})).json()
        assert ([batch["id"] for batch in rest["data"]], rest["has_more"]) == ([made[0]], False)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/batches", {**DAY, "input_file_id": "file-000000000000000000000000"}, 404),
        ("POST", "/batches", {**DAY, "endpoint": "/v1/embeddings", "input_file_id": "f"}, 400),
        ("POST", "/batches", {**DAY, "completion_window": "1h", "input_file_id": "f"}, 400),
        ("POST", "/batches", "no object", 400),
        ("POST", "/files", {}, 400),
        ("GET", "/batches/batch-000000000000000000000000", None, 404),
        ("GET", "/batches/..%2f..%2fledger", None, 404),
        ("GET", "/files/file-0/content", None, 404),
        ("GET", "/files/file-0/elsewhere", None, 404),
        ("DELETE", "/batches", None, 404),
    ],
)
async def test_what_cannot_be_is_refused_in_the_form_of_the_wire(
    method: str, path: str, body: Any, status: int
) -> None:
    async with serving(BatchSetting()) as client:
        response = await client.request(method, path, json=body)
        assert response.status_code == status
        assert response.json()["error"]["message"]
