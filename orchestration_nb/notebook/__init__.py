"""The notebook: magics, live displays, tables. They parse, delegate and draw; what is decided is decided below."""

from __future__ import annotations

from typing import Any

__all__ = ["load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext orchestration_nb``: the magics, their completion, and how flows and runs look."""
    from orchestration_nb.notebook import formatters  # noqa: PLC0415 - IPython is there when this is called
    from orchestration_nb.notebook.completion import matcher_for  # noqa: PLC0415
    from orchestration_nb.notebook.magics import OrchestrateMagics  # noqa: PLC0415

    unload_ipython_extension(shell)
    magics = OrchestrateMagics(shell)
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(matcher_for(magics.session))
    formatters.register(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext orchestration_nb``: takes all of it away again; runs go on."""
    from orchestration_nb.notebook import formatters  # noqa: PLC0415

    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("orchestrate", None)
    matchers = shell.Completer.custom_matchers
    matchers[:] = [matcher for matcher in matchers if getattr(matcher, "matcher_identifier", "") != "orchestration_nb"]
    formatters.unregister(shell)
