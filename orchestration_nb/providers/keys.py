"""Keys, and who may be sent one.

A key is read from the environment at the moment of sending and held nowhere. It goes only to its provider's own host,
over TLS. Another host needs a key under a name of its own, and a workspace file that the user trusts: a file that came
with a clone could otherwise name its own host and receive whatever the environment holds. Where the user trusts a file
that names a plain ``http`` host in their own network, its key goes there as they wish.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestration_nb.config import ProviderSettings
from orchestration_nb.errors import ConfigError, NotAuthorisedError
from orchestration_nb.providers.tls import is_loopback
from orchestration_nb.providers.wire import BaseUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class Official:
    """A provider that is known by name."""

    kind: str
    base_url: str
    key_names: tuple[str, ...]


OFFICIAL: Mapping[str, Official] = {
    "openai": Official(kind="openai", base_url="https://api.openai.com/v1", key_names=("OPENAI_API_KEY",)),
    "anthropic": Official(kind="anthropic", base_url="https://api.anthropic.com", key_names=("ANTHROPIC_API_KEY",)),
    "gemini": Official(
        kind="gemini",
        base_url="https://generativelanguage.googleapis.com",
        key_names=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    ),
    "openrouter": Official(kind="openai", base_url="https://openrouter.ai/api/v1", key_names=("OPENROUTER_API_KEY",)),
}
"""The built-in providers, their own hosts, and where their keys are looked for."""


class Key:
    """A key by its name; the value is looked up when it is needed and shows in no ``repr``."""

    __slots__ = ("_environ", "names")

    def __init__(self, environ: Mapping[str, str], names: tuple[str, ...]) -> None:
        self._environ = environ
        self.names = names

    def __repr__(self) -> str:
        return f"Key({' or '.join(self.names) or 'none'}, {'set' if self.is_set else 'not set'})"

    @property
    def is_set(self) -> bool:
        """Whether the environment holds it now."""
        return bool(self._value())

    @property
    def name(self) -> str | None:
        """The name under which it is found, else the first it may have; ``None`` for a host that needs no key."""
        return next((name for name in self.names if self._environ.get(name, "").strip()), next(iter(self.names), None))

    def reveal(self) -> str:
        """The key itself, or an empty string for a host that needs none.

        Raises:
            NotAuthorisedError: If it is not set, or holds what no header can carry.
        """
        value = self._value()
        if self.names and not value:
            name = self.names[0]
            raise NotAuthorisedError(f"There is no key: {name} is not set.", hint=f"Set {name} in the environment.")
        if not value.isascii() or not value.isprintable() or " " in value:
            raise NotAuthorisedError(
                f"The key in {self.names[0]} holds a space, a line break or a letter that keys never have.",
                hint="Copy it again.",
            )
        return value

    def _value(self) -> str:
        return next((value for name in self.names if (value := self._environ.get(name, "").strip())), "")


def allowed_key(
    name: str, settings: ProviderSettings, base_url: BaseUrl, environ: Mapping[str, str], *, trusted: bool
) -> Key:
    """The key that may be sent to ``base_url``.

    Args:
        name: Name of the provider.
        settings: What the workspace file says of it.
        base_url: Where it leads.
        environ: Where keys are.
        trusted: Whether the user trusts the workspace file as it stands.

    Raises:
        ConfigError: If the file asks for what is not allowed.
    """
    official = OFFICIAL.get(name)
    home = BaseUrl.parse(official.base_url) if official else None
    at_home = home is not None and (base_url.tls, base_url.host, base_url.port) == (home.tls, home.host, home.port)
    own = settings.key_env
    if official and at_home and own in {None, *official.key_names}:
        return Key(environ, (own,) if own else official.key_names)
    if not trusted and (own or not is_loopback(base_url.host)):
        wish = f"send the key {own} to {base_url.host}" if own else f"send prompts to {base_url.host}"
        raise ConfigError(
            f"orchestrate.toml wants to {wish} as provider {name!r}, and is not trusted.",
            hint="Read the file; if it may, run `orchestrate trust`.",
        )
    if own is None:
        return Key(environ, ())
    for other, known in OFFICIAL.items():
        if own in known.key_names:
            raise ConfigError(
                f"provider {name!r} would send {own}, the key of {other}, to {base_url.host}.",
                hint="Another host needs a key under a name of its own: see key_env.",
            )
    return Key(environ, (own,))
