"""All providers, from what the settings and the environment say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestration_nb.config import Settings
from orchestration_nb.cost.prices import lookup
from orchestration_nb.errors import ConfigError
from orchestration_nb.providers import Provider, build


def built(environ: dict[str, str] | None = None, **settings: Any) -> dict[str, Provider]:
    return build(Settings.model_validate(settings), environ or {}, trusted=True)


def test_the_built_in_providers_are_there_and_say_what_is_missing() -> None:
    providers = built()
    assert {"openai", "anthropic", "gemini", "openrouter", "ollama", "lmstudio", "vllm", "llamacpp"} <= providers.keys()
    assert "replay" not in providers
    for name in ("openai", "anthropic", "gemini", "openrouter"):
        state = providers[name].availability()
        assert not state.usable
        assert state.why.endswith("_API_KEY is not set")
    assert built({"ANTHROPIC_API_KEY": "k"})["anthropic"].availability().usable


def test_every_listed_model_has_a_price_and_the_right_provider() -> None:
    for name in ("openai", "anthropic", "gemini", "openrouter"):
        models = built()[name].models()
        assert len(models) >= 3
        for model in models:
            assert model.provider == name
            assert not model.simulated
            assert lookup(model.provider, model.wire_name) is not None, model.name


def test_a_custom_provider_lists_the_models_that_the_settings_speak_of() -> None:
    house = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}
    providers = built(
        providers={"house": house}, models={"house/meta/large": {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}}
    )
    assert [model.name for model in providers["house"].models()] == ["house/meta/large"]
    assert providers["house"].availability().usable
    assert providers["house"].availability().where == "127.0.0.1:9"


def test_a_local_server_may_stand_elsewhere() -> None:
    providers = built(providers={"ollama": {"base_url": "http://gpu-box.example.com:11434/v1"}})
    assert providers["ollama"].availability().where == "gpu-box.example.com:11434"


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ({"base_url": "http://127.0.0.1:9"}, "has no kind"),
        ({"kind": "openai"}, "has no base_url"),
        ({"kind": "openai", "base_url": "127.0.0.1:9"}, "not of the form"),
        ({"kind": "openai", "base_url": "http://127.0.0.1:9", "headers": {"Authorization": "x"}}, "sets itself"),
        ({"kind": "openai", "base_url": "http://127.0.0.1:9", "headers": {"host": "x"}}, "sets itself"),
        ({"kind": "openai", "base_url": "http://127.0.0.1:9", "headers": {"x": "a\r\nb: c"}}, "cannot carry"),
        ({"kind": "openai", "base_url": "http://127.0.0.1:9", "headers": {"x y": "a"}}, "cannot carry"),
    ],
)
def test_settings_that_cannot_be_used_are_told_where_models_are_listed(own: dict[str, Any], why: str) -> None:
    state = built(providers={"house": own})["house"].availability()
    assert not state.usable
    assert why in state.why


@pytest.mark.parametrize("name", ["sim", "replay"])
def test_the_names_of_the_toolkit_are_taken(name: str) -> None:
    with pytest.raises(ConfigError, match="taken"):
        built(providers={name: {"kind": "openai", "base_url": "http://127.0.0.1:9"}})


def test_a_folder_of_recorded_replies_is_found_from_the_workspace(tmp_path: Path) -> None:
    settings = Settings.model_validate({"replay": {"folder": "recorded"}})
    providers = build(settings, {}, trusted=False, folder=tmp_path)
    assert providers["replay"].availability().where == str(tmp_path / "recorded")


def test_azure_is_spoken_to_in_its_dialect() -> None:
    from orchestration_nb.providers.building import _format
    from orchestration_nb.providers.openai_chat import OpenAIChat
    from orchestration_nb.providers.wire import BaseUrl

    url = "https://house.openai.azure.com/openai/deployments/d?api-version=2026-01-01"
    assert _format("openai", BaseUrl.parse(url)) == OpenAIChat(key_header="api-key", limit="max_completion_tokens")
    assert _format("openai", BaseUrl.parse("https://azure.com.example.com")) == OpenAIChat()
    assert _format("openai", BaseUrl.parse("https://openrouter.ai/api/v1")) == OpenAIChat(limit="max_tokens")
