"""Connections: reused while they are good, closed when they rest, never used after the far end has closed."""

from __future__ import annotations

import asyncio

import httpcore
import pytest

from orchestration_nb.calls import Timeouts
from orchestration_nb.errors import ConnectionLostError
from orchestration_nb.providers import lanes as lanes_module
from orchestration_nb.providers.lanes import Lane, Lanes
from orchestration_nb.providers.sockets import Address, connect
from orchestration_nb.providers.wire import BaseUrl, Wire
from tests.providers.conftest import Connection, Script, http

OK = http(200, {})


def wire_to(script: Script) -> Wire:
    return Wire(BaseUrl.parse(script.url), who="house")


async def post(wire: Wire) -> int:
    return (await wire.post("/x", b"{}", (), Timeouts(total_s=5))).status


async def test_calls_in_turn_share_one_connection(script: Script) -> None:
    script.answers = [OK]
    wire = wire_to(script)
    for _ in range(5):
        assert await post(wire) == 200
    assert len(script.connections) == 1
    wire.close()


async def test_calls_at_once_have_a_connection_each_and_leave_them_to_the_next(script: Script) -> None:
    async def slow(connection: Connection) -> None:
        await asyncio.sleep(0.05)
        connection.send(OK)

    script.answers = [slow]
    wire = wire_to(script)
    for _ in range(2):
        await asyncio.gather(*(post(wire) for _ in range(8)))
    assert len(script.connections) == 8
    wire.close()


async def test_a_connection_that_the_server_closed_is_not_used_again(script: Script) -> None:
    script.answers = [OK]
    wire = wire_to(script)
    await post(wire)
    script.connections[0].close()
    await asyncio.sleep(0.02)
    assert await post(wire) == 200
    assert len(script.connections) == 2
    wire.close()


async def test_a_close_that_has_arrived_is_seen_before_a_rested_lane_is_used(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes_module, "_RESTED_S", -1.0)
    script.answers = [OK]
    wire = wire_to(script)
    await post(wire)
    server = script.connections[0].writer.transport
    server.abort()
    await asyncio.sleep(0)  # the server's side has closed, and the client has not looked yet
    assert await post(wire) == 200
    assert len(script.connections) == 2
    wire.close()


async def test_a_connection_that_the_server_wants_closed_is_closed(script: Script) -> None:
    script.answers = [http(200, {}, {"connection": "close"})]
    wire = wire_to(script)
    await post(wire)
    await post(wire)
    assert len(script.connections) == 2
    wire.close()


async def test_nothing_is_sent_twice_when_no_answer_comes(script: Script) -> None:
    async def close(connection: Connection) -> None:
        connection.close()

    script.answers = [OK, close]
    wire = wire_to(script)
    await post(wire)
    with pytest.raises(ConnectionLostError) as caught:
        await post(wire)
    assert caught.value.billing == "unknown"
    assert len(script.received) == 2
    wire.close()


async def new_lanes(script: Script, idle_s: float) -> Lanes:
    address = Address(host="127.0.0.1", port=script.port)
    return Lanes(address.origin, lambda: connect(address), idle_s=idle_s)


async def used(lane: Lane, script: Script) -> Lane:
    url = httpcore.URL(f"http://127.0.0.1:{script.port}/")
    response = await lane.connection.handle_async_request(httpcore.Request("GET", url, headers={"host": "x"}))
    await response.aread()
    await response.aclose()
    return lane


async def test_the_lane_used_last_is_used_next_and_rested_ones_close_by_themselves(script: Script) -> None:
    script.answers = [OK]
    lanes = await new_lanes(script, idle_s=0.05)
    first, second = [await used(await lanes.open(), script) for _ in range(2)]
    lanes.give_back(first)
    lanes.give_back(second)
    assert await lanes.take_idle() is second
    await asyncio.sleep(0.12)
    assert len(lanes) == 0
    assert first.stream.ended
    assert not second.stream.ended
    lanes.give_back(second)
    assert len(lanes) == 1
    lanes.close()
    assert len(lanes) == 0
    assert second.stream.ended


async def test_a_lane_in_the_middle_of_an_answer_is_not_kept(script: Script) -> None:
    script.answers = [OK]
    lanes = await new_lanes(script, idle_s=5)
    lane = await lanes.open()
    url = httpcore.URL(f"http://127.0.0.1:{script.port}/")
    await lane.connection.handle_async_request(httpcore.Request("GET", url, headers={"host": "x"}))
    lanes.give_back(lane)
    assert len(lanes) == 0
    assert lane.stream.ended
