"""``llm(...)``: what it returns inside a flow, and who waits for it.

Inside a step ``llm(...)`` only notes down what is asked: a :class:`Pending`. The engine turns it into a request, waits,
and puts the value in its place. Until then a pending reply can be returned, collected or awaited, and nothing else.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextvars import ContextVar, Token
from typing import Any, Final, NoReturn, Self, TypeVar

from orchestration_nb.calls import Decision, Origin, OutputSchema, Request
from orchestration_nb.errors import PendingReplyError, UsageError
from orchestration_nb.flow.images import read_images
from orchestration_nb.flow.schema import output_schema
from orchestration_nb.ids import RequestId
from orchestration_nb.messages import Image, user

_NO_IMAGES: Final[tuple[Image, ...]] = ()
_WAY_OUT: Final = "Give `llm(...)` a step of its own (`name = llm(...)`), or write `await llm(...)`."

Resolve = Callable[["Pending"], Awaitable[Any]]
"""Asks for a pending reply that is awaited inside a step, and returns its value."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


class StepScope:
    """One evaluation of a step: under ``with``, every ``llm(...)`` returns a pending reply that is registered here.

    Args:
        resolve: What ``await llm(...)`` does, or ``None`` where nothing can be awaited.

    Attributes:
        pendings: The pending replies, in the order in which they were made.
    """

    __slots__ = ("_token", "pendings", "resolve")

    def __init__(self, resolve: Resolve | None) -> None:
        self.pendings: list[Pending] = []
        self.resolve = resolve
        self._token: Token[StepScope | None] | None = None

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        _current.reset(self._token)

    def lost(self) -> list[Pending]:
        """Those that nobody has asked for yet: neither in the step's value nor awaited."""
        return [pending for pending in self.pendings if not pending.awaited]


_current: ContextVar[StepScope | None] = ContextVar("orchestration_nb_step_scope", default=None)


def step_scope(resolve: Resolve | None, scope: StepScope | None = None) -> StepScope:
    """The scope to evaluate a step in, under ``with``.

    Args:
        resolve: What ``await llm(...)`` does, or ``None`` where nothing can be awaited.
        scope: A scope to go on with, for a coroutine that was made under it; ``None`` makes a new one.
    """
    if scope is None:
        return StepScope(resolve)
    scope.resolve = resolve
    return scope


class Pending:
    """A reply that is not there yet: what ``llm(...)`` returns in a flow.

    Its attributes are the arguments of :func:`llm`; ``awaited`` says that the reply was asked for.
    """

    __slots__ = (
        "awaited", "cache", "default", "images", "max_tokens", "model", "output", "prompt", "scope", "strategy",
        "system", "temperature", "timeout",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913, PLR0917 - the arguments of llm(...), by position because it must be quick
        self,
        prompt: str,
        model: str | None = None,
        strategy: str | None = None,
        system: str | None = None,
        images: Any = None,
        output: Any = None,
        temperature: float | None = None,
        max_tokens: int = 1024,
        default: Any = ...,
        cache: bool = True,
        timeout: float | None = None,
    ) -> None:
        self.prompt = prompt
        self.model = model
        self.strategy = strategy
        self.system = system
        self.images = images
        self.output = output
        self.temperature = temperature
        self.max_tokens = max_tokens
        self.default = default
        self.cache = cache
        self.timeout = timeout
        self.awaited = False
        self.scope: StepScope | None = None

    @property
    def has_default(self) -> bool:
        """Whether ``default=`` was given: the value to go on with where no reply comes."""
        return self.default is not ...

    def request(
        self,
        origin: Origin,
        *,
        schema: OutputSchema | None,
        id: RequestId,  # noqa: A002 - the field's name in Request
        seed: str,
        model: str | None = None,
        item: Mapping[str, Any] | None = None,
    ) -> Request:
        """The request to send; from now on the reply counts as asked for.

        Args:
            origin: Where it was asked.
            schema: The form that the step's annotation wants. An ``output=`` of its own wins, and a reply that the step
                awaits itself is text: the annotation speaks of what the step makes of it.
            id: The request's id.
            seed: What makes random choices of the strategy repeatable.
            model: The run's model, for a step that names neither a model nor a strategy.
            item: The columns of the item.

        Raises:
            UsageError: ``images=`` or ``output=`` cannot be used.
        """
        form = None if self.awaited else schema
        self.awaited = True
        return Request(
            id=id,
            origin=origin,
            messages=(user(self.prompt, _NO_IMAGES if self.images is None else read_images(self.images)),),
            system=self.system,
            model=model if self.model is None and self.strategy is None else self.model,
            strategy=self.strategy,
            output=form if self.output is None else output_schema(self.output, name=origin.step),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            timeout_s=self.timeout,
            cache=self.cache,
            item={} if item is None else item,
            decision=Decision(seed=seed),
        )

    def __await__(self) -> Generator[Any, None, Any]:
        if self.scope is None or self.scope.resolve is None:
            raise PendingReplyError(f"{self!r} cannot be awaited here.", hint="Write `llm(...)` in a step of a flow.")
        self.awaited = True
        return self.scope.resolve(self).__await__()

    def __repr__(self) -> str:
        prompt = self.prompt if len(self.prompt) <= 40 else self.prompt[:39] + "…"
        return f"<pending reply to {prompt!r}>"

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):  # protocols, debuggers and copies ask for these, and must hear a plain no
            raise AttributeError(name)
        _refuse(self, f"has no attribute {name!r}")


