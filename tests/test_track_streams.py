"""Decorated generators and async generators: every way to drive and to leave them."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint import Request, Tokens, current
from rig import Rig, awaited, by_hand

Step = tuple[str, Any]
Body = Callable[[int], Generator[Any, Any, Any]]

MANY = 20
CLOSINGS: list[Step] = [("close", None)] * 10
"""A stubborn body is closed until it gives in."""


@pytest.fixture
def rig() -> Iterator[Rig]:
    with by_hand(watts=100.0, idle_w=0.0) as rig:
        yield rig


# ---- as if the decorator were not there ------------------------------------------------------


def adds(until: int) -> Generator[int, int | None, str]:
    """Yields a sum of what it is sent, and lets every exception through."""
    total = 0
    while total < until:
        total += (yield total) or 1
    return f"sum {total}"


def catches(until: int) -> Generator[int, int | None, str]:
    """Goes on after a KeyError, and gives another exception for a ValueError."""
    total = 0
    while total < until:
        try:
            total += (yield total) or 1
        except KeyError:
            total += 2
        except ValueError as error:
            raise LookupError("from inside") from error
    return f"sum {total}"


def returns_when_closed(until: int) -> Generator[int, int | None, str]:
    """Swallows its closing and returns."""
    try:
        return (yield from adds(until))
    except GeneratorExit:
        return "closed"


def yields_when_closed(until: int) -> Generator[int, int | None, str]:
    """Answers its first closing with one more item, as it must not."""
    try:
        return (yield from adds(until))
    except GeneratorExit:
        yield -1
    return "stubborn"


def raises_when_closed(until: int) -> Generator[int, int | None, str]:
    """Fails while it cleans up."""
    try:
        return (yield from adds(until))
    finally:
        raise OSError("in the clean-up")


BODIES = [adds, catches, returns_when_closed, yields_when_closed, raises_when_closed]
ERRORS = [KeyError, ValueError, GeneratorExit, StopIteration, KeyboardInterrupt]

bodies = st.sampled_from(BODIES)
steps = st.lists(
    st.one_of(
        st.just(("next", None)),
        st.tuples(st.just("send"), st.sampled_from([None, 1, 2])),
        st.tuples(st.just("throw"), st.sampled_from(ERRORS)),
        st.just(("close", None)),
    ),
    max_size=8,
)


def outcome_of(call: Callable[[Any], Any], value: Any) -> Step:
    """What a call gave or raised, to be compared."""
    try:
        return "gave", call(value)
    except BaseException as error:
        return type(error).__name__, str(error)


def transcript(stream: Generator[Any, Any, Any], script: Sequence[Step]) -> list[Step]:
    """What a generator does when it is driven so, and closed in the end."""
    calls: dict[str, Callable[[Any], Any]] = {
        "next": lambda _: next(stream),
        "send": stream.send,
        "throw": lambda error: stream.throw(error("thrown in")),
        "close": lambda _: stream.close(),
    }
    return [outcome_of(calls[name], value) for name, value in [*script, *CLOSINGS]]


@given(body=bodies, until=st.integers(0, 5), script=steps)
def test_a_decorated_generator_behaves_like_the_plain_one(
    body: Body, until: int, script: Sequence[Step]
) -> None:
    """next, send, throw, close and the value returned are the body's, and it ends once."""
    with by_hand() as rig:
        tracked = rig.tracker.track()(body)
        assert transcript(tracked(until), script) == transcript(body(until), script)
        assert len(rig.receipts()) <= 1
        assert rig.tracker.status().in_flight == {}


def as_async(body: Body) -> Callable[[int], Any]:
    """An async generator function that does what a generator function does."""

    async def stream(until: int) -> Any:
        inner = body(until)
        step: Callable[[], Any] = partial(next, inner)
        while True:
            await asyncio.sleep(0)
            try:
                item = step()
            except StopIteration:
                return
            try:
                sent = yield item
            except BaseException as error:
                step = partial(inner.throw, error)
            else:
                step = partial(inner.send, sent)

    return stream


