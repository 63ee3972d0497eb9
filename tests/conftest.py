"""What every test stands on: no network, no keys, a folder of its own, and a reason for whatever is skipped."""

from __future__ import annotations

import gc
import importlib.util
import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parent.parent
OFFLINE = REPO / "tests" / "offline"
TOGETHER = ("tests/comparing/test_estimating.py", "tests/comparing/test_recorded.py")
"""Files whose tests share what takes ten seconds and more to make: a worker of pytest-xdist runs them all."""
KEY_ENDINGS = ("_API_KEY", "_API_TOKEN", "_AUTH_TOKEN", "_ACCESS_KEY", "_ACCESS_KEY_ID")


def _install_guard() -> list[str]:
    already = sys.modules.get("sitecustomize")  # a worker of pytest-xdist is a child that has found it
    if hasattr(already, "refused"):
        return already.refused  # type: ignore[no-any-return, union-attr]
    spec = importlib.util.spec_from_file_location("tests_offline_guard", OFFLINE / "sitecustomize.py")
    assert spec is not None
    assert spec.loader is not None
    guard = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(guard)
    refused: list[str] = guard.refused
    return refused


REFUSED = _install_guard()
"""Hosts that this process was kept from reaching."""


def corpus_folder() -> Path:
    """The recorded replies: ``ORCHESTRATE_CORPUS``, else beside the repository."""
    return Path(os.environ.get("ORCHESTRATE_CORPUS") or REPO.parent / "shared" / "corpus")


def chromium_path() -> str | None:
    """The browser: ``ORCHESTRATE_CHROMIUM``, else whichever Chromium is installed."""
    named = os.environ.get("ORCHESTRATE_CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def aimock_path() -> str | None:
    """The server of the wire tests: ``ORCHESTRATE_AIMOCK``, else on the path, else where ``.ci/run`` puts it."""
    named = os.environ.get("ORCHESTRATE_AIMOCK") or shutil.which("aimock")
    installed = REPO / "build" / "aimock" / "node_modules" / ".bin" / "aimock"
    return named or (str(installed) if installed.exists() else None)


def foreign_folder() -> Path:
    """Notebooks that others made, in the source distributions of their packages, where ``.ci/run`` puts them."""
    return REPO / "build" / "foreign"


def engines_python() -> Path:
    """The Python with what schedules are exported to: ``ORCHESTRATE_ENGINES``, else where ``.ci/run`` puts it."""
    return Path(os.environ.get("ORCHESTRATE_ENGINES") or REPO / "build" / "engines") / "bin" / "python"


def _missing(need: str) -> str | None:
    """Why tests marked ``need`` cannot run here, or ``None``."""
    if need == "browser":
        if chromium_path() is None:
            return "needs Chromium, which is not installed"
        return None if importlib.util.find_spec("jupyterlab") else "needs JupyterLab, which is not installed"
    if need == "wire":
        return None if aimock_path() else "needs aimock (npm install @copilotkit/aimock), which is not installed"
    if need == "foreign":
        there = any(foreign_folder().glob("*/**/*.ipynb"))
        return None if there else f"needs notebooks of other packages, and {foreign_folder()} has none"
    if need == "engines":
        return None if engines_python().exists() else f"needs Airflow and schemas in {engines_python().parents[1]}"
    return None if corpus_folder().is_dir() else f"needs the corpus, and {corpus_folder()} is not there"


NEEDS = ("browser", "wire", "corpus", "foreign", "engines")


def _required(item: pytest.Item | None = None) -> set[str]:
    """What ``ORCHESTRATE_REQUIRE`` says must run; of it, what ``item`` is marked with."""
    required = {need.strip() for need in os.environ.get("ORCHESTRATE_REQUIRE", "").split(",") if need.strip()}
    return required if item is None else {need for need in required if item.get_closest_marker(need)}


def pytest_configure(config: pytest.Config) -> None:
    """Refuses a misspelt requirement, and takes keys away from the tests and from all that they start."""
    unknown = _required() - set(NEEDS)
    if unknown:
        raise pytest.UsageError(f"ORCHESTRATE_REQUIRE knows {', '.join(NEEDS)}, not {', '.join(sorted(unknown))}.")
    for name in [name for name in os.environ if name.endswith(KEY_ENDINGS)]:
        del os.environ[name]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")]))
    # Workers share the cores, where numpy's threads would stand in each other's way.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # jsonschema, which nbformat imports, would compile a grammar of addresses for seconds, and nobody asks for it.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def _turn(item: pytest.Item) -> int:
    """Slow tests first, browser tests last."""
    if item.get_closest_marker("browser"):
        return 2
    return 0 if item.get_closest_marker("slow") else 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives the workers of pytest-xdist one test at a time, but of the files ``TOGETHER`` all tests at once."""
    from xdist.scheduler import LoadScopeScheduling

    class OneByOne(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file in TOGETHER else nodeid

    return OneByOne(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what cannot run here, unless it is required; puts slow tests first, browser tests last.

    While the last slow test runs, the other workers of pytest-xdist still have something to do. Playwright, once
    started, keeps an event loop of its own running in the process, under which no asyncio test can.
    """
    items.sort(key=_turn)
    reasons = {need: _missing(need) for need in NEEDS}
    for item in items:
        for need, reason in reasons.items():
            if reason and item.get_closest_marker(need) and need not in _required():
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """Puts what is loaded by now beyond the garbage collector, which would look through it again and again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fails a required test whose tools are missing."""
    for need in _required(item):
        reason = _missing(need)
        if reason:
            pytest.fail(f"{need} tests are required, but this one {reason}", pytrace=False)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A required test that skips itself has failed."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.skipped and not hasattr(report, "wasxfail") and _required(item):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} is required and was skipped: {report.longrepr}"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works in an empty folder of its own, with no settings of the user's in reach."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    """Fails a test that tried to reach another machine, even where the code under test swallowed the refusal."""
    REFUSED.clear()
    yield
    assert not REFUSED, f"the test tried to leave this machine: {', '.join(REFUSED)}"


@pytest.fixture(autouse=True)
def _own_strategies(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test defines with ``@strategy`` is known to the process, and ends with the test."""
    import orchestration_nb.workspace  # noqa: F401 - loads the rooms that define strategies of their own
    from orchestration_nb.routing.registry import STRATEGIES

    monkeypatch.setattr(STRATEGIES, "_by_name", dict(STRATEGIES._by_name))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An empty workspace, which is also the current folder: simulated models answer at once."""
    (tmp_path / "orchestrate.toml").write_text("[sim]\nlatency_scale = 0\n")
    return tmp_path


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of the recorded replies; for tests marked ``corpus``."""
    return corpus_folder()


@pytest.fixture
def dice() -> random.Random:
    """Random numbers; a test that fails prints the seed, and ``ORCHESTRATE_SEED`` repeats it."""
    seed = int(os.environ.get("ORCHESTRATE_SEED") or random.SystemRandom().randrange(2**32))
    print(f"ORCHESTRATE_SEED={seed}", file=sys.stderr)
    return random.Random(seed)
