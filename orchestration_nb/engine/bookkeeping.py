"""What one request and each of its calls came to, while they are under way and as they are recorded."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from orchestration_nb.calls import Attempt, CacheHit, RawReply, Reply, Request, Status, Usage
from orchestration_nb.catalog import FREE, Model, Price
from orchestration_nb.cost.budget import Hold
from orchestration_nb.cost.cache import CachedReply
from orchestration_nb.engine.services import RunContext
from orchestration_nb.errors import CallError, CallTimeoutError, ControlSignal, RunPaused, SchemaNotMetError
from orchestration_nb.events import CallFinished, RequestFinished
from orchestration_nb.ids import CallId, new_id
from orchestration_nb.messages import Image, Message, Text, ToolCall

NOTHING = Usage()


def status_of(error: BaseException) -> Status:
    """How something ended that ended with this error."""
    if isinstance(error, RunPaused):
        return "paused"
    return "cancelled" if isinstance(error, asyncio.CancelledError | ControlSignal) else "failed"


def sentence_of(error: BaseException) -> str:
    """The error as one sentence for a table: never longer than 2,000 characters."""
    return (str(error) or type(error).__name__)[:2000]


def readable(request: Request) -> str:
    """The prompt as text: the words alone where there is nothing else."""
    if len(request.messages) == 1 and not request.system:
        parts = request.messages[0].parts
        if len(parts) == 1 and isinstance(parts[0], Text):
            return parts[0].text
    system = [f"system: {request.system}"] if request.system else []
    return "\n\n".join([*system, *(f"{message.role}: {_readable(message)}" for message in request.messages)])


def _readable(message: Message) -> str:
    said = []
    for part in message.parts:
        if isinstance(part, Text):
            said.append(part.text)
        elif isinstance(part, Image):
            said.append(f"[image {part.url or str(len(part.data or b'')) + ' bytes'}]")
        elif isinstance(part, ToolCall):
            said.append(f"[calls {part.name}({dict(part.arguments)})]")
        else:
            said.append(f"[{part.name} says: {part.content}]")
    return " ".join(said)


class RequestBook:
    """Adds up the calls of one request."""

    def __init__(self, request: Request, run: RunContext, strategy: str) -> None:
        self.request = request
        self.run = run
        self.cost_usd = 0.0
        self.billed_usd = 0.0
        self.calls = 0
        self._strategy = strategy
        self._simulated = False
        self._one_latency_ms = 0.0
        self._started_at = run.services.clock.now()
        self._started_s = run.services.clock.monotonic()

    def count(self, *, cost_usd: float, billed_usd: float, simulated: bool, latency_ms: float) -> None:
        """Adds a call that ended; one that was never sent is none."""
        self.calls += 1
        self.cost_usd += cost_usd
        self.billed_usd += billed_usd
        self._simulated = self._simulated or simulated
        self._one_latency_ms = latency_ms

    def answered(self, reply: Reply) -> None:
        """The strategy took this reply."""
        self._record(model=reply.model, status="ok", error=None, instead_of=self._wanted(reply))

    def failed(self, error: BaseException) -> None:
        """The strategy ended with this error."""
        self._record(model=None, status=status_of(error), error=error)

    def _wanted(self, reply: Reply) -> str | None:
        """The full name of the model that the reply's stood in for; ``None`` where it was wanted itself."""
        wanted = self.run.services.catalog.resolve(reply.instead_of).name if reply.instead_of else None
        return wanted if wanted != reply.model else None

    def _record(
        self, *, model: str | None, status: Status, error: BaseException | None, instead_of: str | None = None
    ) -> None:
        request, decision = self.request, self.request.decision
        # One call's latency leaves out the wait for its turn; of several, the wall time is all that can be said.
        wall_ms = (self.run.services.clock.monotonic() - self._started_s) * 1000
        self.run.record(
            RequestFinished(
                request_id=request.id,
                run_id=self.run.run_id,
                flow=request.origin.flow,
                step=request.origin.step,
                item=request.origin.item,
                strategy=self._strategy,
                model=model,
                candidates=tuple(decision.candidates),
                propensity=decision.propensity,
                reason=decision.reason,
                seen=tuple(decision.seen.values()),
                instead_of=instead_of,
                calls=self.calls,
                cost_usd=self.cost_usd,
                billed_usd=self.billed_usd,
                simulated=self._simulated,
                latency_ms=self._one_latency_ms if self.calls == 1 else wall_ms,
                status=status,
                error_type=type(error).__name__ if error is not None else None,
                error=sentence_of(error) if error is not None else None,
                started_at=self._started_at,
            )
        )


