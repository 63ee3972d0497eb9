"""``%orchestrate learn``: a strategy learned from a comparison or scored replies, and what it came to, in words."""

from __future__ import annotations

import math
from typing import Any, Final

from orchestration_nb.errors import UsageError
from orchestration_nb.notebook.arguments import Flag, read_flags
from orchestration_nb.notebook.session import Session

LEDGER: Final = "ledger"
LEARN_USAGE: Final = (
    "%orchestrate learn NAME from COMPARISON|last|ledger [--flow F --score STEP[=SCORER]] [--target SHARE] "
    "[--cheap M --cheap M] [--strong M] [--prompt-only]"
)


def _share(flag: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share <= 1:
        raise UsageError(f"{flag} needs a share up to 1, not {text!r}.", hint=f"{flag} 0.97 keeps 97 %.")
    return share


LEARN_FLAGS: Final = (
    Flag(name="--flow", value="F", about="of the ledger's scored replies: the flow"),
    Flag(name="--score", value="STEP[=SCORER]", about="of the ledger's scored replies: the step, and by which scorer"),
    Flag(name="--target", value="SHARE", about="of the strong model's quality to keep (0.97)", read=_share),
    Flag(name="--cheap", value="M", about="a model to try first; else the two cheapest", repeats=True),
    Flag(name="--strong", value="M", about="the model whose quality is kept; else the best"),
    Flag(name="--prompt-only", about="decide before any model is asked"),
)


def learn(_session: Session, rest: str) -> None:
    """Learns a strategy from a comparison or the ledger's scored replies, saves it, and tells what it came to.

    Raises:
        OrchestrationError: If there is no such comparison, or it cannot be learned from.
    """
    from orchestration_nb.comparing.learning import learn_from_scores, learn_strategy  # noqa: PLC0415 - loads numpy

    words, values = read_flags(rest, LEARN_FLAGS, LEARN_USAGE)
    if len(words) != 3 or words[1] != "from":
        raise UsageError("`%orchestrate learn` needs a name and a comparison.", hint=LEARN_USAGE)
    given: dict[str, Any] = {name: values[name] for name in ("target", "cheap", "strong") if name in values}
    given["reads_replies"] = not values.get("prompt_only")
    where = {name: values[name] for name in ("flow", "score") if name in values}
    if words[2] == LEDGER:
        if len(where) < 2:
            raise UsageError("Learning from the ledger needs --flow and --score.", hint=LEARN_USAGE)
        learned = learn_from_scores(words[0], **where, **given)
    elif where:
        raise UsageError("--flow and --score go together with `from ledger`.", hint=LEARN_USAGE)
    else:
        learned = learn_strategy(words[0], comparison=words[2], **given)
    print(learned)  # noqa: T201
    print(f"Use it with --strategy {learned.name}.")  # noqa: T201
