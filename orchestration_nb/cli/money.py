"""Where the money went, and what is done when a price was wrong."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from orchestration_nb.cli.application import (
    FormOption,
    WorkspaceOption,
    app,
    form_of,
    print_rows,
    print_texts,
    put,
    say,
    workspace_of,
)
from orchestration_nb.errors import UsageError
from orchestration_nb.terminal import as_json, records


@app.command()
def spend(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[by] model|step|flow|user|day|notebook|tag:NAME")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, help="The last days, today included.")] = 30,
    form: FormOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Tell where the money went, and how fast each budget burns."""
    from orchestration_nb.ledger import grouping  # noqa: PLC0415 - loads DuckDB and pandas
    from orchestration_nb.spending import BURN_HEADER, burn_rows, headline, shown_columns, spending  # noqa: PLC0415

    found = spending(workspace_of(workspace), grouping(words or ()), days)
    told = found.spend
    if form_of(form) == "csv":
        print_rows(told.rows, "csv")
        return
    if form == "json":
        facts = {"by": told.by, "since": told.since, "simulated": told.simulated, "rows": records(told.rows)}
        budgets = {"budgets": [asdict(burn) for burn in found.burns], "alerts": records(told.alerts)}
        put(as_json(facts | budgets))
        return
    say("\n".join(headline(found)) + "\n")
    if len(told.rows):
        print_rows(told.rows[shown_columns(told)].rename(columns={"unknown_usd": "maybe_billed_usd"}), "table")
    if found.burns:
        say("")
        print_texts(BURN_HEADER, burn_rows(found.burns))
    for alert in told.alerts.itertuples():
        say(f"{alert.raised_at:%Y-%m-%d %H:%M}  {alert.message}")


def _usd(flag: str) -> Any:
    return typer.Option(flag, min=0, help="US dollars per million tokens.")


@app.command()
def reprice(  # noqa: PLR0913, PLR0917 - a flag for each class of tokens
    model: Annotated[str, typer.Argument(help="The model whose price was wrong: provider/name.")],
    since: Annotated[str | None, typer.Option("--since", help="Calls that began then or later (UTC).")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Calls that began before (UTC).")] = None,
    input_: Annotated[float | None, _usd("--input")] = None,
    output: Annotated[float | None, _usd("--output")] = None,
    cached: Annotated[float | None, _usd("--cached")] = None,
    cache_write: Annotated[float | None, _usd("--cache-write")] = None,
    reasoning: Annotated[float | None, _usd("--reasoning")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Reckon past calls anew when a price was wrong; without prices, with those that hold now."""
    from orchestration_nb import spending  # noqa: PLC0415 - loads DuckDB and pandas

    house = workspace_of(workspace)
    wanted = spending.PriceToMend(
        model=model,
        since=spending.moment(since) if since else None,
        until=spending.moment(until) if until else None,
        paid={
            "input_usd_per_mtok": input_,
            "output_usd_per_mtok": output,
            "cached_usd_per_mtok": cached,
            "cache_write_usd_per_mtok": cache_write,
            "reasoning_usd_per_mtok": reasoning,
        },
    )
    events = wanted.corrections(house)
    changes = house.ledger.changes(events)
    if changes.calls:
        print_texts(spending.REPRICING_HEADER, spending.repricing_rows(changes))
    say("\n".join(spending.repricing_sentences(events, changes)))
    if not changes.calls:
        return
    if not yes and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("Nothing was changed.", hint="Add --yes where nobody can be asked.")
    if yes or typer.confirm("Change them?"):
        house.ledger.reprice(events)
        say(f"Done. {spending.BUDGETS_KEEP}")
    else:
        say("Nothing was changed.")
