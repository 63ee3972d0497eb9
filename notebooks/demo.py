"""Runs the quickstart notebook in the terminal: ``make demo``.

Simulated models answer, so it needs no key and no network. The executed notebook is left beside the other build
products, to be opened in JupyterLab.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from orchestration_nb.terminal import printable

REPO = Path(__file__).resolve().parent.parent
NOTEBOOK = Path("notebooks", "01_quickstart.ipynb")
EXECUTED = Path("build", "demo", "01_quickstart.ipynb")
MOST_LINES = 14
SPENDING = "SELECT model, count(*) AS calls, round(sum(cost_usd), 4) AS cost_usd FROM calls GROUP BY model ORDER BY model"
ITEMS = re.compile(r"([\d,]+)/([\d,]+) item")


class Client(NotebookClient):
    """Shows a cell's progress while it runs."""

    next_look = 0.0

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        """Looks at displays that are drawn again in place; all else is nbclient's."""
        if msg["msg_type"] in {"display_data", "update_display_data"}:
            self._show_progress(str(msg["content"]["data"].get("text/plain", "")))
        return super().process_message(msg, cell, cell_index)

    def _show_progress(self, text: str) -> None:
        found = ITEMS.search(text)
        if not found or "\n" in text:
            return
        done, total = (int(number.replace(",", "")) for number in found.groups())
        line = f"    [{'#' * (20 * done // total):<20}] {printable(text)}"
        if sys.stdout.isatty():
            line = line[: shutil.get_terminal_size().columns - 1]
            print(f"\r{line}\x1b[K", end="" if done < total else "\n", flush=True)
        elif time.monotonic() >= self.next_look or done == total:
            self.next_look = time.monotonic() + 2
            print(line, flush=True)


def _announce(cell: Any, cell_index: int, **_: Any) -> None:
    if cell.cell_type == "markdown":
        headings = [line for line in cell.source.splitlines() if line.startswith("#")]
        print("\n".join(headings[:1] and [*headings[:1], ""]), flush=True)
    elif cell.source.strip():
        print("\n".join(f"  > {line}" for line in cell.source.splitlines()), flush=True)


def _show(cell: Any, cell_index: int, **_: Any) -> None:
    """Prints what a cell printed or drew, its first lines."""
    texts = (output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)
    lines = [line for text in texts for line in printable(text).rstrip().splitlines()]
    for line in lines[:MOST_LINES]:
        print(f"    {line[:116]}")
    if len(lines) > MOST_LINES:
        print(f"    ... and {len(lines) - MOST_LINES} more lines")
    print(flush=True)


def _run_notebook() -> None:
    notebook = nbformat.read(REPO / NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    client = Client(
        notebook,
        timeout=600,
        extra_arguments=["--IPKernelApp.log_level=40"],  # its warnings are for people who run servers
        resources={"metadata": {"path": str(REPO / NOTEBOOK.parent)}},
        on_cell_start=_announce,
        on_cell_executed=_show,
    )
    try:
        client.execute()
    finally:
        (REPO / EXECUTED).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, REPO / EXECUTED)  # type: ignore[no-untyped-call]


def _ask_ledger(*words: str) -> None:
    """Types a command that can be typed again as it is printed."""
    command = [".venv/bin/orchestrate", *words, "--workspace", str(NOTEBOOK.parent), "--format", "table"]
    print(f"$ {shlex.join(command)}\n", flush=True)
    subprocess.run([sys.executable, "-m", "orchestration_nb.cli", *command[1:]], cwd=REPO, check=True)
    print(flush=True)


def main() -> int:
    """Runs the notebook, then asks the ledger what it cost."""
    begun = time.monotonic()
    try:
        _run_notebook()
    except CellExecutionError as error:
        print(printable(re.sub(r"\x1b\[[0-9;]*m", "", str(error))), file=sys.stderr)
        print(f"The notebook stopped; what it did until then is in {EXECUTED}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nStopped; what was done until then is in {EXECUTED}.", file=sys.stderr)
        return 130
    print(f"Done in {time.monotonic() - begun:.0f} s. The ledger, from the command line:\n")
    _ask_ledger("runs", "--limit", "5")
    _ask_ledger("sql", SPENDING)
    print("Simulated models answered, so no money was spent: these are the dollars that the calls would have cost.")
    print(f"The executed notebook is {EXECUTED}. To do the same by hand in JupyterLab: make lab")
    return 0


if __name__ == "__main__":
    sys.exit(main())
