from __future__ import annotations

from orchestration_nb.notebook.text import account_text
from orchestration_nb.notebook.words import progress_line
from orchestration_nb.pages.text import table_text
from tests.notebook.scripted import progress
from tests.notebook.test_markup import account


def test_a_table_is_aligned_and_on_one_line_a_row() -> None:
    assert table_text(("a", "name"), [("1", "two\nlines"), ("22", "x" * 40)], width=10) == (
        "a   name\n──  ──────────\n1   two lines\n22  xxxxxxxxx…"
    )


def test_the_account_says_everything() -> None:
    text = account_text(account(errors=["too long"] * 2))
    for said in (
        "triage done: 30 items · 28 ok · 2 failed · 300 calls · 17 from cache · 3 retries · 12 s",
        "cost $0.031 simulated",
        "ticket 9",
        "20 more rows in triage.last.results",
        "sim/small",
        "700 ms",
        "1.30 s",
        "2 × queue: too long (rows 0, 1)",
        "%orchestrate sql SELECT * FROM calls WHERE run_id = '0193f00aa55e000112345678'",
    ):
        assert said in text
    assert "ticket 10" not in text


def test_the_progress_line() -> None:
    assert progress_line("triage", progress(limited_because=lambda: "waiting")) == (
        "triage running: 124/200 items · 2 failed · 32 in flight · 25.0 calls/s · 17 from cache · 3 retries · "
        "$0.031 of $2.00 simulated · 12 s, about 7.4 s left · waiting"
    )


def test_the_progress_line_of_a_run_that_just_began() -> None:
    begun = progress(
        items=1,
        done=0,
        failed=0,
        in_flight=1,
        calls=0,
        cache_hits=0,
        retries=0,
        cost_usd=0,
        simulated=False,
        started_s=11.69,
    )
    assert progress_line("one", begun) == "one running: 0/1 item · 1 in flight · no call yet · $0.00 of $2.00 · 0.3 s"
