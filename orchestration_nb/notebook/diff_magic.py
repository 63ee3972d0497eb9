"""``%orchestrate diff LEFT RIGHT``: two headless runs side by side."""

from __future__ import annotations

from typing import Final

from IPython.display import display

from orchestration_nb.errors import UsageError
from orchestration_nb.lookback.diff import diff
from orchestration_nb.lookback.words import diff_sentences, diff_tables
from orchestration_nb.notebook.arguments import words_of
from orchestration_nb.notebook.session import Session
from orchestration_nb.pages import markup
from orchestration_nb.pages.text import table_text
from orchestration_nb.workspace import Workspace

DIFF_USAGE: Final = "diff RUN RUN"


def show_diff(_session: Session, rest: str) -> None:
    """Shows what two headless runs differ in.

    Raises:
        UsageError: If two runs are not named, or one of them is not there.
    """
    names = words_of(rest)
    if len(names) != 2:
        raise UsageError(
            f"`%orchestrate {DIFF_USAGE}` needs two headless runs.",
            hint="%orchestrate runs --pipelines lists them; the end of an id is enough, and last is the newest.",
        )
    workspace = Workspace.current()
    found = diff(workspace.ledger, *names, workspace=workspace.folder)
    sentences, tables = diff_sentences(found), diff_tables(found)
    html = "".join(
        [
            f'<div class="head"><span class="name">{markup.esc(sentences[0])}</span></div>',
            *map(markup.dim, sentences[1:]),
            *(markup.part(table.title, markup.table(table.header, table.rows)) for table in tables),
        ]
    )
    texts = [f"{table.title}\n{table_text(table.header, table.rows, width=60)}" for table in tables]
    bundle = {"text/html": markup.page(html), "text/plain": "\n\n".join([*sentences, *texts])}
    display(bundle, raw=True)  # type: ignore[no-untyped-call]
