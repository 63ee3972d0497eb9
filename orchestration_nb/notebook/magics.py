"""``%%orchestrate`` and ``%orchestrate``: they parse and delegate."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from orchestration_nb.errors import OrchestrationError
from orchestration_nb.notebook.cell import run_cell
from orchestration_nb.notebook.edge import one_line_errors
from orchestration_nb.notebook.session import Session
from orchestration_nb.notebook.story import CHRONICLE
from orchestration_nb.notebook.subcommands import dispatch
from orchestration_nb.workspace import Workspace


@magics_class
class OrchestrateMagics(Magics):
    """The magics of one shell."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.session = Session(shell=shell)

    # Braces and dollar signs on the line are SQL or a frame's own, never to be replaced.
    @no_var_expand
    @line_cell_magic
    def orchestrate(self, line: str, cell: str | None = None) -> Any:
        """Runs the cell below as a flow, or does a subcommand; ``%orchestrate help`` lists all."""
        with one_line_errors():
            with suppress(OrchestrationError):  # settings that are wrong are said by whatever needs them
                CHRONICLE.listen(Workspace.current())
            if cell is None:
                return dispatch(self.session, line)
            return run_cell(self.session, line, cell)
