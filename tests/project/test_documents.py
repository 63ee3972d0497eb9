"""What the documents say can be typed is there, and what there is to set and to type stands in the README."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from orchestration_nb.cli import app
from orchestration_nb.config import FILE_NAME, Settings, load_settings
from orchestration_nb.flow import parse
from orchestration_nb.notebook.arguments import FLAGS, read_cell_line
from orchestration_nb.notebook.subcommands import SUBCOMMANDS
from orchestration_nb.pipelines import EXIT_CODES
from tests.conftest import REPO

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
MAKE_TARGETS = set(re.findall(r"^([a-z]+):.*?##", (REPO / "Makefile").read_text(), re.MULTILINE))
COMMANDS = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
COMMANDS |= {
    str(group.name or group.typer_instance.info.name) for group in app.registered_groups if group.typer_instance
}
README = (REPO / "README.md").read_text()
KEYS = {"aliases": "NAME", "models": '"P/NAME"', "limits": '"NAME"', "providers": "NAME"}
"""How the README writes the name of an entry."""


def code(document: str) -> str:
    """The parts of a document that are meant to be typed."""
    text = (REPO / document).read_text()
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))


def blocks(document: str, language: str) -> list[str]:
    """The blocks of code of one language, those in lists included."""
    text = (REPO / document).read_text()
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


def section(title: str) -> str:
    """One section of the README's reference."""
    found = re.search(rf"^### {title}\n(.*?)(?=^##)", README, re.DOTALL | re.MULTILINE)
    assert found, f"The README has no section {title!r}."
    return found[1]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_exist(document: str) -> None:
    assert set(re.findall(r"\bmake ([a-z]+)", code(document))) <= MAKE_TARGETS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_exist(document: str) -> None:
    assert set(re.findall(r"(?<![%\w])orchestrate ([a-z]+)", code(document))) <= COMMANDS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_linked_files_and_sections_exist(document: str) -> None:
    text = (REPO / document).read_text()
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text)
    assert not [link for link in links if not (REPO / link).exists()]
    titles = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors


def test_readme_gives_the_two_commands() -> None:
    assert {"demo", "lab"} <= set(re.findall(r"\bmake ([a-z]+)", code("README.md")))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_settings_that_are_shown_can_be_used(document: str, tmp_path: Path) -> None:
    for block in blocks(document, "toml"):
        (tmp_path / FILE_NAME).write_text(block)
        load_settings(tmp_path)


def test_cells_that_are_shown_are_flows() -> None:
    cells = [block for block in blocks("README.md", "python") if block.startswith("%%orchestrate")]
    assert len(cells) >= 3
    for cell in cells:
        line, _, body = cell.removeprefix("%%orchestrate").partition("\n")
        assert parse(body, name=read_cell_line(line).name).steps


def test_line_magics_that_are_shown_exist() -> None:
    shown = set(re.findall(r"(?<!%)%orchestrate ([a-z-]+)", code("README.md")))
    assert shown <= set(SUBCOMMANDS)
    assert not [name for name in SUBCOMMANDS if not re.search(rf"`{name}[` ]", section("In the notebook"))]


def test_readme_lists_every_flag() -> None:
    listed = re.findall(r"^\| `(--[^`]+)` \|", section("The line of the cell"), re.MULTILINE)
    assert sorted(flag.replace("\\|", "|") for flag in listed) == sorted(
        f"{flag.name} {flag.value}".strip() for flag in FLAGS
    )


def test_readme_lists_every_command_and_exit_code() -> None:
    assert not [name for name in COMMANDS if not re.search(rf"`{name}[` ]", section("Commands"))]
    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", section("Commands"), re.MULTILINE)}
    assert listed == {*EXIT_CODES.values(), 2}


def settings(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting as the README writes it, and its default; ``...`` where it is needed."""
    for name, field in model.model_fields.items():
        *_, last = (field.annotation, *get_args(field.annotation))
        if isinstance(last, type) and issubclass(last, BaseModel):
            entry = f".{KEYS.get(name, 'NAME')}" if field.annotation is not last else ""
            yield from settings(last, f"{path}{name}{entry}.")
        else:
            entry = f".{KEYS[name]}" if name in KEYS and not path else ""
            yield f"{path}{name}{entry}", ... if field.is_required() else field.default


def written(default: object) -> str:
    """A default as the README writes it: nothing for what is left away."""
    if default is ... or isinstance(default, bool):
        return "needed" if default is ... else str(default).lower()
    return "" if default in (None, (), {}) else str(default)


def test_readme_lists_every_setting_with_its_default() -> None:
    listed = dict(re.findall(r"^\| `([^`]+)` \| ([^|]*?) ?\|", section("Settings"), re.MULTILINE))
    assert listed == {name: written(default) for name, default in settings(Settings)}


def test_floor_plan_shows_every_room() -> None:
    rooms = {path.name for path in (REPO / "orchestration_nb").iterdir() if path.suffix == ".py"} - {"__init__.py"}
    rooms |= {f"{path.parent.name}/" for path in (REPO / "orchestration_nb").glob("*/__init__.py")}
    assert not [room for room in rooms if f"`{room}`" not in (REPO / "CONTRIBUTING.md").read_text()]
