"""The price list: what models cost according to ``genai-prices``, which is bundled and works offline."""

from __future__ import annotations

from collections.abc import Mapping
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
_NOT_BY_TOKEN = ("requests_kcount", "input_mchars", "input_text_messages_kcount", "audio_hours")
"""Prices that are not by the token, and that a :class:`~orchestration_nb.catalog.Price` cannot hold."""


def lookup(provider: str, wire_name: str) -> Price | None:
    """The list price of a model today, or ``None`` where the list does not know it.

    Some models cost more per token once the prompt passes a length. A price here is one number, so it is the one of the
    dearest tier: a budget reckoned with it holds for every prompt, and short prompts to such models are shown dearer
    than they are. ``[models."provider/name"]`` in ``orchestrate.toml`` overrides it.

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
    return _price(price, f"genai-prices {genai_prices.__version__}")


def _price(listed: ModelPrice, source: str) -> Price | None:
    paid_in, paid_out = _dearest(listed.input_mtok), _dearest(listed.output_mtok)
    if paid_in is None or paid_out is None or any(getattr(listed, name, None) for name in _NOT_BY_TOKEN):
        return None
    return Price(
        input_usd_per_mtok=paid_in,
        output_usd_per_mtok=max(paid_out, _dearest(listed.output_reasoning_mtok) or 0.0),
        cached_usd_per_mtok=_dearest(listed.cache_read_mtok),
        cache_write_usd_per_mtok=_dearest(listed.cache_write_mtok),
        source=source,
    )


def _dearest(price: Any) -> float | None:
    """Dollars per million tokens: the number itself, or that of the dearest tier."""
    if price is None:
        return None
    tiers = getattr(price, "tiers", None)
    return float(price) if tiers is None else float(max(price.base, *(tier.price for tier in tiers)))
