"""What a test needs, and what happens where it is missing."""

from __future__ import annotations

from collections.abc import Callable

MARKED = """
import pytest
@pytest.mark.corpus
def test_reads_the_corpus():
    pass
"""


def test_missing_corpus_skips_with_the_reason(pytester_run: Callable[..., str]) -> None:
    outcome = pytester_run(MARKED, ORCHESTRATE_CORPUS="/nowhere")
    assert "1 skipped" in outcome
    assert "needs the corpus, and /nowhere is not there" in outcome


def test_missing_corpus_fails_where_it_is_required(pytester_run: Callable[..., str]) -> None:
    outcome = pytester_run(MARKED, ORCHESTRATE_CORPUS="/nowhere", ORCHESTRATE_REQUIRE="corpus")
    assert "1 error" in outcome
    assert "corpus tests are required" in outcome


def test_required_test_cannot_skip_itself(pytester_run: Callable[..., str]) -> None:
    text = MARKED.replace("pass", "pytest.skip('not today')")
    outcome = pytester_run(text, ORCHESTRATE_CORPUS="/", ORCHESTRATE_REQUIRE="corpus")
    assert "1 failed" in outcome
    assert "not today" in outcome


def test_misspelt_requirement_is_refused(pytester_run: Callable[..., str]) -> None:
    assert "knows browser, wire, corpus, foreign, not browsers" in pytester_run(MARKED, ORCHESTRATE_REQUIRE="browsers")
