"""What type checkers see of the public API; checked by ``test_typing.py``, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Sequence
from typing import Any, assert_type

import inferprint
from inferprint import (
    Balance,
    Budget,
    Config,
    Device,
    Excess,
    Exporter,
    PowerSource,
    Quote,
    Range,
    Reading,
    Receipt,
    Request,
    Status,
    Tracker,
)
from inferprint.testing import FakeClock, FakeSource


@inferprint.track(model="m", tokens=lambda reply: reply.usage, labels={"route": "/chat"})
def generate(prompt: str, *, limit: int = 0) -> bytes:
    return prompt.encode()


@inferprint.track()
async def generate_async(prompt: str, *, limit: int = 0) -> bytes:
    return prompt.encode()


@inferprint.track()
def stream(prompt: str) -> Iterator[str]:
    yield prompt


@inferprint.track()
def converse(prompt: str) -> Generator[str, int, float]:
    yield prompt
    return 1.0


@inferprint.track()
async def stream_async(prompt: str) -> AsyncIterator[str]:
    yield prompt


tracker = Tracker(Config(location="FRA"))


class Model:
    @tracker.track(model="m")
    def generate(self, prompt: str) -> int:
        return len(prompt)

    @classmethod
    @tracker.track()
    def load(cls, name: str) -> int:
        return len(name)

    @staticmethod
    @tracker.track()
    def count(prompt: str) -> int:
        return len(prompt)


def decorated_functions_keep_their_types() -> None:
    assert_type(generate("hello", limit=3), bytes)
    assert_type(stream("hello"), Iterator[str])
    assert_type(converse("hello"), Generator[str, int, float])
    assert_type(stream_async("hello"), AsyncIterator[str])
    coroutine = generate_async("hello")
    _ = assert_type(coroutine, Coroutine[Any, Any, bytes])
    assert_type(Model().generate("hello"), int)
    assert_type(Model.load("hello"), int)
    assert_type(Model.count("hello"), int)
    # Each ignore below is an error that must be there: mypy warns of one that is not needed.
    generate()  # type: ignore[call-arg]
    generate(5)  # type: ignore[arg-type]
    generate("hello", 3)  # type: ignore[call-arg]
    Model().generate(prompt=5)  # type: ignore[arg-type]
    inferprint.track("m")  # type: ignore[call-arg]


async def asynchronous_ones_too() -> None:
    assert_type(await generate_async("hello"), bytes)
    async for piece in stream_async("hello"):
        assert_type(piece, str)


async def requests_and_receipts() -> None:
    with tracker as started, tracker.request("m", labels={"route": "/chat"}) as request:
        assert_type(started, Tracker)
        assert_type(request, Request)
        request.add_tokens(input=812, cached_input=0, output=1)
        request.add_tokens(812)  # type: ignore[call-arg]
    async with inferprint.request("m") as other:
        assert_type(other, Request)
    assert_type(inferprint.current(), Request | None)
    assert_type(request.estimate(), Receipt)
    assert_type(await request.settled(timeout=1.0), Receipt)
    receipt = request.receipt(timeout=2.0)
    assert_type(receipt, Receipt)
    assert_type(receipt.energy.total_j, Range | None)
    assert_type(receipt.with_children().to_dict(), dict[str, Any])
    assert_type(receipt.to_json(), str)
    float(receipt.energy.total_j)  # type: ignore[arg-type]
    receipt.outcome = "ok"  # type: ignore[misc]


def may_go_on(excess: Excess) -> bool:
    return excess.by < 1.0


async def ask_a_person(excess: Excess) -> bool:
    return excess.by < 1.0


async def quotes_and_budgets() -> None:
    quote = tracker.quote("m", input_tokens=800, output_tokens=300)
    assert_type(quote, Quote)
    assert_type(quote.energy.total_j, Range | None)
    assert_type(quote.duration_s, Range | None)
    assert_type(quote.to_dict(), dict[str, Any])
    budget = Budget(energy_j=500.0)
    with tracker.request("m", quote=quote, budget=budget, on_exceed=may_go_on) as request:
        assert_type(request, Request)
    async with inferprint.request("m", budget=budget, on_exceed=ask_a_person) as other:
        assert_type(other, Request)
    tracker.request("m", budget=budget, on_exceed="stop")  # type: ignore[arg-type]
    tracker.request("m", budget=5.0)  # type: ignore[arg-type]
    tracker.request("m", ouput_tokens=5)  # type: ignore[call-arg]
    Budget(5.0)  # type: ignore[call-arg]
    quote.model = "n"  # type: ignore[misc]
    assert_type(request.receipt().quote, Quote | None)
    assert_type(request.receipt().quote_error_ratio, float | None)


@inferprint.track(
    budget=Budget(cost=0.01),
    on_exceed="warn",
    expects=lambda prompt: {"input_tokens": len(prompt), "max_output_tokens": 5},
)
def generate_within_a_budget(prompt: str) -> bytes:
    return prompt.encode()


def the_tracker() -> None:
    assert_type(tracker.balance(), Balance)
    assert_type(tracker.status(), Status)
    assert_type(tracker.flush(timeout=2.0), bool)
    assert_type(generate_within_a_budget("hello"), bytes)
    tracker.save("learned.json")
    assert_type(tracker.start(), Tracker)
    assert_type(inferprint.get_tracker(), Tracker)
    Config(idle_policy="fair")  # type: ignore[arg-type]


class MySource:
    def devices(self) -> Sequence[Device]:
        return [Device("rack:1", "gpu", "a rack")]

    def read(self) -> Sequence[Reading]:
        return [Reading("rack:1", 0, 0.0)]

    def close(self) -> None: ...


class MyExporter:
    name = "mine"

    def start(self, tracker: Tracker) -> None: ...

    def export(self, receipts: Sequence[Receipt]) -> None: ...

    def close(self) -> None: ...


def what_users_bring() -> None:
    source: PowerSource = MySource()
    exporter: Exporter = MyExporter()
    clock = FakeClock()
    Tracker(sources=[source, FakeSource(clock)], exporters=[exporter], clock=clock)
    Tracker(sources=[object()])  # type: ignore[list-item]
    Tracker(exporters=["prometheus"])  # type: ignore[list-item]


def decorators_can_be_kept(plain: Callable[[str], bytes]) -> None:
    assert_type(tracker.track()(plain), Callable[[str], bytes])
