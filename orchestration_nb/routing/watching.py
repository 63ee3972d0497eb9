"""Strategies that look at how the models are doing and take the best placed one.

They read ``request.stats(model)``, which is recorded with the decision. A model that fails most of its calls comes
last; what was measured is forgotten after five minutes, so that it is then tried again. Where the model that was taken
cannot answer, the next best does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from orchestration_nb.calls import Ask, ModelStats, Reply, Request, Strategy
from orchestration_nb.routing.fallback import answer_in_order
from orchestration_nb.routing.making import checked_models, made
from orchestration_nb.routing.registry import STRATEGIES

_FAILING: Final = 0.5
"""Share of failed calls from which on a model comes last."""
_FEWEST_CALLS: Final = 3
"""Fewer say nothing of that."""
_PROBES: Final = 2
"""Calls under way to a model whose latency nobody knows yet; more would wait for what may be a slow one."""
_BYTES_PER_TOKEN: Final = 4
_USUAL_OUTPUT_TOKENS: Final = 256

_Measure = Callable[[ModelStats, Request], tuple[tuple[float, ...], str]]
"""What a model is ranked by, the lowest first, and the same in words."""


def least_busy(*models: str) -> Strategy:
    """The model with the fewest calls in flight answers; of equals the one that was asked least of late.

    Raises:
        UsageError: If fewer than two models are named.
    """
    return _lowest("least_busy", models, _busy)


def lowest_latency(*models: str) -> Strategy:
    """The model with the lowest median latency of the last five minutes answers; unmeasured ones are tried first.

    Raises:
        UsageError: If fewer than two models are named.
    """
    return _lowest("lowest_latency", models, _latency)


def lowest_cost(*models: str) -> Strategy:
    """The model with the lowest list price for a request of this length answers; unknown prices come last.

    All are reckoned to write as much: at most 256 tokens.

    Raises:
        UsageError: If fewer than two models are named.
    """
    return _lowest("lowest_cost", models, _cost)


def usage_based(*models: str) -> Strategy:
    """The model that read and wrote the fewest tokens in the last minute answers, which keeps clear of rate limits.

    Raises:
        UsageError: If fewer than two models are named.
    """
    return _lowest("usage_based", models, _usage)


def _lowest(maker: str, models: tuple[str, ...], measure: _Measure) -> Strategy:
    names = checked_models(maker, models, least=2, example=f'{maker}("fast", "medium")')

    async def takes_the_lowest(request: Request, ask: Ask) -> Reply:
        """Asks the model that is best placed just now."""
        placed = []
        for name in names:
            stats = request.stats(name)
            key, words = measure(stats, request)
            failing = stats.calls >= _FEWEST_CALLS and stats.failure_rate >= _FAILING
            told = f"{name} {words}" + (f" (fails {stats.failure_rate:.0%} of its calls)" if failing else "")
            placed.append((failing, key, name, told))
        placed.sort(key=lambda each: each[:2])
        request.decision.candidates.extend(names)
        request.decision.reason = f"{placed[0][2]} is best placed: {', '.join(each[3] for each in placed)}"
        return await answer_in_order([each[2] for each in placed], request, ask)

    return made(takes_the_lowest, f"{maker}({', '.join(names)})", names)


def _busy(stats: ModelStats, _request: Request) -> tuple[tuple[float, ...], str]:
    return (stats.in_flight, stats.calls), f"has {stats.in_flight} in flight"


def _latency(stats: ModelStats, _request: Request) -> tuple[tuple[float, ...], str]:
    if stats.latency_ms is None:
        return (0.0 if stats.in_flight < _PROBES else 2.0, stats.in_flight), "was not measured yet"
    return (1.0, stats.latency_ms), f"took {stats.latency_ms:,.0f} ms"


def _cost(stats: ModelStats, request: Request) -> tuple[tuple[float, ...], str]:
    read, written = stats.input_usd_per_mtok, stats.output_usd_per_mtok
    if read is None or written is None:
        return (1.0, 0.0), "has no known price"
    size = sum(len(message.text) for message in request.messages) + len(request.system or "")
    usd = (size / _BYTES_PER_TOKEN * read + min(request.max_tokens, _USUAL_OUTPUT_TOKENS) * written) / 1e6
    return (0.0, usd), f"costs about ${usd * 1000:.3g} per 1,000 of these"


def _usage(stats: ModelStats, _request: Request) -> tuple[tuple[float, ...], str]:
    return (stats.tokens_per_minute, stats.in_flight), f"took {stats.tokens_per_minute:,.0f} tokens in the last minute"


for _maker in (least_busy, lowest_latency, lowest_cost, usage_based):
    STRATEGIES.add_maker(_maker)
