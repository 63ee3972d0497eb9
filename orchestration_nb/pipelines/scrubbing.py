"""Secrets of a headless run: looked up before the kernel starts, given to it, and taken out of all that is written."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TextIO

from orchestration_nb.pipelines.pictures import is_binary, without_secrets
from orchestration_nb.pipelines.references import resolve

if TYPE_CHECKING:
    from orchestration_nb.secrecy import Secrecy

_EDGE: Final = 1 << 13
_BARRIER: Final = "\uffff\uffff\uffff"
_LEFT_OUT: Final = "What was shown here is left out: a secret stood in its file."
_HELD_BACK: Final = 1 << 16
_MOST_HELD: Final = 1 << 20
_LAST_WORDS_S: Final = 2.0

Visit = Callable[[str, str], str]
"""A text of a channel -> the text that takes its place."""


class Scrubber:
    """Takes the secrets of one run out of texts and notebooks.

    Args:
        resolved: Name to value.
    """

    def __init__(self, resolved: Mapping[str, str]) -> None:
        self.resolved = dict(resolved)
        self.secrecy = _secrecy_of(resolved) if resolved else None
        """What the runner's own journal is given, too; ``None`` where there are no secrets."""
        self._long: dict[str, bool] = {}  # whether no secret stands in it
        self._pictures: dict[str, str | None] = {}
        self._before: dict[str, tuple[list[str], list[str]]] = {}

    def __repr__(self) -> str:
        return f"<Scrubber of {', '.join(self.resolved) or 'nothing'}>"

    def text(self, text: str) -> str:
        """The text with ``[secret NAME]`` where a secret stood."""
        return text if self.secrecy is None else self.secrecy.text(text)

    def notebook(self, notebook: Any) -> Any:
        """A notebook without secrets, to be written; the one that is handed over stays as it is.

        Texts of outputs are looked through as they follow one another, so that a secret that lies across several is
        found too. Where there are no secrets, it is the same notebook.
        """
        if self.secrecy is None:
            return notebook
        import nbformat  # noqa: PLC0415

        said: dict[str, list[str]] = {}
        long, pictures = self._long, self._pictures
        self._long, self._pictures = {}, {}  # what is not there any more is forgotten

        def hear(channel: str, text: str) -> str:
            said.setdefault(channel, []).extend(self._edges(text, long))
            return text

        def picture(data: str) -> str | None:
            assert self.secrecy is not None
            if data not in self._pictures:
                self._pictures[data] = pictures[data] if data in pictures else without_secrets(data, self.secrecy)
            return self._pictures[data]

        _walked(notebook, hear, picture)
        # A notebook is written time and again, and most of it is as it was.
        self._before = {channel: self._clean(channel, texts) for channel, texts in said.items()}
        clean = {channel: iter(texts) for channel, (_, texts) in self._before.items()}

        def answer(channel: str, text: str) -> str:
            first = next(clean[channel])
            if not self._long.get(text):
                return first
            next(clean[channel])
            return first + text[_EDGE:-_EDGE] + next(clean[channel])

        return nbformat.from_dict(_walked(notebook, answer, picture))  # type: ignore[no-untyped-call]

    def _clean(self, channel: str, texts: list[str]) -> tuple[list[str], list[str]]:
        assert self.secrecy is not None
        before = self._before.get(channel)
        return before if before is not None and before[0] == texts else (texts, self.secrecy.texts(texts))

    def _edges(self, text: str, known: Mapping[str, bool]) -> tuple[str, ...]:
        """A text as it is looked through beside its neighbours: a long one that is clean, by its two ends."""
        if len(text) <= 2 * _EDGE:
            return (text,)
        assert self.secrecy is not None
        clean = self._long[text] = known[text] if text in known else not self.secrecy.finds(text)
        return (text[:_EDGE], _BARRIER, text[-_EDGE:]) if clean else (text,)

    @contextmanager
    def sink(self, onto: TextIO) -> Iterator[int | None]:
        """A file descriptor for what the kernel's process says outside its cells; written to ``onto`` without secrets.

        It is for a kernel's own log, and for crashes, which speak when nobody listens to outputs any more. Where there
        are no secrets, it is ``None``.
        """
        if self.secrecy is None:
            yield None
            return
        reading, writing = os.pipe()
        thread = threading.Thread(target=self._pour, args=(reading, onto), daemon=True)
        thread.start()
        try:
            yield writing
        finally:
            os.close(writing)
            thread.join(_LAST_WORDS_S)  # a process that the kernel left behind may keep the other end open

    def _pour(self, reading: int, onto: TextIO) -> None:
        held = b""
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            while piece := pipe.read(1 << 16):
                held += piece
                if len(held) > _MOST_HELD:
                    end = held.rfind(b"\n", 0, len(held) - _HELD_BACK) + 1 or len(held) - _HELD_BACK
                    self._say(held[:end], onto)
                    held = held[end:]
        self._say(held, onto)

    def _say(self, data: bytes, onto: TextIO) -> None:
        if data:
            onto.write(self.text(data.decode("utf-8", "replace")))
            onto.flush()


