from __future__ import annotations

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some

from orchestration_nb.terminal import Form, printable, records, write

HOSTILE = {
    "clear the screen": "\x1b[2J\x1b[H",
    "set the title": "\x1b]0;owned\x07",
    "one-byte CSI": "\x9b31mred",
    "overwrite the line": "paid\rfree",
    "backspaces": "deny\b\b\b\ballow",
    "turned writing": "invoice\u202efdp.exe",
    "half a character": "\ud83d",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_control_characters_are_shown_not_obeyed(text: str) -> None:
    shown = printable(text)
    assert shown.encode("utf-8").decode() == shown
    assert not [char for char in shown if not char.isprintable()]
    assert printable(shown) == shown


def test_words_lines_and_emoji_stay_as_they_are() -> None:
    text = "Grüße, 世界 👋🏽\n\tif a < b: return 'é'"
    assert printable(text) == text


@given(some.text(max_size=60))
def test_no_text_keeps_a_control_character(text: str) -> None:
    assert not [char for char in printable(text) if ord(char) < 32 and char not in "\n\t"]


@pytest.mark.parametrize("form", ["table", "csv", "json"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_form_passes_an_escape_sequence_on(form: Form, text: str) -> None:
    written = write(pd.DataFrame({"reply": [text], text: [1]}), form)
    assert not [char for char in written if not char.isprintable() and char != "\n"]


def test_table_keeps_a_row_on_a_line_and_is_cut_to_the_terminal() -> None:
    frame = pd.DataFrame({"reply": ["one\ntwo " + "x" * 200, "three"], "cost_usd": [0.00012345678, 2.0]})
    lines = write(frame, "table", width=60).splitlines()
    assert len(lines) == 4
    assert all(len(line) <= 60 for line in lines)
    assert "one⏎two" in lines[2]
    assert lines[2].endswith("0.000123")
    assert lines[3].endswith(" 2")


def test_table_of_nothing_still_names_its_columns() -> None:
    assert write(pd.DataFrame({"run_id": [], "flow": []}), "table").split()[:2] == ["run_id", "flow"]


def test_csv_defuses_formulas_and_keeps_numbers() -> None:
    frame = pd.DataFrame({"=cmd": ["=1+1", "@SUM(A1)", "fine"], "change": [-1.5, 2.0, float("nan")]})
    rows = list(csv.reader(io.StringIO(write(frame, "csv"))))
    assert rows == [["'=cmd", "change"], ["'=1+1", "-1.5"], ["'@SUM(A1)", "2.0"], ["fine", ""]]


def test_json_is_exact() -> None:
    frame = pd.DataFrame(
        {
            "reply": ["\x1b[0m\ud83d", None],
            "cost_usd": [0.1 + 0.2, float("nan")],
            "at": [pd.Timestamp("2025-01-02 03:04:05"), pd.NaT],
            "attempts": [np.array([{"number": np.int32(1), "error": None}]), None],
        }
    )
    first, second = json.loads(write(frame, "json"))
    assert first == {
        "reply": "\x1b[0m\ud83d",
        "cost_usd": 0.30000000000000004,
        "at": "2025-01-02T03:04:05.000",
        "attempts": [{"number": 1, "error": None}],
    }
    assert set(second.values()) == {None}


def test_table_too_wide_for_the_terminal_becomes_a_block_a_row() -> None:
    frame = pd.DataFrame({f"column_{number}": [number, "\x1b[2J" + "x" * 100] for number in range(12)})
    lines = write(frame, "table", width=60).splitlines()
    assert len(lines) == 2 * 13
    assert lines[1] == "column_0   0"
    assert lines[14].startswith("column_0   \\x1b[2Jxxx")
    assert all(len(line) <= 60 for line in lines)
    assert len(write(frame, "table").splitlines()) == 4


def test_what_pandas_calls_missing_is_missing() -> None:
    frame = pd.DataFrame(
        {"items": pd.array([None, 3], dtype="Int64"), "at": [pd.NaT, pd.NaT], "usd": [float("nan"), 1.0]}
    )
    assert records(frame) == [{"items": None, "at": None, "usd": None}, {"items": 3, "at": None, "usd": 1.0}]
