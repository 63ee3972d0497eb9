"""What the documents say can be typed is there."""

from __future__ import annotations

import re

import pytest

from orchestration_nb.cli import app
from tests.conftest import REPO

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
MAKE_TARGETS = set(re.findall(r"^([a-z]+):.*?##", (REPO / "Makefile").read_text(), re.MULTILINE))
COMMANDS = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}


def code(document: str) -> str:
    """The parts of a document that are meant to be typed."""
    text = (REPO / document).read_text()
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_exist(document: str) -> None:
    assert set(re.findall(r"\bmake ([a-z]+)", code(document))) <= MAKE_TARGETS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_exist(document: str) -> None:
    assert set(re.findall(r"(?<![%\w])orchestrate ([a-z]+)", code(document))) <= COMMANDS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_linked_files_exist(document: str) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", (REPO / document).read_text())
    assert not [link for link in links if not (REPO / link).exists()]


def test_readme_gives_the_two_commands() -> None:
    assert {"demo", "lab"} <= set(re.findall(r"\bmake ([a-z]+)", code("README.md")))


def test_floor_plan_shows_every_room() -> None:
    rooms = {path.name for path in (REPO / "orchestration_nb").iterdir() if path.suffix == ".py"} - {"__init__.py"}
    rooms |= {f"{path.parent.name}/" for path in (REPO / "orchestration_nb").glob("*/__init__.py")}
    assert not [room for room in rooms if f"`{room}`" not in (REPO / "CONTRIBUTING.md").read_text()]