def _secrecy_of(resolved: Mapping[str, str]) -> Secrecy:
    from orchestration_nb.secrecy import Secrecy  # noqa: PLC0415 - most runs have no secrets

    return Secrecy(resolved)


def scrubber(references: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> Scrubber:
    """What keeps the secrets of a run out of all that it writes.

    Where a notebook with secrets starts another one, its secrets are the other one's, too.

    Args:
        references: Name to where it comes from: ``env:VAR``, ``file:PATH`` or ``keyring:SERVICE/USER``.
        environ: Where variables are looked up.

    Raises:
        UsageError: If a secret is not there, or too short to be taken out of texts.
    """
    names = environ.get("ORCHESTRATE_SECRETS", "").split(",")
    inherited = {name: environ[name] for name in names if environ.get(name)}
    return Scrubber({**inherited, **resolve(references, environ)})


Picture = Callable[[str], str | None]


def _walked(notebook: Any, visit: Visit, picture: Picture) -> dict[str, Any]:
    """A copy of a notebook in which each text is what ``visit`` made of it."""
    cells = [_cell(cell, visit, picture) for cell in notebook["cells"]]
    return {**notebook, "cells": cells, "metadata": _json("metadata", notebook["metadata"], visit)}


def _cell(cell: Mapping[str, Any], visit: Visit, picture: Picture) -> dict[str, Any]:
    anew = {**cell, "source": visit("source", cell["source"]), "metadata": _json("metadata", cell["metadata"], visit)}
    if "attachments" in cell:
        anew["attachments"] = {
            visit("metadata", name): _bundle(data, visit, picture) for name, data in cell["attachments"].items()
        }
    if "outputs" in cell:
        anew["outputs"] = [_output(output, visit, picture) for output in cell["outputs"]]
    return anew


def _output(output: Mapping[str, Any], visit: Visit, picture: Picture) -> dict[str, Any]:
    if output["output_type"] == "stream":
        return {**output, "text": visit("text", output["text"])}
    if output["output_type"] == "error":
        said = {name: visit("text", output[name]) for name in ("ename", "evalue")}
        return {**output, **said, "traceback": [visit("text", line) for line in output["traceback"]]}
    data, metadata = output["data"], output.get("metadata", {})
    return {**output, "data": _bundle(data, visit, picture), "metadata": _json("metadata", metadata, visit)}


def _bundle(data: Mapping[str, Any], visit: Visit, picture: Picture) -> dict[str, Any]:
    """The same thing in several types, such as text and a picture."""
    anew: dict[str, Any] = {}
    for mime, value in data.items():
        if is_binary(mime) and isinstance(value, str):
            kept = picture(value)
            if kept is not None:
                anew[mime] = kept
            elif "text/plain" not in data:
                anew["text/plain"] = _LEFT_OUT
        else:
            anew[mime] = _json("text" if mime == "text/plain" else mime, value, visit)
    return anew


def _json(channel: str, value: Any, visit: Visit) -> Any:
    if isinstance(value, str):
        return visit(channel, value)
    if isinstance(value, Mapping):
        return {visit(channel, key): _json(channel, part, visit) for key, part in value.items()}
    if isinstance(value, list):
        return [_json(channel, part, visit) for part in value]
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole or (isinstance(value, float) and value.is_integer()):
        text = str(int(value))
        return value if visit(channel, text) == text else None
    return value
