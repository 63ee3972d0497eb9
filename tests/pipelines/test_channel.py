"""A kernel's answer is found, too, where its sign was taken away by a message that was sent meanwhile."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zmq
import zmq.asyncio
from jupyter_client.session import Session

from orchestration_nb.pipelines.channel import AnswerChannel


@contextmanager
def kernel_and_channel(session: Session) -> Iterator[tuple[Any, AnswerChannel]]:
    """A socket that answers as a kernel does, and the channel to it."""
    with zmq.Context() as theirs, theirs.socket(zmq.ROUTER) as kernel, zmq.asyncio.Context() as ours:
        port = kernel.bind_to_random_port("tcp://127.0.0.1")
        with ours.socket(zmq.DEALER) as socket:
            socket.connect(f"tcp://127.0.0.1:{port}")
            yield kernel, AnswerChannel(socket, session, None)


async def test_an_answer_whose_sign_was_taken_away_is_found() -> None:
    session = Session(key=b"key")
    with kernel_and_channel(session) as (kernel, channel):
        channel.send(session.msg("execute_request", {}))
        who, _ = session.feed_identities(await asyncio.to_thread(kernel.recv_multipart))
        waiting = asyncio.ensure_future(channel.get_msg())
        await asyncio.sleep(0.01)
        session.send(kernel, "execute_reply", {"status": "ok"}, ident=who)
        time.sleep(0.1)  # noqa: ASYNC251 - it comes while the loop is busy, and the next line takes its sign away
        assert int(zmq.Socket.shadow(channel.socket.underlying).getsockopt(zmq.EVENTS)) & zmq.POLLIN
        answer = await asyncio.wait_for(waiting, 10)
    assert answer["content"] == {"status": "ok"}


@pytest.mark.parametrize("wait_s", [0.0, 0.05])
async def test_where_none_comes_in_time_it_says_so(wait_s: float) -> None:
    with kernel_and_channel(Session(key=b"key")) as (_, channel), pytest.raises(queue.Empty):
        await asyncio.wait_for(channel.get_msg(wait_s), 10)