class CallBook:
    """What one call came to: its attempts, its money, its row."""

    def __init__(self, requests: RequestBook, model: Model, key: str, sample: int) -> None:
        self.model = model
        self.key = key
        self.kept: CachedReply | None = None
        """What the cache holds of the reply, once there is one."""
        self.requests = requests
        """The request that it is a call of."""
        self.is_recorded = False
        self.again_of: CallId | None = None
        """The earlier call of a resumed pipeline that this one stands for."""
        self._run = requests.run
        self._clock = requests.run.services.clock
        self._sample = sample
        self._id = CallId(new_id())
        self._started_at = self._clock.now()
        self._attempts: list[Attempt] = []
        self._usage = NOTHING
        self._longest_prompt = 0
        self._cost_usd = 0.0
        self._billed_usd = 0.0
        self._bill_unknown = False
        self._latency_ms = 0.0
        self._hold: Hold | None = None
        self._batch = False
        self._paid_before = False
        self._settled = False
        self._told = False
        self._cost_was_recorded = False
        self._sent_s: float | None = None
        self._wait_ms = 0.0

    def begin(self, waited_s: float, hold: Hold, *, settled: bool = False, told: bool = False) -> None:
        """An attempt has its money and waits for its turn.

        Args:
            waited_s: Seconds waited before it.
            hold: The most that it can cost.
            settled: An earlier call had its answer, and budgets count it: unless it is handed over anew.
            told: And the ledger says so.
        """
        self._wait_ms, self._hold, self._sent_s = waited_s * 1000, hold, None
        self._settled, self._told = settled, told
        self._latency_ms += self._wait_ms

    @property
    def hold(self) -> Hold:
        """The money of the attempt that is under way."""
        assert self._hold is not None
        return self._hold

    def facts(self) -> bytes:
        """What is written down beside the money: enough for a row of the ledger, should this process die."""
        origin = self.requests.request.origin
        return orjson.dumps(
            {
                "call_id": self._id,
                "request_id": self.requests.request.id,
                "run_id": self._run.run_id,
                "model": self.model.name,
                "provider": self.model.provider,
                "simulated": self.model.simulated,
                "sample": self._sample,
                "cache_key": self.key,
                "step": origin.step,
                "item": origin.item,
                "again_of": self.again_of,
                "batch": self._batch,
            }
        )

    def in_batch(self, price_factor: float) -> None:
        """The call goes through a batch API, at a share of the list price."""
        assert self.model.price is not None
        self.model, self._batch = replace(self.model, price=self.model.price.times(price_factor)), True

    def paid_before(self) -> None:
        """The process that was killed had written the answer down as paid: it is not counted as billed twice."""
        self._paid_before = True

    def park(self, key: str) -> None:
        """The attempt is handed over in a batch: its money is set aside until somebody has its answer."""
        self._settled = self._told = False
        self.hold.park(key)

    def left_under_way(self, error: BaseException) -> None:
        """The attempt goes on at the provider while this call ends: its money stays set aside for who joins it."""
        self._end_attempt(status_of(error), error, None)
        self._hold = None

    def not_handed_over(self, error: BaseException) -> None:
        """The call was cancelled before its batch was handed over: surely nothing was billed."""
        self._end_attempt(status_of(error), error, None)
        self.hold.release()

    def withdraw(self) -> None:
        """The attempt was not sent after all, and will be begun again."""
        assert self._hold is not None
        self._hold.release()
        self._latency_ms -= self._wait_ms

    def send(self) -> None:
        """The attempt has its turn and goes out."""
        self._run.progress.in_flight += 1
        self._run.progress.retries += bool(self._attempts)
        self._sent_s = self._clock.monotonic()

    def attempt_answered(self, raw: RawReply) -> None:
        """The attempt brought a usable reply."""
        self._end_attempt("ok", None, raw)
        self._pay_for(raw)

    def attempt_unfit(self, error: SchemaNotMetError, raw: RawReply) -> None:
        """The attempt brought a reply that does not fit the schema: paid all the same."""
        self._end_attempt("failed", error, raw)
        self._pay_for(raw)

    def attempt_failed(self, error: BaseException) -> None:
        """The attempt brought nothing of use.

        Where it is known what that took, it is paid as any reply; else what may have been billed is settled at the most
        that it can cost.
        """
        self._end_attempt(status_of(error), error, None)
        hold = self._hold
        assert hold is not None
        if isinstance(error, CallError) and error.billing == "no":
            hold.release()
            return
        if isinstance(error, CallError) and error.usage is not None:
            self._pay_for(RawReply(text="", usage=error.usage))
            return
        if not self._told:
            self._bill_unknown = True
            self._spend(hold.usd)
        self._settle(hold.usd)

    def answered(self, raw: RawReply, value: Any) -> Reply:
        """The call is answered: recorded first, then kept in the cache, then handed on."""
        self.kept = CachedReply.of(raw, self._latency_ms)
        reply = self._reply(self.kept, value, cache="none", raw=raw)
        self._record("ok", None, reply, raw)
        self._run.services.cache.put(self.key, self.kept)
        return reply

    def embedded(self, raw: RawReply) -> None:
        """The call made vectors, and no reply that anybody could ask for again."""
        reply = self._reply(CachedReply.of(raw, self._latency_ms), None, cache="none", raw=raw)
        self._record("ok", None, reply, raw)

    def answered_from_cache(self, held: CachedReply, value: Any, similarity: float | None = None) -> Reply:
        """The cache had the reply, or one to a question that is so similar: nothing is spent."""
        self._run.progress.cache_hits += 1
        self._usage, self._cost_usd = held.usage.whole(), self._cost_of(held)
        self._longest_prompt = self._usage.input_tokens
        reply = self._reply(held, value, cache="exact" if similarity is None else "semantic", raw=None)
        if similarity is not None:
            reply = replace(reply, similarity=similarity)
        self._record("ok", None, reply, None)
        return reply

    def failed(self, error: BaseException) -> None:
        """The call ended without a reply; where it was never sent, there is nothing to record."""
        if self._hold is not None and self._hold.is_open:
            self._hold.release()  # cancelled while waiting for its turn: nothing was sent
        self._record(status_of(error), error, None, None)

    def _end_attempt(self, status: Status, error: BaseException | None, raw: RawReply | None) -> None:
        assert self._sent_s is not None
        self._run.progress.in_flight -= 1
        measured_ms = (self._clock.monotonic() - self._sent_s) * 1000
        latency_ms = measured_ms if raw is None or raw.latency_ms is None else raw.latency_ms
        self._latency_ms += latency_ms
        failure = error if isinstance(error, CallError) else None
        named = raw or failure
        self._attempts.append(
            Attempt(
                number=len(self._attempts) + 1,
                status=status,
                error_type=_kind_of(error),
                error=sentence_of(error) if error is not None else None,
                wait_ms=self._wait_ms,
                latency_ms=latency_ms,
                http_status=failure.http_status if failure else None,
                provider_request_id=named.provider_request_id if named else None,
            )
        )

    def _pay_for(self, raw: RawReply) -> None:
        usage = raw.usage.whole()
        self._usage = usage if self._usage is NOTHING else self._usage.plus(usage)
        self._longest_prompt = max(self._longest_prompt, usage.input_tokens)
        cost_usd = self._cost_of(raw)
        self._cost_usd += cost_usd
        if not (self._paid_before or self._told):
            self._spend(cost_usd)
        self._settle(cost_usd, usage.input_tokens + usage.output_tokens)

    def _settle(self, usd: float, tokens: int | None = None) -> None:
        if self._settled:
            self.hold.release()
        else:
            self.hold.settle(usd, tokens)

    def _cost_of(self, paid: RawReply | CachedReply) -> float:
        if paid.cost_usd is not None:
            self._cost_was_recorded = True
            return paid.cost_usd
        return (self.model.price or FREE).cost_usd(paid.usage.whole())

    def _spend(self, usd: float) -> None:
        self._billed_usd += usd
        self._run.progress.billed_usd += usd
        if not self.model.simulated:
            self._run.progress.spent_usd += usd

    def _reply(self, held: CachedReply, value: Any, *, cache: CacheHit, raw: RawReply | None) -> Reply:
        return Reply(
            call_id=self._id,
            model=self.model.name,
            text=held.text,
            value=value,
            usage=self._usage,
            cost_usd=self._cost_usd,
            billed_usd=self._billed_usd,
            latency_ms=self._latency_ms,
            paid_latency_ms=None if raw else held.latency_ms,
            ttft_ms=raw.ttft_ms if raw else None,
            cache=cache,
            simulated=self.model.simulated,
            finish_reason=held.finish_reason,
            tool_calls=held.tool_calls,
        )

    def _price(self) -> Price | None:
        """The price that the cost was reckoned with: none where it was recorded and that price does not make it."""
        price = self.model.price
        if price is None or not (price.longer or self._cost_was_recorded):
            return price
        price = price.at(self._longest_prompt)
        reckoned = math.isclose(price.cost_usd(self._usage), self._cost_usd, abs_tol=1e-12)
        return price if reckoned else None

    def _tell_traffic(self, reply: Reply | None) -> None:
        traffic, usage = self._run.services.traffic, self._usage
        if reply is None:
            traffic.failed(self.model.name)
        else:
            tokens = usage.input_tokens + usage.output_tokens
            traffic.answered(self.model.name, latency_ms=self._latency_ms, cost_usd=self._cost_usd, tokens=tokens)

    def _record(self, status: Status, error: BaseException | None, reply: Reply | None, raw: RawReply | None) -> None:
        if not self._attempts and reply is None:
            return  # refused or cancelled before it was sent: no call, and its request says why
        model, price, usage, run = self.model, self._price(), self._usage, self._run
        cost_usd, billed_usd = self._cost_usd, self._billed_usd
        self.requests.count(
            cost_usd=cost_usd, billed_usd=billed_usd, simulated=model.simulated, latency_ms=self._latency_ms
        )
        if self._attempts:
            self._tell_traffic(reply)
        run.progress.calls += 1
        run.progress.cost_usd += cost_usd
        run.progress.simulated = run.progress.simulated or model.simulated
        self.is_recorded = True
        run.record(
            CallFinished(
                call_id=self._id,
                request_id=self.requests.request.id,
                run_id=run.run_id,
                model=model.name,
                provider=model.provider,
                sample=self._sample,
                status=status,
                error_type=_kind_of(error),
                error=sentence_of(error) if error is not None else None,
                input_tokens=usage.input_tokens,
                cached_tokens=usage.cached_tokens,
                cache_write_tokens=usage.cache_write_tokens,
                output_tokens=usage.output_tokens,
                reasoning_tokens=usage.reasoning_tokens,
                cost_usd=cost_usd,
                billed_usd=billed_usd,
                bill_unknown=self._bill_unknown,
                simulated=model.simulated,
                input_usd_per_mtok=price.input_usd_per_mtok if price else None,
                output_usd_per_mtok=price.output_usd_per_mtok if price else None,
                cached_usd_per_mtok=price.cached_usd_per_mtok if price else None,
                cache_write_usd_per_mtok=price.cache_write_usd_per_mtok if price else None,
                reasoning_usd_per_mtok=price.reasoning_usd_per_mtok if price else None,
                latency_ms=self._latency_ms,
                ttft_ms=raw.ttft_ms if raw else None,
                finish_reason=reply.finish_reason if reply else None,
                provider_request_id=raw.provider_request_id if raw else None,
                model_version=self.kept.model_version if self.kept else None,
                cache=reply.cache if reply else "none",
                cache_key=self.key,
                similarity=reply.similarity if reply else None,
                batch=self._batch,
                for_step=self.requests.request.origin.step,
                for_item=self.requests.request.origin.item,
                again_of=self.again_of,
                attempts=tuple(self._attempts),
                started_at=self._started_at,
                prompt=readable(self.requests.request),
                reply=reply.text if reply else None,
            )
        )


