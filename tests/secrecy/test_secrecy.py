"""Secrets in texts: found in disguises, taken out, and nothing else with them."""

from __future__ import annotations

import base64
import binascii
import bz2
import codecs
import gzip
import html
import io
import json
import lzma
import os
import pickle
import quopri
import random
import textwrap
import time
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.secrecy import Secrecy, is_scrubbed, secrecy_of_process
from tests.conftest import REPO

SECRET = "sk-Live_9aB/3+xY&z=Q7w~Tr5Kp"
DATA = SECRET.encode()
SIGN = "[secret TOKEN]"


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.txt", "nothing here " * 99)
        archive.writestr("key.txt", f"the key is {SECRET}")
    return file.getvalue()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


DISGUISES: dict[str, str] = {
    "plain": SECRET,
    "wrapped": "\n".join(textwrap.wrap(SECRET, 7)),
    "in a box": "\n".join(f"| {part} |" for part in textwrap.wrap(SECRET, 8)),
    "spaced": " ".join(SECRET),
    "tabs and returns": "\r\n\t".join(SECRET),
    "coloured": "".join(f"\x1b[3{n % 8}m{sign}\x1b[0m" for n, sign in enumerate(SECRET)),
    "linked": f"\x1b]8;;http://x\x07{SECRET[:9]}\x1b]8;;\x07{SECRET[9:]}",
    "zero-width": "\u200b".join(SECRET),
    "soft hyphens": "\u00ad".join(SECRET),
    "full width": "".join(chr(ord(sign) + 0xFEE0) for sign in SECRET),
    "list": str(list(SECRET)),
    "column": "\n".join(f"{n}    {sign}" for n, sign in enumerate(SECRET)),
    "base64": b64(DATA),
    "base64, second place": b64(b"x" + DATA + b"yy"),
    "base64, third place": b64(b"xy" + DATA + b"y"),
    "base64 for addresses": base64.urlsafe_b64encode(DATA).decode(),
    "base64 in lines": base64.encodebytes(DATA * 4).decode(),
    "base64, escaped lines": repr(base64.encodebytes(b"ab" + DATA * 4)),
    "base64 thrice": b64(base64.b64encode(base64.b64encode(DATA))),
    "base64 of it reversed": b64(DATA[::-1]),
    "base32": base64.b32encode(b"abc" + DATA).decode(),
    "base32hex": base64.b32hexencode(DATA).decode(),
    "base85": base64.b85encode(b"ab" + DATA).decode(),
    "ascii85": base64.a85encode(b"abc" + DATA).decode(),
    "uuencoded": binascii.b2a_uu(DATA).decode(),
    "hex": DATA.hex(),
    "hex with colons": DATA.hex(":").upper(),
    "hex with 0x": ", ".join(map(hex, DATA)),
    "bytes escaped": "".join(f"\\x{byte:02x}" for byte in DATA),
    "numbers": str(list(DATA)),
    "binary": " ".join(f"{byte:08b}" for byte in DATA),
    "octal": "".join(f"\\{byte:03o}" for byte in DATA),
    "octal numbers": str(list(map(oct, DATA))),
    "one number": str(int.from_bytes(DATA, "big")),
    "url": urllib.parse.quote(SECRET, safe=""),
    "url, all of it": "".join(f"%{byte:02X}" for byte in DATA),
    "url, twice": urllib.parse.quote(urllib.parse.quote(SECRET, safe=""), safe=""),
    "html": html.escape(SECRET),
    "html, decimal": "".join(f"&#{byte};" for byte in DATA),
    "html, hexadecimal": "".join(f"&#x{byte:x}" for byte in DATA),
    "tags": "".join(f"<b class='x{n}'>{html.escape(sign)}</b>" for n, sign in enumerate(SECRET)),
    "json in json": json.dumps(json.dumps({"a": "\n" + SECRET})),
    "unicode escapes": "".join(f"\\u{byte:04x}" for byte in DATA),
    "code points": " ".join(f"U+{byte:04X}" for byte in DATA),
    "quoted-printable": quopri.encodestring(("é=" + SECRET).encode()).decode(),
    "rot13": codecs.encode(SECRET, "rot13"),
    "rot47": "".join(chr(33 + (byte + 14) % 94) for byte in DATA),
    "reversed": SECRET[::-1],
    "capitals": SECRET.upper(),
    "case swapped": SECRET.swapcase(),
    "utf-16": repr(SECRET.encode("utf-16")),
    "utf-16 in base64": b64(SECRET.encode("utf-16")),
    "utf-32 in hex": SECRET.encode("utf-32").hex(),
    "64-bit numbers": b64(b"".join(byte.to_bytes(8, "little") for byte in DATA)),
    "gzip": b64(gzip.compress(DATA)),
    "zlib": b64(zlib.compress(b"hello " * 100 + DATA)),
    "zlib, off by one": "x" + b64(zlib.compress(b"hello " * 100 + DATA)),
    "bz2": b64(bz2.compress(DATA)),
    "lzma": b64(lzma.compress(DATA)),
    "zip": b64(zipped()),
    "pickled": b64(pickle.dumps({"token": SECRET})),
    "gzip, escaped": repr(gzip.compress(DATA)),
    "gzip in hex": gzip.compress(DATA).hex(),
    "base64 in gzip in base64": b64(gzip.compress(base64.b64encode(DATA))),
    "abbreviated": f"{SECRET[:11]}...",
    "abbreviated in the middle": f"{SECRET[:9]}…{SECRET[-6:]}",
    "its end": f"...{SECRET[-12:]}",
    "first half": SECRET[:14],
    "second half": SECRET[14:],
}


