"""What happens when a call fails."""

from orchestration_nb.resilience.retry import RetryPolicy, retry_waits

__all__ = ["RetryPolicy", "retry_waits"]
