"""What a user sees of an IPython shell."""

from __future__ import annotations

from typing import Any

from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import CapturedIO, capture_output


class Shell:
    """A shell and its variables."""

    def __init__(self, ip: InteractiveShell) -> None:
        self.ip = ip

    @property
    def names(self) -> dict[str, Any]:
        names: dict[str, Any] = self.ip.user_ns
        return names

    def run(self, text: str) -> tuple[Any, CapturedIO]:
        """Runs a cell; returns its result and what it printed and displayed."""
        with capture_output() as out:
            result = self.ip.run_cell(text)  # type: ignore[no-untyped-call]
        return result, out

    def format(self, value: Any) -> dict[str, Any]:
        """How a value looks, by MIME type."""
        formatter: Any = self.ip.display_formatter
        bundle: dict[str, Any] = formatter.format(value)[0]
        return bundle

    def complete(self, text: str) -> list[str]:
        with provisionalcompleter():
            return [offer.text for offer in self.ip.Completer.completions(text, len(text))]
