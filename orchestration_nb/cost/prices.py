"""The price list: what models cost according to ``genai-prices``, which is bundled and works offline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestration_nb.catalog import FREE, Price

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

_LOCAL = {"ollama", "lmstudio", "vllm", "llamacpp"}
"""Servers on this machine, whose models cost nothing."""
_LISTED_AS: Mapping[str, str] = {"gemini": "google"}
"""Our names of providers where the list has another."""
_BY_MODEL_ALONE = {"replay"}
"""Providers whose models keep the names that they had elsewhere."""
_CLASSES = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "output_reasoning_mtok")
"""The classes of tokens as the list calls them, in the order of ours."""
_NOT_BY_TOKEN = ("requests_kcount", "input_mchars", "input_text_messages_kcount", "audio_hours")
"""Prices that are not by the token, and that a :class:`~orchestration_nb.catalog.Price` cannot hold."""


def lookup(provider: str, wire_name: str) -> Price | None:
    """The list price of a model today, or ``None`` where the list does not know it.

    Some models cost more per token, for the whole call, once the prompt passes a length: the price knows them all
    (:attr:`~orchestration_nb.catalog.Price.longer`). ``[models."provider/name"]`` in ``orchestrate.toml`` overrides it.

    Importing the list takes a second, which the first question pays.

    Args:
        provider: Name of the provider. Another host under a name of its own is never guessed at.
        wire_name: The model as the provider knows it.
    """
    if provider in _LOCAL:
        return FREE
    import genai_prices  # noqa: PLC0415 - takes a second

    listed = None if provider in _BY_MODEL_ALONE else _LISTED_AS.get(provider, provider)
    usage = genai_prices.Usage(input_tokens=1, output_tokens=1)
    try:
        price = genai_prices.calc_price(usage, wire_name, provider_id=listed).model_price
    except (LookupError, ValueError):
        return None
    return _price(price, f"genai-prices {genai_prices.__version__}", embeds="embed" in wire_name)


def _price(listed: ModelPrice, source: str, *, embeds: bool) -> Price | None:
    if any(getattr(listed, name, None) for name in _NOT_BY_TOKEN):
        return None
    flat = _price_above(None, listed, source, embeds=embeds)
    lengths = sorted({tier.start for name in _CLASSES for tier in getattr(getattr(listed, name), "tiers", ())})
    longer = [(above, _price_above(above, listed, source, embeds=embeds)) for above in lengths]
    return flat and replace(flat, longer=tuple((above, price) for above, price in longer if price is not None))


def _price_above(length: int | None, listed: ModelPrice, source: str, *, embeds: bool) -> Price | None:
    """What holds for prompts of more than ``length`` tokens, up to the next tier; ``None``: for the shortest."""
    paid_in, paid_out, cached, cache_write, reasoning = (_usd(getattr(listed, name), length) for name in _CLASSES)
    if paid_out is None and embeds:
        paid_out = 0.0  # vectors are not charged for
    if paid_in is None or paid_out is None:
        return None
    return Price(
        input_usd_per_mtok=paid_in,
        output_usd_per_mtok=paid_out,
        cached_usd_per_mtok=cached,
        cache_write_usd_per_mtok=cache_write,
        reasoning_usd_per_mtok=reasoning,
        source=source,
    )


def _usd(price: Any, length: int | None) -> float | None:
    """Dollars per million tokens: the number itself, or that of the tier that prompts above ``length`` fall into."""
    if price is None:
        return None
    reached = [tier.price for tier in getattr(price, "tiers", ()) if length is not None and tier.start <= length]
    return float(reached[-1] if reached else getattr(price, "base", price))
