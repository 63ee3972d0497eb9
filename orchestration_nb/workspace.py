"""The one place where the rooms are wired together: a workspace and everything that its runs share."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration_nb.calls import Timeouts
from orchestration_nb.catalog import Model
from orchestration_nb.clock import Clock, SystemClock
from orchestration_nb.config import (
    FILE_NAME,
    Settings,
    find_workspace,
    is_trusted,
    load_settings,
    user_folder,
)
from orchestration_nb.cost.budget import Budgets, LostCall
from orchestration_nb.cost.burn import BurnWatch
from orchestration_nb.cost.cache import ExactCache
from orchestration_nb.cost.semantic import SemanticCache
from orchestration_nb.cost.similarity import read_pairs
from orchestration_nb.earlier import JournalledReplies
from orchestration_nb.engine import batches_left
from orchestration_nb.engine.batch_course import BatchPolicy
from orchestration_nb.engine.batching import BatchSender
from orchestration_nb.engine.bookkeeping import lost_call
from orchestration_nb.engine.loop import EngineLoop, engine_loop, wait
from orchestration_nb.engine.services import Services
from orchestration_nb.errors import (
    ConfigError,
    JournalWriteError,
    NotAuthorisedError,
    UnknownModelError,
    UsageError,
    WorkspaceError,
)
from orchestration_nb.ledger import JournalFile, Ledger
from orchestration_nb.models import ModelStatus, catalog_of, overridden, status_of
from orchestration_nb.providers import Availability, Provider, build
from orchestration_nb.providers.hosted import HostedProvider
from orchestration_nb.providers.local import LocalProvider, discover
from orchestration_nb.providers.replay import ReplayProvider
from orchestration_nb.providers.sim.bank import data_folder
from orchestration_nb.recordings import RecordedCalls
from orchestration_nb.resilience import BreakerPolicy, Breakers, Limits, RetryPolicy
from orchestration_nb.routing.registry import STRATEGIES, Strategies
from orchestration_nb.routing.settings import defined
from orchestration_nb.secrecy import secrecy_of_process
from orchestration_nb.state import burns
from orchestration_nb.state.batches import BatchRow, BatchStore
from orchestration_nb.state.desk import Desk
from orchestration_nb.state.owners import Owners
from orchestration_nb.state.questions import Questions
from orchestration_nb.state.replies import Replies
from orchestration_nb.state.seal import Seal
from orchestration_nb.state.store import StateFile
from orchestration_nb.tuning.shelf import Shelf
from orchestration_nb.whence import (
    models_are_simulated,
    notebook_path,
    pipeline_budget_usd,
    pipeline_id,
    pipeline_root,
    restored_cells,
    user_name,
)

if TYPE_CHECKING:
    from orchestration_nb.events import Event, Listener


_log = logging.getLogger(__name__)
NOT_THERE = Availability(usable=False, why="no provider has that name", where="")


class Workspace:
    """A folder with its settings, ledger and models.

    Args:
        folder: The folder, or ``None``: the nearest one upward from the current folder that holds ``orchestrate.toml``,
            else the current folder.
        environ: Where keys are read from; the process's environment unless a test says otherwise.
        clock: Tells the time.

    Raises:
        ConfigError: If ``orchestrate.toml`` is wrong, or asks for what only a trusted workspace may.
    """

    def __init__(
        self, folder: Path | str | None = None, *, environ: Mapping[str, str] | None = None, clock: Clock | None = None
    ) -> None:
        self.folder = find_workspace(_here()) if folder is None else Path(folder).resolve()
        self._pointed: dict[str, str] = {}
        self.settings: Settings = load_settings(self.folder)
        self.clock: Clock = clock or SystemClock()
        self.engine: EngineLoop = engine_loop()
        self.ledger = Ledger(self.folder)
        self.desk = Desk(StateFile(self.folder, busy_s=0), self.clock, crowd=lambda: self.services.asking)
        self.owners = Owners(self.folder, self.clock)
        self._seal = Seal(user_folder() / "cache.key")
        self._secrecy = secrecy_of_process()
        self.budgets = Budgets(
            self.desk,
            self.owners,
            self.clock,
            self.settings.budgets,
            self.settings.quotas,
            on_alert=self._note_soon,
            on_lost=self._note_lost,
        )
        self._hold_pipeline()
        self.strategies: Strategies = defined(self.settings.strategies, STRATEGIES, trusted=is_trusted(self.folder))
        self.strategies.saved = shelf = Shelf(self.folder)
        self.strategies.add_maker(shelf.learned)
        self.listeners: list[Listener] = []
        self.burn_watch = self._burn_watch()
        self.providers: dict[str, Provider] = build(
            self.settings,
            os.environ if environ is None else environ,
            trusted=is_trusted(self.folder),
            folder=self.folder,
            recorded=RecordedCalls(self.ledger, self._listed),
        )
        self.catalog = catalog_of(self.settings, self.providers)
        self.catalog.search = self._search
        self.catalog.simulates = models_are_simulated()
        if self.settings.replay.folder:
            self._look_at_recordings()
        self._refuse_idle_limits()
        self.services = self._services()
        self.engine.on_close(self._close)
        if self.settings.ledger.keep_days is not None:
            self.engine.executor.submit(self._forget_old, self.settings.ledger.keep_days)

    def _hold_pipeline(self) -> None:
        """Where this is the kernel of a headless run that was given a budget, holds all of its runs to that."""
        root, usd = pipeline_root(), pipeline_budget_usd()
        if root is not None and usd is not None:
            self.budgets.allowances.hold_pipeline(root, usd, self.settings.reached)

    @property
    def user(self) -> str:
        """Whose money runs spend here."""
        return user_name(self.settings.user)

    @property
    def notebook(self) -> str | None:
        """The notebook or script that runs, relative to the folder where it lies within."""
        return notebook_path(self.folder)

    def __repr__(self) -> str:
        return f"<Workspace {self.folder}>"

    @classmethod
    def current(cls) -> Workspace:
        """The workspace of the current folder; the same object for the same folder and settings file."""
        folder = find_workspace(_here())
        stamp, held = _stamp(folder), _open.get(folder)
        if held is None or held[0] != stamp:
            anew = cls(folder)
            if held is not None:
                anew._go_on_from(held[1])
            held = _open[folder] = (stamp, anew)
        return held[1]

    def _go_on_from(self, before: Workspace) -> None:
        """Keeps what was said in this process when the settings file has changed: ``use`` and the listeners."""
        self._pointed = before._pointed
        self.catalog.aliases.update(before._pointed)
        self.listeners = before.listeners
        self.services.earlier = before.services.earlier  # of what it has given, nothing is given twice

    def models(self) -> list[ModelStatus]:
        """Every model that is known here, usable ones first, with its price and the reason where it cannot be used."""
        self._look_at_recordings()
        aliases: dict[str, list[str]] = {}
        for alias, full in self.catalog.aliases.items():
            aliases.setdefault(full, []).append(alias)
        available = {name: provider.availability() for name, provider in self.providers.items()}
        rows = [
            self._status(name, tuple(aliases.get(name, ())), available)
            for name in sorted({*self.catalog.models, *self.catalog.aliases.values()})
        ]
        return sorted(rows, key=lambda row: (not row.usable, not row.aliases, not row.simulated, row.name))

    def _status(self, name: str, aliases: tuple[str, ...], available: Mapping[str, Availability]) -> ModelStatus:
        try:
            return status_of(self.catalog.resolve(name), aliases, available)
        except UnknownModelError:  # an alias of orchestrate.toml that stands for nothing: said, and the rest is listed
            why = "there is no such model"
            return ModelStatus(name=name, aliases=aliases, usable=False, why=why, price=None, simulated=False)

    def discover(self) -> list[Model]:
        """Looks for local servers (Ollama, LM Studio, vLLM, llama.cpp) and adds their models; takes about a second."""
        wait(self.engine.submit(discover(self.providers.values())))
        local = [provider for provider in self.providers.values() if isinstance(provider, LocalProvider)]
        found = [model for provider in local for model in provider.models()]
        self.catalog.add(found)
        return found

    def use(self, alias: str, name: str) -> Model:
        """Points an alias at a model, for this process.

        Raises:
            UnknownModelError: If there is no such model.
            NotAuthorisedError: If its provider cannot be used now; the hint says what is missing.
        """
        if not alias.isidentifier():
            raise UsageError(f"{alias!r} cannot be an alias.", hint="Use a word such as fast, medium or strong.")
        model = self.usable(name)
        self.catalog.aliases[alias] = self._pointed[alias] = model.name
        return model

    def usable(self, name: str) -> Model:
        """The model behind a name or alias, if it can be asked now.

        Raises:
            UnknownModelError: If there is no such model.
            NotAuthorisedError: If its provider cannot be used now.
        """
        self._refuse_unrecorded(self.catalog.aliases.get(name, name))
        model = self.catalog.resolve(name)
        provider = self.providers.get(model.provider)
        if isinstance(provider, LocalProvider) and not provider.availability().usable:
            self.discover()  # looked for only when one is named, so that nothing slows the start
        _refuse_unusable(model.name, provider.availability() if provider else NOT_THERE)
        return model

    def _listed(self, name: str) -> Model | None:
        return self.catalog.models.get(name)

    def _look_at_recordings(self) -> None:
        """Reads which models ``replay/...`` can answer for."""
        provider = self.providers.get("replay")
        if not isinstance(provider, ReplayProvider):
            return
        provider.look()
        self.catalog.add(provider.models())
        for name, override in self.settings.models.items():
            if name.startswith(_REPLAY):
                self.catalog.add([overridden(self.catalog, name, override)])

    def _refuse_unrecorded(self, full: str) -> None:
        """Says that there are no recordings rather than that there is no such model."""
        if full.startswith(_REPLAY):
            if full not in self.catalog.models or not self.providers["replay"].availability().usable:
                self._look_at_recordings()
            _refuse_unusable(full, self.providers["replay"].availability())

    def _search(self, full: str) -> Model | None:
        """A recorded model that a strategy names before anybody has looked; the first such question pays the look."""
        provider = self.providers.get("replay")
        if full.startswith(_REPLAY) and isinstance(provider, ReplayProvider) and not provider.looked:
            self._look_at_recordings()
        return self.catalog.models.get(full)

    def _services(self) -> Services:
        settings = self.settings
        retry, timeouts = settings.retry, settings.timeouts
        cache = self._cache()
        return Services(
            catalog=self.catalog,
            providers=self.providers,
            journal=JournalFile(self.folder, durable=settings.ledger.durable, secrecy=self._secrecy),
            cache=cache,
            budgets=self.budgets,
            semantic=self._semantic(cache),
            earlier=self._earlier(),
            paid_in_batches=self._paid_in_batches,
            circuits=Breakers(BreakerPolicy(**settings.breaker.model_dump()), self.clock, self._note_soon),
            limits=Limits(self.desk, self.owners, self.clock, settings.limits, self._keys()),
            retry=RetryPolicy(**retry.model_dump()),
            timeouts=Timeouts(**timeouts.model_dump()),
            clock=self.clock,
            executor=self.engine.executor,
        )

    def _earlier(self) -> JournalledReplies | None:
        """What this kernel's pipeline got before it was resumed."""
        root, own, restored = pipeline_root(), pipeline_id(), restored_cells()
        if root is None or own is None or root == own:
            return None
        return JournalledReplies(
            self.budgets.recover, lambda: self.ledger.earlier_calls(root, own, restored), self.engine.executor
        )

    def _keys(self) -> dict[str, str | None]:
        """The name of each provider's key: what shares a key shares its limits."""
        hosted = {name: each for name, each in self.providers.items() if isinstance(each, HostedProvider)}
        return {name: each.key_name for name, each in hosted.items()}

    def _refuse_idle_limits(self) -> None:
        """A limit for what nobody knows would hold nothing back, and nobody would notice."""
        keys = {*self._keys().values(), *(each.key_env for each in self.settings.providers.values())}
        for name in self.settings.limits:
            if name in self.catalog.aliases:
                full = self.catalog.aliases[name]
                raise ConfigError(f"limits.{name}: {name!r} is an alias.", hint=f'Write [limits."{full}"].')
            if name not in keys and name.partition("/")[0] not in self.providers:
                raise ConfigError(
                    f"limits.{name}: there is no provider, model or key of that name.",
                    hint="`orchestrate models` lists providers and models; a key is named by its variable.",
                )

    def batches(self, active: Callable[[], int]) -> BatchSender:
        """What sends the calls of one run through the providers' batch APIs.

        Args:
            active: How many items of the run are at work.
        """
        return BatchSender(
            self.providers,
            BatchStore(self.desk, self._secrecy),
            self.owners,
            self.clock,
            BatchPolicy(**self.settings.batch.model_dump()),
            active=active,
        )

    def batches_under_way(self) -> list[BatchRow]:
        """The batches whose answers have not all been recorded, the oldest first.

        Raises:
            StateError: If the state cannot be read.
        """
        return wait(self.engine.submit(BatchStore(self.desk).batches()))

    def cancel_batch(self, token: str) -> str:
        """Cancels a batch at its provider.

        Args:
            token: The batch, or how its token begins.

        Returns:
            What was done, and what may still be billed, in a sentence or two.

        Raises:
            UsageError: If there is no such batch, or it is not at its provider.
            CallError: If the provider cannot be asked, or has ended it.
        """
        return wait(self.engine.submit(self._cancel_batch(token)))

    async def _cancel_batch(self, token: str) -> str:
        store = BatchStore(self.desk)
        batch = await batches_left.cancel_batch(self.providers, store, token)
        return batches_left.cancelled(batch, await self.budgets.parked_usd(await store.keys(batch.token)))

    def _burn_watch(self) -> BurnWatch:
        return BurnWatch(
            clock=self.clock,
            on_alert=self._note_soon,
            standings=self.budgets.standings,
            claim=lambda budget, period: self.desk.submit(lambda connection: burns.claim(connection, budget, period)),
        )

    def note(self, event: Event) -> None:
        """Journals what no single run did, and tells the listeners; on the engine's loop."""
        try:
            self.services.journal.write(event)
        except JournalWriteError as error:
            _log.warning("%s", error)  # the next call that a run records ends that run
            return
        for listener in tuple(self.listeners):
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - what happened has happened, whatever a listener makes of it
                _log.warning("A listener failed on %s.", type(event).__name__, exc_info=True)

    def _cache(self) -> ExactCache:
        settings = self.settings
        store = Replies(
            self.desk,
            self.owners,
            self.clock,
            self._seal,
            keep_days=settings.cache_ttl_days,
            most_bytes=settings.cache_most_mb << 20,
            secrecy=self._secrecy,
        )
        return ExactCache(store, self.clock, keep_days=settings.cache_ttl_days)

    def _semantic(self, cache: ExactCache) -> SemanticCache | None:
        settings = self.settings.semantic_cache
        if not settings.enabled:
            return None
        pairs = data_folder() / "question_pairs.csv" if settings.pairs is None else self.folder / settings.pairs
        return SemanticCache(
            cache,
            Questions(self.desk, self._seal, self._secrecy),
            read_pairs(pairs),
            rate=settings.false_hit_rate,
            embedder=settings.embed,
        )

    def _paid_in_batches(self) -> dict[str, bool]:
        rows = self.ledger.sql(
            "select cache_key, bool_or(status = 'ok') as answered from calls where batch and cache = 'none' "
            "and not coalesce(recovered, false) and (status = 'ok' or billed_usd > 0) group by cache_key"
        )
        return dict(zip(rows["cache_key"], rows["answered"].astype(bool), strict=True))

    def _note_lost(self, call: LostCall) -> None:
        reserved_at = datetime.fromtimestamp(call.reserved_us / 1e6, UTC).replace(tzinfo=None)
        try:
            event = lost_call(call.facts, call.usd, reserved_at)
        except KeyError as missing:  # of another version of the package: its money is counted all the same
            _log.warning("A call whose process died cannot be recorded: nothing says its %s.", missing)
        else:
            self._note_soon(event)

    def _note_soon(self, event: Event) -> None:
        """The same, in a turn of its own: what goes wrong with it holds up nobody's money."""
        asyncio.get_running_loop().call_soon(self.note, event)

    def _forget_old(self, days: int) -> None:
        try:
            self.ledger.prune(days)
        except WorkspaceError as error:
            _log.warning("What is older than %d days is kept: %s", days, error)

    async def _close(self) -> None:
        await self.services.cache.flush()
        if self.services.semantic is not None:
            self.services.semantic.close()
        for provider in self.providers.values():
            await provider.close()
        self.desk.close()
        self.owners.close()


def _load_learning() -> None:
    """Loads the strategies that learn, and numpy with them, when the first of them is named."""
    import orchestration_nb.tuning.bandit  # noqa: PLC0415
    import orchestration_nb.tuning.rollout_strategy  # noqa: F401, PLC0415


STRATEGIES.add_room(("bandit", "epsilon_greedy", "rollout"), _load_learning)

_REPLAY = "replay/"


def _refuse_unusable(name: str, available: Availability) -> None:
    if not available.usable:
        raise NotAuthorisedError(
            f"{name} cannot be used: {available.why}.", hint="`%orchestrate models` lists what can be used now."
        )


_Stamp = tuple[int, int] | None
_open: dict[Path, tuple[_Stamp, Workspace]] = {}
os.register_at_fork(after_in_child=_open.clear)  # a child opens its own: loops and connections are the parent's


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError:
        raise WorkspaceError(
            "The current folder is gone.", hint="Change to one that is there: os.chdir(...), or `%cd` in a notebook."
        ) from None


def _stamp(folder: Path) -> _Stamp:
    """What changes when the settings file does."""
    try:
        status = (folder / FILE_NAME).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
