"""nbclient's executor, with the two things that a hostile cell needs: outputs that stay small, and a kernel that left.

Imported only once a kernel is on its way: nbclient takes about as long to load as a kernel takes to begin.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from nbclient import NotebookClient

from orchestration_nb.pipelines.kernel import Kernel

KEPT_CHARACTERS: Final = 2**20
"""What is kept of the texts that a cell prints: half from the beginning, half from the end."""
KEPT_DATA: Final = 32 * 2**20
"""What is kept of the other outputs of a cell, in characters."""
KEPT_ERROR: Final = 100_000
"""What is kept of each line of a traceback, in characters."""
_HALF: Final = KEPT_CHARACTERS // 2


@dataclass(slots=True)
class _Tail:
    """The end of what a cell printed on one stream, once its beginning fills what is kept of it."""

    output: Any
    """The output of the notebook that will hold it."""
    texts: deque[str] = field(default_factory=deque)
    kept: int = 0
    left_out: int = 0

    def add(self, text: str) -> None:
        self.texts.append(text[-_HALF:])
        self.left_out += max(0, len(text) - _HALF)
        self.kept += len(self.texts[-1])
        while self.kept - len(self.texts[0]) >= _HALF:
            gone = self.texts.popleft()
            self.kept -= len(gone)
            self.left_out += len(gone)

    def settle(self) -> None:
        """Writes what is kept into the output."""
        text = "".join(self.texts)
        cut = max(0, len(text) - _HALF)
        left_out = self.left_out + cut
        note = f"\n[... {left_out:,} characters are left out here ...]\n" if left_out else ""
        self.output.text = note + text[cut:]


@dataclass(slots=True)
class _Kept:
    """What is kept of one cell's outputs."""

    printed: int = 0
    data: int = 0
    tails: dict[str, _Tail] = field(default_factory=dict)


class CellClient(NotebookClient):
    """Executes the cells of one notebook in a kernel that is there."""

    def __init__(self, notebook: Any, kernel: Kernel) -> None:
        super().__init__(notebook, km=kernel.manager)
        self.kc = kernel.client
        self.left = False
        """Whether the kernel was told to leave by a cell: ``exit()`` or ``quit()``."""
        self.on_cell_executed = self._look_at_reply
        self._kept: dict[int, _Kept] = {}

    def _look_at_reply(self, cell: Any, cell_index: int, execute_reply: Any) -> None:  # noqa: ARG002 - nbclient's form
        asked = execute_reply["content"].get("payload") or ()
        self.left = self.left or any(one.get("source") == "ask_exit" for one in asked)

    def output(self, outs: list[Any], msg: Any, display_id: str | None, cell_index: int) -> Any:
        """Adds an output to a cell; of what is too long, its beginning and its end."""
        if self.output_hook_stack[msg["parent_header"].get("msg_id")]:
            return super().output(outs, msg, display_id, cell_index)
        if not outs or self.clear_before_next_output:
            self._kept[cell_index] = _Kept()
        kept = self._kept.setdefault(cell_index, _Kept())
        kind, content = msg["msg_type"], msg["content"]
        if kind == "stream":
            return self._stream(kept, outs, msg, cell_index)
        if kind == "error":
            content["evalue"] = _shortened(content["evalue"])
            content["traceback"] = [_shortened(line) for line in content["traceback"]]
        elif "data" in content:
            kept.data += sum(map(len, _texts(content["data"])))
            if kept.data > KEPT_DATA:
                note = f"[an output is left out here: the outputs of this cell passed {KEPT_DATA // 2**20} MB]"
                content["data"], content["metadata"] = {"text/plain": note}, {}
        return super().output(outs, msg, display_id, cell_index)

    def _stream(self, kept: _Kept, outs: list[Any], msg: Any, cell_index: int) -> Any:
        name, text = msg["content"]["name"], msg["content"]["text"]
        room = max(0, _HALF - kept.printed)
        kept.printed += len(text)
        if len(text) <= room:
            return super().output(outs, msg, None, cell_index)
        tail = kept.tails.get(name)
        if tail is None:
            if room:
                msg["content"]["text"] = text[:room]
                super().output(outs, msg, None, cell_index)
            msg["content"]["text"] = ""
            tail = kept.tails[name] = _Tail(super().output(outs, msg, None, cell_index))
        tail.add(text[room:])
        return tail.output

    def settle(self) -> None:
        """Writes the ends of long texts into the notebook; before it is written."""
        for kept in self._kept.values():
            for tail in kept.tails.values():
                tail.settle()
        self.set_widgets_metadata()

    def forget(self) -> None:
        """Lets go of what is only needed while a cell prints."""
        self.settle()
        self._kept.clear()


def _texts(data: Any) -> Iterator[str]:
    return (value if isinstance(value, str) else repr(value) for value in data.values())


def _shortened(text: str) -> str:
    if len(text) <= KEPT_ERROR:
        return text
    return f"{text[: KEPT_ERROR // 2]} [... {len(text) - KEPT_ERROR:,} characters ...] {text[-KEPT_ERROR // 2 :]}"
