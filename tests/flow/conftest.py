"""What the tests of the flow room share: a flow from its text, bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import settings

from orchestration_nb.flow import BoundFlow, BoundStep, parse, step_scope

settings.register_profile("steady", deadline=None, print_blob=True)  # a busy machine is no failure
settings.load_profile("steady")

Bind = Callable[..., BoundFlow]


@pytest.fixture
def bind() -> Bind:
    """Binds a text: ``bind(text, columns, variable=value, ...)``."""

    def make(text: str, columns: Sequence[str] = (), *, item: bool = True, **namespace: Any) -> BoundFlow:
        return parse(text, name="triage").bind(columns, namespace, item=item)

    return make


@pytest.fixture
def evaluate(bind: Bind) -> Callable[..., dict[str, Any]]:
    """Evaluates the plain steps of a text for one row, in order."""

    def run(text: str, row: Mapping[str, Any] | None = None, **namespace: Any) -> dict[str, Any]:
        row = row or {}
        scope: dict[str, Any] = {**row, "item": row}
        bound = bind(text, list(row), **namespace)
        with step_scope(None):
            for step in bound.steps:
                scope[step.name] = step.check(step.evaluate(scope))
        return {step.name: scope[step.name] for step in bound.steps}

    return run


def step_of(bound: BoundFlow, name: str) -> BoundStep:
    """The step of that name."""
    return next(step for step in bound.steps if step.name == name)
