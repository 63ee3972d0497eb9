"""Somebody who looks for secrets in files, and undoes whatever needs no key; it shares no line with the package.

It works the other way round: it decodes the files in many ways, and looks for a few forms of each value in all of them.
"""

from __future__ import annotations

import base64
import binascii
import bz2
import codecs
import html
import json
import quopri
import re
import sqlite3
import sys
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

_PART = 11
"""Letters and digits in a row that count as a find."""
_WORD = 8
_LOWER = bytes(range(256)).lower()
_DROPPED = bytes(sign for sign in range(128) if not chr(sign).isalnum())
_NARROW = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}


def found_in(texts: Iterable[bytes], values: Mapping[str, str]) -> dict[str, list[str]]:
    """Which values stand in the texts: name to the forms in which they do."""
    wanted = [(name, kind, form) for name, value in values.items() for kind, form in _forms(value)]
    forms = Forms({form for _, _, form in wanted})
    hits: dict[str, list[str]] = {}
    for text in texts:
        seen = forms.within(b"\0".join({_bare(reading) for reading in _readings(text, 0)}))
        for name, kind, form in wanted:
            if form in seen:
                hits.setdefault(name, []).append(kind)
    return hits


class Forms:
    """Thousands of strings that are looked for at once: by their beginnings first, a machine word each."""

    def __init__(self, forms: Iterable[bytes]) -> None:
        self._by_word: dict[int, list[bytes]] = {}
        self._short: list[bytes] = []
        for form in forms:
            if len(form) < _WORD:
                self._short.append(form)
            else:
                self._by_word.setdefault(int.from_bytes(form[:_WORD], sys.byteorder), []).append(form)
        self._words = np.array(sorted(self._by_word), dtype=np.uint64)
        self._maybe = np.zeros(1 << 16, dtype=bool)
        self._maybe[_places(self._words)] = True

    def within(self, text: bytes) -> set[bytes]:
        """Those that stand somewhere in ``text``."""
        seen = {form for form in self._short if form in text}
        for shift in range(min(_WORD, max(0, len(text) - _WORD + 1))):
            words = np.frombuffer(text, dtype=np.uint64, offset=shift, count=(len(text) - shift) // _WORD)
            (likely,) = np.nonzero(self._maybe[_places(words)])
            for index in likely[np.isin(words[likely], self._words)].tolist():
                place = shift + index * _WORD
                seen.update(form for form in self._by_word[int(words[index])] if text.startswith(form, place))
        return seen


def _places(words: Any) -> Any:
    """Where each word stands in a table of 65,536: many words share a place, and most of a text's find none."""
    return (words * np.uint64(0x9E37_79B9_7F4A_7C15)) >> np.uint64(48)


def files(*folders: Path) -> Iterator[bytes]:
    """Every file below the folders, and the rows of every database among them."""
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        yield path.read_bytes()
        if path.suffix == ".sqlite":
            yield from _rows_of_sqlite(path)
        elif path.suffix == ".duckdb":
            yield from _rows_of_duckdb(path)
        elif path.suffix == ".ipynb":
            yield from _outputs(json.loads(path.read_text()))


def _rows_of_sqlite(path: Path) -> Iterator[bytes]:
    with sqlite3.connect(path) as connection:
        tables = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for row in connection.execute(f'select * from "{table}"'):
                yield b"\n".join(each if isinstance(each, bytes) else str(each).encode() for each in row)
    connection.close()


def _rows_of_duckdb(path: Path) -> Iterator[bytes]:
    with duckdb.connect(str(path), read_only=True) as connection:
        for (table,) in connection.execute("select table_name from duckdb_tables()").fetchall():
            for row in connection.execute(f'select * from "{table}"').fetchall():
                yield repr(row).encode()


def _outputs(notebook: Any) -> Iterator[bytes]:
    """What the cells put out, type by type, one after the other as a person reads it."""
    said: dict[str, list[str]] = {}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            if output["output_type"] == "stream":
                said.setdefault("text/plain", []).append("".join(output["text"]))
            for mime, value in output.get("data", {}).items():
                plain = value if isinstance(value, str) else json.dumps(value)
                said.setdefault(mime, []).append("".join(value) if isinstance(value, list) else plain)
    for texts in said.values():
        yield "\n".join(texts).encode()


def _forms(value: str) -> Iterator[tuple[str, bytes]]:
    turned = {"plain": value, "reversed": value[::-1], "rot13": codecs.encode(value, "rot13")}
    for kind, text in turned.items():
        bare = _bare(text.encode())
        yield kind, bare[:_PART]
        yield f"{kind}, its end", bare[-_PART:]
        for place in range(3):
            coded = base64.b64encode(b"?" * place + text.encode())[place + 1 :]
            yield f"{kind} in base64", _bare(coded)[4:20]
    data = value.encode()
    for place in range(5):
        yield "base32", _bare(base64.b32encode(b"?" * place + data))[10:26]
    for name, wide in {"bytes": data, "utf-16": value.encode("utf-16-le"), "utf-32": value.encode("utf-32-le")}.items():
        yield f"{name} in hex", wide.hex().encode()[: 2 * _PART]
        yield f"{name} in numbers", "".join(map(str, wide)).encode()[: 2 * _PART]
        yield f"{name} in base64", _bare(base64.b64encode(wide))[:20]
    yield "binary", "".join(f"{byte:08b}" for byte in data).encode()[: 8 * _PART]
    yield "octal", "".join(f"0o{byte:o}" for byte in data).encode()[: 5 * _PART]
    yield "number", str(int.from_bytes(data, "big")).encode()[:20]
    yield "column", _bare("".join(f"{place}{sign}" for place, sign in enumerate(value)).encode())[: 2 * _PART]


def _bare(text: bytes) -> bytes:
    return text.translate(_LOWER, _DROPPED)


def _readings(text: bytes, depth: int) -> Iterator[bytes]:
    """The text, and what it turns into when it is decoded, once and again."""
    yield text
    for undo in (_escapes, html_text, _percent, quopri.decodestring, _without_signs, _base85, _uu, _narrow):
        undone = undo(text)
        if undone != text:
            yield undone
            if undo in {_escapes, html_text}:
                yield _escapes(undone)
                yield html_text(undone)
    if depth < 3:
        for inner in _unpacked(text):
            yield from _readings(inner, depth + 1)


def _escapes(text: bytes) -> bytes:
    text = re.sub(rb"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)).encode("utf-8", "replace"), text)
    text = re.sub(rb"\\x([0-9a-fA-F]{2})", lambda found: bytes((int(found[1], 16),)), text)
    return re.sub(
        rb"\\([ntr\"'/\\])", lambda found: {b"n": b"\n", b"t": b"\t", b"r": b"\r"}.get(found[1], found[1]), text
    )


def html_text(text: bytes) -> bytes:
    return html.unescape(re.sub(rb"<[^<>]*>", b"", text).decode("utf-8", "replace")).encode("utf-8", "replace")


def _percent(text: bytes) -> bytes:
    return urllib.parse.unquote_to_bytes(text)


def _without_signs(text: bytes) -> bytes:
    return re.sub(rb"\x1b\[[0-9;]*m|\xe2\x80[\x8b-\x8f]|\\x1b\[[0-9;]*m|\\u001b\[[0-9;]*m|\\u200b", b"", text)


def _narrow(text: bytes) -> bytes:
    return text.decode("utf-8", "ignore").translate(_NARROW).encode("utf-8", "replace")


def _base85(text: bytes) -> bytes:
    found = b""
    for word in re.findall(rb"[!-~]{40,80}", text):
        for decode in (base64.b85decode, base64.a85decode):
            try:
                found += decode(word) + b"\n"
            except ValueError:
                continue
    return found or text


def _uu(text: bytes) -> bytes:
    found = b""
    for line in re.findall(rb"^[ -`]{40,62}$", text.replace(b"\\n", b"\n").replace(b"\\\\", b"\\"), re.MULTILINE):
        try:
            found += binascii.a2b_uu(line) + b"\n"
        except binascii.Error:
            continue
    return found or text


def _unpacked(text: bytes) -> Iterator[bytes]:
    for run in re.findall(rb"[A-Za-z0-9+/_-]{20,}(?:\\?n?[\r\n]*[A-Za-z0-9+/_-]{20,})*", text)[:20_000]:
        letters = re.sub(rb"\\n|[^A-Za-z0-9+/]", b"", run.translate(bytes.maketrans(b"-_", b"+/")))
        for start in range(4):
            part = letters[start : start + (len(letters) - start) // 4 * 4]
            yield binascii.a2b_base64(part)
        if re.fullmatch(rb"[0-9a-fA-F]+", run):
            yield bytes.fromhex(run[: len(run) // 2 * 2].decode())
    for found in re.finditer(rb"\x1f\x8b\x08|x[\x01\x5e\x9c\xda]|BZh", text):
        try:
            if found[0] == b"BZh":
                yield bz2.decompress(text[found.start() :])
            else:
                yield zlib.decompressobj(47).decompress(text[found.start() :], 1 << 22)
        except (zlib.error, OSError, ValueError):
            continue
    for found in re.finditer(rb"b(['\"])((?:\\x[0-9a-f]{2}|\\.|[ -~])+?)\1", text):
        if rb"\x" in found[2]:
            yield _escapes(found[2])
