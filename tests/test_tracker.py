"""The tracker: start and stop, receipts in time, books, status, and the one for the process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import inferprint
from inferprint import (
    InferprintError,
    NotSettled,
    Receipt,
    Tracker,
    get_tracker,
    set_tracker,
)
from inferprint.sampler import THREAD_NAME
from inferprint.testing import FakeClock, FakeSource
from rig import Kept, SteadySource, by_hand, live

SETTLES_WITHIN_S = 0.25
LOADED_S = 0.5
"""What a machine that does other things beside may add to a wait."""


def sampler_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]


@pytest.fixture
def no_default() -> Iterator[None]:
    """Without a process-wide tracker, before and after."""
    set_tracker(None)
    yield
    set_tracker(None)


# ---- start and stop --------------------------------------------------------------------------


def test_several_users_share_one_thread() -> None:
    """The first user starts it, the last one stops it, and those between change nothing."""
    source, kept = SteadySource(), Kept()
    tracker = Tracker(sources=[source], exporters=[kept])
    assert sampler_threads() == []
    users = [tracker.start() for _ in range(3)]
    assert users == [tracker] * 3
    (thread,) = sampler_threads()
    assert thread.daemon
    tracker.stop()
    tracker.stop()
    assert sampler_threads() == [thread]
    assert not source.closed
    tracker.stop()
    assert sampler_threads() == []
    assert source.closed
    assert kept.closed


def test_users_in_many_threads_are_counted() -> None:
    """Started and stopped from many threads at once, it stops with the last."""
    tracker = Tracker(sources=[SteadySource()])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: tracker.start(), range(64)))
        list(pool.map(lambda _: tracker.stop(), range(63)))
        assert len(sampler_threads()) == 1
        tracker.stop()
    assert sampler_threads() == []


def test_the_first_request_starts_it() -> None:
    """Without ``start``, a request begins the measuring and is measured itself."""
    tracker = Tracker(sources=[SteadySource()])
    with tracker.request("m") as request:
        assert len(sampler_threads()) == 1
        time.sleep(0.15)
    assert request.receipt().energy.total_j is not None
    tracker.stop()
    assert sampler_threads() == []


def test_first_requests_of_many_threads_start_it_once() -> None:
    """However many come at once, there is one thread."""
    tracker, together = Tracker(sources=[SteadySource()]), threading.Barrier(8)

    def first() -> None:
        together.wait(5.0)
        with tracker.request("m"):
            pass

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(first) for _ in range(8)]:
            future.result()
        assert len(sampler_threads()) == 1
    tracker.stop()


def test_a_stopped_tracker_does_not_start_again() -> None:
    """It says to make another; requests go through it, unmeasured and unknown."""
    tracker = Tracker(sources=[SteadySource()])
    tracker.start().stop()
    with pytest.raises(InferprintError, match="make another"):
        tracker.start()
    with tracker.request("m") as request:
        pass
    assert sampler_threads() == []
    assert request.estimate().energy.total_j is None
    with pytest.raises(NotSettled, match="stopped"):
        request.receipt()


def test_a_tracker_that_never_started_can_be_stopped() -> None:
    """Stopping what did not start, or stopping twice, does nothing."""
    tracker = Tracker(sources=[SteadySource()])
    tracker.stop()
    tracker.stop()
    assert sampler_threads() == []


def test_stopping_settles_what_has_ended() -> None:
    """A request that ended just before the stop has its receipt, and the exporters have it."""
    kept = Kept()
    with live(exporters=[kept]) as tracker:
        with tracker.request("ended") as ended:
            time.sleep(0.01)
        running = tracker.request("running").__enter__()
    assert [receipt.model for receipt in kept.receipts] == ["ended"]
    assert ended.receipt() is kept.receipts[0]
    assert kept.receipts[0].energy.total_j is not None
    running.__exit__(None, None, None)
    assert running.outcome == "ok"


def test_a_tracker_works_without_any_source() -> None:
    """Nothing can be measured, so nothing is known; requests and exporters work."""
    kept = Kept()
    with Tracker(sources=[], exporters=[kept]) as tracker:
        with tracker.request("m"):
            pass
        assert tracker.flush()
        assert tracker.balance().devices == {}
        assert tracker.balance().closure_error == 0.0
    (receipt,) = kept.receipts
    assert receipt.energy.total_j is None
    assert receipt.provenance == "unknown"


# ---- receipts on the real clock --------------------------------------------------------------


def test_receipts_settle_soon() -> None:
    """A receipt is there within 250 ms of the end, most of the time much sooner."""
    waits = []
    with live() as tracker:
        for _ in range(5):
            with tracker.request("m") as request:
                time.sleep(0.05)
            ended = time.monotonic()
            request.receipt()
            waits.append(time.monotonic() - ended)
    assert sorted(waits)[len(waits) // 2] < SETTLES_WITHIN_S
    assert max(waits) < SETTLES_WITHIN_S + LOADED_S


def test_a_receipt_can_be_awaited() -> None:
    """``settled`` does not hold up the event loop, and several may wait for one receipt."""

    async def asks(tracker: Tracker) -> tuple[list[Receipt], int]:
        turns, over = 0, asyncio.Event()

        async def others() -> None:
            nonlocal turns
            while not over.is_set():
                turns += 1
                await asyncio.sleep(0.005)

        other = asyncio.create_task(others())
        async with tracker.request("m") as request:
            await asyncio.sleep(0.02)
        receipts = await asyncio.gather(*(request.settled() for _ in range(3)))
        receipts.append(await request.settled())
        over.set()
        await other
        return receipts, turns

    with live() as tracker:
        receipts, turns = asyncio.run(asks(tracker))
    assert len({id(receipt) for receipt in receipts}) == 1
    assert receipts[0].outcome == "ok"
    assert turns > 3


def test_a_receipt_that_does_not_come_is_said_so() -> None:
    """After its timeout, with the request and the reason, waited for or awaited."""
    with live(sample_interval_s=60.0) as tracker:
        request = tracker.request("m")
        with request, pytest.raises(NotSettled, match=f"{request.request_id} has not ended"):
            request.receipt(timeout=0.01)
        with pytest.raises(NotSettled, match=r"not settled within 0.01 s"):
            request.receipt(timeout=0.01)
        with pytest.raises(TimeoutError, match=r"not settled within 0.01 s"):
            asyncio.run(request.settled(timeout=0.01))


def test_whoever_stops_waiting_leaves_nothing() -> None:
    """A cancelled wait for a receipt harms neither the request nor the next who waits."""

    async def asks(tracker: Tracker) -> Receipt:
        async with tracker.request("m") as request:
            waiting = asyncio.create_task(request.settled())
            await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.wait([waiting])
        return await request.settled()

    with live() as tracker:
        assert asyncio.run(asks(tracker)).outcome == "ok"


def test_an_estimate_is_there_before_the_receipt() -> None:
    """On the real clock at steady power, the two are close to each other."""
    with live(SteadySource(watts=100.0), sample_interval_s=0.05, gpu_idle_w=0.0) as tracker:
        with tracker.request("m"):
            time.sleep(0.2)
        with tracker.request("m") as request:
            time.sleep(0.32)
            estimate = request.estimate()
        settled = request.receipt()
    assert estimate.outcome is None
    assert "provisional" in estimate.flags
    assert estimate.energy.total_j is not None
    assert settled.energy.total_j is not None
    # Up to a window at each end is in question: 50 ms of 320.
    assert float(estimate.energy.total_j) == pytest.approx(float(settled.energy.total_j), rel=0.35)


# ---- flush, books, status --------------------------------------------------------------------


def test_flush_hands_all_over() -> None:
    """When it returns True, every request that ended is settled and with the exporters."""
    kept = Kept()
    with live(exporters=[kept]) as tracker:
        for _ in range(50):
            with tracker.request("m"):
                pass
        assert tracker.flush()
        assert len(kept.receipts) == 50


def test_flush_gives_up_in_time() -> None:
    """What can't be settled in time is settled with what is known, and it says False."""
    kept = Kept()
    with live(exporters=[kept], sample_interval_s=60.0) as tracker:
        with tracker.request("m"):
            pass
        began = time.monotonic()
        assert not tracker.flush(timeout=0.05)
        assert time.monotonic() - began < LOADED_S
        assert [receipt.flags >= {"missing_reading"} for receipt in kept.receipts] == [True]


