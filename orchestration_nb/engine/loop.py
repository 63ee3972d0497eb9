"""The one event loop, in one background thread of the process, that serves every notebook, script and pipeline."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

POLL_S: Final = 0.05
"""How often a blocking wait looks up, so that an interrupt is noticed."""
CLOSE_S: Final = 5.0
"""How long closing may take at the end of the process."""


class EngineLoop:
    """An event loop in a thread of its own; started by the first use."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self.executor = concurrent.futures.ThreadPoolExecutor(
            max_workers=min(32, (os.cpu_count() or 1) + 4), thread_name_prefix="orchestrate-step"
        )

    def __repr__(self) -> str:
        return f"<EngineLoop {'running' if self._loop else 'not started'}>"

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        with self._starting:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name="orchestrate-engine", daemon=True)
                thread.start()
                self._loop, self._thread = loop, thread
        return self._loop

    def is_current(self) -> bool:
        """Whether the caller stands on the engine's own thread, where blocking would stop everything."""
        return threading.current_thread() is self._thread

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Starts a coroutine on the loop, from any thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def on_close(self, closer: Callable[[], Awaitable[None]]) -> None:
        """Has ``closer`` awaited before the loop stops; the last one in is the first out."""
        self._closers.append(closer)

    def close(self) -> None:
        """Closes the clients, then stops the loop and joins its thread; at most five seconds."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is None or thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(self._close_all(), loop).result(CLOSE_S)
        except TimeoutError:
            pass  # what hangs at the end of the process is left behind
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(CLOSE_S)
            if not thread.is_alive():
                loop.close()
            self.executor.shutdown(wait=False, cancel_futures=True)

    async def _close_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._closers:
            await self._closers.pop()()


_current: EngineLoop | None = None
_making = threading.Lock()


def engine_loop() -> EngineLoop:
    """The process's engine loop; made anew in a forked child, where the parent's thread does not run."""
    global _current  # noqa: PLW0603 - one loop a process is the point
    with _making:
        if _current is None:
            _current = EngineLoop()
            atexit.register(_current.close)
        return _current


def _forget_parent() -> None:
    global _current, _making
    _current, _making = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_parent)


def wait(future: concurrent.futures.Future[T], *, on_tick: Callable[[], None] | None = None) -> T:
    """Waits for a future of the engine in steps of 50 ms, so that an interrupt (SIGINT) gets through.

    Args:
        future: What to wait for.
        on_tick: Called after each step, on the caller's thread (a progress display draws here).

    Raises:
        KeyboardInterrupt: If interrupted; the future goes on.
    """
    while True:
        done, _ = concurrent.futures.wait([future], timeout=POLL_S)
        if on_tick is not None:
            on_tick()
        if done:
            return future.result()
