"""``%orchestrate sim``: what it breaks is broken, and mended again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.notebook.simulation import simulate
from orchestration_nb.providers.simulated import SimProvider
from orchestration_nb.workspace import Workspace


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimProvider:
    monkeypatch.chdir(tmp_path)
    found = Workspace.current().providers["sim"]
    assert isinstance(found, SimProvider)
    return found


def told(capsys: Any, line: str) -> str:
    simulate(None, line)  # type: ignore[arg-type]  # it needs no session
    return str(capsys.readouterr().out)


def test_faults_models_and_off(provider: SimProvider, capsys: Any) -> None:
    assert "nothing goes wrong" in told(capsys, "")
    said = told(capsys, "rate_limited=0.2 reset=0.1 down=medium")
    assert "20% of the attempts meet 'rate limited'" in said
    assert "10% of the attempts meet 'reset'" in said
    assert "sim/medium is down" in said
    assert (provider.faults.rate_limited, provider.faults.reset) == (0.2, 0.1)
    assert "is down" not in told(capsys, "up=sim/medium")
    assert "nothing goes wrong" in told(capsys, "off")
    assert not any(provider.faults.shares())


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("rate_limit=0.2", "Did you mean rate_limited?"),
        ("reset=2", "sim reset=0.2"),
        ("reset=often", "sim reset=0.2"),
        ("down=huge", "sim/small"),
        ("rate_limited=0.7 reset=0.7", "Faults("),
        ("down=medium reset=2", "sim reset=0.2"),
    ],
)
def test_what_breaks_nothing_is_refused_and_changes_nothing(provider: SimProvider, line: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        simulate(None, line)  # type: ignore[arg-type]
    assert hint in caught.value.hint
    assert not any(provider.faults.shares())
    assert provider.down == ()
