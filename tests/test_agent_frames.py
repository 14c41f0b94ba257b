"""Frames and messages of the agent's socket: what is none is refused, and that is all."""

from __future__ import annotations

import struct
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint.agent.frames import MOST_BYTES, BadFrame, FrameReader, frame
from inferprint.agent.messages import (
    BATCH,
    END,
    HELLO,
    MOST_LABELS,
    START,
    TOKENS,
    VERSION,
    check_hello,
    read_batch,
)

NOW_NS = 1_000_000

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
whole = st.integers(0, 2**62)
maybe = st.none() | whole
starts = st.tuples(
    st.just(START),
    whole,
    whole,
    st.text(max_size=9),
    st.none() | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3),
    maybe,
    maybe,
    maybe,
    maybe,
    st.booleans(),
).map(list)
told = st.tuples(whole, whole, maybe, maybe, maybe, maybe, maybe)
tokens = told.map(lambda one: [TOKENS, *one])
ends = st.tuples(told, st.integers(0, 2), maybe, st.integers(0, 3), maybe).map(
    lambda one: [END, *one[0], *one[1:]]
)
batches = st.tuples(
    st.just(BATCH),
    whole,
    whole,
    st.lists(starts | tokens | ends, max_size=4),
    st.lists(st.tuples(whole, whole).map(list), max_size=2),
).map(list)


@given(st.lists(values, max_size=5), st.integers(1, 7))
def test_messages_come_whole_however_they_are_cut(messages: list[Any], size: int) -> None:
    """A stream gives the messages that were put in, in order, in pieces of any size."""
    stream = b"".join(map(frame, messages))
    reader, found = FrameReader(), []
    for at in range(0, len(stream), size):
        found += reader.feed(stream[at : at + size])
    assert [msgpack.packb(one) for one in found] == [msgpack.packb(one) for one in messages]
    assert reader.held == 0


@given(st.binary(max_size=200))
def test_garbage_is_a_bad_frame_or_not_complete(garbage: bytes) -> None:
    """Bytes of any kind raise nothing but BadFrame, and what is held of them is bounded."""
    reader = FrameReader()
    try:
        list(reader.feed(garbage))
    except BadFrame:
        return
    assert reader.held <= len(garbage)


@given(batches, st.data())
def test_a_batch_with_any_byte_changed_is_read_or_refused(batch: list[Any], data: Any) -> None:
    """One flipped byte makes another batch, a bad frame, or one that is not complete."""
    stream = bytearray(frame(batch))
    place = data.draw(st.integers(0, len(stream) - 1))
    stream[place] = data.draw(st.integers(0, 255))
    try:
        for message in FrameReader().feed(bytes(stream)):
            if isinstance(message, list) and message[:1] == [BATCH]:
                read_batch(message, NOW_NS)
    except BadFrame:
        pass


@given(batches)
def test_a_batch_is_read_as_it_was_written(batch: list[Any]) -> None:
    """Events come as they were told, none of them later than now."""
    (message,) = FrameReader().feed(frame(batch))
    read = read_batch(message, NOW_NS)
    assert [event[2:] for event in read.events] == [event[2:] for event in batch[3]]
    assert all(event[1] <= NOW_NS for event in read.events)
    assert read.upto_ns <= NOW_NS


@given(values)
def test_what_is_no_batch_is_refused(value: Any) -> None:
    """A value of any kind in the place of the events raises nothing but BadFrame."""
    for message in ([BATCH, 1, 1, value, []], [BATCH, 1, 1, [value], []], [BATCH, 1, 1, [], value]):
        try:
            read_batch(message, NOW_NS)
        except BadFrame:
            continue


@pytest.mark.parametrize(
    "event",
    [
        [START, 1, 1, "m", None, None, None, None, None],
        [START, 1, 1, 7, None, None, None, None, None, False],
        [START, 1, -1, "m", None, None, None, None, None, False],
        [START, 1, True, "m", None, None, None, None, None, False],
        [START, 1, 1, "m", {"a": 1}, None, None, None, None, False],
        [START, 1, 1, "m", {str(i): "" for i in range(MOST_LABELS + 1)}, *[None] * 4, False],
        [TOKENS, 1, 1, -5, None, None, None, None],
        [TOKENS, None, 1, 5, None, None, None, None],
        [TOKENS, 1, 1, 0.5, None, None, None, None],
        [END, 1, 1, None, None, None, None, None, 3, None, 0, None],
        [END, 1, 1, None, None, None, None, None, 0, None, 4, None],
        [END, 1, 1],
        [7, 1, 1],
        [],
    ],
)
def test_an_event_that_is_none_is_refused(event: list[Any]) -> None:
    """A wrong kind, count, number, text or length makes the whole batch a bad frame."""
    with pytest.raises(BadFrame, match="batch that is none"):
        read_batch([BATCH, 1, 1, [event], []], NOW_NS)


def test_a_frame_that_is_too_long_is_refused_at_its_length() -> None:
    """Nothing of it is waited for, and none is made."""
    with pytest.raises(BadFrame, match="expected at most"):
        list(FrameReader().feed(struct.pack(">I", MOST_BYTES + 1)))
    with pytest.raises(BadFrame, match="expected at most"):
        frame("x" * MOST_BYTES)


def test_deep_nesting_is_refused() -> None:
    """It ends in an error of its own, not in the interpreter's stack."""
    payload = b"\x91" * 100_000 + b"\x01"
    with pytest.raises(BadFrame):
        list(FrameReader().feed(struct.pack(">I", len(payload)) + payload))


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ([HELLO, VERSION + 1, "0" * 12, 1], "install the same inferprint"),
        ([BATCH, 1, 1, [], []], "no greeting"),
        ("GET / HTTP/1.1", "no greeting"),
        ([HELLO, VERSION, "0" * 12], "greeting that is none"),
        ([HELLO, VERSION, "../../etc", 1], "no prefix"),
        ([HELLO, VERSION, "0" * 12, -1], "greeting that is none"),
    ],
)
def test_a_wrong_greeting_says_what_is_wrong(message: object, said: str) -> None:
    """The version is looked at first, so that another one is told apart from garbage."""
    with pytest.raises(BadFrame, match=said):
        check_hello(message)


def test_a_greeting_gives_the_prefix() -> None:
    """Of the worker's request ids."""
    assert check_hello([HELLO, VERSION, "0123456789ab", 1]) == "0123456789ab"
