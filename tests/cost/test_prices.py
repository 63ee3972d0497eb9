"""The price list: what a model is reckoned with."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration_nb.calls import Usage
from orchestration_nb.catalog import FREE, Price
from orchestration_nb.cost.prices import lookup


@pytest.mark.parametrize(
    ("provider", "wire_name", "paid_in", "paid_out"),
    [
        ("openai", "gpt-4.1-mini", 0.4, 1.6),
        ("anthropic", "claude-haiku-4-5", 1.0, 5.0),
        ("gemini", "gemini-2.5-flash", 0.3, 2.5),
        ("openrouter", "openai/gpt-4.1-mini", 0.4, 1.6),
        ("openai", "text-embedding-3-small", 0.02, 0.0),
        ("gemini", "gemini-embedding-001", 0.15, 0.0),
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


def test_a_long_prompt_costs_more_and_a_short_one_does_not() -> None:
    price = lookup("anthropic", "claude-sonnet-4-5")

    assert price is not None
    short, long = price.at(200_000), price.at(200_001)
    assert (short.input_usd_per_mtok, short.output_usd_per_mtok) == (3.0, 15.0)
    assert (long.input_usd_per_mtok, long.output_usd_per_mtok) == (6.0, 22.5)
    assert (long.cached_usd_per_mtok, long.cache_write_usd_per_mtok) == (0.6, 7.5)
    assert price.cost_usd(Usage(input_tokens=200_000, output_tokens=1_000)) == pytest.approx(0.6 + 0.015)
    assert price.cost_usd(Usage(input_tokens=200_001, output_tokens=1_000)) == pytest.approx(1.200006 + 0.0225)


def test_a_model_may_have_more_than_one_tier() -> None:
    price = lookup("openrouter", "qwen/qwen3-coder-flash")

    assert price is not None
    assert [price.at(tokens).input_usd_per_mtok for tokens in (1, 32_000, 32_001, 128_000, 128_001)] == [
        0.195, 0.195, 0.325, 0.325, 0.52,
    ]  # fmt: skip


def test_thinking_has_a_price_of_its_own_where_the_list_has_one() -> None:
    price = lookup("perplexity", "sonar-deep-research")

    assert price is not None
    usage = Usage(input_tokens=0, output_tokens=1_000_000, reasoning_tokens=400_000)
    assert price.cost_usd(usage) == pytest.approx(0.6 * 8.0 + 0.4 * 3.0)


AMOUNTS = st.integers(min_value=0, max_value=500_000)
DOLLARS = st.floats(min_value=0, max_value=100)
FLAT = st.builds(
    Price,
    input_usd_per_mtok=DOLLARS,
    output_usd_per_mtok=DOLLARS,
    cached_usd_per_mtok=st.none() | DOLLARS,
    cache_write_usd_per_mtok=st.none() | DOLLARS,
    reasoning_usd_per_mtok=st.none() | DOLLARS,
)
TIERED = st.builds(
    lambda flat, longer: replace(flat, longer=tuple(sorted(longer.items()))),
    FLAT,
    st.dictionaries(AMOUNTS, FLAT, max_size=3),
)
USAGES = st.builds(
    Usage,
    input_tokens=AMOUNTS,
    cached_tokens=AMOUNTS,
    cache_write_tokens=AMOUNTS,
    output_tokens=AMOUNTS,
    reasoning_tokens=AMOUNTS,
)


@given(price=TIERED, usage=USAGES, room=AMOUNTS)
def test_no_call_within_its_bounds_costs_more_than_the_most(price: Price, usage: Usage, room: int) -> None:
    """Also where the prompt turns out shorter than its bound, and a shorter prompt is the dearer one."""
    usage = usage.whole()

    most = price.most_usd(usage.input_tokens + room, usage.output_tokens)

    assert price.cost_usd(usage) <= most * (1 + 1e-12)


@given(price=FLAT, usages=st.lists(USAGES, min_size=1, max_size=4))
def test_what_several_attempts_cost_is_what_their_sum_costs(price: Price, usages: list[Usage]) -> None:
    counted = [asdict(usage.whole()) for usage in usages]
    total = Usage(**{kind: sum(one[kind] for one in counted) for kind in counted[0]})

    assert price.cost_usd(total) == pytest.approx(sum(price.cost_usd(usage) for usage in usages), rel=1e-12)


@given(price=TIERED, usage=USAGES)
def test_a_batch_costs_half_in_every_class_and_at_every_length(price: Price, usage: Usage) -> None:
    assert price.times(0.5).cost_usd(usage) == pytest.approx(price.cost_usd(usage) / 2, rel=1e-12)


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
