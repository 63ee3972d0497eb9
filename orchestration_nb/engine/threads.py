"""The threads in which the analyst's own Python runs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Job = tuple["Future[Any]", Callable[[], Any]]


class StepThreads(Executor):
    """Threads that hold up neither a cancelled run nor the end of the process.

    The threads of the standard library's ``ThreadPoolExecutor`` are joined when the process ends: a step that waits for
    a slow database would keep a script that is done from ending.

    Args:
        most: How many threads there may be; each is started when it is first needed.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._changing = threading.Lock()
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Has a thread call ``fn``.

        Raises:
            RuntimeError: After :meth:`shutdown`.
        """
        future: Future[T] = Future()
        with self._changing:
            if self._closed:
                raise RuntimeError("The threads for steps were closed.")
            self._jobs.put((future, lambda: fn(*args, **kwargs)))
            if not self._idle.acquire(blocking=False):
                self._grow()
        return future

    @contextlib.contextmanager
    def lending(self) -> Iterator[None]:
        """While a step waits for a run of its own, its thread does nothing: under ``with``, another may work instead.

        Without it, steps that all wait for steps of other runs would wait for each other.
        """
        change = 1 if threading.current_thread() in self._threads else 0
        with self._changing:
            self._most += change
            if change:
                self._grow()
        try:
            yield
        finally:
            with self._changing:
                self._most -= change

    def _grow(self) -> None:
        if len(self._threads) < self._most and not self._closed:
            name = f"orchestrate-step-{len(self._threads)}"
            thread = threading.Thread(target=self._serve, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False, limit_s: float | None = None) -> None:
        """Takes no more work.

        Args:
            wait: Whether to wait for what is under way.
            cancel_futures: Whether to drop what was not begun.
            limit_s: Most seconds to wait, or ``None`` for as long as it takes.
        """
        with self._changing:
            self._closed = True
            while cancel_futures and (job := self._next()) is not None:
                job[0].cancel()
            for _ in self._threads:
                self._jobs.put(None)
        deadline = None if limit_s is None else time.monotonic() + limit_s
        for thread in self._threads if wait else ():
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def _next(self) -> Job | None:
        try:
            return self._jobs.get_nowait()
        except Empty:
            return None

    def _serve(self) -> None:
        while True:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                self._idle.release()
                job = self._jobs.get()
            if job is None:
                return
            future, call = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - told to whoever waits for it
                    future.set_exception(error)
            del job, future, call  # nothing is kept alive while waiting
