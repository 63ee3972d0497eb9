"""What can come next on the line of a magic: flags, frames, strategies, models, subcommands."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from orchestration_nb.errors import OrchestrationError
from orchestration_nb.flows import Flow
from orchestration_nb.notebook.arguments import FLAGS
from orchestration_nb.notebook.compare_magic import COMPARE_FLAGS
from orchestration_nb.notebook.session import Session
from orchestration_nb.notebook.subcommands import SUBCOMMANDS
from orchestration_nb.workspace import Workspace

_ON_CELL_LINE = re.compile(r"%%orchestrate\s+(?P<rest>.*)\Z", re.DOTALL)
_ON_LINE = re.compile(r"(?:\w+\s*=\s*)?%orchestrate\s+(?P<rest>.*)\Z", re.DOTALL)
_IN_CALL = re.compile(r"\b(?P<flag>model|strategy)\s*=\s*(?P<quote>[\"'])(?P<word>[^\"']*)\Z")
_OVER = re.compile(r"--over[\s=]+(?P<name>\w+)")
_NAME = re.compile(r"(?<![\w.])(?:[^\W\d]\w*)?\Z")
_WORD = re.compile(r"[^\s=]*\Z")
_LAST_FLAG = re.compile(r"(?P<flag>--[a-z-]+)[\s=]+[^\s=]*\Z")
_LIKE = {"--over": "--over", "--strategies": "--strategy", "--reference": "--strategy", "--models": "--model"}
"""Flags of a comparison to the flag of the cell that takes the same."""
_LISTS = frozenset({"--strategies", "--models"})
_by_name = {flag.name: flag for flag in FLAGS}
_REPEATING = frozenset(flag.name for flag in FLAGS if flag.repeats)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """What could stand where the cursor is."""

    word: str = ""
    """What is written of it."""
    values: Sequence[str] = ()
    alone: bool = True
    """Whether nothing else could stand there."""


def matcher_for(session: Session) -> Callable[[CompletionContext], SimpleMatcherResult]:
    """The matcher that IPython asks; it offers nothing outside the magics."""

    @context_matcher(identifier="orchestration_nb")  # type: ignore[untyped-decorator]
    def orchestrate_matcher(context: CompletionContext) -> SimpleMatcherResult:
        try:
            offers = offers_for(session, context)
        except OrchestrationError:
            offers = Offers()
        found = [value for value in offers.values if value.startswith(offers.word)]
        return SimpleMatcherResult(
            completions=[SimpleCompletion(text=value, type="param") for value in found],
            matched_fragment=offers.word,
            suppress=bool(found) and offers.alone,
            ordered=True,
        )

    matcher: Callable[[CompletionContext], SimpleMatcherResult] = orchestrate_matcher
    return matcher


def offers_for(session: Session, context: CompletionContext) -> Offers:
    """Everything that could stand where the cursor is, in or below the line of a magic."""
    before = context.text_until_cursor
    if line := _ON_CELL_LINE.match(before.lstrip()):
        return _on_cell_line(session, line["rest"])
    if line := _ON_LINE.match(before.lstrip()):
        return _on_line(session, line["rest"])
    if context.full_text.lstrip().startswith("%%orchestrate"):
        return _in_body(session, context.full_text.lstrip().partition("\n")[0], before)
    return Offers()


def _in_body(session: Session, magic: str, before: str) -> Offers:
    if call := _IN_CALL.search(before):
        return Offers(word=call["word"], values=_values(session, f"--{call['flag']}"))
    name, over = _NAME.search(before), _OVER.search(magic)
    if name and over:
        return Offers(word=name.group(), values=session.columns(over["name"]), alone=False)
    return Offers()


def _on_cell_line(session: Session, rest: str) -> Offers:
    word = _written(rest)
    flag = _LAST_FLAG.search(rest)
    if flag and flag["flag"] in _by_name and _by_name[flag["flag"]].value:
        return Offers(word=word, values=_values(session, flag["flag"]))
    if not rest.split() or rest == word:
        return Offers()  # the name of the flow is the analyst's to choose
    used = set(rest.split()) - _REPEATING
    return Offers(word=word, values=[flag.name for flag in FLAGS if flag.name not in used or flag.name == word])


def _on_line(session: Session, rest: str) -> Offers:
    word = _written(rest)
    if rest == word:
        return Offers(word=word, values=list(SUBCOMMANDS))
    subcommand = rest.split(maxsplit=1)[0]
    if subcommand == "use":
        aliases = [f"{alias}=" for alias in Workspace.current().catalog.aliases]
        return Offers(word=word, values=_values(session, "--model") if "=" in rest else aliases)
    if subcommand == "compare":
        return Offers(word=word, values=_on_compare(session, rest.removesuffix(word).split()[1:]))
    found = SUBCOMMANDS.get(subcommand)
    return Offers(word=word, values=found.words if found else ())


def _on_compare(session: Session, before: Sequence[str]) -> Sequence[str]:
    """What may follow these words of the line: a flow, what the last flag takes, the flags."""
    if not before:
        flows = [name for name, value in session.namespace.items() if isinstance(value, Flow)]
        return [*sorted(name for name in flows if not name.startswith("_")), "export"]
    flags = [word.partition("=")[0] for word in before if word.startswith("--")]
    last, follows = flags[-1] if flags else "", not before[-1].startswith("--")
    values = _values(session, _LIKE.get(last, "")) if last in _LISTS or not follows else ()
    rest = [flag.name for flag in COMPARE_FLAGS if flag.name not in flags]
    return [*values, *(rest if follows else ())]


def _written(rest: str) -> str:
    found = _WORD.search(rest)
    return found.group() if found else ""


def _values(session: Session, flag: str) -> Sequence[str]:
    if flag == "--over":
        return session.frames()
    if flag == "--model":
        return list(Workspace.current().catalog.names())
    if flag == "--strategy":
        return Workspace.current().strategies.texts()
    return _by_name[flag].words if flag in _by_name else ()
