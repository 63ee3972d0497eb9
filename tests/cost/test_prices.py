"""The price list: what a model is reckoned with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestration_nb.calls import Usage
from orchestration_nb.catalog import FREE
from orchestration_nb.cost.prices import lookup


@pytest.mark.parametrize(
    ("provider", "wire_name", "paid_in", "paid_out"),
    [
        ("openai", "gpt-4.1-mini", 0.4, 1.6),
        ("anthropic", "claude-haiku-4-5", 1.0, 5.0),
        ("gemini", "gemini-2.5-flash", 0.3, 2.5),
        ("openrouter", "openai/gpt-4.1-mini", 0.4, 1.6),
    ],
)
def test_known_models_have_a_price_and_say_where_it_comes_from(
    provider: str, wire_name: str, paid_in: float, paid_out: float
) -> None:
    price = lookup(provider, wire_name)

    assert price is not None
    assert (price.input_usd_per_mtok, price.output_usd_per_mtok) == (paid_in, paid_out)
    assert price.source.startswith("genai-prices 0.")


def test_each_class_of_tokens_has_its_price() -> None:
    price = lookup("anthropic", "claude-haiku-4-5")

    assert price is not None
    usage = Usage(input_tokens=1_000_000, cached_tokens=600_000, cache_write_tokens=300_000, output_tokens=0)
    assert price.cost_usd(usage) == pytest.approx(0.1 * 1.0 + 0.6 * 0.1 + 0.3 * 1.25)


def test_a_model_with_tiers_costs_what_its_dearest_tier_costs() -> None:
    price = lookup("anthropic", "claude-sonnet-4-5")

    assert price is not None
    assert (price.input_usd_per_mtok, price.output_usd_per_mtok) == (6.0, 22.5)
    assert (price.cached_usd_per_mtok, price.cache_write_usd_per_mtok) == (0.6, 7.5)


@pytest.mark.parametrize(
    ("provider", "wire_name"),
    [
        ("openai", "no-such-model"),
        ("openai", "text-embedding-3-small/../x"),
        ("house", "gpt-4.1-mini"),
        ("house", "large"),
        ("openai", ""),
    ],
)
def test_what_is_not_listed_has_no_price_and_is_not_guessed(provider: str, wire_name: str) -> None:
    assert lookup(provider, wire_name) is None


def test_a_model_on_this_machine_costs_nothing() -> None:
    assert lookup("ollama", "gpt-4.1-mini") is FREE


def test_a_replayed_model_keeps_the_price_it_had_elsewhere() -> None:
    assert lookup("replay", "gpt-4o-mini-2024-07-18") == lookup("openai", "gpt-4o-mini")


def test_the_list_is_imported_only_when_a_price_is_asked_for() -> None:
    code = "import sys, orchestration_nb.cost.prices; print('genai_prices' in sys.modules)"
    root = Path(__file__).parents[2]
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root)
    assert shown.stdout.strip() == "False"
