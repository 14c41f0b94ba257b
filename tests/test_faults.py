"""Each fault of a source, a user's function or the tracker: the request does not notice.

It is counted, logged once and flagged on the receipts that it touches; the books stay
closed, and when the fault is over the figures are back without a restart.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from inferprint import Device, Reading, ReadingError, Receipt, Request, Tracker
from inferprint.testing import FakeClock
from inferprint.windows import Windower
from rig import Kept, SteadySource, by_hand, live
from support import run_python

WATTS = 100.0
UP_SINCE_WEEKS_J = 1e9


class Spoilt:
    """A source of 100 W whose readings can be spoilt, beside joules that go on accruing."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.spoil: Callable[[Sequence[Reading]], Any] | None = None

    def devices(self) -> Sequence[Device]:
        return [Device("gpu:0", "gpu", "spoilt gpu")]

    def read(self) -> Sequence[Reading]:
        now_ns = self._clock.now_ns()
        readings = [Reading("gpu:0", now_ns, UP_SINCE_WEEKS_J + WATTS * now_ns / 1e9)]
        return readings if self.spoil is None else self.spoil(readings)

    def close(self) -> None:
        pass


def raises(error: Exception) -> Callable[[object], Any]:
    def spoil(_: object) -> Any:
        raise error

    return spoil


def reads(**changed: Any) -> Callable[[Sequence[Reading]], Any]:
    """One field of the reading is something else."""
    fields = ("device_id", "at_ns", "energy_j", "provenance", "busy_s", "own_s")

    def spoil(readings: Sequence[Reading]) -> Any:
        whole = {name: getattr(readings[0], name) for name in fields}
        return [Reading(**(whole | changed))]

    return spoil


# What a source does, and the kind of fault that it is counted as. All leave energy unknown.
FAULTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "raises": (raises(OSError("gone")), "OSError"),
    "raises a reading error": (raises(ReadingError("GPU is lost", "lost")), "lost"),
    "raises what can't be shown": (raises(type("Odd", (Exception,), {})()), "Odd"),
    "gives nothing": (lambda readings: None, "TypeError"),
    "gives an empty list": (lambda readings: [], "missing"),
    "gives a text": (lambda readings: "100 W", "unusable"),
    "gives numbers": (lambda readings: [1.0, 2.0], "unusable"),
    "gives dicts": (lambda readings: [{"energy_j": 1.0}], "unusable"),
    "NaN": (reads(energy_j=math.nan), "unusable"),
    "inf": (reads(energy_j=math.inf), "unusable"),
    "minus inf": (reads(energy_j=-math.inf), "unusable"),
    "an energy that is a text": (reads(energy_j="1000"), "unusable"),
    "an energy that is None": (reads(energy_j=None), "unusable"),
    "an energy that no float holds": (reads(energy_j=10**400), "unusable"),
    "another's device": (reads(device_id="gpu:7"), "unusable"),
    "no device": (reads(device_id=None), "unusable"),
    "a time that is None": (reads(at_ns=None), "unusable"),
    "a time that is a text": (reads(at_ns="now"), "unusable"),
    "the time of another clock": (reads(at_ns=1_800_000_000 * 10**9), "unusable"),
    "negative": (reads(energy_j=-5.0), "counter_reset"),
    "decreasing": (reads(energy_j=1.0), "counter_reset"),
    "huge": (reads(energy_j=1e300), "counter_reset"),
}

every_fault = pytest.mark.parametrize(("spoil", "kind"), FAULTS.values(), ids=FAULTS)


