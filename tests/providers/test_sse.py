"""Server-sent events, however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration_nb.errors import MalformedReplyError
from orchestration_nb.providers.sse import Event, Events

STREAM = (
    b"\xef\xbb\xbf: a comment\r\n\r\n"
    b'event: message_start\r\ndata: {"a": 1}\r\n\r\n'
    b"data: first line\ndata:second line\n\n"
    b"id: 7\nretry: 10\ndata\n\n"
    b"event: ping\n\n"
    b"data: caf\xc3\xa9\r\r"
    b"data: unfinished\n"
)
EVENTS = [
    Event(b'{"a": 1}', b"message_start"),
    Event(b"first line\nsecond line"),
    Event(b""),
    Event("café".encode()),
]


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=12))
def test_any_cut_gives_the_same_events(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    events = Events()
    seen = [event for start, end in pairwise(places) for event in events.feed(STREAM[start:end])]
    assert seen == EVENTS


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration_nb.providers.sse._MOST_EVENT_BYTES", 100)
    with pytest.raises(MalformedReplyError):
        list(Events().feed(b"data: " + b"x" * 200))
