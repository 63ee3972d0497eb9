from __future__ import annotations

from typing import Any

import pytest

from orchestration_nb.errors import UsageError
from orchestration_nb.notebook.arguments import FLAGS, CellArguments, read_cell_line


def test_every_flag_is_read() -> None:
    line = (
        "triage --over tickets --strategy cascade --model fast --budget 2.00 --sample 20 --concurrency 8 --into rows"
        " --on-error stop --fresh --background --on-budget pause --degrade --batch --tag team=support --tag=case=a=b"
        " --resume 0193f0"
    )
    assert read_cell_line(line) == CellArguments(
        name="triage",
        over="tickets",
        strategy="cascade",
        model="fast",
        budget=2.0,
        sample=20,
        concurrency=8,
        into="rows",
        on_error="stop",
        fresh=True,
        background=True,
        on_budget="pause",
        degrade=True,
        batch=True,
        tag=(("team", "support"), ("case", "a=b")),
        resume="0193f0",
    )


def test_name_alone_takes_the_defaults() -> None:
    assert read_cell_line("triage") == CellArguments(name="triage")


def test_equals_quotes_and_comments() -> None:
    cell = read_cell_line("--over='tickets[tickets.n > 3]' triage --budget=0  # cheap")
    assert (cell.name, cell.over, cell.budget) == ("triage", "tickets[tickets.n > 3]", 0.0)


def test_a_sign_within_a_word_or_a_quotation_begins_no_comment() -> None:
    cell = read_cell_line("triage --tag ticket=A#12 --tag note='# 7' --budget 0.50 #cheap --sample 1")
    assert (dict(cell.tag), cell.budget, cell.sample) == ({"ticket": "A#12", "note": "# 7"}, 0.5, None)


def test_every_flag_sets_a_field() -> None:
    assert {flag.field for flag in FLAGS} == set(CellArguments.__dataclass_fields__) - {"name"}


@pytest.mark.parametrize(
    ("line", "sentence", "hint"),
    [
        ("", "needs a name", "%%orchestrate NAME"),
        ("--fresh", "needs a name", "%%orchestrate NAME"),
        ("2fast", "'2fast' cannot be the name", "letters, digits"),
        ("class", "'class' cannot be the name", "letters, digits"),
        ("triage --ovr tickets", "no flag '--ovr'", "Did you mean --over?"),
        ("triage -o tickets", "no flag '-o'", "Did you mean --over?"),
        ("triage over tickets", "'over' stands where a flag", "Did you mean --over?"),
        ("triage --over", "--over needs a value", "--over DF"),
        ("triage --over --fresh", "--over needs a value", "--over DF"),
        ("triage --fresh=yes", "--fresh takes no value", "--fresh alone"),
        ("triage --fresh --fresh", "--fresh stands twice", "one of them"),
        ("triage --budget two", "--budget needs a number of US dollars", "2.50"),
        ("triage --budget -1", "0 or more, not '-1'", "2.50"),
        ("triage --budget nan", "0 or more, not 'nan'", "2.50"),
        ("triage --budget inf", "0 or more, not 'inf'", "2.50"),
        ("triage --budget $2", "not '$2'", "2.50"),
        ("triage --sample 0", "--sample needs a whole number, 1 or more", "20"),
        ("triage --sample 1.5", "not '1.5'", "20"),
        ("triage --concurrency ٣", "--concurrency needs a whole number", "20"),
        ("triage --on-error skip", "--on-error is `keep` or `stop`", "other items go on"),
        ("triage --on-error", "--on-error needs a value", "keep|stop"),
        ("triage --on-budget ask", "--on-budget is `reject`, `pause` or `alert`, not 'ask'", "asks you for more"),
        ("triage --on-budgt pause", "no flag '--on-budgt'", "Did you mean --on-budget?"),
        ("triage --degraded", "no flag '--degraded'", "Did you mean --degrade?"),
        ("triage --tag support", "--tag needs a name and a value, not 'support'", "--tag team=support"),
        ("triage --tag 1=x", "not '1=x'", "--tag team=support"),
        ("triage --tag team=", "not 'team='", "--tag team=support"),
        ("triage --tag team=a --tag team=b", "A tag has two values", "one of them"),
        ("triage --tag team=a --tag team=a", "A tag has two values", "one of them"),
        ("triage --resume triage-1", "--resume needs the id of a run", "%orchestrate runs"),
        ("triage --resume", "--resume needs a value", "--resume RUN"),
        ("triage --batch=yes", "--batch takes no value", "--batch alone"),
        ("triage --into my-rows", "--into needs the name of a variable", "Letters"),
        ("triage --define --plan", "--define and --plan exclude each other", "one of them"),
        ("triage --plan --background", "--plan and --background exclude", "one of them"),
        ("tickets --over tickets", "both called 'tickets'", "something else"),
        ("triage --into triage", "both called 'triage'", "something else"),
        ('triage --over "tickets', "quotation mark", "%%orchestrate NAME"),
    ],
)
def test_mistakes_are_one_sentence_and_a_hint(line: Any, sentence: Any, hint: Any) -> None:
    with pytest.raises(UsageError) as caught:
        read_cell_line(line)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert hint in caught.value.hint
