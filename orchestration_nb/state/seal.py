"""A seal on what the cache keeps: a folder that somebody else filled cannot answer this user's questions.

Files of a workspace travel (a clone, an archive, a shared disk); a reply that came with them was chosen by whoever
packed them. Each entry is therefore sealed with a secret that stands outside every workspace, and one whose seal does
not fit is no entry.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
from pathlib import Path

SEAL_BYTES = 16
_SECRET_BYTES = 32

_log = logging.getLogger(__name__)


class Seal:
    """Seals entries and knows its own again.

    Args:
        path: The file that holds the secret, made where it is missing. Where it cannot be kept, the seal holds for this
            process alone, which is said once.
    """

    def __init__(self, path: Path) -> None:
        self._keyed = hashlib.blake2b(key=_secret(path), digest_size=SEAL_BYTES)

    def close(self, key: str, entry: bytes) -> bytes:
        """``entry`` under the seal for ``key``."""
        return self._mark(key, entry) + entry

    def open(self, key: str, sealed: bytes) -> bytes | None:
        """The entry, or ``None`` where the seal does not fit it or belongs to another key."""
        entry = sealed[SEAL_BYTES:]
        return entry if hmac.compare_digest(self._mark(key, entry), sealed[:SEAL_BYTES]) else None

    def _mark(self, key: str, entry: bytes) -> bytes:
        mark = self._keyed.copy()
        mark.update(b"%d:" % len(key) + key.encode())
        mark.update(entry)
        return mark.digest()


def _secret(path: Path) -> bytes:
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            made = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            made.touch(mode=0o600)
            made.write_bytes(secrets.token_bytes(_SECRET_BYTES))
            try:
                path.hardlink_to(made)  # of processes that begin at once, one's secret stays
            except FileExistsError:
                pass
            finally:
                made.unlink()
        held = path.read_bytes()
    except OSError as error:
        held, why = b"", str(error.strerror)
    else:
        why = "it is damaged"
    if len(held) == _SECRET_BYTES:
        return held
    _log.warning("%s cannot be used (%s): replies are cached for this process alone.", path, why)
    return secrets.token_bytes(_SECRET_BYTES)
