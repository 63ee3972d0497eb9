"""Connections: reused while they are good, closed when they rest, never used after the far end has closed."""

from __future__ import annotations

import asyncio

import httpx
import orjson
import pytest

from orchestration_nb.calls import Timeouts
from orchestration_nb.errors import ConnectionLostError
from orchestration_nb.providers import lanes as lanes_module
from orchestration_nb.providers.lanes import LanesTransport
from orchestration_nb.providers.sockets import Address
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


async def get(transport: LanesTransport, script: Script) -> httpx.Response:
    return await transport.handle_async_request(httpx.Request("GET", script.url))


async def test_the_lane_used_last_is_used_next_and_rested_ones_close_by_themselves(script: Script) -> None:
    script.answers = [OK]
    transport = LanesTransport(Address(host="127.0.0.1", port=script.port), idle_s=0.05)
    first, second = await get(transport, script), await get(transport, script)
    for response in (first, second):
        await response.aread()
    assert len(transport) == 2
    third = await get(transport, script)
    await third.aread()
    assert [len(script.received), len(script.connections)] == [3, 2]
    await asyncio.sleep(0.12)
    assert len(transport) == 0


async def test_a_lane_in_the_middle_of_an_answer_is_not_kept(script: Script) -> None:
    script.answers = [http(200, b"x" * 100)[:-10]]
    transport = LanesTransport(Address(host="127.0.0.1", port=script.port))
    response = await get(transport, script)
    await response.aclose()
    assert len(transport) == 0


async def test_the_transport_serves_a_client_of_httpx(script: Script) -> None:
    script.answers = [http(200, {"fine": True})]
    async with httpx.AsyncClient(transport=LanesTransport(Address(host="127.0.0.1", port=script.port))) as client:
        for _ in range(3):
            assert (await client.post(script.url, json={"a": 1})).json() == {"fine": True}
    assert len(script.connections) == 1
    assert script.received[0].json == {"a": 1}


async def test_an_answer_without_a_length_ends_with_the_connection(script: Script) -> None:
    async def until_the_end(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nall of it")
        connection.close()

    script.answers = [until_the_end]
    transport = LanesTransport(Address(host="127.0.0.1", port=script.port))
    response = await get(transport, script)
    assert await response.aread() == b"all of it"
    assert len(transport) == 0


async def test_answers_before_the_real_one_are_passed_over(script: Script) -> None:
    script.answers = [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + http(200, {"real": 1})
    ]
    transport = LanesTransport(Address(host="127.0.0.1", port=script.port))
    response = await get(transport, script)
    assert (response.status_code, orjson.loads(await response.aread())) == (200, {"real": 1})
    assert "link" not in response.headers
    transport.close()


@pytest.mark.parametrize("later", [False, True])
async def test_an_answer_that_nobody_asked_for_is_never_taken_for_the_next_one(script: Script, later: bool) -> None:
    async def one_too_many(connection: Connection) -> None:
        connection.send(http(200, b"first") + (b"" if later else http(200, b"nobody's")))

    script.answers = [one_too_many, http(200, b"second")]
    transport = LanesTransport(Address(host="127.0.0.1", port=script.port))
    assert await (await get(transport, script)).aread() == b"first"
    if later:
        script.connections[0].send(http(408, b"nobody's"))
    await asyncio.sleep(0.02)
    assert await (await get(transport, script)).aread() == b"second"
    assert len(script.connections) == 2
    transport.close()


async def test_headers_without_end_are_refused(script: Script) -> None:
    script.answers = [b"HTTP/1.1 200 OK\r\n" + b"x-more: %b\r\n" % (b"y" * 1000) * 400 + b"\r\n"]
    with pytest.raises(httpx.RemoteProtocolError, match="256 KiB"):
        await get(LanesTransport(Address(host="127.0.0.1", port=script.port)), script)


async def test_a_line_break_in_a_header_is_never_sent(script: Script) -> None:
    transport = LanesTransport(Address(host="127.0.0.1", port=script.port))
    request = httpx.Request("GET", script.url, headers=[(b"x-a", b"1\r\nx-b: 2")])
    with pytest.raises(httpx.LocalProtocolError):
        await transport.handle_async_request(request)
    assert script.connections == []
