"""Models to list for the built-in providers; any other can be asked by its name.

Limits are the providers' own; prices come from the price list.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestration_nb.catalog import Model

_K, _M = 1_000, 1_000_000
_CONTEXT: Mapping[str, Mapping[str, int | None]] = {
    "openai": {
        "gpt-6-sol": 1050 * _K,
        "gpt-6.1-terra": 1050 * _K,
        "gpt-6-luna": 1050 * _K,
        "gpt-5.4-mini": 400 * _K,
        "gpt-4.1": _M,
        "gpt-4.1-mini": _M,
        "gpt-4.1-nano": _M,
    },
    "anthropic": {
        "claude-opus-5-5": _M,
        "claude-sonnet-5-5": _M,
        "claude-haiku-5-5": _M,
        "claude-sonnet-4-6": _M,
        "claude-haiku-4-5": 200 * _K,
    },
    "gemini": {
        "gemini-3.8-flash": _M,
        "gemini-3.5-flash": _M,
        "gemini-3.5-flash-lite": _M,
        "gemini-3.1-flash-lite": _M,
    },
    "openrouter": {
        "deepseek/deepseek-v4-pro": None,
        "meta-llama/llama-3.3-70b-instruct": None,
        "qwen/qwen3.8-27b": _M,
    },
}
"""Tokens of prompt and reply together, where the provider tells, by provider and model."""


def known_models(provider: str) -> tuple[Model, ...]:
    """The models to list for a built-in provider."""
    listed = _CONTEXT.get(provider, {})
    return tuple(Model(provider=provider, wire_name=name, context_tokens=size) for name, size in listed.items())
