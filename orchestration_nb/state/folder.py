"""The folder ``.orchestrate/`` of a workspace: private to its user, and invisible to git."""

from __future__ import annotations

import contextlib
from pathlib import Path

FOLDER_NAME = ".orchestrate"
"""Where a workspace keeps its ledger, journal and state."""


def private_folder(workspace: Path) -> Path:
    """The folder ``.orchestrate/`` of ``workspace``, made where it is missing.

    Prompts and replies stand in it, so nobody but its owner may look inside (0700), and it ignores itself in git.

    Args:
        workspace: The folder that holds ``orchestrate.toml``, or would.

    Raises:
        OSError: If it cannot be made or written.
    """
    folder = workspace / FOLDER_NAME
    ignore = folder / ".gitignore"
    if ignore.exists() and folder.stat().st_mode & 0o077 == 0:
        return folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):  # it belongs to somebody else, who lets us write
        folder.chmod(0o700)
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    return folder
