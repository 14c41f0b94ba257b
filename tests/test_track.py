"""The decorator: every kind of function, as if it were not there, and one receipt a call."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

import pytest

from inferprint import Request, Tokens, current
from inferprint.tracking import ReadTokens
from rig import Rig, awaited, by_hand

Inside = Callable[[], object]


@pytest.fixture
def rig() -> Iterator[Rig]:
    with by_hand(watts=100.0, idle_w=0.0) as rig:
        yield rig


class Kind(NamedTuple):
    """One kind of function: how to make one, and how to run a call of it to its end."""

    make: Callable[[Inside], Callable[..., Any]]
    run: Callable[[Any], Any]
    is_kind: Callable[[object], bool]


def _def(inside: Inside) -> Callable[..., Any]:
    def function(prompt: str, *, limit: int = 0) -> Any:
        """Its own docstring."""
        inside()
        return prompt, limit

    return function


def _async_def(inside: Inside) -> Callable[..., Any]:
    async def function(prompt: str, *, limit: int = 0) -> Any:
        """Its own docstring."""
        await asyncio.sleep(0)
        inside()
        return prompt, limit

    return function


def _generator(inside: Inside) -> Callable[..., Any]:
    def function(prompt: str, *, limit: int = 0) -> Iterator[Any]:
        """Its own docstring."""
        inside()
        yield prompt, limit

    return function


def _async_generator(inside: Inside) -> Callable[..., Any]:
    async def function(prompt: str, *, limit: int = 0) -> AsyncIterator[Any]:
        """Its own docstring."""
        await asyncio.sleep(0)
        inside()
        yield prompt, limit

    return function


def _only(items: list[Any]) -> Any:
    (item,) = items
    return item


async def _collected(stream: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in stream]


KINDS = {
    "def": Kind(_def, lambda result: result, inspect.isfunction),
    "async def": Kind(_async_def, awaited, inspect.iscoroutinefunction),
    "generator": Kind(_generator, lambda it: _only(list(it)), inspect.isgeneratorfunction),
    "async generator": Kind(
        _async_generator,
        lambda stream: _only(awaited(_collected(stream))),
        inspect.isasyncgenfunction,
    ),
}

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@every_kind
def test_a_call_gives_its_result_and_a_receipt(rig: Rig, kind: Kind) -> None:
    """Arguments and result pass through; the receipt has the call's time and outcome."""
    tracked = rig.tracker.track(model="m", labels={"route": "/chat"})
    function = tracked(kind.make(lambda: rig.clock.advance(2.0)))
    assert kind.run(function("hello", limit=3)) == ("hello", 3)
    receipt = rig.one_receipt()
    assert (receipt.model, receipt.labels, receipt.outcome) == ("m", {"route": "/chat"}, "ok")
    assert receipt.duration_s == 2.0
    assert receipt.energy.total_j is not None
    assert float(receipt.energy.total_j) == pytest.approx(200.0)


@every_kind
@pytest.mark.parametrize(
    ("kind_of_error", "outcome"),
    [
        (ValueError, "error"),
        (SystemExit, "error"),
        (KeyboardInterrupt, "cancelled"),
        (asyncio.CancelledError, "cancelled"),
    ],
)
def test_an_exception_passes_through_unchanged(
    rig: Rig, kind: Kind, kind_of_error: type[BaseException], outcome: str
) -> None:
    """The same object arrives, without a cause or context added, with its traceback."""
    error = kind_of_error("the user's own")

    def raises() -> None:
        raise error

    function = rig.tracker.track()(kind.make(raises))
    with pytest.raises(kind_of_error) as caught:
        kind.run(function("hello"))
    assert caught.value is error
    assert error.__cause__ is None
    assert error.__context__ is None
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert frames[-2:] == ["function", "raises"]
    assert rig.one_receipt().outcome == outcome


@every_kind
def test_the_function_still_looks_like_itself(rig: Rig, kind: Kind) -> None:
    """Name, docstring, signature and kind are the function's own, for frameworks that look."""
    plain = kind.make(lambda: None)
    function = rig.tracker.track()(plain)
    assert function.__name__ == "function"
    assert function.__doc__ == "Its own docstring."
    assert function.__module__ == plain.__module__
    assert inspect.signature(function) == inspect.signature(plain)
    assert inspect.unwrap(function) is plain
    assert kind.is_kind(function)


@every_kind
def test_the_model_is_the_functions_name_where_none_is_given(rig: Rig, kind: Kind) -> None:
    """Without a model the receipt names the function."""
    kind.run(rig.tracker.track()(kind.make(lambda: None))("hello"))
    assert rig.one_receipt().model == f"{kind.make.__name__}.<locals>.function"