def _refuse(pending: Pending, what: str) -> NoReturn:
    raise PendingReplyError(f"{pending!r} is not there yet and {what}.", hint=_WAY_OUT)


_REFUSED: Final = {
    "cannot be put into text": "str format bytes",
    "cannot be reckoned with": (
        "add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod divmod rdivmod pow rpow matmul "
        "rmatmul and rand or ror xor rxor lshift rlshift rshift rrshift neg pos abs invert int float complex index "
        "round trunc"
    ),
    "cannot be compared": "eq ne lt le gt ge",
    "is neither true nor false": "bool",
    "has no length": "len length_hint",
    "has no items": "iter next reversed getitem setitem delitem contains aiter anext",
    "cannot be called": "call",
    "cannot be used in `with`": "enter exit aenter aexit",
}


def _refusing(what: str) -> Callable[..., NoReturn]:
    def method(self: Pending, *_: Any) -> NoReturn:
        _refuse(self, what)

    return method


for _what, _names in _REFUSED.items():
    for _name in _names.split():
        setattr(Pending, f"__{_name}__", _refusing(_what))
Pending.__hash__ = object.__hash__  # type: ignore[method-assign]  # a set of pending replies is fan-out too


_outside: Callable[[Pending], Any] | None = None


def set_outside(answer: Callable[[Pending], Any] | None) -> None:
    """Says what ``llm(...)`` does outside a flow: ``answer`` returns the value at once."""
    global _outside  # noqa: PLW0603 - one process has one answer to it
    _outside = answer


def llm(  # noqa: PLR0913 - the one function that an analyst calls
    prompt: str,
    *,
    model: str | None = None,
    strategy: str | None = None,
    system: str | None = None,
    images: Any = None,
    output: Any = None,
    temperature: float | None = None,
    max_tokens: int = 1024,
    default: Any = ...,
    cache: bool = True,
    timeout: float | None = None,
) -> Any:
    """Asks a model.

    Args:
        prompt: What is asked, sent as it stands.
        model: Model or alias that answers; without it the run's strategy decides.
        strategy: Name of the strategy that decides for this request.
        system: System prompt.
        images: One picture or several: bytes, a ``pathlib.Path``, an ``https`` address or an
            :class:`~orchestration_nb.messages.Image`.
        output: Type of the reply (``Literal[...]``, ``bool``, ``int``, ``float``, ``list[...]``, a dataclass, a
            TypedDict or a pydantic model); without it the step's annotation says it.
        temperature: From 0 to 2; ``None`` leaves it to the model.
        max_tokens: Most tokens of the reply.
        default: Value to go on with where no usable reply comes.
        cache: Whether an earlier reply to the same request may be used.
        timeout: Most seconds for one call, or ``None`` for the setting.

    Returns:
        In a flow a pending reply; in a plain cell the reply itself.

    Raises:
        UsageError: An argument cannot be used.
    """
    if type(prompt) is not str:
        prompt = _text(prompt)
    if not (model is None and strategy is None and system is None and temperature is None and timeout is None):
        _check(model, strategy, system, temperature, timeout)
    if type(max_tokens) is not int or max_tokens < 1:
        max_tokens = _count(max_tokens)
    pending = Pending(
        prompt, model, strategy, system, images, output, temperature, max_tokens, default, bool(cache), timeout
    )
    scope = _current.get()
    if scope is not None:
        if scope.pendings and "<pending reply to " in prompt:
            _refuse_quoted(prompt, scope)
        pending.scope = scope
        scope.pendings.append(pending)
        return pending
    if _outside is None:
        raise UsageError("llm(...) was called outside a flow, and no workspace is there to answer it.")
    return _outside(pending)


def _refuse_quoted(prompt: str, scope: StepScope) -> None:
    """A list of pending replies that was put into text shows them by their ``repr``: that must not be sent."""
    for earlier in scope.pendings:
        if repr(earlier) in prompt:
            _refuse(earlier, "cannot be put into text")


def _text(prompt: object) -> str:
    if isinstance(prompt, str):
        return str(prompt)
    if isinstance(prompt, Pending):
        _refuse(prompt, "cannot be a prompt")
    hint = "Decode it first: `.decode()`." if isinstance(prompt, bytes) else 'Write it as text: f"...{value}...".'
    raise UsageError(f"The prompt of llm(...) must be text, not {_kind(prompt)}.", hint=hint)


def _kind(value: object) -> str:
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    return "None" if value is None else type(value).__name__


def _check(model: object, strategy: object, system: object, temperature: Any, timeout: Any) -> None:
    for name, value in (("model", model), ("strategy", strategy), ("system", system)):
        if not (value is None or isinstance(value, str)):
            raise UsageError(f"llm({name}=...) must be text, not {_kind(value)}.", hint=f'For example {name}="...".')
    if not (temperature is None or (_is_number(temperature) and 0 <= temperature <= 2)):
        raise UsageError(f"llm(temperature=...) must be a number from 0 to 2, not {temperature!r}.")
    if not (timeout is None or (_is_number(timeout) and timeout > 0)):
        raise UsageError(f"llm(timeout=...) must be a number of seconds above 0, not {timeout!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _count(max_tokens: Any) -> int:
    if _is_number(max_tokens) and isinstance(max_tokens, numbers.Integral) and int(max_tokens) >= 1:
        return int(max_tokens)
    raise UsageError(f"llm(max_tokens=...) must be a whole number of at least 1, not {max_tokens!r}.")


def step(function: _Function) -> _Function:
    """Marks a function of a flow's text as a step, whose parameters are what it needs; elsewhere it changes nothing."""
    return function