@pytest.fixture(scope="module")
def secrecy() -> Secrecy:
    return Secrecy({"TOKEN": SECRET})


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_secret_is_taken_out_and_what_stands_beside_it_stays(secrecy: Secrecy, disguise: str) -> None:
    clean = secrecy.text(f"before: {DISGUISES[disguise]} :after")
    assert clean.startswith("before: ")
    assert clean.endswith(":after")
    assert SIGN in clean
    for start in range(len(SECRET) - 8):
        assert SECRET[start : start + 9].lower() not in clean.lower()
    assert secrecy.finds(DISGUISES[disguise])
    assert is_scrubbed(clean)
    assert secrecy.text(clean) == clean


def test_a_text_without_secrets_is_the_same(secrecy: Secrecy) -> None:
    for path in ("README.md", "pyproject.toml", "orchestration_nb/config.py", "data/tickets.csv"):
        text = (REPO / path).read_text(encoding="utf-8")
        assert secrecy.text(text) == text
    assert not is_scrubbed("[secret]")


def test_random_texts_lose_nothing(secrecy: Secrecy, dice: random.Random) -> None:
    for _ in range(40):
        text = "".join(dice.choices(SECRET + " \n<>%&\\=é\u200b\U0001f600'\"", k=400))
        if not any(SECRET[at : at + 7].lower() in text.lower() for at in range(len(SECRET))):
            assert secrecy.text(text) == text
        assert SIGN in secrecy.text(text + SECRET)
    data = b64(dice.randbytes(300_000))
    assert secrecy.text(data) == data


def test_what_lies_across_texts_is_cut_out_of_each(secrecy: Secrecy) -> None:
    assert secrecy.texts(["a ", SECRET[:5], SECRET[5:9], "", f"{SECRET[9:]} b"]) == ["a ", SIGN, "", "", " b"]
    assert secrecy.texts([SECRET, "x", SECRET]) == [SIGN, "x", SIGN]


def test_values_of_json(secrecy: Secrecy) -> None:
    value = {"a": [1, None, True, {SECRET: f"x{SECRET}"}], "b": list(DATA), "c": [float(byte) for byte in DATA]}
    clean = secrecy.value(value, numbers=True)
    assert clean["a"] == [1, None, True, {SIGN: f"x{SIGN}"}]
    assert set(clean["b"]) | set(clean["c"]) == {None}
    assert secrecy.value(value)["b"] == list(DATA)
    plain = {"a": [1, 2.5, "text"]}
    assert secrecy.value(plain, numbers=True) is plain


def test_a_short_secret_is_found_as_it_stands(secrecy: Secrecy) -> None:
    short = Secrecy({"PIN": "hU7!q", "WORD": "p@$$w&rd"})
    assert short.text("pin hU7!q or q!7Uh") == "pin [secret PIN] or [secret PIN]"
    assert short.text(b64(b"hU7!q")) != b64(b"hU7!q")
    assert short.text("hu7") == "hu7"
    for text in (
        "p@$$w&rd",
        html.escape("p@$$w&rd"),
        "p @ $ $\nw & r d",
        urllib.parse.quote("p@$$w&rd"),
        b64(b"p@$$w&rd"),
    ):
        assert short.text(f"x {text} y") == "x [secret WORD] y"
    with pytest.raises(UsageError, match="The secret TOKEN has fewer than 4 characters") as caught:
        Secrecy({"TOKEN": "ab1"})
    assert "ab1" not in str(caught.value) + caught.value.hint