def test_the_books_close() -> None:
    """Each device has its line, whose terms sum to its meter; power and idle are there."""
    clock = FakeClock()
    cpu = FakeSource(clock, "cpu:0", "cpu", watts=30.0)
    with by_hand(watts=300.0, clock=clock, sources=[cpu], idle_w=100.0) as rig:
        clock.advance(1.0)
        rig.tracker.sample()
        rig.ran(seconds=2.0)
        rig.receipts()
        balance = rig.tracker.balance()
    assert set(balance.devices) == {"gpu:0", "cpu:0"}
    gpu = balance.devices["gpu:0"]
    assert gpu.measured_j == pytest.approx(900.0)
    assert gpu.power_w == pytest.approx(300.0)
    assert gpu.idle_w == pytest.approx(100.0)
    assert balance.closure_error < 1e-9


def test_status_counts_what_is_in_flight() -> None:
    """By model, and gone when the last one ends."""
    with by_hand() as rig:
        requests = [rig.tracker.request(model).__enter__() for model in "aab"]
        assert rig.tracker.status().in_flight == {"a": 2, "b": 1}
        for request in reversed(requests):
            request.__exit__(None, None, None)
        assert rig.tracker.status().in_flight == {}


def test_status_says_what_the_tracker_costs() -> None:
    """The CPU time of its own threads, which does not count what the requests do."""
    with live(sample_interval_s=0.01) as tracker:
        before = tracker.status().self_cpu_s
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            pass
        grown = tracker.status().self_cpu_s - before
    assert 0.0 < grown < 0.2


