"""The rules of the house: names, sizes, floors, what an import costs, and what must not stand in a file."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import NEEDS, REPO

PACKAGE = REPO / "orchestration_nb"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((REPO / "tests").rglob("*.py"))
EMPTY_WORDS = {"util", "helper", "common", "core", "base", "manager", "handler", "processor", "impl", "misc"}
TOP_LEVEL = {
    *("orchestration_nb", "notebooks", "tests", "data", "docs", ".ci"),
    *("pyproject.toml", "README.md", "Makefile", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", ".gitignore"),
}
MACHINE = re.compile(
    r"(?<![\w.~$}*)])/(?:root|work|home/\w+|Users/\w+)/"  # somebody's folders
    r"|/tmp/\w/"
    r"|index-url|pypi\.org/simple|files\.pythonhosted|registry\.npmjs|registry *= *.?http|\"resolved\": *\"http"
)
HEAVY = ("pandas", "duckdb", "plotly", "ipywidgets", "nbclient", "IPython", "genai_prices", "jupyter_client")
"""What `import` and `%load_ext` must leave alone. (httpx loads rich where it is installed; that is small.)"""


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=REPO, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return listing.stdout.splitlines()


def words(name: str) -> set[str]:
    return {word.lower().removesuffix("s") for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def test_no_name_says_nothing() -> None:
    named = [path.relative_to(REPO).as_posix() for path in SOURCES + TESTS if words(path.stem) & EMPTY_WORDS]
    for path in SOURCES:
        classes = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef))
        named += [f"{path.name}: {node.name}" for node in classes if words(node.name) & EMPTY_WORDS]
    assert named in ([], ["wire.py: BaseUrl"])  # the standard name of what it is


def test_files_fit_in_a_room() -> None:
    assert not [f"{path}: {n}" for path in SOURCES + TESTS if (n := len(path.read_text().splitlines())) > 500]


def test_functions_fit_on_a_screen() -> None:
    assert not [f"{path}:{node.lineno}" for path in SOURCES for node in functions(path) if length(node) > 60]


def test_most_functions_are_short() -> None:
    lengths = sorted(length(node) for path in SOURCES for node in functions(path))
    assert lengths[int(len(lengths) * 0.95)] <= 30


def test_catching_everything_has_a_reason() -> None:
    bare = re.compile(r"# noqa: BLE001(?! - \w)")  # ruff sees to it that there is no other way
    assert not [f"{path}: {line}" for path in SOURCES for line in path.read_text().splitlines() if bare.search(line)]


def test_every_module_says_what_it_is_for() -> None:
    assert not [str(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))]


def test_public_names_are_sorted_documented_and_there() -> None:
    import orchestration_nb

    names = orchestration_nb.__all__
    assert list(names) == sorted(names)
    assert {"Flow", "Run", "Workspace", "ledger", "llm", "step"} <= set(names)
    undocumented = [name for name in names if not getattr(orchestration_nb, name).__doc__]
    assert undocumented in ([], ["__version__"])


def test_a_floor_imports_only_from_floors_below() -> None:
    check = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", check], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_stands_on_a_floor() -> None:
    contracts = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [layer for contract in contracts for layer in contract["layers"]]
    placed = {room.strip().strip("()") for layer in layers for room in re.split(r"[|:]", layer)}
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {f"orchestration_nb.{room}" for room in rooms - {"__init__", "testing"}} <= placed


def loaded_after(statement: str) -> set[str]:
    """Which heavy packages a fresh interpreter has loaded after ``statement``."""
    script = f"{statement}\nimport sys\nprint('loaded:', *[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_import_loads_nothing_heavy() -> None:
    assert loaded_after("import orchestration_nb") == set()


def test_load_ext_loads_nothing_heavy() -> None:
    start = "from IPython.testing.globalipapp import start_ipython\nshell = start_ipython()\n"
    before = loaded_after(start)
    assert not before & {"pandas", "duckdb", "plotly", "ipywidgets", "nbclient"}
    assert loaded_after(start + "shell.run_line_magic('load_ext', 'orchestration_nb')") == before


def test_help_of_the_command_line_loads_nothing_heavy() -> None:
    assert loaded_after("import orchestration_nb.cli") == set()


def test_top_level_holds_what_it_should() -> None:
    assert {name.partition("/")[0] for name in tracked()} <= TOP_LEVEL


def test_no_file_names_a_machine() -> None:
    here = Path(__file__).relative_to(REPO).as_posix()
    found = []
    for name in tracked():
        path = REPO / name
        if name == here or not path.is_file() or path.suffix in {".png", ".parquet", ".csv"}:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if MACHINE.search(line):
                found.append(f"{name}:{number}: {line.strip()[:100]}")
    assert not found


@pytest.mark.parametrize("need", NEEDS)
def test_every_need_has_its_tests(need: str) -> None:
    here = Path(__file__).parent
    assert [path for path in TESTS if here not in path.parents and f"mark.{need}" in path.read_text()]
