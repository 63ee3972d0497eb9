"""The kernel of one attempt: started in the notebook's folder, interrupted, ended, and asked why it died."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from orchestration_nb.errors import UsageError
from orchestration_nb.pipelines.files import USUAL_KERNEL
from orchestration_nb.pipelines.memory import MemoryWatch

STARTUP_S: Final = 60.0
"""How long a kernel may take until it answers."""
ASKED_AGAIN_S: Final = 1.0
"""How long it may take to answer until it is asked again."""
LONGEST_SOCKET: Final = 90
"""Characters that the name of a socket may have, with what is still to be added; systems allow 104 to 108."""
NO_HISTORY: Final = ("--HistoryManager.hist_file=:memory:",)
"""Nobody scrolls back to what ran here, and many kernels at once would wait for the one file of the history."""


class Kernel:
    """A kernel process, and the way to talk to it.

    Args:
        name: Of the kernel specification.
        folder: Where it runs.

    Raises:
        UsageError: If no such kernel is installed.
    """

    def __init__(self, name: str, folder: Path) -> None:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel  # noqa: PLC0415 - only headless runs do
        from jupyter_client.manager import AsyncKernelManager  # noqa: PLC0415

        specs = KernelSpecManager()
        try:
            specs.get_kernel_spec(name)
        except NoSuchKernel:
            raise UsageError(
                f"The notebook wants the kernel {name!r}, which is not installed here.",
                hint="`jupyter kernelspec list` shows those that are; choose one in JupyterLab and save the notebook.",
            ) from None
        self.manager: Any = AsyncKernelManager(kernel_name=name, kernel_spec_manager=specs)
        self.client: Any = None
        self.language: Any = {}
        """What it says of its language, once it answers."""
        self.killed_by_us = False
        """Whether it would not stop when it was asked to."""
        self._folder = folder
        self._process: Any = None
        self._memory = MemoryWatch()

    async def start(self, environ: Mapping[str, str], *, speaks_to: int | None = None, **process: Any) -> None:
        """Starts the process; it answers some time later.

        Args:
            environ: Its environment.
            speaks_to: File descriptor for what it says outside its cells; ``None``: this process's own.
            **process: Further arguments of ``subprocess.Popen``.
        """
        _talk_by_files(self.manager)
        spoken = {} if speaks_to is None else {"stdout": speaks_to, "stderr": speaks_to}
        arguments = list(NO_HISTORY) if self.manager.ipykernel else []
        with warnings.catch_warnings():
            # What the child does before it becomes the kernel is one call of the system: no lock of ours is in its way.
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            await self.manager.start_kernel(
                extra_arguments=arguments, cwd=str(self._folder), env=dict(environ), **spoken, **process
            )
        self._process = getattr(self.manager.provisioner, "process", None)

    async def connect(self) -> None:
        """Returns when it answers.

        Raises:
            RuntimeError: If it died or did not answer.
        """
        from orchestration_nb.pipelines.channel import AnswerChannel  # noqa: PLC0415 - loads jupyter_client

        self.client = self.manager.client(shell_channel_class=AnswerChannel)
        self.client.start_channels(stdin=False)
        self.client.allow_stdin = False
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + STARTUP_S
        while not await self._answers():
            if not await self.manager.is_alive():
                raise RuntimeError("it died before it answered")
            if loop.time() > ends_s:
                raise RuntimeError(f"it did not answer within {STARTUP_S:g} s")

    async def _answers(self) -> bool:
        """Asks who it is; whether the answer came, and came on both channels.

        jupyter_client's own ``wait_for_ready`` listens for a further 0.2 s whether something is still on its way. Here
        the question is asked until its end was heard of on the channel of outputs, so that nothing can be lost there.
        """
        asked = self.client.kernel_info()
        try:
            reply = await self.client.shell_channel.get_msg(timeout=ASKED_AGAIN_S)
            while reply["parent_header"].get("msg_id") != asked:
                reply = await self.client.shell_channel.get_msg(timeout=ASKED_AGAIN_S)
            self.language = reply["content"].get("language_info", {})
            while not _ends(await self.client.iopub_channel.get_msg(timeout=ASKED_AGAIN_S), asked):
                pass
        except queue.Empty:
            return False
        return True

    async def interrupt(self) -> None:
        """Interrupts what it executes."""
        await self.manager.interrupt_kernel()

    async def end(self) -> None:
        """Ends it: asks it to, or kills it where it did not stop before."""
        if self.client is not None:
            self.client.stop_channels()
        if self.manager.has_kernel:
            await self.manager.shutdown_kernel(now=self.killed_by_us)

    def why_dead(self) -> str:
        """What can be told of its death, in a sentence."""
        if self.killed_by_us:
            return "Its kernel did not stop when it was interrupted, and was killed."
        code = None if self._process is None else self._process.poll()
        if self._memory.ran_out() or code == -signal.SIGKILL:
            sure = "because" if self._memory.ran_out() else "most likely because"
            return f"The kernel died: it was killed, {sure} the memory ran out."
        if code is not None and code < 0:
            return f"The kernel died: it was ended by {signal.Signals(-code).name}."
        how = "" if code is None else f" with exit code {code}"
        return f"The kernel died: it ended itself{how}."


def _ends(message: Any, asked: str) -> bool:
    """Whether a message of the channel of outputs says that the kernel is done with what it was asked."""
    content = message["content"]
    return bool(message["parent_header"].get("msg_id") == asked and content.get("execution_state") == "idle")


def kernel_name(notebook: Any) -> str:
    """The kernel that a notebook names, else the usual one."""
    return str(notebook.metadata.get("kernelspec", {}).get("name") or USUAL_KERNEL)


def _talk_by_files(manager: Any) -> None:
    """Lets the kernel be reached through sockets that are files of this user's, not through ports of the machine."""
    from jupyter_core.paths import jupyter_runtime_dir  # noqa: PLC0415

    folder = Path(jupyter_runtime_dir())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # missing where no Jupyter program ran before
    connection = folder / f"kernel-{uuid4().hex}.json"
    if os.name == "posix" and len(os.fsencode(connection)) < LONGEST_SOCKET:
        manager.connection_file, manager.transport = str(connection), "ipc"
