"""Runs a flow over so many rows: ``python -m tests.resilience.caller WORKSPACE NAME ROWS CONCURRENCY``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

from orchestration_nb.flows import Flow
from orchestration_nb.workspace import Workspace


def main() -> None:
    folder, name, rows, concurrency = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    workspace = Workspace(folder, environ={})
    text = 'answer = llm(f"What is {n}?", model="house/m", max_tokens=16)'
    flow = Flow.from_source(text, name="asking", workspace=workspace)
    frame = pd.DataFrame({"n": [f"{name}-{number}" for number in range(rows)]})
    run = flow.map(frame, concurrency=concurrency)
    print(json.dumps({"ok": int((run.results["_status"] == "ok").sum()), "errors": list(run.errors["error"][:3])}))


if __name__ == "__main__":
    main()
