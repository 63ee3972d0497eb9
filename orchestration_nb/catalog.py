"""Models, aliases and prices: every model that can be named.

The catalog holds values only. Who fills it (built-in models, ``orchestrate.toml``, local servers, a price list) is
wired in :mod:`orchestration_nb.workspace`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from orchestration_nb.calls import Usage
from orchestration_nb.errors import UnknownModelError

Ability = Literal["images", "structured", "tools", "streaming"]
"""What a model can do beyond text in, text out."""

ALIASES: Mapping[str, str] = {"fast": "sim/small", "medium": "sim/medium", "strong": "sim/large"}
"""The aliases that always exist. They point at simulated models until somebody points them elsewhere, so that a key
in the environment never turns a simulated run into a paid one."""


_SIZES: Mapping[str, float] = {"small": 0.1, "medium": 1.0, "large": math.inf}
"""Simulated models, and up to which price of a million input tokens, in US dollars, they stand for others."""

BATCH_SHARE = 0.5
"""What a call through a provider's batch API costs of its price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """List price of a model, in US dollars per million tokens."""

    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_usd_per_mtok: float | None = None
    """Input read from the provider's cache; ``None``: like other input."""
    cache_write_usd_per_mtok: float | None = None
    """Input written to the provider's cache; ``None``: like other input."""
    reasoning_usd_per_mtok: float | None = None
    """Output that was thought and not said; ``None``: like other output."""
    source: str = "orchestrate.toml"
    """Where the price comes from."""
    longer: tuple[tuple[int, Price], ...] = ()
    """What holds for prompts above a length: (input tokens, price of all of the call's tokens), shortest first."""

    def at(self, input_tokens: int) -> Price:
        """The price of every token of one call whose prompt has so many tokens; it depends on no length itself."""
        if not self.longer:
            return self
        reached = [price for above, price in self.longer if input_tokens > above]
        return reached[-1] if reached else replace(self, longer=())

    def cost_usd(self, usage: Usage) -> float:
        """What the ``usage`` of one attempt costs, in US dollars."""
        if self.longer:
            return self.at(usage.input_tokens).cost_usd(usage)
        cached = self.input_usd_per_mtok if self.cached_usd_per_mtok is None else self.cached_usd_per_mtok
        write = self.input_usd_per_mtok if self.cache_write_usd_per_mtok is None else self.cache_write_usd_per_mtok
        reasoning = self.output_usd_per_mtok if self.reasoning_usd_per_mtok is None else self.reasoning_usd_per_mtok
        # Never below nothing: some servers count what was cached beside the input instead of within it.
        plain = max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens)
        return (
            plain * self.input_usd_per_mtok
            + usage.cached_tokens * cached
            + usage.cache_write_tokens * write
            + max(0, usage.output_tokens - usage.reasoning_tokens) * self.output_usd_per_mtok
            + usage.reasoning_tokens * reasoning
        ) / 1e6

    def most_usd(self, input_tokens: int, output_tokens: int) -> float:
        """The most that up to so many tokens can cost, in US dollars, however the provider's cache behaves."""
        if self.longer:
            reached = [self.at(0), *(price for above, price in self.longer if input_tokens > above)]
            return max(price.most_usd(input_tokens, output_tokens) for price in reached)
        dearest = max(self.input_usd_per_mtok, self.cached_usd_per_mtok or 0.0, self.cache_write_usd_per_mtok or 0.0)
        dearest_out = max(self.output_usd_per_mtok, self.reasoning_usd_per_mtok or 0.0)
        return (input_tokens * dearest + output_tokens * dearest_out) / 1e6

    def times(self, factor: float) -> Price:
        """The same price for every class of token, times ``factor`` (such as :data:`BATCH_SHARE`)."""

        def scaled(usd: float | None) -> float | None:
            return None if usd is None else usd * factor

        return Price(
            input_usd_per_mtok=self.input_usd_per_mtok * factor,
            output_usd_per_mtok=self.output_usd_per_mtok * factor,
            cached_usd_per_mtok=scaled(self.cached_usd_per_mtok),
            cache_write_usd_per_mtok=scaled(self.cache_write_usd_per_mtok),
            reasoning_usd_per_mtok=scaled(self.reasoning_usd_per_mtok),
            source=self.source,
            longer=tuple((above, price.times(factor)) for above, price in self.longer),
        )


