"""What can come next on the line of a magic: flags, frames, strategies, models, subcommands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from orchestration_nb.errors import OrchestrationError
from orchestration_nb.notebook.arguments import FLAGS
from orchestration_nb.notebook.session import Session
from orchestration_nb.notebook.subcommands import SUBCOMMANDS
from orchestration_nb.workspace import Workspace

_ON_CELL_LINE = re.compile(r"%%orchestrate\s+(?P<rest>.*)\Z", re.DOTALL)
_ON_LINE = re.compile(r"(?:\w+\s*=\s*)?%orchestrate\s+(?P<rest>.*)\Z", re.DOTALL)
_IN_CALL = re.compile(r"\b(?P<flag>model|strategy)\s*=\s*(?P<quote>[\"'])(?P<word>[^\"']*)\Z")
_WORD = re.compile(r"[^\s=]*\Z")
_LAST_FLAG = re.compile(r"(?P<flag>--[a-z-]+)[\s=]+[^\s=]*\Z")
_VALUED = frozenset(flag.name for flag in FLAGS if flag.value)


def matcher_for(session: Session) -> Callable[[CompletionContext], SimpleMatcherResult]:
    """The matcher that IPython asks; it offers nothing outside the magics."""

    @context_matcher(identifier="orchestration_nb")  # type: ignore[untyped-decorator]
    def orchestrate_matcher(context: CompletionContext) -> SimpleMatcherResult:
        try:
            word, offers = offers_for(session, context)
        except OrchestrationError:
            word, offers = "", ()
        found = [offer for offer in offers if offer.startswith(word)]
        return SimpleMatcherResult(
            completions=[SimpleCompletion(text=offer, type="param") for offer in found],
            matched_fragment=word,
            suppress=bool(found),
            ordered=True,
        )

    matcher: Callable[[CompletionContext], SimpleMatcherResult] = orchestrate_matcher
    return matcher


def offers_for(session: Session, context: CompletionContext) -> tuple[str, Sequence[str]]:
    """The word that is being written, and everything that could stand there."""
    before = context.text_until_cursor
    in_cell = context.full_text.lstrip().startswith("%%orchestrate")
    if line := _ON_CELL_LINE.match(before.lstrip()):
        return _on_cell_line(session, line["rest"])
    if line := _ON_LINE.match(before.lstrip()):
        return _on_line(session, line["rest"])
    if in_cell and (call := _IN_CALL.search(before)):
        return call["word"], _values(session, f"--{call['flag']}")
    return "", ()


def _on_cell_line(session: Session, rest: str) -> tuple[str, Sequence[str]]:
    word = _written(rest)
    flag = _LAST_FLAG.search(rest)
    if flag and flag["flag"] in _VALUED:
        return word, _values(session, flag["flag"])
    if not rest.split() or rest == word:
        return word, ()  # the name of the flow is the analyst's to choose
    used = set(rest.split())
    return word, [flag.name for flag in FLAGS if flag.name not in used or flag.name == word]


def _on_line(session: Session, rest: str) -> tuple[str, Sequence[str]]:
    word = _written(rest)
    if rest == word:
        return word, list(SUBCOMMANDS)
    subcommand = rest.split(maxsplit=1)[0]
    if subcommand == "use":
        return word, _values(session, "--model") if "=" in rest else [f"{alias}=" for alias in _aliases()]
    found = SUBCOMMANDS.get(subcommand)
    return word, found.words if found else ()


def _written(rest: str) -> str:
    found = _WORD.search(rest)
    return found.group() if found else ""


def _values(session: Session, flag: str) -> Sequence[str]:
    if flag == "--over":
        return session.frames()
    if flag == "--model":
        return list(Workspace.current().catalog.names())
    if flag == "--strategy":
        return list(Workspace.current().strategies)
    return ("keep", "stop") if flag == "--on-error" else ()


def _aliases() -> Iterable[str]:
    return list(Workspace.current().catalog.aliases)
