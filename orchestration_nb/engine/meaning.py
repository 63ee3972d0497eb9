"""The semantic cache on the way of a call: asked before a call is paid, told after it was."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from orchestration_nb.calls import RawReply
from orchestration_nb.cost.semantic import Embed, SemanticCache, SemanticHit
from orchestration_nb.engine.bookkeeping import CallBook
from orchestration_nb.engine.payment import Call, price_of
from orchestration_nb.errors import BadRequestError, CallError, CostError, OverBudgetError, OverQuotaError
from orchestration_nb.providers.provider import Embedder


async def find(call: Call, semantic: SemanticCache) -> SemanticHit | None:
    """The reply to a question that means the same, or ``None``; also where the budget has no room to compare.

    Raises:
        PriceUnknownError: If nobody knows what the vectors cost.
    """
    try:
        return await semantic.find(call.request, call.book.model, call.max_tokens, embed=_embed(call, semantic))
    except (OverBudgetError, OverQuotaError):
        return None


async def add(call: Call, semantic: SemanticCache) -> None:
    """Remembers a question that was answered; where that fails, the answer stands all the same."""
    embed = _embed(call, semantic)
    with suppress(CallError, CostError):
        await semantic.add(call.request, call.book.model, call.max_tokens, key=call.book.key, embed=embed)


def _embed(call: Call, semantic: SemanticCache) -> Embed | None:
    """What makes vectors on the run's money, as calls of the same request; ``None`` where words are compared."""
    if not semantic.embeds_by:
        return None
    services = call.run.services

    async def embed(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        model = services.catalog.resolve(semantic.embeds_by)
        provider = services.providers.get(model.provider)
        if not isinstance(provider, Embedder):
            raise BadRequestError(
                f"{model.name} does not embed.", hint='Write embed = "tfidf" under [semantic_cache], or another model.'
            )
        most_tokens = sum(len(text.encode("utf-8", "replace")) for text in texts)
        book = CallBook(call.book.requests, model, f"embed:{call.book.key}", 0)
        try:
            hold = await call.run.budget.reserve(
                price_of(model).most_usd(most_tokens, 0),
                tokens=most_tokens,
                step=call.request.origin.step,
                facts=book.facts(),
            )
            book.begin(0.0, hold)
            book.send()
            try:
                made = await provider.embed(model, texts, timeouts=services.timeouts)
            except BaseException as error:
                book.attempt_failed(error)
                raise
            raw = RawReply(text=f"[{len(made.vectors)} vectors]", usage=replace(made.usage, output_tokens=0))
            book.attempt_answered(raw)
            book.embedded(raw)
        except BaseException as error:
            if not book.is_recorded:
                book.failed(error)
            raise
        return made.vectors

    return embed