def test_by_hand_no_thread_runs() -> None:
    """With a clock of one's own, windows close when ``sample`` is called, and only then."""
    with by_hand(watts=100.0, idle_w=0.0) as rig:
        assert sampler_threads() == []
        request = rig.ran(seconds=3600.0)
        with pytest.raises(NotSettled, match=r"call sample\(\)"):
            request.receipt()
        rig.tracker.sample()
        assert float(request.receipt().energy.total_j or 0.0) == pytest.approx(360_000.0)


# ---- the one for the process -----------------------------------------------------------------


@pytest.mark.usefixtures("no_default")
def test_the_process_has_one_tracker() -> None:
    """Made when it is first needed, the same one from then on, from any thread."""
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: get_tracker(), range(32)))
    assert made == {get_tracker()}
    get_tracker().stop()


@pytest.mark.usefixtures("no_default")
def test_the_process_s_tracker_can_be_set() -> None:
    """``track`` and ``request`` use it, also where they were made before it was set."""
    set_tracker(Tracker(sources=[]))

    @inferprint.track(model="decorated")
    def generate() -> None: ...

    with by_hand() as rig:
        set_tracker(rig.tracker)
        generate()
        with inferprint.request("by hand", labels={"route": "/"}):
            pass
        assert [receipt.model for receipt in rig.receipts()] == ["decorated", "by hand"]


@pytest.mark.usefixtures("no_default")
def test_a_bad_setting_is_told_where_the_function_is_decorated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not at the first request under load."""
    monkeypatch.setenv("INFERPRINT_PUE", "0.2")
    with pytest.raises(inferprint.ConfigError, match="pue="):
        inferprint.track()


def test_a_flush_does_not_wait_for_requests_in_flight() -> None:
    """They have not ended: it is done as soon as their starts are known."""
    with live() as tracker, tracker.request("m"):
        began_s = time.monotonic()
        assert tracker.flush(timeout=20.0)
        assert time.monotonic() - began_s < 5.0