@every_kind
def test_the_body_runs_as_the_request(rig: Rig, kind: Kind) -> None:
    """Inside, ``current()`` is the request of this call; around it there is none."""
    seen: list[Request | None] = []
    function = rig.tracker.track(model="m")(kind.make(lambda: seen.append(current())))
    kind.run(function("hello"))
    request = _only(seen)
    assert request.model == "m"
    assert current() is None


@every_kind
def test_a_call_that_does_not_fit_is_the_callers_error(rig: Rig, kind: Kind) -> None:
    """A call that does not fit the signature raises the TypeError that it always did."""
    function = rig.tracker.track()(kind.make(lambda: None))
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        kind.run(function("hello", nonsense=1))


@every_kind
def test_a_call_inside_a_call_is_its_child(rig: Rig, kind: Kind) -> None:
    """The inner receipt is in the outer one's children, and its energy is charged once."""

    @rig.tracker.track(model="inner")
    def inner() -> None:
        rig.clock.advance(3.0)

    def inside() -> None:
        rig.clock.advance(1.0)
        inner()

    kind.run(rig.tracker.track(model="outer")(kind.make(inside))("hello"))
    by_model = {receipt.model: receipt for receipt in rig.receipts()}
    outer = by_model["outer"]
    assert outer.children == (by_model["inner"],)
    total_j, all_j = outer.energy.total_j, outer.with_children().energy.total_j
    assert total_j is not None
    assert all_j is not None
    assert float(total_j) == pytest.approx(100.0)
    assert float(all_j) == pytest.approx(400.0)


@every_kind
@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (lambda result: {"input_tokens": len(result[0]), "output_tokens": 7}, Tokens(5, None, 7)),
        (lambda result: (len(result[0]), 9), Tokens(5, None, 9)),
        (lambda result: len(result[0]), Tokens(output=5)),
        (lambda result: None, Tokens()),
    ],
)
def test_tokens_are_read_from_the_result(
    rig: Rig, kind: Kind, tokens: ReadTokens, expected: Tokens
) -> None:
    """``tokens=`` gets what the function returned, or each item of the stream."""
    function = rig.tracker.track(tokens=tokens)(kind.make(lambda: None))
    kind.run(function("hello"))
    receipt = rig.one_receipt()
    assert receipt.tokens == expected
    assert "tokens_unreadable" not in receipt.flags


@every_kind
def test_an_interrupt_while_tokens_are_read_ends_the_request(rig: Rig, kind: Kind) -> None:
    """Ctrl-C in the user's ``tokens=`` arrives, and leaves no request in flight."""

    def tokens(_: object) -> None:
        raise KeyboardInterrupt

    function = rig.tracker.track(tokens=tokens)(kind.make(lambda: None))
    with pytest.raises(KeyboardInterrupt):
        kind.run(function("hello"))
    assert rig.one_receipt().outcome == "cancelled"
    assert rig.tracker.status().in_flight == {}


@every_kind
def test_a_stopped_tracker_lets_calls_through(kind: Kind) -> None:
    """After ``stop`` the function works as before, unmeasured."""
    with by_hand() as rig:
        function = rig.tracker.track()(kind.make(lambda: None))
    assert kind.run(function("hello")) == ("hello", 0)
    assert rig.kept.receipts == []


def test_methods_are_tracked(rig: Rig) -> None:
    """Methods, static and class methods get their arguments, in either order of decorators."""
    track = rig.tracker.track(model="m")

    class Model:
        name = "a model"

        @track
        def method(self, prompt: str) -> str:
            return self.name + prompt

        @classmethod
        @track
        def of_class(cls, prompt: str) -> str:
            return cls.name + prompt

        @staticmethod
        @track
        def static(prompt: str) -> str:
            return prompt

        @track
        @staticmethod
        async def static_below(prompt: str) -> str:
            rig.clock.advance(1.0)
            return prompt

        @track
        @classmethod
        def of_class_below(cls, prompt: str) -> str:
            return cls.name + prompt

    assert Model().method("!") == "a model!"
    assert Model.of_class("?") == "a model?"
    assert Model.static("x") == "x"
    assert asyncio.run(Model.static_below("y")) == "y"
    assert asyncio.run(Model().static_below("y")) == "y"
    assert Model().of_class_below("?") == "a model?"
    assert [receipt.duration_s for receipt in rig.receipts()] == [0.0, 0.0, 0.0, 1.0, 1.0, 0.0]


def test_what_is_called_like_a_function_is_tracked_like_one(rig: Rig) -> None:
    """An object with an async ``__call__`` is awaited before its request ends."""

    class Pipeline:
        async def __call__(self, prompt: str) -> str:
            rig.clock.advance(1.0)
            return prompt

    generate = rig.tracker.track()(Pipeline())
    assert asyncio.run(generate("hello")) == "hello"
    receipt = rig.one_receipt()
    assert receipt.duration_s == 1.0
    assert receipt.model.endswith("Pipeline")
