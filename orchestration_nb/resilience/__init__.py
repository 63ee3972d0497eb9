"""What happens when a call fails, and how fast calls may go so that they do not."""

from orchestration_nb.resilience.breaker import Breakers, CircuitStatus
from orchestration_nb.resilience.circuit import BreakerPolicy, Permit
from orchestration_nb.resilience.deadline import Deadline
from orchestration_nb.resilience.limits import Limits
from orchestration_nb.resilience.retry import RetryPolicy, retry_waits
from orchestration_nb.resilience.turns import ModelLimits, Turn

__all__ = [
    "BreakerPolicy",
    "Breakers",
    "CircuitStatus",
    "Deadline",
    "Limits",
    "ModelLimits",
    "Permit",
    "RetryPolicy",
    "Turn",
    "retry_waits",
]
