"""SQL over the ledger: it answers, and it can do nothing else."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestration_nb.errors import QueryError, WorkspaceError
from orchestration_nb.ledger import JournalFile, Ledger
from tests.ledger import happened
from tests.ledger.conftest import python

SECRET = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, merged; no test here may change a byte of it."""
    folder = tmp_path_factory.mktemp("workspace")
    journal = JournalFile(folder)
    for event in (
        happened.run_started("r1"),
        happened.call("r1"),
        happened.call("r1", model="sim/small", simulated=True, billed_usd=9.0, cost_usd=9.0),
        happened.item("r1"),
        happened.run_finished("r1"),
        happened.run_started("r2", tags={}),
        happened.call("r2", bill_unknown=True, billed_usd=0.5),
    ):
        journal.write(event)
    journal.close()
    Ledger(folder).merge()
    return folder


@pytest.fixture
def ledger(workspace: Path) -> Ledger:
    return Ledger(workspace)


FORBIDDEN = """
    insert into runs (run_id, status) values ('x', 'done')
    update calls set cost_usd = 0
    delete from texts
    drop table calls
    create table mine as select 1
    create temp table mine as select 1
    create view mine as select 1
    create macro twice(x) as x * 2
    create secret (type s3)
    alter table calls add column x int
    with x as (insert into runs (run_id, status) values ('x', 'y') returning *) select * from x
    explain analyze insert into runs (run_id, status) values ('x', 'y')
    truncate runs
    vacuum
    checkpoint
    begin
    copy calls to 'out.csv'
    copy calls to 'LEDGER'
    copy (select 1) to 'out.parquet' (format parquet)
    export database 'out'
    import database 'out'
    attach 'other.duckdb'
    attach ':memory:' as mem
    attach 'LEDGER' as again
    use memory
    detach ledger
    install httpfs
    load httpfs
    load 'x.duckdb_extension'
    set memory_limit = '1GB'
    set enable_external_access = true
    reset lock_configuration
    pragma enable_profiling
    pragma threads = 1
    set variable x = 1
    prepare p as select 1
    call pragma_version()
    select * from 'secret.csv'
    select * from "secret.csv"
    select * from read_csv('secret.csv')
    select * from read_csv_auto('secret.csv')
    select * from read_text('secret.csv')
    select * from read_blob('secret.csv')
    select * from read_blob('LEDGER')
    select * from read_blob('LEDGER.wal')
    select * from read_json('secret.csv')
    select * from read_parquet('secret.csv')
    select * from parquet_metadata('secret.csv')
    select * from sniff_csv('secret.csv')
    select * from query_table('secret.csv')
    select * from query('from ''secret.csv''')
    select * from glob('*')
    select * from read_text('https://127.0.0.1/x')
    select getenv('HOUSE_KEY')
    select * from SECRET
    select 1; select 2
    select 1; drop table calls
    select 1; copy calls to 'out.csv'
"""


@pytest.mark.parametrize("text", [line.strip() for line in FORBIDDEN.strip().splitlines()])
def test_refuses_whatever_is_no_question(
    ledger: Ledger, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOUSE_KEY", SECRET)
    (tmp_path / "secret.csv").write_text(f"key\n{SECRET}\n")
    path = workspace / ".orchestrate" / "ledger.duckdb"
    before = path.read_bytes()
    with pytest.raises(QueryError) as caught:
        ledger.sql(text.replace("LEDGER", str(path)))
    assert SECRET not in str(caught.value) + caught.value.hint
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["secret.csv"]
    assert {one.name for one in path.parent.iterdir()} <= {"ledger.duckdb", "ledger.lock", "journal", ".gitignore"}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("from runs select run_id order by 1", [["r1"], ["r2"]]),
        ("with x as (select 1 as one) select * from x;", [[1]]),
        ("select count(*) from (describe segments)", [[6]]),
        ("pivot (select run_id, model from calls where run_id = 'r1') on model in ('sim/small')", None),
        ("show tables", None),
        ("summarize calls", None),
        ("explain select * from calls", None),
        ("select tags['team'] from runs where run_id = 'r1'", [["support"]]),
        ("select attempts[1].http_status from calls where run_id = 'r2'", [[429]]),
    ],
)
def test_answers(ledger: Ledger, text: str, rows: list[list[object]] | None) -> None:
    frame = ledger.sql(text)
    assert len(frame)
    if rows is not None:
        assert frame.to_numpy().tolist() == rows


def test_values_are_bound_and_never_text(ledger: Ledger) -> None:
    evil = "r1'; drop table runs; --"
    assert ledger.sql("select * from runs where run_id = ?", [evil]).empty
    assert ledger.sql("select $x as x, $y as y", {"x": evil, "y": 3}).to_numpy().tolist() == [[evil, 3]]
    moment = dt.datetime(2026, 3, 1, tzinfo=dt.UTC).replace(tzinfo=None)
    assert len(ledger.sql("select * from runs where started_at > $1", (moment,))) == 2


