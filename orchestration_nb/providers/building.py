"""All providers, from what ``orchestrate.toml`` and the environment say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from orchestration_nb.calls import RawReply, Request, Timeouts
from orchestration_nb.catalog import Model
from orchestration_nb.config import ProviderSettings, Settings
from orchestration_nb.errors import ConfigError, NotAuthorisedError
from orchestration_nb.providers.anthropic_messages import VERSION, AnthropicMessages
from orchestration_nb.providers.batch_http import BatchHttp
from orchestration_nb.providers.batches import BatchApi
from orchestration_nb.providers.batches_anthropic import AnthropicBatches
from orchestration_nb.providers.batches_openai import OpenAIBatches
from orchestration_nb.providers.formats import Format
from orchestration_nb.providers.gemini_content import GeminiContent
from orchestration_nb.providers.hosted import Batching, HostedProvider
from orchestration_nb.providers.keys import OFFICIAL, allowed_key
from orchestration_nb.providers.known import known_models
from orchestration_nb.providers.local import LOCAL_SERVERS, LocalProvider
from orchestration_nb.providers.openai_chat import OpenAIChat
from orchestration_nb.providers.provider import Availability, Provider
from orchestration_nb.providers.recorded_files import RecordedFiles
from orchestration_nb.providers.replay import Recordings, ReplayProvider
from orchestration_nb.providers.simulated import SimProvider
from orchestration_nb.providers.tls import proxy_for
from orchestration_nb.providers.wire import BaseUrl, Headers, Wire

_AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com", ".azure-api.net")
_LIMITS: Mapping[str, Literal["max_tokens", "max_completion_tokens"]] = {
    "api.openai.com": "max_completion_tokens",
    "openrouter.ai": "max_tokens",
}
"""Hosts that take one name of the limit for all models."""
_BATCH_PRICES: Mapping[str, float] = {"api.openai.com": 0.5, "api.anthropic.com": 0.5}
"""Hosts whose batch API is known, with what it costs as a share of the list price."""
_OURS = {
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "accept-encoding",
    "authorization",
    "proxy-authorization",
    "api-key",
    "x-api-key",
    "x-goog-api-key",
}
"""Headers that the toolkit sets itself."""
_TAKEN = {"sim", "replay"}
_LOCAL_KINDS = {server.name: "openai" for server in LOCAL_SERVERS}


def build(
    settings: Settings,
    environ: Mapping[str, str],
    *,
    trusted: bool,
    folder: Path | None = None,
    recorded: Recordings | None = None,
) -> dict[str, Provider]:
    """All providers by name: the built-in ones, those of ``orchestrate.toml``, local servers, ``replay`` and ``sim``.

    A provider that may not be asked (see :mod:`~orchestration_nb.providers.keys`) is there all the same: it says why in
    its availability and refuses each call with that sentence, and does not stand in the way of the others.

    Args:
        settings: What ``orchestrate.toml`` says.
        environ: Where keys and proxies are looked up, keys at each call.
        trusted: Whether the user trusts the file as it stands.
        folder: The workspace, from which a relative folder of recorded replies is found.
        recorded: Where ``replay`` answers from unless the settings name a folder of files.

    Raises:
        ConfigError: If the file gives a name that is taken to a provider.
        UsageError: If the shares of simulated faults add up to more than 1.
    """
    taken = _TAKEN & settings.providers.keys()
    if taken:
        raise ConfigError(f"[providers.{min(taken)}]: this name is taken by the toolkit.", hint="Choose another name.")
    providers: dict[str, Provider] = {server.name: LocalProvider(server) for server in LOCAL_SERVERS}
    for name in {**OFFICIAL, **settings.providers}:
        own = settings.providers.get(name, ProviderSettings())
        try:
            providers[name] = hosted(name, own, environ, trusted=trusted, models=_listed(name, settings))
        except ConfigError as error:
            providers[name] = RefusedProvider(name, error)
    if settings.replay.folder:
        recorded = RecordedFiles((folder or Path()) / Path(settings.replay.folder).expanduser())
    if recorded is not None:
        providers["replay"] = ReplayProvider(recorded)
    providers["sim"] = SimProvider(settings.sim, folder)
    return providers


def _listed(name: str, settings: Settings) -> tuple[Model, ...]:
    """The models of one provider that the file has something to say about."""
    names = (full.partition("/") for full in settings.models)
    return tuple(Model(provider=name, wire_name=wire_name) for provider, _, wire_name in names if provider == name)


def hosted(
    name: str,
    own: ProviderSettings,
    environ: Mapping[str, str],
    *,
    trusted: bool,
    models: Sequence[Model] = (),
) -> HostedProvider:
    """The provider of one host.

    Raises:
        ConfigError: If its settings are not enough, or ask for what is not allowed.
    """
    official = OFFICIAL.get(name)
    address = own.base_url or (official.base_url if official else None)
    usual = official.kind if official else _LOCAL_KINDS.get(name)
    kind = own.kind or usual
    if address is None or kind is None:
        missing = "base_url" if address is None else "kind"
        raise ConfigError(f"[providers.{name}] has no {missing}.", hint='kind is "openai", "anthropic" or "gemini".')
    base_url = BaseUrl.parse(address)
    key = allowed_key(name, own, base_url, environ, trusted=trusted)
    proxy = proxy_for("https" if base_url.tls else "http", base_url.host, environ)
    headers = _headers(name, own.headers)
    if kind == "anthropic":
        headers = [*headers, (b"anthropic-version", VERSION.encode("ascii"))]
    wire = Wire(base_url, who=name, headers=headers, proxy=proxy)
    if official and base_url == BaseUrl.parse(official.base_url):
        models = (*known_models(name), *models)
    return HostedProvider(
        name=name,
        format=_format(kind, base_url),
        wire=wire,
        key=key,
        models=models,
        stream=own.stream,
        batching=_batching(kind, own.batch_price or _BATCH_PRICES.get(base_url.host)),
    )


def _format(kind: str, base_url: BaseUrl) -> Format:
    if kind == "anthropic":
        return AnthropicMessages()
    if kind == "gemini":
        return GeminiContent()
    if base_url.host.endswith(_AZURE):
        return OpenAIChat(key_header="api-key", limit="max_completion_tokens")
    return OpenAIChat(limit=_LIMITS.get(base_url.host))


def _batching(kind: str, price: float | None) -> Batching | None:
    forms: Mapping[str, Callable[[BatchHttp, float], BatchApi]] = {
        "openai": OpenAIBatches,
        "anthropic": AnthropicBatches,
    }
    speak = forms.get(kind)
    return Batching(price_factor=price, speak=speak) if speak and price else None


def _headers(name: str, headers: Mapping[str, str]) -> Headers:
    for header, value in headers.items():
        token = header.replace("-", "").replace("_", "")
        if header.lower() in _OURS:
            raise ConfigError(f"[providers.{name}] sets the header {header}, which the toolkit sets itself.")
        if not (token.isascii() and token.isalnum() and value.isascii() and value.isprintable()):
            raise ConfigError(f"[providers.{name}] sets the header {header!r}, which HTTP cannot carry.")
    return [(header.encode("ascii"), value.strip().encode("ascii")) for header, value in headers.items()]


class RefusedProvider:
    """Stands for a provider that may not be asked."""

    def __init__(self, name: str, reason: ConfigError) -> None:
        self.name = name
        self._reason = reason

    async def send(self, model: Model, request: Request, *, timeouts: Timeouts) -> RawReply:  # noqa: ARG002
        """Refuses, before anything is sent.

        Raises:
            NotAuthorisedError: Always.
        """
        raise NotAuthorisedError(str(self._reason), hint=self._reason.hint)

    def availability(self) -> Availability:
        """Not usable, with the reason and the way out."""
        return Availability(usable=False, why=f"{self._reason} {self._reason.hint}".strip(" ."), where="")

    def models(self) -> Sequence[Model]:
        """None."""
        return ()

    async def close(self) -> None:
        """Nothing is open."""
