"""Workspaces: wiring, models that can be used, and files that cannot."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestration_nb.config import trust
from orchestration_nb.errors import (
    ConfigError,
    JournalWriteError,
    LedgerNewerError,
    NotAuthorisedError,
    UnknownModelError,
    UsageError,
    WorkspaceError,
)
from orchestration_nb.flow import llm
from orchestration_nb.flows import Flow
from orchestration_nb.testing import FakeProvider, fake_workspace
from orchestration_nb.workspace import Workspace

ROWS = pd.DataFrame({"body": [f"ticket {number}" for number in range(20)]})


def test_a_new_folder_needs_no_settings(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, environ={})
    usable = [row.name for row in workspace.models() if row.usable]
    assert usable == ["sim/large", "sim/medium", "sim/small"]
    assert not (tmp_path / ".orchestrate").exists()


def test_the_list_says_why_a_model_cannot_be_used_and_what_it_costs(tmp_path: Path) -> None:
    rows = {row.name: row for row in Workspace(tmp_path, environ={}).models()}
    assert "OPENAI_API_KEY" in rows["openai/gpt-4.1-mini"].why
    assert rows["sim/small"].aliases == ("fast",)
    assert rows["sim/small"].simulated
    price = rows["openai/gpt-4.1-mini"].price
    assert price is not None
    assert price.input_usd_per_mtok == pytest.approx(0.4)


def test_an_alias_that_stands_for_nothing_is_listed_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "orchestrate.toml").write_text('[aliases]\nquick = "nowhere/model"\n')
    rows = {row.name: row for row in Workspace(tmp_path, environ={}).models()}
    assert rows["nowhere/model"].aliases == ("quick",)
    assert not rows["nowhere/model"].usable
    assert "no such model" in rows["nowhere/model"].why
    assert rows["sim/small"].usable


def test_a_key_alone_changes_no_alias_and_use_points_it(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, environ={"OPENAI_API_KEY": "sk-test"})
    assert workspace.catalog.resolve("fast").name == "sim/small"
    workspace.use("fast", "openai/gpt-4.1-mini")
    assert workspace.catalog.resolve("fast").name == "openai/gpt-4.1-mini"


@pytest.mark.parametrize(
    ("alias", "name", "error", "words"),
    [
        ("fast", "openai/gpt-4.1-mini", NotAuthorisedError, "OPENAI_API_KEY"),
        ("fast", "sim/smal", UnknownModelError, "sim/smal"),
        ("not a word", "sim/small", UsageError, "alias"),
        ("fast", "ollama/llama3", NotAuthorisedError, "no Ollama answers"),
    ],
)
def test_an_alias_is_not_pointed_at_what_cannot_answer(
    tmp_path: Path, alias: str, name: str, error: type[Exception], words: str
) -> None:
    workspace = Workspace(tmp_path, environ={})
    with pytest.raises(error, match=words):
        workspace.use(alias, name)
    assert workspace.catalog.aliases["fast"] == "sim/small"


def test_settings_reach_prices_aliases_and_budgets(tmp_path: Path) -> None:
    (tmp_path / "orchestrate.toml").write_text(
        'budget_usd = 0.5\n[aliases]\nfast = "sim/large"\n'
        '[models."openai/gpt-4.1-mini"]\ninput_usd_per_mtok = 9.0\noutput_usd_per_mtok = 10.0\n'
    )
    workspace = Workspace(tmp_path, environ={})
    price = workspace.catalog.resolve("openai/gpt-4.1-mini").price
    assert price is not None
    assert (price.input_usd_per_mtok, price.source) == (9.0, "orchestrate.toml")
    assert workspace.catalog.resolve("fast").name == "sim/large"
    assert workspace.settings.budget_usd == 0.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("budget_usd = ", "not TOML"),
        ("budget = 3", "budget"),
        ("budget_usd = -1", "budget_usd"),
        ("[providers.sim]\nkind = 'openai'", "taken"),
        ("[retry]\nattempts = 0", "retry.attempts"),
        ("[limits.opnai]\nconcurrent = 2", "limits.opnai.*no provider, model or key"),
        ("[limits.fast]\nconcurrent = 2", "limits.fast.*alias"),
        ("[limits.openai]", "limits.openai.*nothing"),
        ("[quotas.each-user]\nper = 'user'", "quotas.each-user.*requests or tokens"),
        ("[budgets.month]\nusd = 3\nonly = 'support'", "budgets.month.*per"),
        ('[models."openai/gpt-4.1"]\ncached_usd_per_mtok = 0.1', "gpt-4.1.*input_usd_per_mtok and output_usd_per_mtok"),
        ('[models."openai/gpt-4.1"]\ninput_usd_per_mtok = 0.1', "gpt-4.1.*input_usd_per_mtok and output_usd_per_mtok"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "orchestrate.toml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        Workspace(tmp_path, environ={})


def test_a_cloned_file_gets_no_key_for_another_host_until_it_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "orchestrate.toml").write_text(
        '[providers.house]\nkind = "openai"\nbase_url = "https://llm.example.com/v1"\nkey_env = "HOUSE_KEY"\n'
        '[models."house/m"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 1\n'
    )
    environ = {"HOUSE_KEY": "secret-word", "OPENAI_API_KEY": "sk-test"}
    with pytest.raises(NotAuthorisedError, match="trust"):
        Workspace(tmp_path, environ=environ).usable("house/m")
    trust(tmp_path)
    assert Workspace(tmp_path, environ=environ).usable("house/m").name == "house/m"
    with (tmp_path / "orchestrate.toml").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(NotAuthorisedError, match="trust"):
        Workspace(tmp_path, environ=environ).usable("house/m")


def test_a_folder_that_cannot_be_written_stops_the_run_before_anything_is_paid(tmp_path: Path) -> None:
    (tmp_path / ".orchestrate").write_text("a file where the folder should be")
    provider = FakeProvider(lambda request: "hi")
    flow = Flow.from_source("reply = llm(body)", name="triage", workspace=fake_workspace(tmp_path, provider))
    with pytest.raises(JournalWriteError) as caught:
        flow.map(ROWS)
    assert len(str(caught.value).splitlines()) == 1
    assert provider.requests == []
    assert flow.last is not None
    assert flow.last.status == "failed"


def test_a_disk_that_fills_up_stops_the_run_and_keeps_what_was_written(tmp_path: Path) -> None:
    provider = FakeProvider(lambda request: "hi")
    workspace = fake_workspace(tmp_path, provider)
    write = workspace.services.journal.write
    written: list[object] = []

    class Filling:
        def write(self, event: object) -> None:
            if len(written) >= 20:
                raise JournalWriteError("The disk is full.", hint="Make room, then run the cell again.")
            write(event)  # type: ignore[arg-type]
            written.append(event)

    workspace.services.journal = Filling()
    flow = Flow.from_source("reply = llm(body)", name="triage", workspace=workspace)
    with pytest.raises(JournalWriteError, match="disk is full"):
        flow.map(ROWS, concurrency=2)
    assert len(provider.requests) < len(ROWS)
    rows = workspace.ledger.sql("SELECT (SELECT count(*) FROM calls) + (SELECT count(*) FROM requests) AS n")
    assert rows["n"][0] > 8
    assert flow.last is not None
    assert (flow.last.results["_status"] == "ok").any()


def test_a_newer_ledger_is_left_alone_and_said(tmp_path: Path) -> None:
    import duckdb

    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: "hi"))
    flow = Flow.from_source("reply = llm(body)", name="triage", workspace=workspace)
    flow.map(ROWS.head(1))
    workspace.ledger.merge()
    with duckdb.connect(str(tmp_path / ".orchestrate" / "ledger.duckdb")) as connection:
        tables = [row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        (versions,) = [name for name in tables if "version" in name or "schema" in name]
        connection.execute(f"UPDATE {versions} SET version = 999")
    run = flow.map(ROWS.head(2))
    assert run.status == "done"  # the journal is written all the same
    with pytest.raises(LedgerNewerError, match="newer"):
        workspace.ledger.sql("SELECT 1")


def test_llm_outside_a_flow_answers_at_once_and_is_recorded(
    tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert workspace == tmp_path
    reply = llm("How do I reset my password?", model="fast")
    assert isinstance(reply, str)
    assert reply
    rows = Workspace.current().ledger.sql("SELECT model, simulated, status FROM calls")
    assert rows.to_dict("records") == [{"model": "sim/small", "simulated": True, "status": "ok"}]
    with pytest.raises(UnknownModelError):
        llm("hello", model="sim/smal")


def test_a_flow_may_not_block_the_engine_it_runs_on(tmp_path: Path) -> None:
    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: "hi"))
    inner = Flow.from_source("reply = llm('in ' + body)", name="inner", workspace=workspace)
    text = "@step\nasync def nested(body):\n    return (await run([{'body': body}])).results.reply[0]\n"
    blocked = Flow.from_source(
        text.replace("await run", "run"), name="outer", namespace={"run": inner.map}, workspace=workspace
    )
    error = blocked.map(ROWS.head(1)).first_error
    assert isinstance(error, UsageError)
    assert "amap" in error.hint
    awaited = Flow.from_source(text, name="outer", namespace={"run": inner.amap}, workspace=workspace)
    assert awaited.map(ROWS.head(1)).results["nested"][0] == "hi"


def test_many_runs_at_once_share_one_engine(tmp_path: Path) -> None:
    async def slowly(request: object) -> str:
        await asyncio.sleep(0.05)
        return "hi"

    workspace = fake_workspace(tmp_path, FakeProvider(slowly))
    flows = [Flow.from_source(f"reply = llm('{n} ' + body)", name=f"flow{n}", workspace=workspace) for n in range(5)]
    runs = [flow.start(ROWS) for flow in flows]
    assert [run.wait().progress.done for run in runs] == [20] * 5
    counted = workspace.ledger.sql("SELECT count(DISTINCT run_id) AS runs, count(*) AS calls FROM calls")
    assert counted.to_dict("records") == [{"runs": 5, "calls": 100}]


def test_settings_that_change_hold_from_then_on_and_what_was_said_stays(tmp_path: Path) -> None:
    before = Workspace.current()
    assert Workspace.current() is before
    before.use("fast", "sim/large")
    hear: Any = [].append
    before.listeners.append(hear)
    (tmp_path / "orchestrate.toml").write_text("budget_usd = 2.0\n[aliases]\nmedium = 'sim/small'\n")
    after = Workspace.current()
    assert after.settings.budget_usd == 2.0
    assert after.catalog.resolve("fast").name == "sim/large"
    assert after.catalog.resolve("medium").name == "sim/small"
    assert after.listeners == [hear]
    (tmp_path / "orchestrate.toml").write_text("budget = 2.0")
    with pytest.raises(ConfigError, match="budget"):
        Workspace.current()


def test_a_folder_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(WorkspaceError, match="folder is gone"):
        Workspace.current()


def test_an_alias_of_nothing_says_what_it_stands_for(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, environ={})
    workspace.catalog.aliases["quick"] = "sim/smal"
    with pytest.raises(UnknownModelError, match=r"'quick' stands for 'sim/smal'") as caught:
        workspace.usable("quick")
    assert "sim/small" in caught.value.hint


def test_a_reply_in_a_plain_cell_is_of_the_type_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = fake_workspace(tmp_path, FakeProvider(lambda request: '{"value": 3}'))
    monkeypatch.setattr(Workspace, "current", lambda: workspace)
    assert type(llm("How many?", output=int)) is int


@pytest.mark.parametrize(
    "name", ["openai", "openai/gpt-9-not-listed", "OPENAI_API_KEY", "HOUSE_KEY", "sim", "sim/small"]
)
def test_a_limit_may_name_a_provider_a_model_or_a_key(tmp_path: Path, name: str) -> None:
    house = '[providers.house]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\nkey_env = "HOUSE_KEY"\n'
    (tmp_path / "orchestrate.toml").write_text(f'{house}[limits."{name}"]\nconcurrent = 2\n')
    assert Workspace(tmp_path, environ={}).settings.limits[name].concurrent == 2
