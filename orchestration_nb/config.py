"""``orchestrate.toml`` -> :class:`Settings`: what the user may set, with a default for everything.

::

    budget_usd = 5.0                 # holds for a run without --budget
    concurrency = 32                 # calls in flight in one run

    [aliases]
    fast = "openai/gpt-4.1-mini"

    [providers.house]                # any host that speaks a known wire format
    kind = "openai"                  # or "anthropic", "gemini"
    base_url = "https://llm.example.com/v1"
    key_env = "HOUSE_KEY"            # name of the variable that holds the key

    [models."house/large"]
    input_usd_per_mtok = 1.2
    output_usd_per_mtok = 4.0

    [models."openai/gpt-4.1"]
    fallback = ["anthropic/claude-sonnet-4-5"]          # when it fails
    context_window_fallback = ["gemini/gemini-2.5-pro"]  # when the prompt is too long for it

    [limits."openai"]                # of a provider, one model, or a key (OPENAI_API_KEY); for all processes together
    requests_per_minute = 500
    tokens_per_minute = 200_000
    concurrent = 20

    [strategies.careful]             # --strategy careful, and llm(..., strategy="careful")
    use = "cascade"                  # or weighted, hedged, majority_vote, ...: `%orchestrate strategies`
    models = ["fast", "strong"]      # then its options by name: n = 5, after_ms = 800, shares = {fast = 8, strong = 2}

    [budgets.support-month]          # beside the run's own
    usd = 100.0
    per = "tag:team"                 # workspace, run, step, flow, notebook, pipeline, user, tag:NAME; each has one
    only = "support"                 # leave away: each team has as much
    period = "month"                 # day, month; leave away: for ever
    reached = "pause"                # reject, pause or alert

    [quotas.each-user]
    requests = 5000
    per = "user"
    period = "day"

    [watch]                          # alerts after each headless run of a notebook
    error_rate = 0.05
    [watch."daily.ipynb"]
    cost_usd = 4.0

A workspace file that came with a clone is untrusted until ``orchestrate trust``: see :func:`is_trusted`.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from orchestration_nb.errors import ConfigError, WorkspaceError
from orchestration_nb.whence import FILE_NAME as FILE_NAME  # noqa: PLC0414 - settings and their file go together
from orchestration_nb.whence import find_workspace as find_workspace  # noqa: PLC0414

Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProviderSettings(_Section):
    """``[providers.NAME]``."""

    kind: Literal["openai", "anthropic", "gemini"] | None = None
    """The wire format; may be left out for the built-in names."""
    base_url: str | None = None
    key_env: str | None = None
    """Name of the environment variable that holds the key, never the key."""
    stream: bool = False
    """Ask for streamed replies: measures the time to the first token, and notices a stalled reply early."""
    headers: dict[str, str] = {}
    """Further headers; a value is sent as it stands, so no secrets here."""
    batch_price: Annotated[float, Field(gt=0, le=1)] | None = None
    """What a request costs through the host's batch API, as a share of the list price; ``None``: 0.5 for OpenAI and
    Anthropic at their own addresses, and no batch API elsewhere."""


class ModelSettings(_Section):
    """``[models."provider/name"]``: prices and limits that override what is known."""

    input_usd_per_mtok: Usd | None = None
    output_usd_per_mtok: Usd | None = None
    cached_usd_per_mtok: Usd | None = None
    cache_write_usd_per_mtok: Usd | None = None
    reasoning_usd_per_mtok: Usd | None = None
    context_tokens: Count | None = None
    max_output_tokens: Count | None = None
    fallback: tuple[str, ...] = ()
    """Models or aliases that answer when this one fails, in order."""
    context_window_fallback: tuple[str, ...] = ()
    """Those that answer when the prompt is too long for this one."""
    content_policy_fallback: tuple[str, ...] = ()
    """Those that answer when the content was refused."""

    @model_validator(mode="after")
    def _refuse_half_a_price(self) -> Self:
        said = {name for name, usd in self if name.endswith("_usd_per_mtok") and usd is not None}
        if said and not {"input_usd_per_mtok", "output_usd_per_mtok"} <= said:
            raise ValueError("a price needs both input_usd_per_mtok and output_usd_per_mtok")
        return self


class LimitSettings(_Section):
    """``[limits."provider"]``, ``[limits."provider/name"]`` or ``[limits."KEY_NAME"]`` (the variable that holds a key).

    What all processes of the workspace together may send.
    """

    requests_per_second: Count | None = None
    requests_per_minute: Count | None = None
    requests_per_day: Count | None = None
    tokens_per_minute: Count | None = None
    tokens_per_day: Count | None = None
    concurrent: Count | None = None
    """Most calls in flight at once."""

    @model_validator(mode="after")
    def _refuse_nothing(self) -> Self:
        if all(most is None for _, most in self):
            raise ValueError("it limits nothing; write requests_per_minute = 500, say")
        return self


Reached = Literal["reject", "pause", "alert"]
"""What happens at a budget's end: the call fails, the run waits for a person, or somebody is told and it goes on."""
Period = Literal["day", "month"]
Per = Annotated[str, Field(pattern=r"^(workspace|run|step|flow|notebook|pipeline|user|tag:[A-Za-z_][\w.-]*)$")]


