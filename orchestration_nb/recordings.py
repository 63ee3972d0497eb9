"""The workspace's own ledger as recorded replies: what ``replay/...`` answers from unless a folder is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

from orchestration_nb.calls import FinishReason, RawReply, Request, Usage
from orchestration_nb.catalog import Model, Price
from orchestration_nb.cost.bounds import most_output_tokens
from orchestration_nb.cost.cache import cache_key
from orchestration_nb.errors import NoRecordedReplyError, WorkspaceError
from orchestration_nb.ledger import Ledger, RecordedCall, RecordedPrice
from orchestration_nb.providers import Availability
from orchestration_nb.providers.replay import Lookup

_SOURCE = "the ledger: the price of the newest recorded call"


class RecordedCalls:
    """Replies of calls that ended ok and were really asked: neither from a cache nor replayed themselves.

    A recording answers the very question that was asked, not one that reads alike: the digest of everything that
    decides the answer must be the same, sample number included, the model's name apart. Of several recordings of one
    question the newest answers, as it does in the cache.

    Args:
        ledger: Where the calls are.
        known: Finds the model that was recorded, where it is still known: its limits are part of the question.
    """

    def __init__(self, ledger: Ledger, known: Callable[[str], Model | None]) -> None:
        self._ledger = ledger
        self._known = known

    def availability(self) -> Availability:
        """Usable where there is a ledger."""
        begun = self._ledger.is_begun()
        why = "" if begun else "nothing is recorded in this workspace's ledger yet, and [replay] names no folder"
        return Availability(usable=begun, why=why, where="this workspace's ledger")

    def models(self) -> Mapping[str, Price | None]:
        """The models that were asked, with the price that the newest call of each was reckoned with.

        Raises:
            NoRecordedReplyError: If the ledger cannot be read.
        """
        with _as_missing():
            return {name: _price(price) for name, price in self._ledger.recorded_models().items()}

    def replies(self, name: str) -> Lookup:
        """The replies of one model, by the digest of their question.

        Raises:
            NoRecordedReplyError: If the ledger cannot be read.
        """
        with _as_missing():
            replies = {call.cache_key: _reply(call) for call in self._ledger.recorded_calls(name)}
        provider, _, wire_name = name.partition("/")
        asked = self._known(name) or Model(provider=provider, wire_name=wire_name)

        def find(request: Request) -> RawReply | None:
            most = most_output_tokens(request, asked)
            return replies.get(cache_key(request, asked, sample=request.sample, max_tokens=most))

        return find


def _price(recorded: RecordedPrice) -> Price | None:
    if recorded.input_usd_per_mtok is None or recorded.output_usd_per_mtok is None:
        return None
    return Price(
        input_usd_per_mtok=recorded.input_usd_per_mtok,
        output_usd_per_mtok=recorded.output_usd_per_mtok,
        cached_usd_per_mtok=recorded.cached_usd_per_mtok,
        cache_write_usd_per_mtok=recorded.cache_write_usd_per_mtok,
        reasoning_usd_per_mtok=recorded.reasoning_usd_per_mtok,
        source=_SOURCE,
    )


def _reply(call: RecordedCall) -> RawReply:
    return RawReply(
        text=call.reply,
        usage=Usage(
            input_tokens=call.input_tokens,
            cached_tokens=call.cached_tokens,
            cache_write_tokens=call.cache_write_tokens,
            output_tokens=call.output_tokens,
            reasoning_tokens=call.reasoning_tokens,
        ),
        finish_reason=cast("FinishReason", call.finish_reason or "stop"),
        model_version=call.model_version,
        ttft_ms=call.ttft_ms,
        latency_ms=call.latency_ms,
        cost_usd=call.cost_usd,  # reckoned with the price of its own day, which the newest may not be
    )


@contextmanager
def _as_missing() -> Iterator[None]:
    """A ledger that cannot be read is, to who replays, replies that are not there."""
    try:
        yield
    except WorkspaceError as error:
        raise NoRecordedReplyError(str(error), hint=error.hint) from error
