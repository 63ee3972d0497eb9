"""Where a secret comes from: ``env:VAR``, ``file:PATH`` or ``keyring:SERVICE/USER``, and what stands there.

A sentence about a reference never repeats it as a whole before it is known to be one: who forgets the ``env:`` has
typed the secret itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from orchestration_nb.errors import UsageError

MOST_BYTES: Final = 1 << 16
"""Bytes that the file of a secret may have."""
_FORMS: Final = "Write --secret NAME=env:VAR, NAME=file:PATH or NAME=keyring:SERVICE/USER."
_OURS: Final = "ORCHESTRATE_"


def parse_references(words: Iterable[str]) -> dict[str, str]:
    """What was typed as ``NAME=REFERENCE``, by name.

    Raises:
        UsageError: If a word has no such form, or a name comes twice.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, reference = word.partition("=")
        if not equals:
            raise UsageError("A secret has a name and says where it comes from.", hint=_FORMS)
        if name in found:
            raise UsageError(f"The secret {name} is given twice.")
        found[name] = reference
    return found


def resolve(references: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The values of secrets.

    Args:
        references: Name to reference.
        environ: Where variables are looked up.

    Raises:
        UsageError: If a name cannot be that of a variable, or what is referred to is not there.
    """
    return {name: _value(name, reference, environ) for name, reference in references.items()}


def _value(name: str, reference: str, environ: Mapping[str, str]) -> str:
    if not name.isidentifier() or not name.isascii() or name.startswith(_OURS):
        raise UsageError(
            "A secret is given to the notebook as a variable of the environment, and this cannot be the name of one.",
            hint=f"Use letters, digits and underscores, and nothing that begins with {_OURS}.",
        )
    kind, colon, where = reference.partition(":")
    if not colon or kind not in _SOURCES or not where:
        raise UsageError(f"The secret {name} does not say where it comes from.", hint=_FORMS)
    value = _SOURCES[kind](name, where, environ)
    if not value:
        raise UsageError(f"The secret {name} is empty: there is nothing in {kind}:{where}.")
    if "\0" in value:
        raise UsageError(f"The secret {name} holds a null character, which no variable of the environment can hold.")
    return value


def _of_variable(name: str, where: str, environ: Mapping[str, str]) -> str:
    if where not in environ:
        raise UsageError(
            f"The secret {name} is to come from the variable {where}, which is not set.",
            hint=f"Set it where the run is started: export {where}=...",
        )
    return environ[where]


def _of_file(name: str, where: str, _environ: Mapping[str, str]) -> str:
    path = Path(where).expanduser()
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise UsageError(f"The secret {name} is to come from the file {path}, which cannot be read: {why}.") from None
    if len(data) > MOST_BYTES:
        raise UsageError(f"The secret {name} is to come from the file {path}, which is longer than 64 KB.")
    return text.rstrip("\r\n")


def _of_keyring(name: str, where: str, _environ: Mapping[str, str]) -> str:
    service, _, user = where.rpartition("/")
    if not service or not user:
        raise UsageError(f"The secret {name} does not say whose password it is.", hint="Write keyring:SERVICE/USER.")
    try:
        import keyring  # noqa: PLC0415 - an optional package
        from keyring.errors import KeyringError  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            f"The secret {name} is to come from the keyring, and the package keyring is not installed.",
            hint="pip install keyring",
        ) from None
    try:
        value: str | None = keyring.get_password(service, user)
    except KeyringError as error:
        raise UsageError(f"The keyring cannot be asked for the secret {name}: {type(error).__name__}.") from None
    if value is None:
        raise UsageError(
            f"The keyring has no password of {user} for {service}, which is to be the secret {name}.",
            hint=f"Put it there: keyring set {service} {user}",
        )
    return value


_SOURCES: Final[Mapping[str, Callable[[str, str, Mapping[str, str]], str]]] = {
    "env": _of_variable,
    "file": _of_file,
    "keyring": _of_keyring,
}
