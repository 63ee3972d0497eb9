"""Models of a test's own for the current workspace: for shells and for kernels alike."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from orchestration_nb.calls import Request
from orchestration_nb.testing import FakeProvider
from orchestration_nb.workspace import Workspace


@dataclass(kw_only=True)
class Answers:
    """Says the same thing to everybody; a test may change what, and how long it takes."""

    reply: str = "fine"
    wait_s: float = 0.0
    error: Exception | None = None

    async def __call__(self, _request: Request) -> str:
        await asyncio.sleep(self.wait_s)
        if self.error is not None:
            raise self.error
        return self.reply


def answered_by(answers: Answers) -> FakeProvider:
    """Lets ``answers`` speak for every alias of the current workspace, at a price that is marked as simulated."""
    workspace, provider = Workspace.current(), FakeProvider(answers)
    workspace.providers[provider.name] = provider
    workspace.catalog.add(provider.models())
    for alias, size in {"fast": "small", "medium": "small", "strong": "large"}.items():
        workspace.use(alias, f"fake/{size}")
    return provider