FREE = Price(input_usd_per_mtok=0.0, output_usd_per_mtok=0.0, source="local server")
"""The price of a model on a local server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallbacks:
    """Models that answer when another one cannot, by the kind of its failure; each list is tried in order."""

    error: tuple[str, ...] = ()
    """After any failure but the two below and a request that nobody could read."""
    context_window: tuple[str, ...] = ()
    """After a prompt that was too long."""
    content_policy: tuple[str, ...] = ()
    """After a content that was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model that can be asked."""

    provider: str
    wire_name: str
    """The name as the provider knows it."""
    price: Price | None = None
    context_tokens: int | None = None
    """Most tokens of prompt and reply together, or ``None`` where unknown."""
    max_output_tokens: int | None = None
    """Most tokens that the model can write, or ``None`` where unknown."""
    abilities: frozenset[Ability] = frozenset({"images", "structured", "tools", "streaming"})
    simulated: bool = False
    """No real money is spent: ``sim/...`` and ``replay/...``."""
    recorded: bool = False
    """Its replies are recordings, which the cache need not keep, and which may be others tomorrow: ``replay/...``."""
    fallbacks: Fallbacks | None = None
    """What ``orchestrate.toml`` says shall answer when this model cannot."""

    @property
    def name(self) -> str:
        """``provider/wire_name``: the name in a cell and in the ledger."""
        return f"{self.provider}/{self.wire_name}"


def _no_price(provider: str, wire_name: str) -> Price | None:  # noqa: ARG001 - the form of a price list
    return None


def _nowhere(full: str) -> Model | None:  # noqa: ARG001 - the form of a search
    return None


@dataclass(slots=True, kw_only=True)
class Catalog:
    """All models that can be named, and what the aliases stand for."""

    models: dict[str, Model] = field(default_factory=dict)
    """By full name."""
    aliases: dict[str, str] = field(default_factory=lambda: dict(ALIASES))
    open_providers: frozenset[str] = frozenset()
    """Providers whose models need not be listed to be asked (``openai/any-new-model``)."""
    price_of: Callable[[str, str], Price | None] = _no_price
    """The price list: (provider, wire name) to a price, or ``None``. Asked once per model, when it is first named."""
    search: Callable[[str], Model | None] = _nowhere
    """Full name to a model that is found only when it is named, or ``None``."""
    simulates: bool = False
    """Whether a simulated model answers for each that is not: a dry run that pays nothing."""

    def add(self, models: Iterable[Model]) -> None:
        """Adds models; one of the same name is replaced."""
        self.models.update((model.name, model) for model in models)

    def names(self) -> list[str]:
        """Aliases, then models, as they may be written in a cell."""
        return [*self.aliases, *sorted(self.models)]

    def resolve(self, name: str) -> Model:
        """The model behind a name or alias, its price filled in; where the catalog simulates, what stands for it.

        Raises:
            UnknownModelError: If nothing has that name; the hint names the nearest.
        """
        if not isinstance(name, str):
            hint = "A strategy may write `await ask(request.model or 'medium')`: no model is pinned for most steps."
            raise UnknownModelError(f"A model is named by text, not by {name!r}.", hint=hint)
        full = self.aliases.get(name, name)
        model = self.models.get(full)
        if model is None:
            model = self._open_model(full) or self.search(full)
        if model is None:
            raise self._unknown(name, full)
        if model.price is None:
            model = replace(model, price=self.price_of(model.provider, model.wire_name))
        self.models[full] = model
        return self._stand_in(model) if self.simulates and not model.simulated else model

    def _stand_in(self, model: Model) -> Model:
        """The simulated model that is about as dear, and so about as able, as ``model``."""
        usd = None if model.price is None else model.price.input_usd_per_mtok
        size = "medium" if usd is None else next(size for size, most_usd in _SIZES.items() if usd <= most_usd)
        return self.models[f"sim/{size}"]

    def _open_model(self, full: str) -> Model | None:
        provider, slash, wire_name = full.partition("/")
        if slash and wire_name and provider in self.open_providers:
            return Model(provider=provider, wire_name=wire_name)
        return None

    def _unknown(self, name: str, full: str) -> UnknownModelError:
        near = difflib.get_close_matches(full, [each for each in self.names() if each != full], n=1, cutoff=0.5)
        listing = "`%orchestrate models` lists what can be used."
        hint = f"Did you mean {near[0]!r}? {listing}" if near else listing
        if full != name:
            return UnknownModelError(f"The alias {name!r} stands for {full!r}, and there is no such model.", hint=hint)
        return UnknownModelError(f"There is no model {name!r}.", hint=hint)
