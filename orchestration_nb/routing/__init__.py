"""Which model is asked: strategies are async functions of ``(request, ask)``."""

from orchestration_nb.routing.cascade import cascade
from orchestration_nb.routing.fallback import answer_with_fallbacks, fallback, models_of
from orchestration_nb.routing.reading import agrees, read_answer
from orchestration_nb.routing.registry import Strategies, strategy
from orchestration_nb.routing.single import single

__all__ = [
    "Strategies",
    "agrees",
    "answer_with_fallbacks",
    "cascade",
    "fallback",
    "models_of",
    "read_answer",
    "single",
    "strategy",
]