def async_transcript(stream: Any, script: Sequence[Step]) -> list[Step]:
    """What an async generator does when it is driven so, and closed in the end."""
    calls: dict[str, Callable[[Any], Any]] = {
        "next": lambda _: awaited(anext(stream)),
        "send": lambda value: awaited(stream.asend(value)),
        "throw": lambda error: awaited(stream.athrow(error("thrown in"))),
        "close": lambda _: awaited(stream.aclose()),
    }
    return [outcome_of(calls[name], value) for name, value in [*script, *CLOSINGS]]


# Python itself gives up on an async generator that answers its closing with an item.
async_bodies = st.sampled_from([body for body in BODIES if body is not yields_when_closed])


@given(body=async_bodies, until=st.integers(0, 5), script=steps)
def test_a_decorated_async_generator_behaves_like_the_plain_one(
    body: Body, until: int, script: Sequence[Step]
) -> None:
    """asend, athrow, aclose and iteration are the body's, and it ends once."""
    plain = as_async(body)
    with by_hand() as rig:
        tracked = rig.tracker.track()(plain)
        assert async_transcript(tracked(until), script) == async_transcript(plain(until), script)
        assert len(rig.receipts()) <= 1
        assert rig.tracker.status().in_flight == {}


# ---- how a stream ends -----------------------------------------------------------------------


def test_a_generator_that_is_read_to_its_end_is_ok(rig: Rig) -> None:
    """It is in flight from the first item asked for to its end, not from the call."""

    @rig.tracker.track(model="m")
    def stream() -> Generator[int, None, None]:
        for item in range(3):
            rig.clock.advance(1.0)
            yield item

    items = stream()
    rig.clock.advance(10.0)
    assert next(items) == 0
    assert rig.tracker.status().in_flight == {"m": 1}
    assert list(items) == [1, 2]
    receipt = rig.one_receipt()
    assert (receipt.outcome, receipt.duration_s) == ("ok", 3.0)
    assert receipt.time_to_first_token_s == 1.0


def test_a_generator_that_is_never_started_is_no_request(rig: Rig) -> None:
    """Its body never ran, so there is nothing to have a receipt of."""

    @rig.tracker.track()
    def stream() -> Generator[int, None, None]:
        yield 1

    stream().close()
    assert rig.receipts() == []


@pytest.mark.parametrize("leave", ["close", "drop"])
def test_a_generator_that_is_left_early_is_cancelled(rig: Rig, leave: str) -> None:
    """Closed or dropped, its body cleans up at once and what it used is wasted."""
    cleaned: list[bool] = []

    @rig.tracker.track()
    def stream() -> Generator[int, None, None]:
        try:
            yield 1
            yield 2
        finally:
            cleaned.append(True)

    items = stream()
    next(items)
    if leave == "close":
        items.close()
    del items
    gc.collect()
    assert cleaned == [True]
    receipt = rig.one_receipt()
    assert receipt.outcome == "cancelled"
    assert receipt.energy.total_j is not None


def test_a_closing_that_the_body_swallows_is_still_a_cancellation(rig: Rig) -> None:
    """A body that returns when it is closed did not get to its end."""
    items = rig.tracker.track()(returns_when_closed)(5)
    next(items)
    items.close()
    assert rig.one_receipt().outcome == "cancelled"


def test_an_async_generator_that_is_left_early_is_cancelled(rig: Rig) -> None:
    """Left by ``break`` and finalised by the event loop, it ends once and complains of nothing."""
    problems: list[dict[str, Any]] = []
    cleaned: list[bool] = []

    @rig.tracker.track()
    async def stream() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    async def reads_one() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: problems.append(said))
        async for _ in stream():
            break
        await asyncio.sleep(0.01)  # the loop closes what was dropped, in a task of its own

    asyncio.run(reads_one())
    assert (cleaned, problems) == ([True], [])
    assert rig.one_receipt().outcome == "cancelled"


def test_async_generators_are_cancelled_when_the_loop_shuts_down(rig: Rig) -> None:
    """Kept half-read until then, each ends once and complains of nothing, whether the loop
    closes the decorated one first or the plain one inside it, which is up to chance.
    """
    problems: list[dict[str, Any]] = []
    kept: list[AsyncIterator[int]] = []

    @rig.tracker.track()
    async def stream() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def reads_one() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: problems.append(said))
        for _ in range(MANY):
            kept.append(stream())
            await anext(kept[-1])

    asyncio.run(reads_one())
    assert problems == []
    assert [receipt.outcome for receipt in rig.receipts()] == ["cancelled"] * MANY


