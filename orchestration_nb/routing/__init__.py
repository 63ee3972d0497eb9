"""Which model is asked: strategies are async functions of ``(request, ask)``."""

from orchestration_nb.routing.agreement import agreement
from orchestration_nb.routing.cascade import cascade
from orchestration_nb.routing.complexity import complexity, read_complexity
from orchestration_nb.routing.fallback import answer_with_fallbacks, fallback, models_of
from orchestration_nb.routing.hedged import hedged
from orchestration_nb.routing.reading import agrees, read_answer
from orchestration_nb.routing.registry import Strategies, strategy
from orchestration_nb.routing.shadow import shadow
from orchestration_nb.routing.single import single
from orchestration_nb.routing.voting import best_of_n, majority_vote
from orchestration_nb.routing.watching import least_busy, lowest_cost, lowest_latency, usage_based
from orchestration_nb.routing.weighted import round_robin, weighted

__all__ = [
    "Strategies",
    "agreement",
    "agrees",
    "answer_with_fallbacks",
    "best_of_n",
    "cascade",
    "complexity",
    "fallback",
    "hedged",
    "least_busy",
    "lowest_cost",
    "lowest_latency",
    "majority_vote",
    "models_of",
    "read_answer",
    "read_complexity",
    "round_robin",
    "shadow",
    "single",
    "strategy",
    "usage_based",
    "weighted",
]
