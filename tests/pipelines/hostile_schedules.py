"""Schedules whose parameters, tags and paths would do harm where they were taken for more than text."""

from __future__ import annotations

from pathlib import Path

from orchestration_nb.pipelines.schedules import Schedule

HOSTILE = (
    "plain",
    "two words",
    "it's",
    'say "hi"',
    "$HOME and $(touch pwned) and `touch pwned`",
    "100% of %h %d %%",
    "a\nb\n\ntouch pwned\n",
    "\n",
    "; touch pwned #",
    "&& touch pwned",
    "| tee pwned",
    "\\n \\ \\\\ \\x41 \\",
    "${{ secrets.TOKEN }}",
    "{{ var.value.token }} {% raw %}",
    "$(TOKEN) $$(TOKEN) $TOKEN",
    "'; import os; os.system('touch pwned') #",
    '"""',
    "é 日本 🎉",
    "--help",
    "- item: [1, 2] # no comment",
    "\ttab",
    "!!python/object/apply:os.system [touch pwned]",
)


def hostile(folder: Path, **rules: object) -> Schedule:
    """A schedule that is hostile wherever it can be, in a workspace that is there."""
    facts: dict[str, object] = {
        "name": "weekly",
        "notebook": "week's $(touch pwned) %h ${{ x }}.ipynb",
        "cron": "30 6 * * 1-5",
        "zone": "Europe/Berlin",
        "retries": 2,
        "parameters": tuple(f"p{number}={text}" for number, text in enumerate(HOSTILE)),
        "budget_usd": 2.5,
        "timeout_s": 3600,
        "tags": {f"t{number}": text for number, text in enumerate(HOSTILE)},
    }
    return Schedule(**{**facts, **rules})  # type: ignore[arg-type]
