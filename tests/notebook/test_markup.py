from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.errors import OrchestrationError
from orchestration_nb.notebook import cards
from orchestration_nb.notebook.account import RunAccount, account_of
from orchestration_nb.notebook.text import account_text
from orchestration_nb.pages import markup
from tests.notebook.hostile import PAYLOADS
from tests.notebook.scripted import progress
from tests.notebook.test_account import run_of, tickets

TAGS = {
    "div",
    "style",
    "span",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "details",
    "summary",
    "code",
    "i",
    "ul",
    "li",
}
ATTRIBUTES = {"class", "title", "style", "role", "aria-valuemax", "aria-valuenow", "open"}


class Reader(HTMLParser):
    """Reads a display as a browser would: its tags, its attributes, its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.styles: list[str] = []
        self.texts: list[str] = []
        self.titles: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: Any, attrs: Any) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.styles += [value for name, value in attrs if name == "style"]
        self.titles += [value for name, value in attrs if name == "title"]

    def handle_data(self, data: Any) -> None:
        self.texts.append(data)

    def handle_comment(self, data: Any) -> None:
        raise AssertionError(data)


def account(**script: Any) -> RunAccount:
    return account_of(run_of(tickets(), **script))


def of_payload(payload: str) -> RunAccount:
    """An account in which everything says the payload: column, cell, reply, error, note, story."""
    script: dict[str, Any] = {"reply": payload, "errors": [payload], "fails": OrchestrationError(payload)}
    run = run_of(pd.DataFrame({payload: [payload]}), **script)
    run.progress.waits_because = payload
    return replace(account_of(run), story=(payload,))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_is_said_is_text_and_nothing_else(payload: Any) -> None:
    shown = of_payload(payload)
    page = markup.page(cards.account_card(shown), cards.progress_card(payload, shown.progress))
    read = Reader(page)
    assert read.tags <= TAGS
    assert read.attributes <= ATTRIBUTES
    assert all(style.startswith("width:") for style in read.styles)
    assert "\x1b" not in page
    said = payload.replace("\x1b", "\\x1b").replace("\x07", "\\x07")
    assert "".join(read.texts).count(said) >= 4


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_is_said_cannot_steer_a_terminal(payload: Any) -> None:
    text = account_text(of_payload(payload))
    assert "\x1b" not in text
    assert "\x07" not in text


def test_mathematics_is_left_alone() -> None:
    assert markup.page("").startswith('<div class="onb tex2jax_ignore mathjax_ignore">')


def test_the_table_draws_the_rows_it_says() -> None:
    page = cards.account_card(account())
    assert page.count("<tr>") == 1 + 10 + 1 + 1
    assert "20 more rows in triage.last.results" in page


def test_a_long_text_is_cut_and_can_be_opened() -> None:
    words = "word " * 400
    page = markup.table(("reply",), [(words,)])
    read = Reader(page)
    assert "<details>" in page
    assert any(text.endswith("…") and len(text) <= markup.SHORT["wide"] for text in read.texts)
    assert words in read.texts
    assert read.titles[0].startswith("word word")


def test_an_enormous_text_does_not_fill_the_notebook() -> None:
    page = markup.table(("reply",), [("x" * 10_000_000,)])
    assert len(page) < 10_000
    assert "10,000,000 characters in all" in page


def test_simulated_money_is_marked() -> None:
    page = cards.account_card(account())
    assert 'class="chip sim"' in page
    assert "no real money was spent" in page
    assert "cost $0.031 simulated" in page


def test_real_money_says_what_was_spent() -> None:
    run = run_of(tickets())
    run.progress.simulated, run.progress.spent_usd = False, 0.02
    page = cards.account_card(account_of(run))
    assert "cost $0.031, spent $0.020" in page
    assert 'class="chip sim"' not in page


def test_money_that_is_partly_real_says_how_much() -> None:
    run = run_of(tickets())
    run.progress.spent_usd = 0.02
    page = cards.account_card(account_of(run))
    assert "cost $0.031 partly simulated, spent $0.020" in page
    assert ">partly simulated</span>" in page


def test_errors_say_how_often_and_where() -> None:
    page = cards.account_card(account(errors=["division by zero (line 2)"] * 3))
    texts = Reader(page).texts
    assert texts[texts.index("where") + 1 :][:4] == ["3", "queue", "division by zero (line 2)", "rows 0, 1, 2"]


def test_no_error_no_table_of_errors() -> None:
    assert "Errors" not in cards.account_card(account())


def test_progress_says_everything() -> None:
    begun = progress(limited_because=lambda: "waiting for sim: 429")
    page = cards.progress_card("triage", begun)
    text = " ".join(Reader(page).texts)
    for said in (
        "triage",
        "running",
        "simulated",
        "$0.031 of $2.00",
        "124/200 items",
        "2 failed",
        "32 in flight",
        "25.0 calls/s",
        "17 from cache",
        "3 retries",
        "12 s, about 7.4 s left",
        "waiting for sim: 429",
    ):
        assert said in text
    assert 'aria-valuenow="124"' in page
    assert 'class="g" style="width:61.00%"' in page
    assert 'class="r" style="width:1.00%"' in page


@pytest.mark.parametrize("items", [None, 0])
def test_progress_without_a_known_end(items: Any) -> None:
    page = cards.progress_card("triage", progress(items=items))
    assert "width" not in page
    assert "left" not in page