def _kind_of(error: BaseException | None) -> str | None:
    if isinstance(error, CallTimeoutError):
        return f"{type(error).__name__} ({error.phase})"
    return type(error).__name__ if error is not None else None


def lost_call(facts: Mapping[str, Any], usd: float, reserved_at: datetime) -> CallFinished:
    """The row of a call whose process died while it was under way: settled at the most that it can cost.

    Args:
        facts: What :meth:`CallBook.facts` wrote down beside its money.
        usd: The most that it can cost, in US dollars.
        reserved_at: When that was set aside (naive UTC).
    """
    named = {
        name: facts[name] for name in ("call_id", "request_id", "run_id", "model", "provider", "sample", "cache_key")
    }
    return CallFinished(
        **named,
        simulated=facts["simulated"],
        batch=facts["batch"],
        for_step=facts["step"],
        for_item=facts["item"],
        again_of=facts.get("again_of"),
        status="failed",
        error_type="ProcessDied",
        error="Its process died before an answer was recorded; it may have been billed.",
        input_tokens=0,
        cached_tokens=0,
        cache_write_tokens=0,
        output_tokens=0,
        reasoning_tokens=0,
        cost_usd=0.0,
        billed_usd=usd,
        bill_unknown=True,
        recovered=True,
        input_usd_per_mtok=None,
        output_usd_per_mtok=None,
        cached_usd_per_mtok=None,
        cache_write_usd_per_mtok=None,
        latency_ms=0.0,
        ttft_ms=None,
        finish_reason=None,
        provider_request_id=None,
        model_version=None,
        cache="none",
        attempts=(),
        started_at=reserved_at,
        prompt="",
        reply=None,
    )
