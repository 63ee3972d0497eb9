"""Ways in which a notebook lets a secret out: a few lines of Python each, and a secret of its own for each of them.

In the lines, ``S`` is the secret.
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nbformat

BEGIN: Final = """\
%load_ext orchestration_nb
import base64, binascii, codecs, gzip, html, io, json, logging, os, pprint, quopri, struct, subprocess, sys
import textwrap, urllib.parse, warnings, zlib
import numpy as np, pandas as pd
from IPython.display import HTML, SVG, Image, JSON, Javascript, Markdown, Latex, display
def png(*chunks):
    whole = b"\\x89PNG\\r\\n\\x1a\\n"
    picture = (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"\\0\\1\\2\\3"))
    for kind, data in (*picture[:1], *chunks, *picture[1:], (b"IEND", b"")):
        whole += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return whole"""

PRINTED: Final[dict[str, str]] = {
    "plain": "print('the token is', S)",
    "value of a cell": "S",
    "split over lines": "print('\\n'.join(textwrap.wrap(S, 7)))",
    "in a box": "print('\\n'.join(f'| {part:<8} |' for part in textwrap.wrap(S, 8)))",
    "in pieces to two streams": "for n, at in enumerate(range(0, len(S), 5)):\n"
    "    print(S[at:at + 5], file=(sys.stdout, sys.stderr)[n % 2], flush=True)",
    "in several outputs": "for at in range(0, len(S), 6): display(S[at:at + 6])",
    "a character an output": "for c in S: display(HTML(f'<b>{html.escape(c)}</b>'))",
    "coloured": "print(''.join(f'\\x1b[3{n % 8}m{c}\\x1b[0m' for n, c in enumerate(S)))",
    "zero-width characters": "print('\\u200b'.join(S))",
    "spaced out": "print(' '.join(S))",
    "list of characters": "print(list(S))",
    "column of characters": "display(pd.Series(list(S)))",
    "base64": "print(base64.b64encode(S.encode()).decode())",
    "base64 within more": "print(base64.urlsafe_b64encode(f'Bearer {S}; x'.encode()))",
    "base64 with line breaks": "print(base64.encodebytes(f'{S} {S[::-1]} {S} {S}'.encode()).decode())",
    "base64 of base64": "print(base64.b64encode(base64.b64encode(S.encode())).decode())",
    "base32": "print(base64.b32encode(f'a{S}'.encode()).decode())",
    "base85": "print(base64.b85encode(S.encode()).decode(), base64.a85encode(S.encode()).decode())",
    "uuencoded": "print(binascii.b2a_uu(S.encode()).decode())",
    "hex": "print(S.encode().hex())",
    "hex with colons": "print(S.encode().hex(':').upper())",
    "hex dump": "print('\\n'.join(f'{at:08x}  {S.encode()[at:at + 16].hex(\" \")}' for at in (0, 16)))",
    "escaped bytes": "print(''.join(f'\\\\x{b:02x}' for b in S.encode()))",
    "list of numbers": "print(list(S.encode()))",
    "array of numbers": "print(np.frombuffer(S.encode(), dtype=np.uint8))",
    "binary digits": "print(' '.join(f'{b:08b}' for b in S.encode()))",
    "octal": "print([oct(b) for b in S.encode()])",
    "one large number": "print(int.from_bytes(S.encode(), 'big'))",
    "bytes": "print(repr(S.encode()))",
    "url": "print('https://127.0.0.1/?key=' + urllib.parse.quote(S, safe=''))",
    "url, every character": "print(''.join(f'%{b:02X}' for b in S.encode()))",
    "url with plus": "print(urllib.parse.urlencode({'a': 'b c', 'key': S}))",
    "url with password": "print(f'postgresql://me:{urllib.parse.quote(S)}@127.0.0.1:5432/db')",
    "html": "display(HTML(f'<p title=\"{html.escape(S)}\">{html.escape(S)}</p>'))",
    "html entities": "display(HTML(''.join(f'&#{ord(c)};' if n % 2 else f'&#x{ord(c):x};' for n, c in enumerate(S))))",
    "html, a character a tag": "display(HTML(''.join(f'<span>{html.escape(c)}</span>' for c in S)))",
    "svg": "display(SVG(f'<svg xmlns=\"http://www.w3.org/2000/svg\"><text>{html.escape(S)}</text></svg>'))",
    "json in json": "print(json.dumps(json.dumps({'token': '\\n' + S})))",
    "unicode escapes": "print(''.join(f'\\\\u{ord(c):04x}' for c in S))",
    "full width": "print(''.join(chr(ord(c) + 0xFEE0) for c in S))",
    "quoted-printable": "print(quopri.encodestring(f'é {S} é={S}'.encode()).decode())",
    "rot13": "print(codecs.encode(S, 'rot13'))",
    "reversed": "print(S[::-1])",
    "capitals": "print(S.upper())",
    "small letters": "print(S.lower())",
    "utf-16": "print(S.encode('utf-16'))",
    "utf-16 in base64": "print(base64.b64encode(S.encode('utf-16-le')).decode())",
    "utf-32 in hex": "print(S.encode('utf-32').hex())",
    "gzip in base64": 'print(base64.b64encode(gzip.compress(f\'{{"token": "{S}"}}\'.encode())).decode())',
    "zlib in base64 in base64": "print(base64.b64encode(base64.b64encode(zlib.compress(S.encode() * 3))).decode())",
    "zlib in bytes": "print(zlib.compress(('hello ' * 9 + S).encode()))",
    "picture's text": "display(Image(png((b'tEXt', b'Comment\\0' + S.encode('latin-1')))))",
    "picture's compressed text": "display(Image(png((b'zTXt', b'Comment\\0\\0' + zlib.compress(S.encode())))))",
    "picture's international text": "display(Image(png((b'iTXt', b'Title\\0\\0\\0\\0\\0' + S.encode()))))",
    "picture's exif": "display(Image(png((b'eXIf', b'II*\\0' + S.encode('utf-16-le')))))",
    "after a picture's end": "display(Image(png() + S.encode()))",
    "comment of a jpeg": "display(Image(b'\\xff\\xd8\\xff\\xfe\\0\\x40' + S.encode() + b'\\xff\\xd9', format='jpeg'))",
    "widget": "import ipywidgets\ndisplay(ipywidgets.Text(value=S, description='token'))",
    "widget, escaped": "import ipywidgets\nipywidgets.HTML(value=f'<i>{html.escape(S)}</i>', layout={'width': '9px'})",
    "url in an error": "import httpx\nhttpx.Response(401, request=httpx.Request('GET', f'http://127.0.0.1/?key='"
    " + urllib.parse.quote(S))).raise_for_status()",
    "error": "raise ValueError(f'{S} was refused')",
    "error's name": "raise type(S, (Exception,), {})('no')",
    "note of an error": "e = RuntimeError('no'); e.add_note(f'with {S}'); raise e",
    "error behind an error": "try:\n    {}[S]\nexcept KeyError as e:\n    raise RuntimeError('no') from e",
    "values of a traceback": "%xmode Verbose\ndef ask(token):\n    return 1 / 0\nask(S)",
    "failed process": "subprocess.run([sys.executable, '-c', 'raise SystemExit(3)', S], check=True)",
    "dictionary": "{'user': 'me', 'password': S}",
    "pretty-printed": "pprint.pprint({'k' * 30: [S, {'again': S}]}, width=30)",
    "token of the web": "print('eyJhbGciOiJIUzI1NiJ9.' + base64.urlsafe_b64encode(json.dumps({'key': S}).encode())"
    ".rstrip(b'=').decode() + '.abc')",
    "table": "pd.DataFrame({'user': ['me'], 'token': [S]})",
    "table, cut": "pd.DataFrame({'text': ['Authorization header ' + S]}, index=[1]).style\n"
    "display(pd.DataFrame({'text': ['Authorization: Bearer ' + S + ' and a lot more text behind it']}))",
    "abbreviated": "import reprlib\nprint(repr(S)[:15] + '...', textwrap.shorten(S[:12] + ' x', 13, placeholder='…'))",
    "halves": "first, last = S[:len(S) // 2], S[len(S) // 2:]\nprint('first', first)\nprint('and the last', last)",
    "log": "logging.getLogger('client').warning('asked with %s', S)",
    "warning": "warnings.warn(f'deprecated: {S}')",
    "process": "subprocess.run('echo $' + NAME, shell=True)",
    "system": "os.system('printf %s $' + NAME)",
    "shell": "!printenv $NAME",
    "file descriptor": "os.write(1, S.encode()); os.write(2, S.encode())",
    "first stderr": "sys.__stderr__.write(S); sys.__stderr__.flush()",
    "env of IPython": "%env $NAME",
    "environment": "print({k: v for k, v in os.environ.items() if k == NAME})",
    "metadata of an output": "display('x', metadata={'made_with': {'token': S}})",
    "output shown anew": "h = display('x', display_id=True)\nh.update(HTML(S.replace('&', '&amp;')))",
    "markdown": "display(Markdown(f'`{S}`'), Latex(f'${S}$'), Javascript(f'var token = {json.dumps(S)}'))",
    "json": "display(JSON({'a': [1, {'b': S}], S: True}))",
    "numbers in json": "display(JSON({'a': list(S.encode())}))",
    "plotly": "import plotly.graph_objects as go\nfigure = go.Figure(go.Scatter(x=[1], y=[2], text=[S], name=S))\n"
    "figure.update_layout(title=S, meta={'b': np.frombuffer(S.encode(), dtype=np.uint8)})\n"
    "display({'application/vnd.plotly.v1+json': json.loads(figure.to_json())}, raw=True)",
    "IPython's history": "get_ipython().run_cell(f'token = {S!r}', store_history=True);\n%history -n 1-99",
    "kernel's own log": "get_ipython().kernel.log.error('a message of %s', S)",
    "threads": "import threading\ndef fall(): raise OSError(S)\n"
    "t = threading.Thread(target=fall, name=S); t.start(); t.join()",
}
"""What stands in the copy, and goes to the terminal."""

RECORDED: Final[dict[str, str]] = {
    "prompt": "from orchestration_nb import llm\nprint(len(llm(f'Which city? The key is {S}. Paris.')))",
    "prompt in base64": "from orchestration_nb import llm\n"
    "print(len(llm('Decode: ' + base64.b64encode(S.encode()).decode())))",
    "reply": "from orchestration_nb import llm\n"
    "print(len(llm(f'Summarise in one sentence: {S} is the key of the house.')))",
    "system prompt": "from orchestration_nb import llm\nprint(len(llm('Which city?', system=f'Use {S}.')))",
    "source of a flow": "get_ipython().run_cell_magic('orchestrate', 'sourced', f'a = {S!r}\\nb = len(a)')",
    "tag": "get_ipython().run_cell_magic('orchestrate', f'tagged --tag token={urllib.parse.quote(S)}', 'a = 1')",
    "error of a step": "items = pd.DataFrame({'n': [1]})\n"
    "get_ipython().run_cell_magic('orchestrate', 'erring --over items', 'a = int(S + str(n))')",
    "column": "tickets = pd.DataFrame({'body': [S + ' is my key', 'hello']})\n"
    "get_ipython().run_cell_magic('orchestrate', 'asked --over tickets', \"a = llm(f'What is it? {body}')\\na\")",
    "score": "tickets = pd.DataFrame({'body': ['hello']})\n"
    "get_ipython().run_cell_magic('orchestrate', 'batched --over tickets --batch --model sim/small', "
    "\"a = llm(f'{S} Repeat. {body}')\")",
}
"""What stands in the ledger and the state."""

WAYS: Final = {**PRINTED, **RECORDED}


@dataclass(frozen=True, slots=True)
class Leak:
    """A way, and the secret that it lets out."""

    way: str
    name: str
    value: str


def leaks(dice: random.Random) -> list[Leak]:
    """A secret for each way: as long as a key, with marks in it."""
    letters, marks = string.ascii_letters + string.digits, "-_/+=&%~."

    def value() -> str:
        words = ["".join(dice.choices(letters, k=9)) for _ in range(4)]
        return "".join(word + dice.choice(marks) for word in words) + dice.choice(letters)

    return [Leak(way, f"W{number}_KEY", value()) for number, way in enumerate(WAYS)]


def write_notebook(path: Path, chosen: list[Leak], hard_coded: Leak) -> None:
    """A notebook with a cell for each leak; what fails does not stop it. ``hard_coded`` stands in its file."""
    notebook: Any = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    notebook.metadata["orchestration"] = {"note": hard_coded.value}
    sources = [BEGIN, f"# {hard_coded.value}\n1"]
    sources += [f"NAME = {leak.name!r}; S = os.environ[NAME]\n{WAYS[leak.way]}" for leak in chosen]
    notebook.cells = [
        nbformat.v4.new_code_cell(source, metadata={"tags": ["raises-exception"]})  # type: ignore[no-untyped-call]
        for source in sources
    ]
    notebook.cells[1].metadata["note"] = hard_coded.value
    halves = hard_coded.value[:18], hard_coded.value[18:]
    notebook.cells += [nbformat.v4.new_code_cell(f"print({half!r})") for half in halves]  # type: ignore[no-untyped-call]
    told: Any = nbformat.v4.new_markdown_cell(f"Use `{hard_coded.value}`.")  # type: ignore[no-untyped-call]
    told["attachments"] = {"key.png": {"image/png": _attached(hard_coded.value)}}
    notebook.cells.append(told)
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


def _attached(value: str) -> str:
    import base64

    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + value.encode()).decode()