def test_letters_beyond_ascii() -> None:
    secret = "gehört-Ключ-鍵と錠-99"
    held = Secrecy({"K": secret})
    data = secret.encode()
    texts = [
        secret,
        json.dumps(secret),
        ascii(secret),
        repr(data),
        b64(data),
        urllib.parse.quote(secret),
        secret.upper(),
    ]
    texts += [html.escape(secret), secret.encode("utf-16-be").hex(), "\n".join(secret), secret[::-1]]
    for text in texts:
        assert "[secret K]" in held.text(f"<{text}>"), text


def test_parts_of_a_secret_are_secrets() -> None:
    lines = [base64.b64encode(random.Random(n).randbytes(48)).decode() for n in range(20)]
    pem = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----"]) + "\n"
    payload = base64.urlsafe_b64encode(b'{"sub": "somebody", "admin": true}').decode().rstrip("=")
    token = f"eyJhbGciOiJIUzI1NiJ9.{payload}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    account = json.dumps({"type": "x", "user": {"private": pem}, "id": "1234-abcd-5678"})
    held = Secrecy({"PEM": pem, "DB": "postgresql://me:Tr0ub4dor%263@db/x", "JWT": token, "JSON": account})
    for line in lines:
        assert line not in held.text(f"x {line} y")
    assert held.text(repr(pem)).count(lines[7]) == 0
    assert lines[9] not in json.dumps(held.value({"cert": pem.splitlines()}))
    for text, name in {"Tr0ub4dor&3": "DB", token.rpartition(".")[2]: "JWT", "1234-abcd-5678": "JSON"}.items():
        assert held.text(f"with {text}.") == f"with [secret {name}]."
    assert held.text("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"


def test_what_is_too_large_to_unpack_is_withheld(secrecy: Secrecy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration_nb.secrecy.blobs.MOST_UNPACKED", 1 << 20)
    from orchestration_nb.secrecy.blobs import Budget

    monkeypatch.setattr("orchestration_nb.secrecy.secrecy.Budget", lambda *_: Budget(1 << 20))
    bomb = b64(gzip.compress(bytes(1 << 24)))
    assert secrecy.text(f"a {bomb} b") == "a [withheld: too large to be searched for secrets]= b"


def test_it_shows_no_value(secrecy: Secrecy) -> None:
    assert SECRET not in repr(secrecy)
    with pytest.raises(TypeError):
        pickle.dumps(secrecy)


def test_the_secrets_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert secrecy_of_process({"TOKEN": SECRET}) is None
    held = secrecy_of_process({"TOKEN": SECRET, "ORCHESTRATE_SECRETS": "TOKEN,GONE", "GONE": ""})
    assert held is not None
    assert held.names == ("TOKEN",)
    assert secrecy_of_process(os.environ) is None


@pytest.mark.slow
def test_what_a_cell_deletes_from_the_environment_stays_a_secret(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import os\ndel os.environ['TOKEN'], os.environ['ORCHESTRATE_SECRETS']\n"
        "from orchestration_nb.secrecy import secrecy_of_process\nprint(secrecy_of_process())"
    )
    environ = {**os.environ, "TOKEN": SECRET, "ORCHESTRATE_SECRETS": "TOKEN", "PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == ("<Secrecy of TOKEN>\n" if Path("/proc/self/environ").exists() else "None\n")


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("kind", ["prose", "numbers", "html", "base64", "zeros", "many escapes"])
def test_a_long_output_takes_seconds(secrecy: Secrecy, kind: str, dice: random.Random) -> None:
    """At least 1.5 MB a second of the slowest kind, so that 100 MB take about a minute at the worst."""
    makers: dict[str, Callable[[], str]] = {
        "prose": lambda: (REPO / "README.md").read_text(encoding="utf-8"),
        "numbers": lambda: " ".join(f"{dice.random():.6f}" for _ in range(9999)),
        "html": lambda: "".join(f"<tr><td>{dice.random():.4f}</td><td>a&amp;b</td></tr>\n" for _ in range(999)),
        "base64": lambda: b64(dice.randbytes(3 << 20)),
        "zeros": lambda: "0" * 9999,
        "many escapes": lambda: "\\x1b\\u0041&lt;%20" * 999,
    }
    size, part = 4 << 20, makers[kind]()
    text = (part * (size // len(part) + 1))[:size]
    began_s = time.process_time()
    assert secrecy.text(text) == text
    took_s = time.process_time() - began_s
    print(f"{kind}: {size / 2**20 / took_s:.1f} MB/s")
    assert size / 2**20 / took_s > 1.5
