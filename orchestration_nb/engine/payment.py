"""How a call that no cache answers is paid and made.

::

    pay:  retry( reserve -> take a turn -> circuit -> attempt -> validate ) -> settle
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from orchestration_nb.calls import RawReply, Reply, Request, Timeouts
from orchestration_nb.catalog import Model, Price
from orchestration_nb.cost.bounds import most_input_tokens
from orchestration_nb.cost.budget import Hold
from orchestration_nb.engine.batching import BatchSender
from orchestration_nb.engine.bookkeeping import CallBook
from orchestration_nb.engine.services import EarlierReplies, Permit, RunContext, Sender, Turn
from orchestration_nb.errors import (
    CallError,
    NoSuchModelError,
    NotAuthorisedError,
    OverBudgetError,
    PriceUnknownError,
    SchemaNotMetError,
)
from orchestration_nb.messages import Message, Text, user
from orchestration_nb.resilience import Deadline, retry_waits

SCHEMA_ATTEMPTS = 3
"""How often a model is asked in all for a reply that fits the schema: more rarely helps, and each is paid."""


class NotSent(Exception):  # noqa: N818 - it tells, and nothing went wrong
    """The run was paused before an attempt was sent: who asks the same in another run need not wait for it.

    Args:
        refusal: The budget that the run waits for, or ``None`` where somebody paused it.
    """

    def __init__(self, refusal: OverBudgetError | None = None) -> None:
        super().__init__()
        self.refusal = refusal


class Opening(Protocol):
    """What is taken ahead for the first attempt of a call: :class:`orchestration_nb.engine.opening.Opening`."""

    def hold(self) -> Hold | None:
        """The money, to be had once."""

    def turn(self) -> Turn | None:
        """The turn, to be had once."""


@dataclass(slots=True, eq=False)  # one a call: frozen would double what it costs to make
class Call:
    """One model asked once, on behalf of a run."""

    request: Request
    run: RunContext
    book: CallBook
    """What the call comes to; knows the model."""
    max_tokens: int
    """The most tokens that the model may write."""
    deadline: Deadline
    """Of the call: that no wait for another attempt passes."""
    patience: Deadline
    """Of the request: that no wait for a circuit passes, so that a fallback ends although each model begins anew."""
    wait: bool
    """Whether to wait for the model while its circuit is open."""
    instead: tuple[str, ...] = ()
    """Models that could answer as well: no wait goes on once one of them may be asked."""
    opening: Opening | None = None
    """What was taken for its first attempt where its question was claimed."""

    async def wait_while_paused(self) -> None:
        """Waits until the run may send; what a person takes to decide uses up nobody's patience."""
        self.deadline.rest()
        await self.run.unpaused.wait()
        self._resumed()

    async def wait_for_earlier(self, earlier: EarlierReplies) -> None:
        """Waits until the journal of what is resumed is read, which uses up nobody's patience either.

        Raises:
            WorkspaceError: If it cannot be.
        """
        self.deadline.rest()
        await earlier.read()
        self._resumed()

    async def wait_for_budget(self, refusal: OverBudgetError) -> None:
        """Pauses the run until somebody raises its budget.

        Raises:
            RunPaused: If nobody does.
        """
        self.deadline.rest()
        await self.run.wait_for_budget(refusal)
        self._resumed()

    def _resumed(self) -> None:
        self.deadline.renew()
        self.patience.renew()


async def pay(call: Call) -> Reply:
    """Makes a call: reserve, retry, settle, record.

    Raises:
        CallError: If no usable reply came.
        CostError: If the budget does not cover it, or nobody knows the price.
        NotSent: If the run was paused before an attempt was sent.
    """
    run, request, model = call.run, call.request, call.book.model
    services = run.services
    if model.name in run.unusable:
        raise run.unusable[model.name].with_traceback(None)  # each raise would make it longer, and keep its item
    provider = services.providers.get(model.provider)
    if provider is None:
        raise NoSuchModelError(f"No provider is called {model.provider!r}.", hint="`%orchestrate models` lists them.")
    price_of(model)  # before anything else is done for it
    if run.batches is not None:
        call.book.in_batch(run.batches.price_factor(model))
    payment = _Payment(
        call=call,
        run=run,
        book=call.book,
        asked=request if call.max_tokens == request.max_tokens else replace(request, max_tokens=call.max_tokens),
        provider=provider,
    )
    attempt = payment.attempt if run.batches is None else payment.attempt_in_batch
    try:
        raw, value = await retry_waits(attempt, services.retry, services.clock, deadline=call.deadline)
        reply = call.book.answered(raw, value)
    except CallError:
        payment.end_in_batches()
        raise
    payment.end_in_batches()  # where it was cancelled, or could not be recorded, the answers are still needed
    return reply


