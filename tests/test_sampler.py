"""The sampler: one thread that reads the sources on time, and nobody else does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferprint import Device, Reading
from inferprint.errors import ReadingError
from inferprint.lanes import Lane
from inferprint.sampler import THREAD_NAME, Sampler
from inferprint.testing import FakeClock, FakeSource
from inferprint.units import NS_PER_S
from rig import SteadySource, live

INTERVAL_NS = NS_PER_S // 10


class Watched(SteadySource):
    """Notes when it is read, and from which thread."""

    def __init__(self) -> None:
        super().__init__()
        self.read_at_s: list[float] = []
        self.read_by: set[str] = set()

    def read(self) -> Sequence[Reading]:
        self.read_at_s.append(time.monotonic())
        self.read_by.add(threading.current_thread().name)
        return super().read()


def test_readings_are_a_tenth_of_a_second_apart_and_do_not_drift() -> None:
    """Late or early, each reading is on the same grid, so that a second has ten of them."""
    source = Watched()
    with live(source) as tracker:
        while len(source.read_at_s) < 12:
            with tracker.request("m"):
                time.sleep(0.02)
    # The first one opens the books; the second begins the grid.
    start, *rest = source.read_at_s[1:11]
    offsets = sorted((at_s - start + 0.05) % 0.1 - 0.05 for at_s in rest)
    assert abs(offsets[len(offsets) // 2]) < 0.02
    assert rest[-1] - start >= 0.88


def test_no_request_reads_a_source() -> None:
    """However many requests there are, only the sampler's thread reads, and no more often."""
    source = Watched()
    with live(source) as tracker:
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            with tracker.request("m") as request:
                request.estimate()
            tracker.balance()
            tracker.status()
        readings, by = len(source.read_at_s), set(source.read_by)
    assert by == {THREAD_NAME}
    assert readings <= 8


@given(late_ns=st.lists(st.integers(0, 5 * INTERVAL_NS), min_size=1, max_size=20))
def test_the_grid_holds_however_late_a_reading_is(late_ns: list[int]) -> None:
    """The next reading is due at a whole number of intervals from the first, after now."""
    clock = FakeClock(start_s=100.0)
    lane = Lane(FakeSource(clock), INTERVAL_NS)
    start_ns = lane.next_ns = clock.now_ns()
    for late in late_ns:
        clock.advance((lane.next_ns + late - clock.now_ns()) / NS_PER_S)
        lane.due(clock.now_ns())
        assert (lane.next_ns - start_ns) % INTERVAL_NS == 0
        assert 0 < lane.next_ns - clock.now_ns() <= INTERVAL_NS


def test_each_source_has_its_own_windows() -> None:
    """A source that cannot be read does not keep another one's windows from closing."""
    broken = Broken()
    with live(SteadySource(device="gpu:1"), broken, sample_interval_s=0.02) as tracker:
        time.sleep(0.2)
        devices = tracker.balance().devices
    assert devices["gpu:1"].measured_j > 0.0
    assert "gpu:0" not in devices


class Broken(SteadySource):
    """Can't be read."""

    def read(self) -> Sequence[Reading]:
        raise ReadingError("no permission", "permission")


def sampler_of() -> Sampler:
    return Sampler(FakeClock(), 0.1, lambda windows: False, lambda: False)


def test_a_fault_is_logged_once_and_counted_each_time(caplog: pytest.LogCaptureFixture) -> None:
    """A source that fails ten times a second does not fill the log; each kind is its own."""
    sampler = sampler_of()
    for _ in range(10):
        sampler.fault("Gpu(gpu:0)", ReadingError("GPU is lost", "lost"))
    sampler.fault("Gpu(gpu:0)", OSError("no such device"))
    assert sampler.errors == {("Gpu(gpu:0)", "lost"): 10, ("Gpu(gpu:0)", "OSError"): 1}
    assert [record.getMessage() for record in caplog.records] == [
        "Gpu(gpu:0): ReadingError: GPU is lost (said once)",
        "Gpu(gpu:0): OSError: no such device (said once)",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_faults_of_many_threads_are_all_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Requests of any thread may have faults; none is lost, and one line is logged."""
    sampler = sampler_of()

    def fail() -> None:
        for _ in range(200):
            sampler.fault("tokens", ValueError("no usage"))

    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(fail)
    assert sampler.errors["tokens", "ValueError"] == 1600
    assert len(caplog.records) == 1


def test_a_fault_s_kind_is_ours_or_its_class() -> None:
    """What a foreign exception calls its kind could be anything, and does not become a label."""

    class Foreign(Exception):
        kind = object()

    sampler = sampler_of()
    sampler.fault("plugin", Foreign())
    assert list(sampler.errors) == [("plugin", "Foreign")]


@pytest.mark.parametrize("second", ["gpu:0", "gpu:1"])
def test_a_device_is_read_from_one_source(second: str) -> None:
    """Two sources with the same device would count it twice: the second is left out."""
    clock = FakeClock()
    sampler = Sampler(clock, 0.1, lambda windows: False, lambda: False)
    complete = sampler.open([FakeSource(clock), FakeSource(clock, second)], on_steps=False)
    assert complete == (second == "gpu:1")
    assert len(sampler.lanes) == (2 if complete else 1)
    assert list(sampler.errors) == ([] if complete else [("FakeSource", "ConfigError")])


class Twice(SteadySource):
    """Has the same device two times."""

    def devices(self) -> Sequence[Device]:
        return [*super().devices(), *super().devices()]


def test_a_device_is_in_its_source_once() -> None:
    """A source that lists a device twice can't be used."""
    sampler = sampler_of()
    assert not sampler.open([Twice()], on_steps=False)
    assert sampler.errors == {("Twice", "ConfigError"): 1}