class _Allowance(_Section):
    per: Per = "workspace"
    """What has an account of its own: the workspace as a whole, or each run, step, flow, notebook, user, tag value, or
    each headless run of a notebook (``pipeline``), its retries and resumptions included."""
    only: str | None = None
    """The one flow, step, notebook, user or tag value that it holds for; ``None``: each has as much."""
    period: Period | None = None
    """When it begins anew (UTC); ``None``: never."""

    @model_validator(mode="after")
    def _refuse_only_for_all(self) -> Self:
        if self.only is not None and self.per == "workspace":
            raise ValueError(f"only = {self.only!r} needs a per that says what {self.only!r} is, such as per = 'flow'")
        return self


class BudgetSettings(_Allowance):
    """``[budgets.NAME]``."""

    usd: Usd
    reached: Reached = "reject"


class QuotaSettings(_Allowance):
    """``[quotas.NAME]``: requests that may be sent, and tokens that they may cost."""

    requests: Count | None = None
    tokens: Count | None = None

    @model_validator(mode="after")
    def _refuse_nothing(self) -> Self:
        if self.requests is None and self.tokens is None:
            raise ValueError("a quota says how many requests or tokens")
        return self


class DagNodeSettings(_Section):
    """``[dags.NAME.NODE]``: a notebook of a graph of notebooks."""

    notebook: str
    """Its file, relative to the workspace."""
    after: tuple[Name, ...] = ()
    """The nodes that must be done before it begins."""
    parameters: dict[Name, Any] = {}


class StrategySettings(BaseModel):
    """``[strategies.NAME]``: a strategy with its models and options, under a name of its own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    use: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
    """What makes it: ``cascade``, ``weighted``, ``hedged``, ..."""
    models: tuple[str, ...] = ()
    """Models or aliases, in the order in which it takes them."""
    shares: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
    """Model or alias to its weight, for ``weighted``."""

    @property
    def options(self) -> dict[str, str | float]:
        """All else that is said, by name: numbers and texts."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _refuse_what_is_no_option(self) -> Self:
        odd = [name for name, value in self.options.items() if not isinstance(value, str | int | float)]
        if odd:
            raise ValueError(f"{odd[0]} is neither a number nor a text")
        return self


