"""Every model that a workspace knows: with the prices and limits of its settings, and whether it can be used now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestration_nb.catalog import ALIASES, Catalog, Fallbacks, Model, Price
from orchestration_nb.config import ModelSettings, Settings
from orchestration_nb.cost import prices
from orchestration_nb.providers import Availability, Provider

CLOSED = frozenset({"sim", "replay"})
"""Providers whose models are simulated, and all listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """One line of ``%orchestrate models``."""

    name: str
    aliases: tuple[str, ...]
    usable: bool
    why: str
    """Why it cannot be used, or where it is."""
    price: Price | None
    simulated: bool


def catalog_of(settings: Settings, providers: Mapping[str, Provider]) -> Catalog:
    """All models of the providers, as the settings have them."""
    catalog = Catalog(
        aliases={**ALIASES, **settings.aliases},
        open_providers=frozenset(providers) - CLOSED,
        price_of=prices.lookup,
    )
    for provider in providers.values():
        catalog.add(provider.models())
    for name, override in settings.models.items():
        catalog.add([overridden(catalog, name, override)])
    return catalog


def overridden(catalog: Catalog, name: str, override: ModelSettings) -> Model:
    """A model with the price, limits and fallbacks that the settings give it."""
    provider, _, wire_name = name.partition("/")
    known = catalog.models.get(name) or Model(provider=provider, wire_name=wire_name, simulated=provider in CLOSED)
    price = known.price
    if override.input_usd_per_mtok is not None and override.output_usd_per_mtok is not None:
        price = Price(
            input_usd_per_mtok=override.input_usd_per_mtok,
            output_usd_per_mtok=override.output_usd_per_mtok,
            cached_usd_per_mtok=override.cached_usd_per_mtok,
            cache_write_usd_per_mtok=override.cache_write_usd_per_mtok,
            reasoning_usd_per_mtok=override.reasoning_usd_per_mtok,
        )
    return replace(
        known,
        price=price,
        context_tokens=override.context_tokens or known.context_tokens,
        max_output_tokens=override.max_output_tokens or known.max_output_tokens,
        fallbacks=_fallbacks(override),
    )


def _fallbacks(override: ModelSettings) -> Fallbacks | None:
    if not (override.fallback or override.context_window_fallback or override.content_policy_fallback):
        return None
    return Fallbacks(
        error=override.fallback,
        context_window=override.context_window_fallback,
        content_policy=override.content_policy_fallback,
    )


def status_of(model: Model, aliases: tuple[str, ...], available: Mapping[str, Availability]) -> ModelStatus:
    """Whether a model can be used, and why not.

    Args:
        model: The model.
        aliases: What stands for it.
        available: By the provider's name, whether that can be used.
    """
    here = available.get(model.provider)
    usable = here is not None and here.usable
    why = "no such provider" if here is None else (here.where if usable else here.why)
    if usable and model.price is None:
        why = f"{why}; no price known: give one in orchestrate.toml"
    return ModelStatus(
        name=model.name, aliases=aliases, usable=usable, why=why, price=model.price, simulated=model.simulated
    )
