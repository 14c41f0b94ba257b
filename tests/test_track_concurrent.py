"""Requests side by side: threads, asyncio tasks and the contexts that tell them apart."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from inferprint import Request, current
from rig import Rig, SteadySource, by_hand, live

MANY = 8


@pytest.fixture
def rig() -> Iterator[Rig]:
    with by_hand(watts=100.0, idle_w=0.0) as rig:
        yield rig


def test_each_thread_has_its_own_current_request(rig: Rig) -> None:
    """Requests of different threads are strangers, however they overlap."""
    together = threading.Barrier(MANY)

    @rig.tracker.track()
    def generate() -> Request | None:
        together.wait(5.0)
        mine = current()
        together.wait(5.0)
        return mine

    with ThreadPoolExecutor(MANY) as pool:
        seen = list(pool.map(lambda _: generate(), range(MANY)))
    assert len(set(seen)) == MANY
    assert [receipt.children for receipt in rig.receipts()] == [()] * MANY


def test_a_thread_that_is_given_the_context_works_for_the_request(rig: Rig) -> None:
    """A request in a copied context is a child, as with ``asyncio.to_thread``."""

    async def generate() -> None:
        async with rig.tracker.request("outer"):
            await asyncio.to_thread(lambda: rig.ran("inner"))

    asyncio.run(generate())
    outer = next(receipt for receipt in rig.receipts() if receipt.model == "outer")
    assert [child.model for child in outer.children] == ["inner"]


def test_tasks_have_their_own_current_request(rig: Rig) -> None:
    """Each task sees its own request before and after it waits."""

    @rig.tracker.track()
    async def generate() -> bool:
        before = current()
        await asyncio.sleep(0)
        return before is not None and current() is before

    async def many() -> list[bool]:
        return await asyncio.gather(*(generate() for _ in range(MANY)))

    assert asyncio.run(many()) == [True] * MANY
    assert [receipt.children for receipt in rig.receipts()] == [()] * MANY


def test_tasks_of_a_request_are_its_children(rig: Rig) -> None:
    """Calls made side by side inside a request are its children, and paid for once."""

    @rig.tracker.track(model="tool")
    async def tool(seconds: float) -> None:
        await asyncio.sleep(0)
        rig.clock.advance(seconds)

    @rig.tracker.track(model="agent")
    async def agent() -> None:
        await asyncio.gather(tool(1.0), tool(2.0))
        rig.clock.advance(4.0)

    asyncio.run(agent())
    whole = next(receipt for receipt in rig.receipts() if receipt.model == "agent")
    assert [child.model for child in whole.children] == ["tool", "tool"]
    total_j, all_j = whole.energy.total_j, whole.with_children().energy.total_j
    assert total_j is not None
    assert all_j is not None
    assert float(total_j) == pytest.approx(400.0)
    assert float(all_j) == pytest.approx(700.0)


def test_a_task_that_outlives_its_request_is_on_its_own(rig: Rig) -> None:
    """What a background task does after the request has ended is not the request's."""
    tasks: list[asyncio.Task[None]] = []

    async def in_background() -> None:
        await asyncio.sleep(0)
        rig.ran("late")

    @rig.tracker.track(model="early")
    async def handle() -> None:
        tasks.append(asyncio.create_task(in_background()))

    async def serves() -> None:
        await handle()
        await asyncio.wait(tasks)

    asyncio.run(serves())
    assert {receipt.model: receipt.children for receipt in rig.receipts()} == {
        "early": (),
        "late": (),
    }


def test_a_cancelled_task_has_a_cancelled_receipt(rig: Rig) -> None:
    """The cancellation goes on to the task, and what the call used is its receipt."""

    @rig.tracker.track()
    async def generate() -> None:
        rig.clock.advance(2.0)
        await asyncio.sleep(60)

    async def gives_up() -> None:
        async with asyncio.timeout(0.01):
            await generate()

    with pytest.raises(TimeoutError):
        asyncio.run(gives_up())
    receipt = rig.one_receipt()
    assert receipt.outcome == "cancelled"
    assert receipt.energy.total_j is not None
    assert float(receipt.energy.total_j) == pytest.approx(200.0)


def test_a_request_may_end_in_another_context_than_it_started_in(rig: Rig) -> None:
    """A callback or a server's clean-up may run elsewhere; the request ends all the same."""
    request = rig.tracker.request("m")
    contextvars.copy_context().run(request.__enter__)
    assert current() is None
    rig.clock.advance(1.0)
    request.__exit__(None, None, None)
    assert rig.one_receipt().outcome == "ok"


def test_trackers_keep_to_themselves() -> None:
    """A request inside one of another tracker has no parent: no books hold both."""
    with by_hand() as one, by_hand() as other:
        with one.tracker.request("one"):
            other.ran("other")
        assert one.one_receipt().children == ()
        assert other.one_receipt().model == "other"


def test_threads_and_tasks_add_up_to_the_meter() -> None:
    """On the real clock, what overlapping requests are charged is what the source counted."""
    requests: list[Request] = []

    def in_thread() -> None:
        with tracker.request("thread") as request:
            requests.append(request)
            threading.Event().wait(0.15)

    async def in_task() -> None:
        async with tracker.request("task") as request:
            requests.append(request)
            await asyncio.sleep(0.15)

    async def many_tasks() -> None:
        await asyncio.gather(*(in_task() for _ in range(MANY)))

    with live(SteadySource(watts=200.0), gpu_idle_w=0.0, sample_interval_s=0.02) as tracker:
        with ThreadPoolExecutor(MANY + 1) as pool:
            tasks = pool.submit(asyncio.run, many_tasks())
            for _ in range(MANY):
                pool.submit(in_thread)
            tasks.result()
        charged_j = sum(float(_total_j(request)) for request in requests)
        (books,) = tracker.balance().devices.values()
    assert len(requests) == 2 * MANY
    assert charged_j == pytest.approx(books.requests_active_j, rel=1e-9)
    assert 0.0 < charged_j <= books.measured_j * (1 + 1e-9)


def _total_j(request: Request) -> float:
    total_j = request.receipt().energy.total_j
    assert total_j is not None
    return float(total_j)
