"""What the magics of one IPython shell know: its variables, and the runs that were started in it."""

from __future__ import annotations

import builtins
import sys
from dataclasses import dataclass, field
from typing import Any

from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.errors import UsageError
from orchestration_nb.flows import Flow
from orchestration_nb.notebook.arguments import near_miss
from orchestration_nb.runs import Run


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """One shell and its runs."""

    shell: Any
    """IPython's ``InteractiveShell``."""
    last: Run | None = None
    """The run that was started last."""
    background: list[Run] = field(default_factory=list)
    """Runs that were started with ``--background``, oldest first."""
    comparison: Comparison | None = None
    """The comparison that was started last."""

    @property
    def namespace(self) -> dict[str, Any]:
        """The notebook's variables."""
        variables: dict[str, Any] = self.shell.user_ns
        return variables

    def frames(self) -> list[str]:
        """Names of the variables that hold a DataFrame; pandas is not loaded to find out."""
        pandas = sys.modules.get("pandas")
        if pandas is None:
            return []
        held = [name for name, value in self.namespace.items() if isinstance(value, pandas.DataFrame)]
        return sorted(name for name in held if not name.startswith("_"))

    def columns(self, frame: str) -> list[str]:
        """The columns of the DataFrame under this name that can be written as a name in a step."""
        held = self.namespace.get(frame) if frame in self.frames() else None
        return [] if held is None else [name for name in map(str, held.columns) if name.isidentifier()]

    def frame(self, text: str) -> Any:
        """The value of ``--over``: a variable, or an expression over the notebook's variables.

        Raises:
            UsageError: If there is no such variable, or the expression does not come to a value.
        """
        if not text.isidentifier():
            return self._value_of(text)
        if text not in self.namespace:
            hint = near_miss(
                text, self.frames(), "--over names a DataFrame of the notebook; run the cell that makes it."
            )
            raise UsageError(f"There is no variable {text!r} to run over.", hint=hint)
        return self.namespace[text]

    def _value_of(self, expression: str) -> Any:
        try:
            return eval(compile(expression, "<--over>", "eval"), self.namespace)  # noqa: S307 - the analyst's own line
        except Exception as error:  # noqa: BLE001 - the edge of a magic: the analyst's expression may raise anything
            raise UsageError(
                f"--over {expression} has no value: {type(error).__name__}: {error}.",
                hint="--over takes a variable, or an expression (in quotes if it has spaces) such as tickets.head(20).",
            ) from None

    def check_free(self, name: str) -> None:
        """Makes sure that a flow of this name replaces nothing but a flow.

        Raises:
            UsageError: If the notebook holds something else under the name.
        """
        held = self.namespace.get(name, getattr(builtins, name, None))
        if held is not None and not isinstance(held, Flow):
            raise UsageError(
                f"{name!r} already names a {type(held).__name__}, which the flow would replace.",
                hint=f"Call the flow something else, or `del {name}` first.",
            )

    def bind(self, flow: Flow) -> None:
        """Puts the flow under its name."""
        self.namespace[flow.name] = flow


def is_under_way(run: Run) -> bool:
    """Whether a run has not ended; one that waits for its budget has not, one that was left there has."""
    return run.status == "running" or (run.status == "paused" and run.progress.ended_s is None)
