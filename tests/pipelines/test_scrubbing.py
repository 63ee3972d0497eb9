"""Where secrets come from, and notebooks without them."""

from __future__ import annotations

import base64
import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.pipelines.references import parse_references, resolve
from orchestration_nb.pipelines.scrubbing import scrubber

SECRET = "sk-Live_9aB/3+xY&z=Q7w~Tr5Kp"
SIGN = "[secret TOKEN]"


def notebook(*outputs: Any, **metadata: Any) -> Any:
    held: Any = nbformat.v4.new_notebook(metadata=metadata)  # type: ignore[no-untyped-call]
    held.cells = [nbformat.v4.new_code_cell("1", outputs=[output]) for output in outputs]  # type: ignore[no-untyped-call]
    return held


def shown(data: dict[str, Any]) -> Any:
    return nbformat.v4.new_output("display_data", data)  # type: ignore[no-untyped-call]


def printed(text: str) -> Any:
    return nbformat.v4.new_output("stream", text=text)  # type: ignore[no-untyped-call]


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    header = (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    parts = [header, *chunks, (b"IDAT", zlib.compress(bytes(4))), (b"IEND", b"")]
    framed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


@pytest.fixture
def scrub() -> Any:
    return scrubber({"TOKEN": "env:HERE"}, {"HERE": SECRET})


def test_a_secret_comes_from_a_variable_a_file_or_the_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    keyring, errors = ModuleType("keyring"), ModuleType("keyring.errors")
    keyring.get_password = lambda service, user: "from-there" if (service, user) == ("a/b", "me") else None  # type: ignore[attr-defined]
    errors.KeyringError = type("KeyringError", (Exception,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    found = resolve({"A": "env:HERE", "B": "file:token", "C": "keyring:a/b/me"}, {"HERE": SECRET})
    assert found == {"A": SECRET, "B": SECRET, "C": "from-there"}
    with pytest.raises(UsageError, match="no password of me for b, which is to be the secret C"):
        resolve({"C": "keyring:b/me"}, {})


@pytest.mark.parametrize(
    ("name", "reference", "said"),
    [
        ("TOKEN", "env:GONE", "The secret TOKEN is to come from the variable GONE, which is not set."),
        ("TOKEN", "file:gone", "The secret TOKEN is to come from the file gone, which cannot be read: No such file"),
        ("TOKEN", "env:EMPTY", "The secret TOKEN is empty"),
        ("TOKEN", "keyring:me", "does not say whose password it is"),
        ("TOKEN", SECRET, "The secret TOKEN does not say where it comes from."),
        ("TOKEN", f"vault:{SECRET}", "The secret TOKEN does not say where it comes from."),
        ("ORCHESTRATE_X", "env:HERE", "cannot be the name of one"),
        (SECRET, "env:HERE", "cannot be the name of one"),
        ("SHORT", "env:SHORT", "The secret SHORT has fewer than 4 characters"),
    ],
)
def test_what_is_missing_is_said_and_never_the_value(name: str, reference: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        scrubber({name: reference}, {"HERE": SECRET, "EMPTY": "", "SHORT": "ab"})
    assert SECRET not in str(caught.value) + caught.value.hint


def test_without_the_package_of_the_keyring_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(UsageError, match="the package keyring is not installed") as caught:
        resolve({"TOKEN": "keyring:service/me"}, {})
    assert caught.value.hint == "pip install keyring"


@pytest.mark.parametrize("words", [[SECRET.replace("=", "")], ["A=env:B", "A=env:C"]])
def test_what_was_typed_wrongly_is_not_repeated(words: Sequence[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_references(words)
    assert words[0] not in str(caught.value) + caught.value.hint
    assert parse_references(["A=env:B", "C=file:d=e"]) == {"A": "env:B", "C": "file:d=e"}


def test_without_secrets_nothing_is_touched() -> None:
    nothing, held = scrubber({}), notebook(printed(SECRET))
    assert nothing.notebook(held) is held
    assert nothing.text(SECRET) == SECRET
    with nothing.sink(io.StringIO()) as descriptor:
        assert descriptor is None


def test_a_secret_across_outputs_and_cells_goes_and_the_notebook_itself_stays(scrub: Any) -> None:
    held = notebook(printed(f"a {SECRET[:9]}"), printed(SECRET[9:17]), shown({"text/plain": f"{SECRET[17:]} b"}))
    clean = scrub.notebook(held)
    texts = [
        clean.cells[0].outputs[0].text,
        clean.cells[1].outputs[0].text,
        clean.cells[2].outputs[0].data["text/plain"],
    ]
    assert texts == [f"a {SIGN}", "", " b"]
    assert held.cells[0].outputs[0].text == f"a {SECRET[:9]}"
    nbformat.validate(clean)


def test_long_outputs_are_looked_through_once_and_at_their_edges(scrub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "line of a log\n" * 20_000
    held = notebook(printed(long + SECRET[:22]), printed(SECRET[22:] + long), printed(f"{long}{SECRET}{long}"))
    clean = scrub.notebook(held)
    assert clean.cells[0].outputs[0].text == long + SIGN
    assert clean.cells[1].outputs[0].text == long
    assert clean.cells[2].outputs[0].text == f"{long}{SIGN}{long}"
    monkeypatch.setattr(scrub.secrecy, "finds", lambda _: pytest.fail("it was looked through again"))
    assert scrub.notebook(held) == clean


def test_pictures_lose_what_they_say_of_themselves(scrub: Any) -> None:
    plain = base64.b64encode(png()).decode()
    told = base64.b64encode(png((b"tEXt", b"Comment\0" + SECRET.encode("latin-1")))).decode()
    other = base64.b64encode(b"\xff\xd8\xff\xfe\0\x40" + SECRET.encode()).decode()
    clean = scrub.notebook(
        notebook(*(shown({"image/png": data}) for data in (plain, told)), shown({"image/jpeg": other}))
    )
    data = [cell.outputs[0].data for cell in clean.cells]
    assert data[0] == data[1] == {"image/png": plain}
    assert data[2] == {"text/plain": "What was shown here is left out: a secret stood in its file."}


def test_widgets_metadata_numbers_and_attachments(scrub: Any) -> None:
    state = {"m1": {"state": {"value": SECRET, "list": list(SECRET.encode())}}}
    held = notebook(shown({"application/json": {SECRET: [1, 2.5]}}), widgets={"state": state})
    held.cells[0].metadata["token"] = SECRET
    held.cells.append(nbformat.v4.new_markdown_cell("see", attachments={"a.png": {"image/png": SECRET}}))  # type: ignore[no-untyped-call]
    clean = scrub.notebook(held)
    assert SECRET not in nbformat.writes(clean)  # type: ignore[no-untyped-call]
    assert clean.metadata.widgets.state.m1.state == {"value": SIGN, "list": [None] * len(SECRET)}
    assert clean.cells[0].outputs[0].data == {"application/json": {SIGN: [1, 2.5]}}


def test_what_a_process_says_outside_its_cells_is_clean(scrub: Any) -> None:
    heard = io.StringIO()
    script = f"import sys\nfor n in range(9): print('line', n)\nsys.stderr.write({SECRET!r} + ' at the end')"
    with scrub.sink(heard) as descriptor:
        subprocess.run([sys.executable, "-u", "-c", script], stdout=descriptor, stderr=descriptor, check=True)
    assert heard.getvalue() == "".join(f"line {number}\n" for number in range(9)) + f"{SIGN} at the end"
    heard = io.StringIO()
    with scrub.sink(heard) as descriptor:
        os.write(descriptor, b"x" * 3000)
        for _ in range(600):
            os.write(descriptor, (f"{SECRET} " + "y" * 3000 + "\n").encode())
    assert SECRET not in heard.getvalue()
    assert heard.getvalue().count(SIGN) == 600


def test_a_notebook_that_another_one_starts_keeps_its_secrets() -> None:
    held = scrubber({"OTHER": "env:HERE"}, {"ORCHESTRATE_SECRETS": "TOKEN", "TOKEN": SECRET, "HERE": "another-one"})
    assert held.resolved == {"TOKEN": SECRET, "OTHER": "another-one"}


def test_it_shows_no_value(scrub: Any) -> None:
    assert SECRET not in repr(scrub)
    assert scrub.resolved == {"TOKEN": SECRET}