@every_fault
def test_a_faulty_reading_costs_no_request(
    spoil: Callable[[Any], Any], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The call gives its result; fault, flag and closed books tell of it; then it is over."""
    clock = FakeClock()
    source = Spoilt(clock)
    kept = Kept()
    tracker = Tracker(sources=[source], exporters=[kept], clock=clock)

    @tracker.track(model="m")
    def generate(prompt: str) -> str:
        clock.advance(1.0)
        return prompt

    with tracker:
        outcomes = [call(tracker, generate)]
        source.spoil = spoil
        outcomes += [call(tracker, generate), call(tracker, generate)]
        source.spoil = None
        outcomes += [call(tracker, generate), call(tracker, generate)]
        status, balance = tracker.status(), tracker.balance()
    assert outcomes == ["hello"] * 5
    first, *spoilt, back, last = kept.receipts
    assert all(touched(receipt) for receipt in spoilt[:1])
    assert not any(touched(receipt) for receipt in (first, last))
    assert total_j(first) == pytest.approx(100.0)
    assert total_j(last) == pytest.approx(100.0)
    assert all(figure_is_sane(receipt) for receipt in [*spoilt, back])
    counted = {kind: count for (_, kind), count in status.source_errors.items()}
    assert counted.keys() <= {kind, "counter_reset"}
    assert counted[kind] >= 1
    assert {source for source, _ in status.source_errors} == {"Spoilt(gpu:0)"}
    assert len(warnings(caplog)) == len(counted)
    assert balance.closure_error < 1e-9
    assert math.isfinite(balance.devices["gpu:0"].measured_j)


def call(tracker: Tracker, generate: Callable[[str], str]) -> str:
    """One call and the reading after it."""
    result = generate("hello")
    tracker.sample()
    return result


def touched(receipt: Receipt) -> bool:
    return bool(receipt.flags & {"missing_reading", "counter_reset"})


def total_j(receipt: Receipt) -> float:
    assert receipt.energy.total_j is not None
    return float(receipt.energy.total_j)


def figure_is_sane(receipt: Receipt) -> bool:
    """Its energy is unknown, or no more than the source can have used."""
    json.loads(receipt.to_json())
    energy = receipt.energy.total_j
    return energy is None or 0.0 <= energy.low <= energy.high <= 5 * WATTS


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("busy_s", [math.nan, math.inf, -1.0])
def test_busy_time_that_is_no_number_is_not_known(busy_s: float) -> None:
    """Nobody's share can be told from it, and the energy is as it was."""
    windower = Windower("gpu:0")
    windower.push(Reading("gpu:0", 0, 0.0, busy_s=0.0, own_s=0.0))
    window = windower.push(Reading("gpu:0", 10**9, 100.0, busy_s=busy_s, own_s=busy_s))
    assert window is not None
    assert (window.energy_j, window.busy_s, window.own_s) == (100.0, None, None)


# ---- sources that can't even be opened -------------------------------------------------------


class Odd(SteadySource):
    """Raises, or gives what it should not, where it is told to."""

    def __init__(self, where: str, gives: Any = None) -> None:
        super().__init__()
        self._where, self._gives = where, gives

    def devices(self) -> Any:
        return self._odd("devices") or super().devices()

    def close(self) -> None:
        super().close()
        self._odd("close")

    def _odd(self, where: str) -> Any:
        if where == self._where and self._gives is None:
            raise OSError("driver unloaded")
        return self._gives if where == self._where else None


@pytest.mark.parametrize("gives", [None, ["gpu:0"], 5, [None]], ids=repr)
def test_a_source_without_devices_is_flagged_on_every_receipt(
    gives: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What it would have measured is missing from each receipt, which says so."""
    with by_hand(sources=[Odd("devices", gives)]) as rig:
        rig.ran()
        receipt = rig.one_receipt()
        errors = rig.tracker.status().source_errors
    assert "missing_reading" in receipt.flags
    assert receipt.energy.by_component.keys() == {"gpu"}
    assert [(source, count) for (source, _), count in errors.items()] == [("Odd", 1)]
    assert len(warnings(caplog)) == 1


def test_two_sources_of_one_device_are_said_so(caplog: pytest.LogCaptureFixture) -> None:
    """The device is counted once, and the log says what would be right."""
    with by_hand(watts=100.0, sources=[SteadySource(device="gpu:0")]) as rig:
        rig.ran(seconds=1.0)
        assert total_j(rig.one_receipt()) == pytest.approx(100.0)
        assert rig.tracker.balance().closure_error < 1e-9
    assert "sources='gpu:0': expected each device from one source" in caplog.text


def test_a_source_that_fails_to_close_is_counted() -> None:
    """The tracker stops all the same, and closes the others."""
    other = SteadySource(device="gpu:1")
    with by_hand(sources=[Odd("close"), other]) as rig:
        pass
    # The second gpu:0 is not taken, so nothing of it is closed.
    assert other.closed
    with live(Odd("close"), other) as tracker:
        pass
    assert tracker.status().source_errors == {("Odd(gpu:0)", "OSError"): 1}
    assert rig.source.closed


# ---- a source that hangs ---------------------------------------------------------------------


class Hangs(SteadySource):
    """Does not come back from a reading while ``free`` is not set."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.free.set()
        self.hanging = threading.Event()

    def read(self) -> Sequence[Reading]:
        if not self.free.is_set():
            self.hanging.set()
        self.free.wait(10.0)
        return super().read()


def test_a_source_that_hangs_holds_up_no_request() -> None:
    """Requests, status and books answer while it hangs; afterwards all is settled."""
    source = Hangs()
    with live(source, sample_interval_s=0.02) as tracker:
        source.free.clear()
        assert source.hanging.wait(5.0)
        began, requests = time.monotonic(), list[Request]()
        for _ in range(100):
            with tracker.request("m") as request:
                requests.append(request)
        requests[0].estimate()
        tracker.status()
        tracker.balance()
        with pytest.raises(TimeoutError, match=r"not settled within 0.05 s"):
            requests[0].receipt(timeout=0.05)
        assert not tracker.flush(timeout=0.05)
        assert time.monotonic() - began < 1.0
        source.free.set()
        with tracker.request("m") as after:
            time.sleep(0.1)
        assert after.receipt().energy.total_j is not None
        assert all(request.receipt().outcome == "ok" for request in requests)
        assert tracker.balance().closure_error < 1e-9


def test_a_source_that_hangs_does_not_keep_a_tracker_from_stopping(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left alone after a while, and that is said."""
    monkeypatch.setattr("inferprint.sampler.JOIN_S", 0.1)
    source = Hangs()
    tracker = Tracker(sources=[source]).start()
    source.free.clear()
    assert source.hanging.wait(5.0)
    began = time.monotonic()
    tracker.stop()
    assert time.monotonic() - began < 2.0
    assert "a source hangs: stopping without it" in caplog.text
    source.free.set()


# ---- the user's tokens= ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "tokens",
    [
        lambda reply: reply.usage,
        lambda reply: reply["usage"]["tokens"],
        lambda reply: -5,
        lambda reply: "12 tokens",
        lambda reply, extra: 1,
        lambda reply: {"prompt_tokens": 2.5, "completion_tokens": 1},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_tokens_that_fail_cost_no_request(
    tokens: Callable[..., Any], stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The result is as it was; the receipt has no count and says why; it is logged once."""
    with by_hand(watts=100.0) as rig:
        track = rig.tracker.track(tokens=tokens)

        @track
        def generate() -> dict[str, int]:
            rig.clock.advance(1.0)
            return {}

        @track
        def stream_of_one() -> Any:
            rig.clock.advance(1.0)
            yield {}

        for _ in range(3):
            assert (list(stream_of_one()) if stream else [generate()]) == [{}]
        receipts = rig.receipts()
        errors = rig.tracker.status().source_errors
    assert [receipt.outcome for receipt in receipts] == ["ok"] * 3
    assert all("tokens_unreadable" in receipt.flags for receipt in receipts)
    assert all(receipt.tokens.output is None for receipt in receipts)
    assert [(where, count) for (where, _), count in errors.items()] == [("tokens", 3)]
    assert len(warnings(caplog)) == 1


# ---- the tracker itself ----------------------------------------------------------------------


def test_a_detection_that_fails_costs_no_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is measured, every receipt says so, and requests are still settled and freed."""

    def fails(config: object) -> None:
        raise RuntimeError("unheard of")

    monkeypatch.setattr("inferprint.sources.detect.detect", fails)
    kept = Kept()
    with Tracker(exporters=[kept]) as tracker:
        with tracker.request("m"):
            pass
        assert tracker.flush()
        assert tracker.status().source_errors == {("detection", "RuntimeError"): 1}
        assert len(tracker.events) == 0
    (receipt,) = kept.receipts
    assert receipt.flags == {"missing_reading"}
    assert receipt.energy.total_j is None
    assert "unheard of" in caplog.text


NO_THREADS = """
import resource, sys, threading, time
sys.path.insert(0, "tests")
from inferprint import NotSettled, Tracker
from rig import SteadySource

# So much stack that no other thread's fits into the memory that there may be.
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
threading.stack_size(4 << 30)
tracker = Tracker(sources=[SteadySource()])
with tracker.request("m") as request:
    result = "served"
began = time.monotonic()
try:
    request.receipt()
except NotSettled as error:
    print(error)
print(result, tracker.status().source_errors, time.monotonic() - began < 1.0)
"""


def test_a_thread_that_cannot_start_costs_no_request() -> None:
    """Where the system has no thread to give, requests go through, and it is counted."""
    result = run_python("-c", NO_THREADS)
    assert result.returncode == 0, result.stderr
    told, served = result.stdout.splitlines()
    assert told.endswith("its tracker was stopped, or could not start")
    assert served == "served {('tracker', 'RuntimeError'): 1} True"
    assert result.stderr.count("can't start new thread") == 1


SHUTDOWN = """
import sys, threading, time
sys.path.insert(0, "tests")
import inferprint
from inferprint.windows import Windower
from rig import Kept, SteadySource

class Prints(Kept):
    def close(self):
        print([receipt.model for receipt in self.receipts], flush=True)

tracker = inferprint.Tracker(sources=[SteadySource()], exporters=[Prints()])
inferprint.set_tracker(tracker)
with inferprint.request("ended"):
    time.sleep(0.05)
inferprint.request("in flight").__enter__()

@inferprint.track(model="stream")
def stream():
    yield 1
    yield 2

half_read = stream()
next(half_read)

def forever():
    with inferprint.request("in a thread"):
        time.sleep(60)

threading.Thread(target=forever, daemon=True).start()
time.sleep(0.05)
{how}
"""


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("pass", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("raise ValueError('own')", 1, "ValueError: own"),
        ("tracker.stop()", 0, ""),
    ],
)
def test_a_process_ends_with_requests_in_flight(how: str, code: int, said: str) -> None:
    """Quickly, without a word, and with the receipts of what had ended."""
    began = time.monotonic()
    result = run_python("-c", SHUTDOWN.replace("{how}", how))
    assert time.monotonic() - began < 5.0  # a second of it is the start
    assert result.returncode == code
    assert result.stderr.strip().splitlines()[-1:] == ([said] if said else [])
    assert result.stdout == "['ended']\n"


HANGING_AT_EXIT = """
import sys, time
sys.path.insert(0, "tests")
from inferprint import Tracker
from inferprint.windows import Windower
from rig import Kept, SteadySource

class HangsForEver(SteadySource):
    def read(self):
        if hang: time.sleep(3600)
        return super().read()

class ExportHangsForEver(Kept):
    def export(self, receipts): time.sleep(3600)

hang = False
tracker = Tracker(sources=[HangsForEver()], exporters=[ExportHangsForEver()]).start()
with tracker.request("m"): pass
tracker.flush(0.5)
hang = True
time.sleep(0.3)
"""


def test_a_process_ends_though_source_and_exporter_hang() -> None:
    """Neither can keep the interpreter from exiting."""
    began = time.monotonic()
    result = run_python("-c", HANGING_AT_EXIT, timeout_s=30)
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - began < 10.0
    assert "Traceback" not in result.stderr


STALLED = """
import os, signal, subprocess, sys, time
sys.path.insert(0, "tests")
from inferprint import Tracker
from rig import SteadySource

with Tracker(sources=[SteadySource(100.0)]) as tracker:
    time.sleep(0.3)
    resume = f"sleep 5.6; kill -CONT {os.getpid()}"
    waking = subprocess.Popen(["sh", "-c", resume])
    with tracker.request("m") as request:
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.2)
    waking.wait()
    receipt = request.receipt()
    (books,) = tracker.balance().devices.values()
    print(sorted(receipt.flags), receipt.energy.total_j.mid < 200.0)
    print(books.unattributed_j > 500.0, tracker.balance().closure_error < 1e-9)
"""


@pytest.mark.real
def test_the_energy_of_a_stopped_process_is_nobodys() -> None:
    """Stopped for more than five seconds and continued: a gap, flagged and not charged."""
    result = run_python("-c", STALLED)
    assert result.returncode == 0, result.stderr
    flags, closed = result.stdout.splitlines()
    assert flags.startswith("['gap'")
    assert flags.endswith(" True")
    assert closed == "True True"
