"""How each model is spoken to: one adapter per wire format, over one HTTP stack."""

from orchestration_nb.providers.building import build
from orchestration_nb.providers.local import discover
from orchestration_nb.providers.provider import Availability, Embedder, Provider

__all__ = ["Availability", "Embedder", "Provider", "build", "discover"]