def price_of(model: Model) -> Price:
    """What a model costs.

    Raises:
        PriceUnknownError: If nobody knows.
    """
    if model.price is None:
        raise PriceUnknownError(
            f"Nobody knows what {model.name} costs, so the budget cannot hold.",
            hint=f'Write its price into orchestrate.toml: [models."{model.name}"] input_usd_per_mtok = ..., '
            "output_usd_per_mtok = ...",
        )
    return model.price


@dataclass(slots=True, eq=False, kw_only=True)
class _Payment:
    """A call that is paid, under way."""

    call: Call
    run: RunContext
    book: CallBook
    asked: Request
    """What is sent: the request, or with the model's last reply and what is wrong with it."""
    provider: Sender
    batch_key: str = ""
    """What stands for the question where batches are kept; each attempt adds its number."""
    batch_keys: list[str] = field(default_factory=list)
    """The attempts that were answered in a batch."""

    async def attempt(self, number: int, waited_s: float) -> tuple[RawReply, Any]:
        """One try, with its own money; the circuit is looked at last, so that nothing goes to a model that is down."""
        circuits, name = self.run.services.circuits, self.book.model.name
        while True:
            early = None
            if not circuits.is_closed(name):
                until_s = min(self.call.deadline.at_s, self.call.patience.at_s)
                early = await circuits.permit(name, wait=self.call.wait, deadline_s=until_s, instead=self.call.instead)
            answered = await self._under(early, number, waited_s)
            if answered is not None:
                return answered

    async def attempt_in_batch(self, number: int, waited_s: float) -> tuple[RawReply, Any]:
        """One try through a batch API: no turn and no circuit, since it all goes out at once and is waited for.

        An attempt that an earlier process of this run handed over has its money aside already, and joins its batch. Of
        one whose answer an earlier call had before it was stopped, that money is counted, and nothing is to be paid.
        """
        run, book, batches = self.run, self.book, self.run.batches
        assert batches is not None
        self.batch_key = self.batch_key or self._name_in_batches(batches)
        key = f"{self.batch_key}.{number}"
        hold, settled, told = None, False, False
        if await batches.known(key):
            hold = await run.services.budgets.adopt(key)
            settled = told = hold is None  # it was parked before the question was written down, until it was ended
            if not self._is_its_own:
                answered = (await run.paid_in_batches()).get(book.key)
                if answered:
                    book.paid_before()
                told = settled and answered is not None  # a process that was killed wrote nothing down
        book.begin(waited_s, hold or await self._reserve(number), settled=settled, told=told)
        book.send()
        try:
            raw = await batches.send(book.model, self.asked, key=key, hold=book)
        except BaseException as error:
            if batches.under_way(key):
                book.left_under_way(error)
            elif isinstance(error, CallError):
                book.attempt_failed(error)
                self.batch_keys.append(key)
            else:
                book.not_handed_over(error)
            raise
        self.batch_keys.append(key)
        return raw, self._validated(raw, number)

    def end_in_batches(self) -> None:
        """The call has ended for good: what was answered in batches is needed no more."""
        for key in self.batch_keys:
            self.run.batches.recorded(key)  # type: ignore[union-attr]  # there are none without

    def _name_in_batches(self, batches: BatchSender) -> str:
        """Stands for the call's question in the store, and is the same in the process that goes on with this run."""
        if not self._is_its_own:
            return self.book.key
        question = f"{self.book.key}.{self.run.budget.spender.root_run_id}"
        return f"{question}.{batches.ordinal(question)}"

    @property
    def _is_its_own(self) -> bool:
        """Whether no reply to the same question that was asked elsewhere will do."""
        return self.run.fresh or not self.call.request.cache

    async def _under(self, early: Permit | None, number: int, waited_s: float) -> tuple[RawReply, Any] | None:
        """Sends when it may; ``None`` where the circuit opened while the attempt waited, and nothing was sent.

        A permit for a closed circuit is taken at the last moment: one that waits in a line says nothing of the model.
        """
        run, services, model = self.run, self.run.services, self.book.model
        try:
            self.book.begin(waited_s, await self._reserve(number))
            async with run.turns:
                if not run.unpaused.is_set():
                    self.book.withdraw()  # nothing is kept from other runs while a person decides
                    raise NotSent
                opening = self.call.opening
                turn = (opening and opening.turn()) or services.limits.turn_now(model)
                if turn is None:
                    until_s = self.call.deadline.at_s
                    turn = await services.limits.turn(model, tokens=self._most_tokens(), until_s=until_s)
                permit = early if early is not None and early.valid else services.circuits.permit_now(model.name)
                if permit is None:
                    turn.unused()
                    self.book.withdraw()
                    return None
                return await self._send(permit, turn, number)
        finally:
            if early is not None:
                early.abandoned()  # does nothing where the attempt was made

    async def _send(self, permit: Permit, turn: Turn, number: int) -> tuple[RawReply, Any]:
        book, model = self.book, self.book.model
        book.send()
        try:
            raw = await self.provider.send(model, self.asked, timeouts=self._timeouts())
        except BaseException as error:
            self.call.deadline.go_on()
            book.attempt_failed(error)
            failure = error if isinstance(error, CallError) else None
            usage = failure.usage if failure else None
            turn.ended(error, tokens=usage.input_tokens + usage.output_tokens if usage else 0)
            permit.failed(error)
            if isinstance(failure, NotAuthorisedError | NoSuchModelError):
                self.run.unusable[model.name] = failure
            raise
        self.call.deadline.go_on()
        permit.succeeded()
        turn.ended(rate_limit=raw.rate_limit, tokens=raw.usage.input_tokens + raw.usage.output_tokens)
        return raw, self._validated(raw, number)

    def _timeouts(self) -> Timeouts:
        """What an attempt may take: of a call that may take only so long, what is left of it."""
        timeouts = self.run.services.timeouts
        if self.call.request.timeout_s is None:
            return timeouts
        self.call.deadline.rest()  # the attempt has its own clock, and knows whether it may have been billed
        return replace(timeouts, total_s=max(0.001, self.call.deadline.left_s))

    def _validated(self, raw: RawReply, number: int) -> Any:
        try:
            value = _value_of(self.asked, raw, number)
        except SchemaNotMetError as error:
            self.book.attempt_unfit(error, raw)
            self.asked = _asked_again(self.call.request, self.asked.max_tokens, error)
            raise
        except BaseException:  # of the analyst's own type, say: the reply came, and is paid
            self.book.attempt_answered(raw)
            raise
        self.book.attempt_answered(raw)
        return value

    def _most_tokens(self) -> int:
        return most_input_tokens(self.asked) + self.asked.max_tokens

    async def _reserve(self, number: int) -> Hold:
        """Sets the money of an attempt aside; where the budget pauses, waits until somebody raises it."""
        opening = self.call.opening
        if opening is not None and (hold := opening.hold()) is not None:
            return hold
        book, price, max_tokens = self.book, price_of(self.book.model), self.asked.max_tokens
        input_tokens = most_input_tokens(self.asked)
        most_usd, step = price.most_usd(input_tokens, max_tokens), self.asked.origin.step
        while True:
            try:
                return await self.run.budget.reserve(
                    most_usd, tokens=input_tokens + max_tokens, step=step, facts=book.facts()
                )
            except OverBudgetError as refusal:
                if not refusal.pauses:
                    raise
                if number == 1 or self.run.batches is None:
                    raise NotSent(refusal) from None
                await self.call.wait_for_budget(refusal)  # what a batch has answered is not asked again


def _value_of(request: Request, raw: RawReply, number: int) -> Any:
    """The reply's value by the schema."""
    if request.output is None or raw.tool_calls:
        return raw.text
    try:
        return request.output.parse(raw.text)
    except SchemaNotMetError as error:
        if raw.finish_reason == "length":
            cut = SchemaNotMetError(
                f"The reply was cut at max_tokens={request.max_tokens} before it was whole.",
                reply=raw.text,
                hint="Raise max_tokens in llm(...).",
            )
            cut.retryable = False
            raise cut from None
        error.retryable = number < SCHEMA_ATTEMPTS
        raise


def _asked_again(request: Request, max_tokens: int, error: SchemaNotMetError) -> Request:
    """The same request, with the reply that did not fit and what is wrong with it."""
    reply = Message(role="assistant", parts=(Text(error.reply or "(nothing)"),))
    wish = user(f"That reply cannot be used: {error}\nReply again, with the JSON alone.")
    return replace(request, messages=(*request.messages, reply, wish), max_tokens=max_tokens)
