"""How long a simulated model takes: log-normal, through the median and the 95th percentile measured on real ones."""

from __future__ import annotations

import math
from collections.abc import Mapping

from orchestration_nb.providers.sim.dice import normal

MEASURED_MS: Mapping[str, tuple[float, float]] = {"small": (770, 1250), "medium": (900, 2530), "large": (1500, 2910)}
"""Median and 95th percentile, by model."""

USUAL_TOKENS: Mapping[str, int] = {"small": 160, "medium": 230, "large": 170}
"""Length of a reply for which the measured median holds."""

FIRST_TOKEN_SHARE = 0.35
"""Share of the whole time after which the first token comes."""

_Z95 = 1.6449
_LENGTH_POWER = 0.15


def latency_ms(model: str, prompt_digest: str, sample: str, output_tokens: int) -> float:
    """Milliseconds until the whole reply is there: the same for the same model, prompt and sample.

    A reply ten times as long takes 1.4 times as long: most of what was measured is waiting, not writing.
    """
    median, p95 = MEASURED_MS[model]
    sigma = math.log(p95 / median) / _Z95
    length: float = (max(output_tokens, 1) / USUAL_TOKENS[model]) ** _LENGTH_POWER
    return median * length * math.exp(sigma * normal("latency", model, prompt_digest, sample))