def test_a_stream_in_a_cancelled_task_is_cancelled(rig: Rig) -> None:
    """Asyncio's cancellation arrives in the body, and the task is cancelled as it would be."""
    cleaned: list[bool] = []

    @rig.tracker.track()
    async def stream() -> AsyncIterator[int]:
        yield 1
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)
        yield 2

    async def reads() -> None:
        async for _ in stream():
            pass

    async def cancels() -> bool:
        task = asyncio.create_task(reads())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(cancels())
    assert cleaned == [True]
    assert rig.one_receipt().outcome == "cancelled"


def test_a_stream_that_fails_has_the_error_s_outcome(rig: Rig) -> None:
    """What it yielded before arrives, then the body's own exception."""
    error = RuntimeError("out of memory")

    @rig.tracker.track()
    def stream() -> Generator[int, None, None]:
        yield 1
        raise error

    items = stream()
    assert next(items) == 1
    with pytest.raises(RuntimeError) as caught:
        next(items)
    assert caught.value is error
    assert rig.one_receipt().outcome == "error"


# ---- who is current --------------------------------------------------------------------------


def test_the_reader_of_a_stream_is_not_inside_it(rig: Rig) -> None:
    """Between two items the reader's requests are its own, and the body's are the stream's."""
    inside: list[Request | None] = []

    @rig.tracker.track(model="stream")
    def stream() -> Generator[int, None, None]:
        for item in range(2):
            inside.append(current())
            with rig.tracker.request("retrieval"):
                rig.clock.advance(1.0)
            yield item

    for _ in stream():
        assert current() is None
        with rig.tracker.request("reader"):
            rig.clock.advance(1.0)
    by_model = {receipt.model: receipt for receipt in rig.receipts()}
    assert [child.model for child in by_model["stream"].children] == ["retrieval"] * 2
    assert by_model["reader"].children == ()
    assert [request.model for request in inside if request is not None] == ["stream", "stream"]


def test_two_streams_that_are_read_in_turns_are_strangers(rig: Rig) -> None:
    """Neither is the other's child, and they end in any order."""

    @rig.tracker.track()
    def stream() -> Generator[Request | None, None, None]:
        yield current()
        yield current()

    one, other = stream(), stream()
    seen = [next(one), next(other), next(one), next(other)]
    assert seen[0] is seen[2] is not None
    assert seen[1] is seen[3] is not seen[0]
    one.close()
    other.close()
    assert [receipt.children for receipt in rig.receipts()] == [(), ()]


def test_a_stream_may_be_read_in_several_contexts(rig: Rig) -> None:
    """A web server may ask for each item in another context; none of them keeps the request."""

    @rig.tracker.track()
    def stream() -> Generator[Request | None, None, None]:
        yield current()
        yield current()

    items, contexts = stream(), [contextvars.Context() for _ in range(3)]
    seen = [context.run(next, items, None) for context in contexts]
    assert seen[0] is seen[1] is not None
    assert seen[2] is None
    assert [context.run(current) for context in contexts] == [None, None, None]
    assert rig.one_receipt().outcome == "ok"


# ---- tokens ----------------------------------------------------------------------------------


def test_numbers_add_up_and_totals_replace(rig: Rig) -> None:
    """A count a piece adds up; a usage in the last chunk is the total."""

    @rig.tracker.track(model="pieces", tokens=lambda piece: 2)
    def pieces() -> Iterator[str]:
        yield from "abc"

    @rig.tracker.track(model="usage", tokens=lambda chunk: chunk["usage"])
    def chunks() -> Iterator[dict[str, Any]]:
        yield {"usage": None}
        yield {"usage": {"prompt_tokens": 5, "completion_tokens": 1}}
        yield {"usage": {"prompt_tokens": 5, "completion_tokens": 9}}

    list(pieces())
    list(chunks())
    tokens = {receipt.model: receipt.tokens for receipt in rig.receipts()}
    assert tokens == {"pieces": Tokens(output=6), "usage": Tokens(5, None, 9)}
