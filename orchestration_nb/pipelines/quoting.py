"""Texts for the languages of other engines, so that no name, path or value is taken for more than a text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any, Final

LINE_END: Final = "lf=$(printf '\\nx') && lf=${lf%x}"
"""Makes ``$lf`` a line end in ``/bin/sh``: for where a command must stand in one line."""


def shell_words(words: Iterable[str]) -> str:
    """A command for ``/bin/sh``."""
    return " ".join(shlex.quote(word) for word in words)


def one_line_shell(words: Iterable[str]) -> str:
    """A command for ``/bin/sh`` without any line end in it; where a word holds one, after :data:`LINE_END`."""
    return " ".join('"$lf"'.join(shlex.quote(part) for part in word.split("\n")) for word in words)


def cron_text(command: str) -> str:
    """A command for a crontab, where ``%`` would end it."""
    return command.replace("%", "\\%")


def systemd_word(word: str) -> str:
    """A word of a command in a unit: no specifier, no variable, no escape in it is expanded."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return '"' + escaped.replace("%", "%%").replace("$", "$$") + '"'


def systemd_value(text: str) -> str:
    """A text in a unit, such as its description."""
    return one_line(text).replace("\\", "\\\\").replace("%", "%%")


def kubernetes_argument(word: str) -> str:
    """An argument of a container, where ``$(NAME)`` would be expanded."""
    return word.replace("$", "$$")


def github_text(text: str) -> str:
    """A text in a workflow, where ``${{ }}`` would be evaluated."""
    return text.replace("${{", "${{ '${{' }}")


def one_line(text: str) -> str:
    """A text for a comment."""
    return re.sub(r"\s+", " ", text).strip()


def comments(sentences: Iterable[str]) -> str:
    """Sentences as lines that begin with ``#``."""
    return "".join(f"# {one_line(sentence)}\n" for sentence in sentences)


class Block(str):
    """A text that YAML shows line by line, where it can."""

    __slots__ = ()


def as_yaml(value: Any) -> str:
    """Mappings, lists, texts and numbers as YAML."""
    import yaml  # noqa: PLC0415 - only exports need it

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's own way
            return True

    def block(dumper: Any, text: Block) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")

    Dumper.add_representer(Block, block)
    return str(yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000))


def header(kept: Sequence[str], lost: Sequence[str]) -> str:
    """The head of what is written: what it is, and which rules of the schedule the engine does not have."""
    return comments([*kept, *(f"Not kept here: {sentence}" for sentence in lost)])
