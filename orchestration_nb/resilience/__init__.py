"""What happens when a call fails."""

from orchestration_nb.resilience.breaker import Breakers, CircuitStatus
from orchestration_nb.resilience.circuit import BreakerPolicy, Permit
from orchestration_nb.resilience.retry import RetryPolicy, retry_waits

__all__ = ["BreakerPolicy", "Breakers", "CircuitStatus", "Permit", "RetryPolicy", "retry_waits"]
