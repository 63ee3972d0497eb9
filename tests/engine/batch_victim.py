"""A process that runs a batch and is killed at a chosen moment, or goes on where another was killed.

Called as ``python batch_victim.py WORKSPACE [MOMENT]``; prints the answers as JSON, one line an item.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn

import orjson

from orchestration_nb.calls import RawReply
from orchestration_nb.catalog import Model
from orchestration_nb.clock import SystemClock
from orchestration_nb.config import SimSettings
from orchestration_nb.engine.batching import BatchSender
from orchestration_nb.providers.batches_openai import OpenAIBatches
from orchestration_nb.providers.simulated import SimProvider
from orchestration_nb.state.batches import BatchStore
from orchestration_nb.state.desk import Desk
from orchestration_nb.state.owners import Owners
from orchestration_nb.state.store import StateFile
from tests.engine.batches import QUICK, Purse, question

SMALL = Model(provider="sim", wire_name="small", simulated=True)
ITEMS = 12


def die(*_: Any) -> NoReturn:
    """Ends this process as the out-of-memory killer would."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def before(owner: type, name: str) -> None:
    setattr(owner, name, die)


def after(owner: type, name: str) -> None:
    """Dies when a coroutine function has done its work."""
    does: Callable[..., Awaitable[Any]] = getattr(owner, name)

    async def then_die(*args: Any, **named: Any) -> NoReturn:
        await does(*args, **named)
        die()

    setattr(owner, name, then_die)


MOMENTS: dict[str, Callable[[], None]] = {
    "before anything is written down": lambda: before(BatchStore, "begin"),
    "before the provider has it": lambda: before(OpenAIBatches, "submit"),
    "before its id is written down": lambda: after(OpenAIBatches, "submit"),
    "while it is under way": lambda: after(OpenAIBatches, "standing"),
    "while its results are read": lambda: after(BatchStore, "keep"),
    "before its answers are recorded": lambda: after(BatchStore, "end"),
}


async def run(workspace: Path) -> list[str]:
    provider = SimProvider(SimSettings(latency_scale=0.02, batch_s=5), workspace)  # 100 ms a batch
    desk, owners = Desk(StateFile(workspace, busy_s=0)), Owners(workspace)
    sender = BatchSender({"sim": provider}, BatchStore(desk), owners, SystemClock(), QUICK)

    async def answer(item: int) -> str:
        key = f"item-{item}"
        reply: RawReply = await sender.send(SMALL, question(f"Ticket {item}", item=item), key=key, hold=Purse())
        sender.recorded(key)
        return reply.text

    replies = await asyncio.gather(*map(answer, range(ITEMS)))
    await desk.flush()
    left = await BatchStore(desk).batches()
    await sender.close()
    desk.close()
    owners.close()
    await provider.close()
    assert left == []
    return list(replies)


if __name__ == "__main__":
    folder, *moment = sys.argv[1:]
    if moment:
        MOMENTS[moment[0]]()
    sys.stdout.buffer.write(orjson.dumps(asyncio.run(run(Path(folder)))))
