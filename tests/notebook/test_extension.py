from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.notebook.shell import Shell

ROOT = Path(__file__).resolve().parents[2]

SLOW = ("pandas", "duckdb", "plotly", "ipywidgets", "nbclient")


def test_loading_loads_nothing_slow() -> None:
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "orchestration_nb")
shell.run_line_magic("orchestrate", "help")
shell.Completer.complete(line_buffer="%%orchestrate triage --over ", cursor_pos=28)
print([name for name in {SLOW!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_loading_twice_keeps_one_of_each(shell: Shell) -> None:
    from orchestration_nb.notebook import load_ipython_extension

    load_ipython_extension(shell.ip)
    named = [getattr(matcher, "matcher_identifier", "") for matcher in shell.ip.Completer.custom_matchers]
    assert named.count("orchestration_nb") == 1


def test_unloading_takes_the_magics_away(shell: Shell) -> None:
    from orchestration_nb.notebook import unload_ipython_extension

    unload_ipython_extension(shell.ip)
    _, out = shell.run("%orchestrate help")
    assert "not found" in out.stderr + out.stdout
