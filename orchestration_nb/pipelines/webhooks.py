"""Tells addresses of alerts: a POST of JSON, of which a chat's incoming webhook shows ``text``.

An address may hold a token, so no sentence repeats more of it than its host. What is sent are names and figures: no
output of a cell, no parameter, no error's text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from orchestration_nb.config import is_trusted
from orchestration_nb.pipeline_events import PipelineAlert

Pause = Callable[[float], None]
TRIES: Final = 3
TIMEOUT_S: Final = 5.0
_FIRST_WAIT_S: Final = 0.5


def tell(
    workspace: Path, alerts: Sequence[PipelineAlert], addresses: Sequence[str], *, pause: Pause = time.sleep
) -> list[str]:
    """Sends the alerts to each address, and says in a sentence which of them did not take it.

    Args:
        workspace: The addresses are those of its ``orchestrate.toml``: one that is not trusted sends nothing.
        alerts: What to tell.
        addresses: Whom.
        pause: Waits so many seconds between two tries.
    """
    if not addresses:
        return []
    if not is_trusted(workspace):
        return [
            "The webhooks were not told: this workspace's orchestrate.toml is not trusted. Say `orchestrate trust`."
        ]
    body = {"text": "\n".join(alert.message for alert in alerts), "alerts": [_as_json(alert) for alert in alerts]}
    return [why for address in addresses if (why := _send(address, body, pause)) is not None]


def _send(address: str, body: dict[str, Any], pause: Pause) -> str | None:
    why = ""
    for number in range(TRIES):
        if number:
            pause(_FIRST_WAIT_S * 2 ** (number - 1))
        try:
            answer = httpx.post(address, json=body, timeout=TIMEOUT_S, follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = type(error).__name__
            continue
        if answer.is_success:
            return None
        why = f"it answered {answer.status_code}"
        if answer.status_code < 500 and answer.status_code != 429:
            break
    return f"The webhook at {urlsplit(address).hostname} was not told: {why}."


def _as_json(alert: PipelineAlert) -> dict[str, Any]:
    held = {field.name: getattr(alert, field.name) for field in fields(alert) if field.name != "event"}
    return {name: value.isoformat() + "Z" if isinstance(value, datetime) else value for name, value in held.items()}
