"""What is to be run headlessly: a notebook that was read, with what it is given, checked before any kernel starts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from orchestration_nb.clock import Clock
from orchestration_nb.errors import UsageError
from orchestration_nb.ids import PipelineId
from orchestration_nb.pipelines.files import Sketch, read_notebook, sketched
from orchestration_nb.pipelines.holding import hold_chain
from orchestration_nb.pipelines.kernel import kernel_name
from orchestration_nb.pipelines.options import RunOptions
from orchestration_nb.pipelines.parameters import UnreadableParametersError, checked, declared, inject
from orchestration_nb.pipelines.scrubbing import Scrubber
from orchestration_nb.pipelines.seams import Resumed, Resumption, Seams
from orchestration_nb.whence import find_workspace, models_are_simulated

_INHERITED: Final = frozenset(
    {
        "ORCHESTRATE_RESUME",
        "ORCHESTRATE_PIPELINE",
        "ORCHESTRATE_DAG",
        "ORCHESTRATE_PIPELINE_ROOT",
        "ORCHESTRATE_PIPELINE_RESTORED",
        "ORCHESTRATE_PIPELINE_BUDGET",
        "ORCHESTRATE_PIPELINE_TAGS",
        "ORCHESTRATE_SECRETS",
    }
)
"""What a runner that is itself started by a notebook must not hand on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be run; it is not changed any more."""

    path: Path
    workspace: Path
    text: str
    """The notebook's file, as it was read."""
    kernel: str
    options: RunOptions
    """With the parameters as values, and what is taken over from the run that is resumed."""
    more: Mapping[str, str]
    """Further variables of the environment for the kernel."""
    clock: Clock
    seams: Seams
    scrubber: Scrubber
    resumed: Resumed

    @property
    def simulated(self) -> bool:
        """Whether every model is simulated: by an option, or because the runner itself is told so."""
        return self.options.models == "sim" or models_are_simulated()

    @property
    def name(self) -> str:
        """The notebook as the ledger names it."""
        return relative_to(self.path, self.workspace)

    def notebook(self) -> Any:
        """The notebook, with what is given injected and without outputs, for one attempt to be filled; loads nbformat.

        Raises:
            UsageError: If it is no notebook after all.
        """
        return _prepared(self.path, self.text, self.options.parameters)

    def gone_on_with(self, resumed: Resumed) -> Resumed:
        """The same run gone on with: which cells of it are restored."""
        asked = Resumption(
            workspace=self.workspace, path=self.path, notebook=self.notebook(), options=self.options, earlier=resumed
        )
        return self.seams.restore(asked)

    def environ(self, pipeline_id: PipelineId, root: PipelineId, resumed: Resumed) -> dict[str, str]:
        """The environment of a kernel of this order."""
        options = self.options
        inherited = {name: value for name, value in os.environ.items() if name not in _INHERITED}
        told = {
            "ORCHESTRATE_HEADLESS": "1",
            "ORCHESTRATE_NOTEBOOK": str(self.path),
            "ORCHESTRATE_PIPELINE": pipeline_id,
            "ORCHESTRATE_PIPELINE_ROOT": root,
        }
        if options.budget_usd is not None:
            told["ORCHESTRATE_PIPELINE_BUDGET"] = repr(float(options.budget_usd))
        if options.tags:
            told["ORCHESTRATE_PIPELINE_TAGS"] = json.dumps(dict(options.tags))
        if self.simulated:
            told["ORCHESTRATE_MODELS"] = "sim"
        if self.scrubber.resolved:
            told["ORCHESTRATE_SECRETS"] = ",".join(self.scrubber.resolved)
        return {**inherited, **resumed.environ, **self.more, **self.scrubber.resolved, **told}


def order_of(path: Path, options: RunOptions, more: Mapping[str, str], clock: Clock, seams: Seams) -> Order:
    """Reads a notebook, and checks what it is given.

    Raises:
        UsageError: If there is no such notebook, it cannot be run here, or it cannot be given that.
    """
    sketch, workspace = sketched(path), find_workspace(path.parent)
    resumed = Resumed()
    if options.resumes is not None:
        resumed = _earlier(workspace, relative_to(path, workspace), options)
        options = replace(
            options,
            parameters={**resumed.parameters, **options.parameters},
            tags={**resumed.tags, **options.tags},
            secrets={**resumed.secrets, **options.secrets},
            models=_models(resumed, options),
            budget_usd=resumed.budget_usd if options.budget_usd is None else options.budget_usd,
        )
    try:
        _refuse_lost(resumed, relative_to(path, workspace), options)
        options = replace(options, parameters=_checked(sketch, options.parameters))
        order = Order(
            path=path,
            workspace=workspace,
            text=sketch.text,
            kernel=kernel_name(sketch),
            options=options,
            more=more,
            clock=clock,
            seams=seams,
            scrubber=seams.scrub(options.secrets),
            resumed=resumed,
        )
        if resumed.root is None:
            return order
        return replace(order, resumed=replace(order.gone_on_with(resumed), hold=resumed.hold))
    except BaseException:
        if resumed.hold is not None:
            resumed.hold.release()
        raise


def _refuse_lost(resumed: Resumed, notebook: str, options: RunOptions) -> None:
    """The ledger has no secrets: what stands there in the place of one must not be taken for the value."""
    lost = sorted(resumed.lost - options.parameters.keys())
    if lost:
        given = " ".join(f"-p {name}=VALUE" for name in lost)
        raise UsageError(
            f"The parameter {lost[0]!r} held a secret and was not kept.",
            hint=f"Give it again: orchestrate run {notebook} --resume {options.resumes} {given}",
        )


def _models(resumed: Resumed, options: RunOptions) -> Literal["sim"] | None:
    """A simulated run goes on simulated, and a real one real: else what one left would be taken for the other's.

    Raises:
        UsageError: If a run that asked real models is to go on with simulated ones.
    """
    if options.models == "sim" and resumed.models is None:
        raise UsageError(
            "The run that is resumed asked real models, and cannot go on with simulated ones.",
            hint="Leave --models sim away, or run the notebook anew with it.",
        )
    return resumed.models


def relative_to(path: Path, workspace: Path) -> str:
    """A path as the ledger has it: relative to the workspace where it lies within."""
    return str(path.relative_to(workspace)) if path.is_relative_to(workspace) else str(path)


def _checked(sketch: Sketch, given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return checked(declared(sketch), given)
    except UnreadableParametersError:
        if given:
            raise
        return {}  # the kernel says what is wrong with the cell


def _earlier(workspace: Path, notebook: str, options: RunOptions) -> Resumed:
    from orchestration_nb.ledger import Ledger  # noqa: PLC0415 - loads DuckDB and pandas when it is asked
    from orchestration_nb.pipelines.chain import earlier_run  # noqa: PLC0415

    assert options.resumes is not None
    return earlier_run(
        Ledger(workspace),
        options.resumes,
        notebook,
        hold=lambda root: hold_chain(workspace, root),
        even_if_done=options.even_if_done,
    )


def _prepared(path: Path, text: str, parameters: Mapping[str, Any]) -> Any:
    """The notebook with what is given, without the outputs of earlier runs: the copy is to hold those of this one."""
    notebook = read_notebook(path, text)
    inject(notebook, parameters)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.metadata.pop("widgets", None)
    return notebook
