"""A comparison as a table and sentences: HTML for the notebook, text for terminals and whoever reads without HTML."""

from __future__ import annotations

from itertools import groupby

from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.comparing.standing import Row, Standing
from orchestration_nb.notebook.compare_style import TABLE
from orchestration_nb.notebook.compare_words import COLUMNS, GROUPS, NUMBERS, caption, cells, headline, told_of
from orchestration_nb.pages import markup
from orchestration_nb.pages.text import table_text
from orchestration_nb.spending import NO_MONEY
from orchestration_nb.terminal import printable


def compare_head(comparison: Comparison) -> str:
    """Name, status, how far it is and what it cost."""
    setup = comparison.setup
    sim = f'<span class="chip sim">{NO_MONEY}</span>' if setup.simulated else ""
    said = " · ".join(headline(comparison))
    error = markup.wrong(str(comparison.error)) if comparison.error else ""
    return (
        f'<div class="head"><span class="name">{markup.esc(setup.flow)}: strategies compared</span>'
        f"{markup.chip(comparison.status)}{sim}<span>{markup.esc(said)}</span></div>{_bar(comparison)}{error}"
    )


def _bar(comparison: Comparison) -> str:
    whole = len(comparison.items) * len(comparison.names)
    done = sum(comparison.progress.values())
    if comparison.status != "running" or not whole:
        return ""
    return (
        f'<div class="bar" role="progressbar" aria-label="answers" aria-valuemax="{whole}" aria-valuenow="{done}">'
        f'<i class="g" style="width:{100 * done / whole:.2f}%"></i></div>'
    )


def compare_table(standing: Standing) -> str:
    """The table: the user's strategies, the single models, the baselines."""
    if not standing.rows:
        return markup.dim(f"{standing.n} of {standing.planned} items have ended for all: there are no intervals yet.")
    names = "".join(f'<th scope="col" class="{_kind(name)}">{markup.esc(name)}</th>' for name in COLUMNS)
    lines = []
    for kind, rows in groupby(standing.rows, key=lambda row: row.kind):
        lines.append(f'<tr class="group"><td colspan="{len(COLUMNS)}">{GROUPS[kind]}</td></tr>')
        lines += [_line(row, standing) for row in rows]
    return (
        f'<div class="scroll"><table class="t cmp"><thead><tr>{names}</tr></thead><tbody>{"".join(lines)}</tbody>'
        f"</table></div>"
    )


def _kind(name: str) -> str:
    if name in NUMBERS:
        return "number"
    return {"strategy": "name", "answered by": "models"}.get(name, "said")


def _line(row: Row, standing: Standing) -> str:
    texts = cells(row, standing)
    drawn = "".join(
        f'<td class="{_kind(name)}" title="{markup.esc(text)}">{markup.esc(text)}</td>'
        for name, text in zip(COLUMNS, texts, strict=True)
    )
    return f'<tr class="{row.kind}{" reference" if row.is_reference else ""}">{drawn}</tr>'


def compare_told(standing: Standing, comparison: Comparison) -> str:
    """What may be said of the differences, a sentence a line, and how to read the table."""
    told = "".join(f"<li>{markup.esc(line)}</li>" for line in told_of(standing, comparison))
    return (f'<ul class="told">{told}</ul>' if told else "") + markup.dim(" ".join(caption(standing, comparison)))


def compare_card(comparison: Comparison, standing: Standing) -> str:
    """Head, table and sentences as HTML."""
    return markup.page(
        f"<style>{TABLE}</style>",
        compare_head(comparison),
        compare_table(standing),
        compare_told(standing, comparison),
    )


def compare_text(comparison: Comparison, standing: Standing) -> str:
    """The same as text."""
    setup = comparison.setup
    head = f"{setup.flow}: strategies compared, {comparison.status} · {' · '.join(headline(comparison))}"
    rows = [cells(row, standing) for row in standing.rows]
    told = "\n".join(f"· {line}" for line in (*told_of(standing, comparison), *caption(standing, comparison)))
    parts = (printable(head), table_text(COLUMNS, rows, width=40) if rows else "", printable(told))
    return "\n\n".join(part for part in parts if part)
