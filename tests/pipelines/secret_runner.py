"""Runs a notebook headlessly as a process of its own, with secrets or (``--bare``) with the same variables unprotected."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from orchestration_nb.pipelines import headless
from orchestration_nb.pipelines.scrubbing import scrubber


def main(path: str, names: str, mode: str) -> None:
    import contextlib

    scrub = scrubber({name: f"env:{name}" for name in json.loads(names)} if mode != "--bare" else {})
    write = headless.write_notebook
    headless.write_notebook = lambda notebook, copy: write(scrub.notebook(notebook), copy)

    class Told:
        def begins(self, number: int, total: int, title: str) -> None:
            print(scrub.text(f"[{number}/{total}] {title}"))

        def ended(self, cell: Any) -> None:
            print(scrub.text("\n".join((*cell.accounts, cell.error_type, cell.error))), file=sys.stderr)

    from nbclient import NotebookClient

    start = NotebookClient.async_start_new_kernel
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(scrub.sink(sys.stderr))
        NotebookClient.async_start_new_kernel = lambda self, **kwargs: start(self, stdout=out, stderr=out, **kwargs)
        done = headless.run_notebook(Path(path), watcher=Told(), environ=scrub.environ)
    print(done.status)


main(*sys.argv[1:])
