"""Displays as plain text: a terminal's one rewritten line, and the settled account of a run."""

from __future__ import annotations

from collections.abc import Sequence

from orchestration_nb.notebook.account import RunAccount
from orchestration_nb.notebook.words import costs, more_rows, outcome, question
from orchestration_nb.pages.figures import count, latency, shortened, usd
from orchestration_nb.pages.text import table_text
from orchestration_nb.terminal import printable


def account_text(account: RunAccount) -> str:
    """The account of a run, for terminals and for whoever reads the notebook without HTML."""
    parts = [_head(account)]
    parts.append("\n".join(f"· {printable(line)}" for line in account.story))
    if account.rows:
        parts.append(table_text(account.columns, account.rows))
        parts.append(more_rows(account))
    if account.steps:
        parts.append(table_text(*step_table(account), width=60))
    parts += _problem_lines(account)
    parts.append(f"{account.flow}.last.results · {question(account)}")
    return "\n\n".join(part for part in parts if part)


def step_table(account: RunAccount) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Header and rows of the table of steps."""
    header = ("step", "kind", "calls", "models", "cost", "p50", "p95", "errors")
    return header, [
        (
            line.step,
            line.kind,
            f"{line.calls:,}" if line.kind == "llm" else "–",
            line.models or "–",
            usd(line.cost_usd) if line.kind == "llm" else "–",
            latency(line.p50_ms),
            latency(line.p95_ms),
            f"{line.errors:,}",
        )
        for line in account.steps
    ]


def _head(account: RunAccount) -> str:
    head = f"{account.flow} {account.progress.status}: {' · '.join(outcome(account))} · {costs(account)}"
    return f"{head}\n{printable(account.error)}" if account.error else head


def _problem_lines(account: RunAccount) -> list[str]:
    lines = [
        f"{problem.count:,} × {problem.step}: {shortened(printable(problem.message), 200)} ({problem.positions})"
        for problem in account.problems
    ]
    if account.other_problems:
        lines.append(f"{count(account.other_problems, 'other error')} in {account.flow}.last.errors")
    return ["\n".join(lines)] if lines else []