class BreakerSettings(_Section):
    """``[breaker]``: when a model that fails is left alone for a while."""

    failure_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of failed attempts in the window that opens the circuit."""
    window_s: Seconds = 30.0
    min_calls: Count = 20
    """Fewer attempts in the window open nothing."""
    probe_after_s: Seconds = 10.0
    """How long it stays open before one call probes the model."""


class SemanticSettings(_Section):
    """``[semantic_cache]``: answer from the reply to a question that means the same. Off unless asked for."""

    enabled: bool = False
    embed: str = "tfidf"
    """``tfidf`` (local, free) or a model that embeds, such as ``openai/text-embedding-3-small``."""
    false_hit_rate: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Share of different questions that may be taken for the same; the threshold is chosen for it."""
    pairs: str | None = None
    """CSV file with ``left, right, same`` to choose the threshold on; ``None``: the shipped pairs."""


class BatchSettings(_Section):
    """``[batch]``: how ``--batch`` uses the providers' batch APIs."""

    poll_s: Seconds = 20.0
    """Seconds between two looks at a batch, after some earlier ones at first."""
    most_requests: Count = 10_000
    """Most requests of one batch; more are sent as several."""


class TimeoutSettings(_Section):
    """``[timeouts]``: the most seconds of each wait of a call."""

    connect_s: Seconds = 10.0
    first_token_s: Seconds = 60.0
    between_tokens_s: Seconds = 30.0
    total_s: Seconds = 180.0


class RetrySettings(_Section):
    """``[retry]``: exponential backoff with full jitter."""

    attempts: Count = 5
    first_wait_s: Seconds = 0.5
    most_wait_s: Seconds = 30.0
    deadline_s: Seconds = 300.0
    """No wait that ends later than this after a call's beginning is begun."""


class SimSettings(_Section):
    """``[sim]``: how the simulated models behave."""

    latency_scale: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    seed: int = 0
    rate_limited: Share = 0.0
    """Share of requests that are answered 429."""
    overloaded: Share = 0.0
    """Share of requests that are answered 503."""
    failed: Share = 0.0
    """Share of requests that are answered 500."""
    reset: Share = 0.0
    """Share of requests whose connection is cut."""
    hang: Share = 0.0
    """Share of requests that get no answer; the timeouts end them."""
    malformed: Share = 0.0
    """Share of requests whose reply is no JSON."""
    truncated: Share = 0.0
    """Share of requests whose reply breaks off."""
    empty: Share = 0.0
    """Share of requests whose reply has no body."""
    down: tuple[Literal["small", "medium", "large"], ...] = ()
    """Models that answer nothing but 503."""
    batch_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5.0
    """Seconds that a simulated batch takes; ``latency_scale`` scales them too."""


class ReplaySettings(_Section):
    """``[replay]``: recorded replies to answer from."""

    folder: str | None = None
    """Folder with ``questions.parquet``, ``responses.parquet`` and perhaps ``models.json``; ``None``: the workspace's
    own ledger."""


class LedgerSettings(_Section):
    """``[ledger]``."""

    durable: bool = False
    """Wait for the disk after each line, so that a power cut loses nothing either."""
    keep_days: Count | None = None
    """Days to keep texts and rows; ``None`` keeps all."""


class WatchRule(_Section):
    """``[watch."NOTEBOOK"]``: what is watched of the headless runs of one notebook."""

    cost_usd: Usd | None = None
    """The most that a run may cost, what the cache answered left aside."""
    latency_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The most milliseconds of its calls, at the percentile below."""
    latency_percentile: Annotated[int, Field(ge=1, le=99)] = 95
    error_rate: Share | None = None
    """The largest share of its requests that may have no answer."""
    quality: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """The least mean of its scores."""
    history: bool = True
    """Compare with past runs: see :mod:`orchestration_nb.pipelines.watch`."""
    grace_s: Seconds = 600.0
    """How long after its due time a scheduled run counts as missing."""
    webhooks: tuple[str, ...] = ()
    """Addresses that are told of alerts; only those of a workspace that is trusted."""

    @field_validator("webhooks")
    @classmethod
    def _refuse_other_schemes(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        if not all(address.startswith(("https://", "http://")) for address in addresses):
            raise ValueError("an address begins with https://")
        return addresses


class WatchSettings(WatchRule):
    """``[watch]``: what is watched of all headless runs; for one notebook, ``[watch."NOTEBOOK"]`` says otherwise."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, WatchRule] = Field(init=False)

    def rule(self, notebook: str) -> WatchRule:
        """What holds for a notebook: what is said for its path or its file's name, and else for all."""
        extra = self.__pydantic_extra__ or {}
        own = extra.get(notebook) or extra.get(notebook.rpartition("/")[2]) or WatchRule()
        names = set(WatchRule.model_fields)
        said = self.model_dump(include=names) | own.model_dump(include=own.model_fields_set)
        return WatchRule(**said)


