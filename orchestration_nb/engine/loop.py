"""The one event loop, in one background thread of the process, that serves every notebook, script and pipeline."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import concurrent.futures.thread  # its own farewell must be registered before ours
import logging
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

from orchestration_nb.engine.threads import StepThreads
from orchestration_nb.errors import UsageError

T = TypeVar("T")

POLL_S: Final = 0.05
"""How often a blocking wait looks up, so that an interrupt is noticed."""
CLOSE_S: Final = 5.0
"""How long closing may take at the end of the process."""
LEAVE_S: Final = 1.0
"""How long the end of the process waits for a step that is under way in a thread."""

_log = logging.getLogger(__name__)


class EngineLoop:
    """An event loop in a thread of its own; started by the first use."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._works: set[asyncio.Task[Any]] = set()
        self._of_parent = False
        self.executor = StepThreads(min(32, (os.cpu_count() or 1) + 4))
        _engines.add(self)

    def __repr__(self) -> str:
        return f"<EngineLoop {'running' if self._loop else 'not started'}>"

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop.

        Raises:
            UsageError: In a forked child, where the thread of the parent's loop does not run.
        """
        with self._starting:
            if self._of_parent:
                raise UsageError(
                    "This workspace belongs to the process that this one was forked from.",
                    hint="In the child, make a workspace of its own: Workspace(folder), or leave workspace= away.",
                )
            if self._loop is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_serve, args=(loop,), name="orchestrate-engine", daemon=True)
                thread.start()
                self._loop, self._thread = loop, thread
        return self._loop

    def is_current(self) -> bool:
        """Whether the caller stands on the engine's own thread, where blocking would stop everything."""
        return threading.current_thread() is self._thread

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Starts a coroutine on the loop, from any thread."""
        try:
            loop = self.loop
        except UsageError:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(self._known(work), loop)

    def on_close(self, closer: Callable[[], Awaitable[None]]) -> None:
        """Has ``closer`` awaited before the loop stops; the last one in is the first out."""
        self._closers.append(closer)

    def close(self) -> None:
        """Cancels what is under way, closes the clients, stops the loop and joins its thread; a few seconds at most."""
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
            thread.join(LEAVE_S)
            if not thread.is_alive():
                loop.close()
            self.executor.shutdown(cancel_futures=True, limit_s=LEAVE_S)

    async def _known(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._works.add(task)
        try:
            return await work
        finally:
            self._works.discard(task)

    async def _close_all(self) -> None:
        # Each run first, so that it can record its own end; then whatever is still there.
        await _end(self._works)
        await _end(asyncio.all_tasks() - {asyncio.current_task()})
        while self._closers:
            try:
                await self._closers.pop()()
            except Exception:  # noqa: BLE001 - the next one is closed all the same
                _log.warning("Something could not be closed at the end of the process.", exc_info=True)


async def _end(tasks: Iterable[asyncio.Task[Any] | None]) -> None:
    ending = [task for task in tasks if task is not None]
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending, timeout=CLOSE_S / 3)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            continue  # from a step: asyncio lets it out of the loop, which must serve the others all the same
        else:
            return


_engines: weakref.WeakSet[EngineLoop] = weakref.WeakSet()
_current: EngineLoop | None = None
_making = threading.Lock()
# Before the threads of executors are joined and take no more work; ``atexit`` comes only after.
_at_end: Callable[[Callable[[], None]], Any] = getattr(threading, "_register_atexit", atexit.register)


def engine_loop() -> EngineLoop:
    """The process's engine loop; made anew in a forked child, where the parent's thread does not run."""
    global _current  # noqa: PLW0603 - one loop a process is the point
    with _making:
        if _current is None:
            _current = EngineLoop()
            _at_end(_current.close)
        return _current


def _forget_parent() -> None:
    global _current, _making
    for engine in _engines:
        engine._loop, engine._thread, engine._of_parent = None, None, True  # noqa: SLF001 - the same module
        engine._starting = threading.Lock()  # noqa: SLF001
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
