"""Secrets that must not be written: found in whatever disguise they come, and replaced by ``[secret NAME]``.

What is undone needs no key: spelling, wrapping, colours, escapes, encodings, compression, halves, reversal. A secret
that was encrypted, or taken apart with other words in between, is not recognised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestration_nb.loading import names_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestration_nb.secrecy.environment import NAMES_VARIABLE, secrecy_of_process
    from orchestration_nb.secrecy.secrecy import SHORTEST, Secrecy, is_scrubbed

__all__ = ["NAMES_VARIABLE", "SHORTEST", "Secrecy", "is_scrubbed", "secrecy_of_process"]

_HOME: Final[Mapping[str, str]] = {
    "NAMES_VARIABLE": "environment",
    "SHORTEST": "secrecy",
    "Secrecy": "secrecy",
    "is_scrubbed": "secrecy",
    "secrecy_of_process": "environment",
}

__getattr__ = names_from(__name__, _HOME)