class Settings(_Section):
    """Everything that ``orchestrate.toml`` may say."""

    budget_usd: Usd = 5.0
    concurrency: Annotated[int, Field(gt=0, le=4096)] = 32
    cache_ttl_days: Count | None = 30
    """Days a cached reply may be used; ``None``: for ever."""
    cache_most_mb: Count = 1024
    """Megabytes that the cache may take; then what was used longest ago goes."""
    user: str | None = None
    """Who runs; ``None``: the environment variable ``ORCHESTRATE_USER``, else the login name."""
    reached: Reached = "reject"
    """What happens when a run's own budget is reached: ``reject``, ``pause`` or ``alert``."""
    degrade: bool = False
    """A step without an answer yields its default (``None`` unless given), marked ``degraded``."""
    aliases: dict[str, str] = {}
    providers: dict[Name, ProviderSettings] = {}
    models: dict[str, ModelSettings] = {}
    limits: dict[str, LimitSettings] = {}
    budgets: dict[Name, BudgetSettings] = {}
    quotas: dict[Name, QuotaSettings] = {}
    strategies: dict[Name, StrategySettings] = {}
    dags: dict[Name, dict[Name, DagNodeSettings]] = {}
    breaker: BreakerSettings = BreakerSettings()
    semantic_cache: SemanticSettings = SemanticSettings()
    batch: BatchSettings = BatchSettings()
    timeouts: TimeoutSettings = TimeoutSettings()
    retry: RetrySettings = RetrySettings()
    sim: SimSettings = SimSettings()
    replay: ReplaySettings = ReplaySettings()
    ledger: LedgerSettings = LedgerSettings()
    watch: WatchSettings = WatchSettings()


def load_settings(folder: Path) -> Settings:
    """Reads ``folder/orchestrate.toml``; where there is none, every default holds.

    Raises:
        ConfigError: If the file is not TOML, or holds a key or value that means nothing.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    try:
        return Settings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{path}: {where}: {said}.", hint="The README lists every setting.") from None


def user_folder() -> Path:
    """Where what is the user's own is kept, outside every workspace: ``~/.config/orchestration_nb``."""
    root = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(root) / "orchestration_nb"


def _trust_file() -> Path:
    return user_folder() / "trusted.json"


def _fingerprint(folder: Path) -> str:
    path = folder / FILE_NAME
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _trusted() -> dict[str, str]:
    try:
        held = orjson.loads(_trust_file().read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return held if isinstance(held, dict) else {}


def is_trusted(folder: Path) -> bool:
    """Whether the user has said ``orchestrate trust`` for this very text of the folder's ``orchestrate.toml``.

    The record is kept outside the folder, so that a clone cannot bring it along; a change of the file ends it.
    """
    mark = _fingerprint(folder)
    return not mark or _trusted().get(str(folder.resolve())) == mark


def trust(folder: Path) -> None:
    """Trusts the folder's ``orchestrate.toml`` as it now stands.

    Raises:
        WorkspaceError: If the record cannot be written.
    """
    path = _trust_file()
    held = {**_trusted(), str(folder.resolve()): _fingerprint(folder)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(orjson.dumps(held))
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be written: {error.strerror}.") from None
