"""The channel on which a kernel answers what it is asked.

Imported only once a kernel is on its way, as all of jupyter_client.
"""

from __future__ import annotations

import queue
from time import monotonic
from typing import Any, Final

from jupyter_client.channels import AsyncZMQSocketChannel

LOOKED_AGAIN_S: Final = 1.0
"""How long it may wait to be told of a message until it looks for itself."""


class AnswerChannel(AsyncZMQSocketChannel):
    """One that finds its message, too, where nobody told it that one had come.

    A cell that shows an output widget makes nbclient send messages while it waits for the cell's reply. jupyter_client
    sends them past the waiting socket (``zmq.Socket.shadow``), and where the reply has just come, that takes the one
    sign of it away: the wait would never end.
    """

    async def get_msg(  # type: ignore[override]  # as there: its base blocks
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - jupyter_client's form
    ) -> dict[str, Any]:
        """The next message.

        Args:
            timeout: Seconds to wait for it; ``None``: until it comes.

        Raises:
            queue.Empty: If none came in time.
        """
        ends_s = None if timeout is None else monotonic() + timeout
        while True:
            left_s = LOOKED_AGAIN_S if ends_s is None else max(0.0, ends_s - monotonic())
            try:
                return await super().get_msg(min(LOOKED_AGAIN_S, left_s))
            except queue.Empty:
                if left_s <= LOOKED_AGAIN_S and ends_s is not None:
                    raise