@pytest.mark.parametrize("params", [[], [1, 2], {"x": 1}, [object()]])
def test_wrong_values_are_one_sentence(ledger: Ledger, params: object) -> None:
    with pytest.raises(QueryError, match=r"^The query cannot be answered: .*\.$"):
        ledger.sql("select ?", params)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "sentence", "hint"),
    [
        ("select * from rnus", "The ledger has no table 'rnus'.", "Did you mean 'runs'?"),
        ("select modle from calls", "calls has no column 'modle'.", "Did you mean 'model'?"),
        ("select c.prmopt from texts c", "texts has no column 'prmopt'.", "Did you mean 'prompt'?"),
        ("selct 1", 'The query cannot be answered: syntax error at or near "selct".', ""),
        ("", "There is no SQL to run.", "Try `select * from runs`."),
        ("select 1; select 2", "One statement at a time, not 2.", "Run them one after the other."),
        ("select 'x'::int", "The query cannot be answered: Could not convert string 'x' to INT32.", ""),
    ],
)
def test_mistakes_say_what_to_write_instead(ledger: Ledger, text: str, sentence: str, hint: str) -> None:
    with pytest.raises(QueryError) as caught:
        ledger.sql(text)
    assert (str(caught.value), caught.value.hint) == (sentence, hint)


def test_a_table_that_resembles_none_is_answered_with_all(ledger: Ledger) -> None:
    with pytest.raises(QueryError) as caught:
        ledger.sql("from zzzzzz")
    assert "calls" in caught.value.hint
    assert "runs" in caught.value.hint


def test_a_python_variable_is_no_table(ledger: Ledger) -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": [1]})
    with pytest.raises(QueryError, match="no table 'frame'"):
        ledger.sql("select * from frame")
    assert len(frame) == 1


def test_times_are_naive_utc_whatever_the_machine_says(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    frame = ledger.sql("select now() as now, now()::timestamp as cast_now, started_at from runs limit 1")
    assert {str(kind) for kind in frame.dtypes} == {"datetime64[us]"}
    age = (happened.now() - frame.now[0]).total_seconds()
    assert abs(age) < 60
    assert frame.now[0] == frame.cast_now[0]
    assert frame.started_at[0] == happened.NOON


def test_sums_of_integers_are_integers(ledger: Ledger) -> None:
    frame = ledger.sql("select sum(input_tokens) as tokens, sum(input_tokens) as again from calls")
    assert [str(kind) for kind in frame.dtypes] == ["int64", "int64"]
    assert frame.tokens[0] == 360


def test_spend_leaves_simulated_money_out(ledger: Ledger) -> None:
    frame = ledger.sql("select * from spend")
    assert frame[["model", "calls", "billed_usd", "unknown_usd"]].to_numpy().tolist() == [
        ["openai/gpt-4.1-mini", 2, 0.75, 0.25]
    ]


def test_tables_are_listed_with_their_columns(ledger: Ledger) -> None:
    tables = ledger.tables()
    assert tables["texts"] == ["call_id", "prompt", "reply"]
    assert {"runs", "items", "steps", "requests", "calls", "spend"} <= tables.keys()


def test_an_empty_workspace_answers_with_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "new")
    assert ledger.sql("from calls").empty
    assert ledger.runs().empty
    assert not ledger.runs().columns.empty


def test_threads_of_one_process_ask_at_once(ledger: Ledger) -> None:
    def ask(_: int) -> int:
        return int(ledger.sql("select count(*) as n from calls").n[0])

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, range(12))) == [3] * 12


def test_a_program_that_holds_the_file_is_waited_for_and_then_named(workspace: Path, ledger: Ledger) -> None:
    script = """
import sys, time, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""
    path = workspace / ".orchestrate" / "ledger.duckdb"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(WorkspaceError, match=r"Another program has held .* open for 0.1 seconds") as caught:
            Ledger(workspace, wait_s=0.1).sql("select 1")
        assert "Close it there" in caught.value.hint
        threading.Timer(0.3, holder.stdin.close).start()
        assert len(ledger.sql("from runs")) == 2


def test_an_interrupt_ends_a_long_query(workspace: Path) -> None:
    script = """
import os, signal, sys, threading
from pathlib import Path
from orchestration_nb.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
ledger.sql("select 1")
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    ledger.sql("select sum(a.i * b.i) from range(10000000) a(i), range(10000000) b(i)")
except KeyboardInterrupt:
    print(ledger.sql("select count(*) as n from calls").n[0])
"""
    assert python(script, workspace) == "3\n"


def test_heavy_libraries_are_loaded_only_when_they_are_needed(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from orchestration_nb.ledger import JournalFile, Ledger
from orchestration_nb.state.store import StateFile
from tests.ledger import happened
JournalFile(Path(sys.argv[1])).write(happened.call())
StateFile(Path(sys.argv[1])).open()
Ledger(Path(sys.argv[1]))
print(sorted({"duckdb", "pandas", "plotly", "ipywidgets", "nbclient", "IPython", "genai_prices"} & sys.modules.keys()))
"""
    assert python(script, tmp_path) == "[]\n"
