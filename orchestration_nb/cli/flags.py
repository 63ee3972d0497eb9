"""Flags that more than one command takes: what a headless run may be told, now or by a schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ParameterFlag = Annotated[
    list[str] | None, typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="A parameter; may be repeated.")
]
ParamsFlag = Annotated[Path | None, typer.Option("--params", help="A .yaml or .json file of parameters.")]
BudgetFlag = Annotated[
    float | None,
    typer.Option("--budget", help="The most that a run and all that goes on with it may spend, in US dollars."),
]
TimeoutFlag = Annotated[
    float | None, typer.Option("--timeout", help="The most seconds for the whole, retries included.")
]
RetriesFlag = Annotated[int, typer.Option("--retries", min=0, help="How many times a run that failed is begun anew.")]
TagFlag = Annotated[
    list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="Kept with every run; may be repeated.")
]
SecretFlag = Annotated[
    list[str] | None,
    typer.Option("--secret", metavar="NAME=WHERE", help="A secret by reference, such as TOKEN=env:MY_TOKEN."),
]
