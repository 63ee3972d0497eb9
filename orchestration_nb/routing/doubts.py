"""Why a reply may not do, as far as it can be told from the reply alone."""

from __future__ import annotations

import re
from typing import Final

from orchestration_nb.calls import Reply

_UNSURE: Final = re.compile(
    r"\b(?:not (?:entirely |completely |quite )?(?:sure|certain)|i(?:'m| am) unsure|hard to say|"
    r"(?:can(?:no|')t|cannot|unable to) (?:be )?(?:determined?|say|answer|tell|help|assist)|(?:do not|don't) know|"
    r"not enough information|insufficient information|it is unclear|as an ai)\b",
    re.IGNORECASE,
)
_LONGEST: Final = 20_000


def doubt_about(reply: Reply) -> str | None:
    """What speaks against a reply, in words; ``None`` where nothing does.

    It is empty, was cut off at its longest, was filtered, or says itself that it is not sure.
    """
    if reply.finish_reason == "length":
        return "was cut off"
    if reply.finish_reason == "content_filter":
        return "was filtered"
    if not reply.text.strip() and not reply.tool_calls:
        return "is empty"
    return "says that it is not sure" if _UNSURE.search(reply.text[-_LONGEST:]) else None
